"""HTML, as a reader would see it: what is hidden from the eye is hidden from the agents.

Text that a page hides (`hidden`, `aria-hidden`, `display:none`, comments) is a known way to smuggle
instructions to a model. What a style sheet or a white font hides cannot be told from the file alone.
"""

import contextlib
import re
from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

from functions.documents.chunks import Block, Section, one_line
from functions.documents.text import decode

if TYPE_CHECKING:
    from bs4 import BeautifulSoup, Tag

_DROPPED = {
    *("head", "title", "script", "style", "template", "noscript", "nav", "select", "textarea", "dialog"),
    *("svg", "math", "iframe", "object", "canvas", "audio", "video"),
}
_HEADINGS = ("h1", "h2", "h3", "h4", "h5", "h6")
# Elements whose beginning and end part one block from the next.
_BLOCKS = {
    *("html", "body", "main", "article", "section", "header", "footer", "aside", "div", "address", "center"),
    *("p", "pre", "blockquote", "hr", "ul", "ol", "dl", "dt", "dd", "table", "figure", "figcaption"),
    *("details", "summary", "form", "fieldset", *_HEADINGS),
}
_LINES = {"br": "\n", "li": "\n- ", "tr": "\n", "td": " | ", "th": " | ", "caption": "\n"}
_HIDING_STYLE = re.compile(
    r"display\s*:\s*none|visibility\s*:\s*(hidden|collapse)|opacity\s*:\s*0*\.?0*\s*(;|!|$)"
    r"|font-size\s*:\s*0*\.?0*\s*(px|pt|em|rem|%)?\s*(;|!|$)",
    re.IGNORECASE,
)
_DECLARED = re.compile(rb"<meta[^>]{0,200}?charset\s*=\s*[\"']?\s*([\w.:-]{2,40})", re.IGNORECASE)
_DECLARED_WITHIN = 4096


def read_html(data: bytes) -> list[Section]:
    """A page by its headings; a page without a first-level heading stands under its title.

    Raises:
        Unreadable: It is binary data, or in no encoding that can be told.
    """
    return html_sections(decode_html(data))


def html_sections(markup: str) -> list[Section]:
    """The visible text of HTML by its headings, lists and table rows as lines, `pre` as code."""
    from bs4 import BeautifulSoup  # noqa: PLC0415 - agents start cold, and few of them parse

    soup = BeautifulSoup(markup, "html.parser")
    page = _Page()
    for event, node in _events(soup):
        page.take(event, node)
    page.end_block()
    title = "" if page.has_top or soup.title is None else one_line(soup.title.get_text())
    return [Section((title, *path) if title else path, tuple(blocks)) for path, blocks in page.sections]


def decode_html(data: bytes) -> str:
    """As UTF-8 or what a byte order mark says, else as what the page says of itself, else as fits best."""
    declared = _DECLARED.search(data, 0, _DECLARED_WITHIN)
    # A page in UTF-16 cannot be read far enough to see it declared: one that declares it is in another.
    if declared is None or b"\0" in data or declared[1].lower().startswith((b"utf-16", b"utf-32")):
        return decode(data)
    for encoding in ("utf-8", declared[1].decode("ascii", "replace")):
        with contextlib.suppress(UnicodeError, LookupError):
            return data.decode(encoding)
    return decode(data)


def _events(root: "BeautifulSoup") -> Iterator[tuple[str, Any]]:
    """What is visible, in order: `open` and `close` with a tag, `text` with a string.

    A loop with its own stack: a page nests deeper than Python recurses if it wants to.
    """
    from bs4.element import NavigableString, PreformattedString, Tag  # noqa: PLC0415 - see above

    open_tags: list[tuple[Tag, Iterator[Any]]] = [(root, iter(root.contents))]
    while open_tags:
        tag, children = open_tags[-1]
        node = next(children, None)
        if node is None:
            open_tags.pop()
            yield "close", tag
        elif isinstance(node, Tag):
            if not _is_hidden(node):
                yield "open", node
                open_tags.append((node, iter(node.contents)))
        elif isinstance(node, NavigableString) and not isinstance(node, PreformattedString):
            yield "text", str(node)


def _is_hidden(tag: "Tag") -> bool:
    return (
        tag.name in _DROPPED
        or tag.has_attr("hidden")
        or str(tag.get("aria-hidden", "")).strip().lower() == "true"
        or bool(_HIDING_STYLE.search(str(tag.get("style", ""))))
    )


class _Page:
    """Collects blocks below headings from the events of a page."""

    def __init__(self) -> None:
        self.sections: list[tuple[tuple[str, ...], list[Block]]] = [((), [])]
        self.has_top = False
        self._levels: list[tuple[int, str]] = []
        self._text: list[str] = []
        self._preformatted = 0

    def take(self, event: str, node: Any) -> None:  # noqa: ANN401 - a tag or a string, as the event says
        if event == "text":
            self._text.append(node if self._preformatted else re.sub(r"\s+", " ", node))
        elif node.name in _BLOCKS:
            self._take_block(event, node.name)
        elif event == "open":
            self._text.append(_LINES.get(node.name, ""))

    def _take_block(self, event: str, name: str) -> None:
        if event == "close" and name in _HEADINGS:
            self._start_section(int(name[1]), one_line("".join(self._text)))
            self._text = []
        if not self._is_at_bullet():
            self.end_block()
        if name == "pre":
            self._preformatted += 1 if event == "open" else -1

    def _is_at_bullet(self) -> bool:
        """A list item's first paragraph begins behind its bullet, not below it."""
        return "".join(self._text).rpartition("\n")[2].strip() == "-"

    def end_block(self) -> None:
        """What was collected since the last block is one."""
        text = "".join(self._text)
        self._text = []
        if not self._preformatted:
            text = "\n".join(filter(None, (_tidied(line) for line in text.split("\n"))))
        if text.strip():
            self.sections[-1][1].append(Block(text, code=bool(self._preformatted)))

    def _start_section(self, level: int, heading: str) -> None:
        self._levels = [*(above for above in self._levels if above[0] < level), (level, heading)]
        self.has_top = self.has_top or level == 1
        self.sections.append((tuple(text for _, text in self._levels), []))


def _tidied(line: str) -> str:
    """A line without the bar before its first cell, and nothing at all of an empty list item."""
    text = " ".join(line.split()).removeprefix("| ")
    return "" if text in {"-", "|"} else text
