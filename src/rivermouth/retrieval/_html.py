"""The sections of an HTML page, by heading, without what stands around the text on every page of a site."""

import re
from collections.abc import Iterator
from typing import Any

from selectolax.lexbor import LexborHTMLParser

from rivermouth.documents import Section
from rivermouth.retrieval._texts import FIRST, place_of

AROUND = (
    "script, style, noscript, template, iframe, object, svg, canvas, form, button, nav, aside, dialog, [hidden], "
    "[aria-hidden=true], [role=navigation], [role=banner], [role=contentinfo], [role=search], [role=complementary]"
)
OF_THE_PAGE = ("header", "footer")
"""Left out, unless they belong to an article, where a header has its title."""
HEADINGS = {"h1", "h2", "h3", "h4"}
OTHER_BLOCKS = """
    address article blockquote br caption dd div dl dt figcaption figure footer h5 h6 header hr li main ol p pre section
    table tbody tfoot thead title tr ul
"""
BLOCKS = HEADINGS | set(OTHER_BLOCKS.split())
CELLS = {"td", "th"}
_SPACE = re.compile(r"\s+")
_LINES = re.compile(r"[ \t]*\n\s*")
_CHARSET = re.compile(rb"""<meta[^>]{0,200}?charset\s*=\s*["']?\s*([\w.:-]{1,40})""", re.IGNORECASE)


def charset_of(data: bytes) -> str:
    """What a page says it is written in, where that is something we know; what browsers take where none is said, else."""
    found = _CHARSET.search(data[:4096])
    name = found[1].decode("ascii", "replace") if found else ""
    try:
        b" ".decode(name or "cp1252")  # of nothing at all Python does not look
    except (LookupError, UnicodeError):
        return "cp1252"
    return name or "cp1252"


def page(text: str) -> Iterator[Section]:
    """Its main part where it names one, else its body."""
    tree = LexborHTMLParser(text)
    title = tree.css_first("title")
    name = title.text().strip() if title is not None else ""
    root = tree.body
    if root is None:
        return
    for node in root.css(AROUND):
        node.decompose()
    for node in root.css(", ".join(OF_THE_PAGE)):
        if not _within_an_article(node):
            node.decompose()
    main = root.css("main, [role=main]")
    articles = root.css("article")
    chosen = main if len(main) == 1 else articles if len(articles) == 1 else []
    yield from _sections(chosen[0] if chosen and chosen[0].text().strip() else root, name)


def _within_an_article(node: Any) -> bool:
    above = node.parent
    while above is not None:
        if above.tag in ("article", "main"):
            return True
        above = above.parent
    return False


def _sections(root: Any, name: str) -> Iterator[Section]:
    place, pieces = place_of(name), list[str]()
    for tag, text in _walk(root):
        if tag in HEADINGS and text:
            yield Section(place, _tidy(pieces))
            place, pieces = place_of(text), [text, "\n"]
        else:
            pieces.append(text)
    yield Section(place if place != FIRST or not name else place_of(name), _tidy(pieces))


def _walk(root: Any) -> Iterator[tuple[str, str]]:
    """Each heading with all of its text, each other text; a newline where a block begins or ends. No recursion, as pages
    may be as deep as they like."""
    stack: list[Any] = [root]
    while stack:
        node = stack.pop()
        if isinstance(node, str):
            yield "", node
        elif node.tag == "-text":
            text = node.text(deep=False)
            yield "", text if node.parent is not None and node.parent.tag == "pre" else _SPACE.sub(" ", text)
        elif node.tag in HEADINGS:
            yield node.tag, _SPACE.sub(" ", node.text(deep=True)).strip()
        else:
            around = "\n" if node.tag in BLOCKS else "\t" if node.tag in CELLS else ""
            stack += [around, *reversed(list(_children(node))), around]


def _children(node: Any) -> Iterator[Any]:
    child = node.child
    while child is not None:
        yield child
        child = child.next


def _tidy(pieces: list[str]) -> str:
    text = re.sub(r"[ \t]*\t[ \t]*", "\t", "".join(pieces))
    return _LINES.sub("\n", re.sub(r" {2,}", " ", text)).strip()
