"""The text of an HTML page, made in a process of its own: its source on stdin, JSON with `title` and `text` on stdout.

Run as a file and without the rest of Rivermouth, so that it starts in 40 ms. A process of its own because no HTML parser that
builds a tree bounds its time: 200,000 nested `<div>`, which are one megabyte, take selectolax minutes (2026-11-21), without a
moment in which anything else in its process could run.
"""

import json
import resource
import sys

from selectolax.lexbor import LexborHTMLParser

SECONDS, MEMORY = 4, 1_000_000_000
"""Of processor time, and bytes of address space. Whoever waits for this has a limit of their own."""
NO_TEXT = "script, style, noscript, template, svg, iframe, object, head, nav, form"
BLOCKS = (
    "p, div, section, article, li, tr, h1, h2, h3, h4, h5, h6, pre, blockquote, dt, dd, br, hr, table, ul, ol, main"
)


def main() -> None:
    """Read, parse, write."""
    resource.setrlimit(resource.RLIMIT_CPU, (SECONDS, SECONDS))
    resource.setrlimit(resource.RLIMIT_AS, (MEMORY, MEMORY))
    json.dump(page(sys.stdin.buffer.read().decode("utf-8", "replace")), sys.stdout)


def page(source: str) -> dict[str, str]:
    """What a person would read of it."""
    tree = LexborHTMLParser(source)
    title = tree.css_first("title")
    name = " ".join(title.text().split()) if title is not None else ""
    for node in tree.css(NO_TEXT):
        node.decompose()
    for node in tree.css(BLOCKS):
        node.insert_before("\n")
        node.insert_after("\n")
    return {"title": name, "text": lines(tree.body.text() if tree.body is not None else "")}


def lines(text: str) -> str:
    """Without what only made the source readable: no runs of blanks, no empty lines."""
    tidy = (" ".join(line.split()) for line in text.split("\n"))
    return "\n".join(line for line in tidy if line)


if __name__ == "__main__":
    main()
