"""The words of a question that are worth looking for: what full text search is given, and what a follow-up is told by."""

import re
from collections.abc import Iterator
from itertools import pairwise

MOST_TERMS = 24
"""Words of one search. Each costs time, and a question has said what it is about long before."""
MOST_CHARS = 64
"""The longest word that is looked for; longer ones are no words."""
MOST_READ = 8_000
"""Characters of a question that are looked at."""

_WORD = re.compile(r"[^\W_]+")
_HAN_AND_KANA = "\u3005-\u3007\u3040-\u30ff\u3400-\u4dbf\u4e00-\u9fff\uf900-\ufaff\uff66-\uff9f\U00020000-\U0003ffff"
_UNSPACED = re.compile(f"[{_HAN_AND_KANA}]")
_RUN = re.compile(f"([{_HAN_AND_KANA}]+)|([^{_HAN_AND_KANA}]+)")
_STOP = frozenset(
    _WORD.findall(
        """
    a about above after again all also am an and any are aren as at be because been before being below between both but by
    can cannot could couldn d did didn do does doesn doing don down during each either else ever every few for from further
    get give gives given got had hadn has hasn have haven having he her here hers herself him himself his how i if in into is
    isn it its itself just kindly ll let like m many may me might more most much must mustn my myself need neither no nor not
    now of off on once one only or other our ours ourselves out over own please re s same say says shall shan she should
    shouldn show so some such t tell than that the their theirs them themselves then there these they thing things this those
    through to too under until up upon us ve very want was wasn we were weren what whatever when where whether which while
    who whom whose why will with within without won would wouldn you your yours yourself yourselves
    according anything anyone document documents explain file files describe mention mentioned mentions question something
    """
    )
)
"""English words that nearly every question or text has. Of other languages the index itself weighs such words low."""

_REFERS = frozenset(
    _WORD.findall(
        """
    he her hers him his it its itself she that their theirs them themselves there these they this those then one ones former
    latter same other others else instead again also more too
    """
    )
)
"""Words that stand for something said before."""

FEW_TERMS = 2
"""A question with no more words of its own than these is taken for one that goes on from the last."""


def words(text: str) -> list[str]:
    """All words, in lower case and in order. What is written without spaces comes in pairs of characters."""
    return [part.lower() for word in _WORD.findall(text[:MOST_READ]) for part in _parts(word)]


def pairs(text: str) -> str:
    """What an index needs besides `text`, to find what is written in it without spaces: the parts that `words` has of it."""
    if not _UNSPACED.search(text):
        return ""
    return " ".join(part for word in _WORD.findall(text) if _UNSPACED.search(word) for part in _parts(word))


def _parts(word: str) -> Iterator[str]:
    """Chinese and Japanese runs as pairs: a full text index takes such a run for one word, as no question has it."""
    if word.isascii():
        yield word
        return
    for run, other in _RUN.findall(word):
        if other or len(run) < 3:
            yield other or run
        else:
            yield from map("".join, pairwise(run))


def terms(text: str) -> list[str]:
    """The words worth looking for, each once, the first ones first; where all are common, the common ones."""
    every = list(dict.fromkeys(word for word in words(text) if len(word) <= MOST_CHARS))
    telling = [word for word in every if word not in _STOP and (len(word) > 1 or not word.isascii() or word.isdigit())]
    return (telling or every)[:MOST_TERMS]


def leans_on_what_was_said(question: str) -> bool:
    """Whether a question says too little by itself: few words of its own, or one that stands for something said before.

    A rule of thumb: where it is wrong, the search is for a few words too many, which cost a place or two, not the answer.
    """
    own = [word for word in terms(question) if word not in _STOP and word not in _REFERS]
    return len(own) <= FEW_TERMS or (len(own) <= 3 * FEW_TERMS and any(word in _REFERS for word in words(question)))


def searched_for(question: str, asked_before: str | None) -> str:
    """What is looked for: the question, after the one before it where it leans on that."""
    if not asked_before or not leans_on_what_was_said(question):
        return question
    return f"{asked_before.strip()[: MOST_READ // 2]} {question}"
