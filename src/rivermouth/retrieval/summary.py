"""What a text begins with: its first sentences, as they stand there. Nothing is asked of a model."""

import re

from rivermouth.documents import Section

MOST = 600
"""Characters."""
_END = re.compile(r"[.!?…。！？]['\"”’»)\]]*(?=\s|$)")


class Summary:
    """Given sections, the first sentences of their text, without headings; `str` is what it came to."""

    def __init__(self) -> None:
        self._text = ""

    def add(self, section: Section) -> None:
        """Take as much of it as is needed."""
        if len(self._text) > MOST:
            return
        text = section.text.lstrip()[: 8 * MOST]
        heading, _, rest = text.partition("\n")
        if rest.strip() and section.place != "1" and " ".join(heading.strip("# \t").split()).startswith(section.place):
            text = rest
        self._text = " ".join(f"{self._text} {text}".split())

    def __str__(self) -> str:
        if len(self._text) <= MOST:
            return self._text
        cut = self._text[:MOST]
        ends = [match.end() for match in _END.finditer(cut)]
        if ends and ends[-1] > MOST // 4:
            return cut[: ends[-1]]
        return cut[: MOST - 2].rpartition(" ")[0].rstrip() + " …" if " " in cut else cut[: MOST - 1] + "…"
