"""A document's text, cut into passages at the ends of sentences.

A passage is a slice of the file's text (its sections joined by an empty line), so that what is cited can be found there. It
never reaches over two places, and begins with the last sentences of the one before it in the same place: an answer that
stands across a cut is whole in one of the two. Everything is one walk from the front; a section may be a whole book.
"""

import re
from collections.abc import Iterable, Iterator, Sequence
from itertools import groupby

from rivermouth.documents import Passage, Section

MOST = 900
"""Characters of a passage: about 220 tokens of English. MiniLM reads 256, and five of them fit a context of 4,096 tokens."""
OVERLAP = 180
"""The most characters that a passage repeats of the one before it."""
BETWEEN = "\n\n"
"""What stands between two sections in the text of the file."""

_ENDS = re.compile(
    r"""
      [.!?…][)\]"'»”’]*\s+      # the end of a sentence
    | [。！？]+[」』”’]*\s*       # the same where no space follows
    | \n[ \t\r]*\n\s*           # the end of a paragraph
    """,
    re.VERBOSE,
)
_LINES = re.compile(r"\n\s*")
_WORDS = re.compile(r"\s+")

Span = tuple[int, int]


def passages(sections: Iterable[Section]) -> Iterator[Passage]:
    """The passages of a file, in reading order; `start` counts from the beginning of its whole text.

    Sections of the same place that follow each other are one text. White space at either end of a passage is left out, and
    so is a section that holds nothing else.
    """
    offset = 0
    for place, run in groupby(sections, key=lambda section: section.place):
        text = BETWEEN.join(section.text for section in run)
        for start, end in _packed(list(_sentences(text))):
            yield Passage(place, offset + start, text[start:end])
        offset += len(text) + len(BETWEEN)


def joined(found: Sequence[Passage]) -> str:
    """The text that passages of one file were cut from, as far as they are there: what they repeat stands once."""
    pieces: list[str] = []
    end = 0
    for one in found:
        if not pieces or one.start > end:
            pieces += [BETWEEN, one.text] if pieces else [one.text]
        else:
            pieces.append(one.text[end - one.start :])
        end = max(end, one.start + len(one.text))
    return "".join(pieces)


def _packed(sentences: list[Span]) -> Iterator[Span]:
    """As many whole sentences as fit, again and again, each time from the first one within the overlap."""
    first = 0
    while first < len(sentences):
        start = sentences[first][0]
        after = first + 1
        while after < len(sentences) and sentences[after][1] - start <= MOST:
            after += 1
        end = sentences[after - 1][1]
        yield start, end
        if after == len(sentences):
            return
        first = _step_back(sentences, first, after)


def _step_back(sentences: list[Span], first: int, after: int) -> int:
    """Where the next passage begins: as far back as the overlap allows, if it then still reaches something new."""
    end, new_end = sentences[after - 1][1], sentences[after][1]
    begin = after
    while begin - 1 > first and end - sentences[begin - 1][0] <= OVERLAP and new_end - sentences[begin - 1][0] <= MOST:
        begin -= 1
    return begin


def _sentences(text: str) -> Iterator[Span]:
    """Each sentence without the white space around it; one that is too long comes in pieces."""
    start = 0
    for match in _ENDS.finditer(text):
        yield from _trimmed(text, start, match.end())
        start = match.end()
    yield from _trimmed(text, start, len(text))


def _trimmed(text: str, start: int, end: int) -> Iterator[Span]:
    stretch = text[start:end]
    start = end - len(stretch.lstrip())
    end = start + len(stretch.strip())
    if end - start <= MOST:
        if start < end:
            yield start, end
        return
    yield from _pieces(text, start, end)


def _pieces(text: str, start: int, end: int) -> Iterator[Span]:
    """A stretch without the end of a sentence: cut at the last line that fits, else at the last word, else anywhere."""
    while end - start > MOST:
        cut = _last(_LINES, text, start) or _last(_WORDS, text, start) or (start + MOST, start + MOST)
        yield start, cut[0]
        start = cut[1]
    if start < end:
        yield start, end


def _last(gap: re.Pattern[str], text: str, start: int) -> Span | None:
    """The last gap that begins within a passage's length of `start`, and not in the first half of it."""
    found = None
    for match in gap.finditer(text, start + MOST // 2, start + MOST + 1):
        if match.start() <= start + MOST:
            found = match.start()
    if found is None:
        return None
    after = _WORDS.match(text, found)
    assert after is not None
    return found, after.end()
