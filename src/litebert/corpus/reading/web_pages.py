"""The text of a web page without what surrounds it: scripts, navigation, headers, footers, forms, blocks of links.

The share of link text as the sign of navigation is from Kohlschütter et al. 2010, "Boilerplate detection using shallow text features".
"""

from __future__ import annotations

import codecs
import re
from typing import Any

from litebert.errors import MachineError

_DROPPED = (
    "script, style, noscript, template, nav, header, footer, form, aside, button, select, textarea, iframe, object, svg, canvas, "
    "dialog, menu, [hidden], [aria-hidden=true], [role=navigation], [role=banner], [role=contentinfo], [role=search]"
)
_BLOCKS = frozenset(
    {
        "address", "article", "blockquote", "body", "br", "caption", "center", "dd", "details", "div", "dl", "dt",
        "fieldset", "figcaption", "figure", "h1", "h2", "h3", "h4", "h5", "h6", "hr", "html", "li", "main", "ol", "p",
        "pre", "section", "summary", "table", "tbody", "td", "tfoot", "th", "thead", "tr", "ul",
    }
)  # fmt: skip
_CHARSET = re.compile(rb"<(?:meta|\?xml)[^>]{0,200}(?:charset|encoding)\s*=\s*[\"']?\s*([\w.:-]+)", re.IGNORECASE)
_MOST_LINKS = 0.5
_LEAST_MAIN = 200


def decode_page(data: bytes, encoding: str) -> str:
    """Return the markup: by its byte order mark, the encoding it names, else the one given; what is invalid becomes U+FFFD."""
    named = _CHARSET.search(data[:4096])
    tried = [named[1].decode("ascii", "replace")] if named else []
    if data.startswith((codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE)):
        tried = ["utf-16"]
    elif data.startswith(codecs.BOM_UTF8):
        tried = ["utf-8-sig"]
    for name in [*tried, encoding]:
        try:
            return data.decode(name)
        except (LookupError, UnicodeDecodeError):
            continue
    return data.decode(encoding, errors="replace")


def page_text(markup: str) -> str:
    r"""Return the page's paragraphs, separated by ``\n``.

    Args:
        markup: HTML, however broken.

    Raises:
        MachineError: selectolax is not installed.
    """
    try:
        from selectolax.lexbor import LexborHTMLParser
    except ImportError as error:
        raise MachineError("HTML needs selectolax", hint='Install it: pip install "litebert[corpus]"') from error
    tree = LexborHTMLParser(markup)
    root = tree.body or tree.root
    if root is None:
        return ""
    for node in root.css(_DROPPED):
        node.decompose()
    for place in ("main, [role=main]", "article"):
        found = root.css(place)
        if len(found) == 1 and len(text := _text(found[0])) >= _LEAST_MAIN:
            return text
    return _text(root)


def _text(root: Any) -> str:
    """Return the paragraphs under a node: what stands between the borders of block elements. No recursion: pages nest deeply."""
    paragraphs: list[str] = []
    words: list[str] = []
    linked = 0

    def finish() -> None:
        nonlocal linked
        paragraph = " ".join("".join(words).split())
        if paragraph and linked <= _MOST_LINKS * len(paragraph):
            paragraphs.append(paragraph)
        words.clear()
        linked = 0

    todo: list[tuple[Any, bool, bool]] = [(root, False, False)]  # node, inside a link, seen before: its end
    while todo:
        node, in_link, is_end = todo.pop()
        tag = node.tag
        if tag == "-text":
            text = node.text(deep=False) or ""
            words.append(text)
            linked += len(text.strip()) if in_link else 0
            continue
        if tag in _BLOCKS:
            finish()
        if not is_end and node.child is not None:
            if tag in _BLOCKS:
                todo.append((node, in_link, True))
            children = list(node.iter(include_text=True))
            todo.extend((child, in_link or tag == "a", False) for child in reversed(children))
    finish()
    return "\n".join(paragraphs)
