"""What a file says of itself as a work: title, authors, dates, address. What it does not say stays empty.

All of it is as untrusted as the text: it is cut, put on one line and freed of what a terminal would obey.
"""

import io
import re
from collections.abc import Callable, Iterable, Iterator, Mapping
from html.parser import HTMLParser

from functions.documents.chunks import clean, one_line
from functions.documents.html import decode_html
from functions.documents.text import decode
from functions.events.common import Work

MAX_CHARACTERS = 300  # of any one thing
MAX_AUTHORS = 20
MAX_HEAD_CHARACTERS = 200_000  # of a page, within which its head ends

_FRONT_MATTER = re.compile(r"\A---\n(.{0,20000}?)\n(?:---|\.\.\.)[ \t]*(?:\n|\Z)", re.DOTALL)
_FRONT_FIELD = re.compile(r"^([A-Za-z][\w-]*):[ \t]*(.*(?:\n[ \t]*-[ \t].*)*)", re.MULTILINE)
_FIRST_HEADING = re.compile(r"^#[ \t]+(.+?)[ \t#]*$", re.MULTILINE)
_RST_FIELD = re.compile(r"^:(\w+):[ \t]+(.+)$", re.MULTILINE)
_RST_TITLE = re.compile(r"\A(?:([=\-~#*^])\1{2,}[ \t]*\n)?[ \t]*(\S.*?)[ \t]*\n([=\-~#*^])\3{2,}[ \t]*(?:\n|\Z)")
_DAY = re.compile(r"(\d{4})[-/](\d{1,2})(?:[-/](\d{1,2}))?(?!\d)")
# Neither takes the space around it, which is cut off later: a long run of it would be gone through once a character.
_SEVERAL = re.compile(r";|\n|(?<=\s)and(?=\s)")
_ADDRESS = re.compile(r"<[^<>]*>|\([^()@]*@[^()]*\)")
_WEB = re.compile(r"https?://\S+\Z", re.IGNORECASE)
# Titles that programs write where nobody gave one.
_NO_TITLE = re.compile(r"untitled.*|microsoft word - .*|.*\.(?:docx?|tex|dvi|indd|pdf)|\W*", re.IGNORECASE)

_TITLES = ("citation_title", "dc.title", "dcterms.title", "og:title")
_AUTHORS = ("citation_author", "dc.creator", "dcterms.creator", "author", "article:author")
_DATES = (
    *("citation_publication_date", "citation_date", "dc.date", "dcterms.issued", "dcterms.date", "dcterms.created"),
    *("article:published_time", "date"),
)
_CHANGES = ("dcterms.modified", "article:modified_time", "last-modified")
_PLACES = ("citation_public_url", "canonical", "og:url")


def work_of(suffix: str, data: bytes) -> Work:
    """What a file of this format says of itself; nothing where it cannot be understood."""
    reader = _READERS.get(suffix)
    try:
        return reader(data) if reader else Work()
    except Exception:  # noqa: BLE001 - a parser may raise anything, and the text is of use without it
        return Work()


def authors_of(*given: str) -> tuple[str, ...]:
    """The names, each once, without the addresses behind them."""
    names = (name for text in given for name in _SEVERAL.split(_ADDRESS.sub("", text)))
    return tuple(dict.fromkeys(filter(None, map(_tidied, names))))[:MAX_AUTHORS]


def _of_markdown(data: bytes) -> Work:
    text = clean(decode(data))
    front = _FRONT_MATTER.match(text)
    fields = {name.lower(): value for name, value in _FRONT_FIELD.findall(front[1])} if front else {}
    heading = _FIRST_HEADING.search(text[front.end() if front else 0 :])
    return Work(
        title=_tidied(fields.get("title", "")) or (_tidied(heading[1]) if heading else ""),
        authors=_listed(fields.get("authors") or fields.get("author") or ""),
        published=_day(fields.get("date") or fields.get("published") or ""),
        modified=_day(fields.get("updated") or fields.get("modified") or ""),
        version=_tidied(fields.get("version", "")),
        location=_address(fields.get("canonical") or fields.get("url") or ""),
    )


def _listed(value: str) -> tuple[str, ...]:
    """The authors of a front matter: a name, `[a, b]`, or a line each."""
    inner = value.strip()
    if inner.startswith("[") and inner.endswith("]"):
        return authors_of(*inner[1:-1].split(","))
    return authors_of(*(re.sub(r"^[ \t]*-[ \t]+(?:name:[ \t]*)?", "", line) for line in inner.split("\n")))


def _of_rst(data: bytes) -> Work:
    text = clean(decode(data)).lstrip("\n")
    fields = {name.lower(): value for name, value in _RST_FIELD.findall(text[:MAX_HEAD_CHARACTERS])}
    title = _RST_TITLE.match(text)
    return Work(
        title=_tidied(title[2]) if title else "",
        authors=authors_of(fields.get("author") or fields.get("authors") or ""),
        published=_day(fields.get("date", "")),
        version=_tidied(fields.get("version") or fields.get("release") or ""),
    )


class _Head(HTMLParser):
    """Collects what the head of a page says, by name in lower case, every value in order."""

    def __init__(self) -> None:
        super().__init__()
        self.said: dict[str, list[str]] = {}
        self.is_over = False
        self._is_title = False

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        given = {name: value or "" for name, value in attrs}
        self.is_over = self.is_over or tag == "body"
        self._is_title = tag == "title"
        if self.is_over:
            return
        if tag == "meta":
            name = given.get("name") or given.get("property") or given.get("http-equiv") or ""
            self._say(name, given.get("content", ""))
        elif tag == "link" and "canonical" in given.get("rel", "").lower().split():
            self._say("canonical", given.get("href", ""))

    def handle_endtag(self, tag: str) -> None:
        self.is_over = self.is_over or tag == "head"
        self._is_title = False

    def handle_data(self, data: str) -> None:
        if self._is_title and not self.is_over:
            self._say("title", data)

    def _say(self, name: str, value: str) -> None:
        self.said.setdefault(name.strip().lower(), []).append(value)


def _of_html(data: bytes) -> Work:
    head = _Head()
    head.feed(decode_html(data)[:MAX_HEAD_CHARACTERS])
    return Work(
        title=_tidied(_first(head.said, (*_TITLES, "title"))),
        authors=authors_of(*next((head.said[name] for name in _AUTHORS if name in head.said), ())),
        published=_day(_first(head.said, _DATES)),
        modified=_day(_first(head.said, _CHANGES)),
        location=_address(_first(head.said, _PLACES)),
    )


def _first(said: Mapping[str, Iterable[str]], names: Iterable[str]) -> str:
    return next(filter(None, _values(said, names)), "")


def _values(said: Mapping[str, Iterable[str]], names: Iterable[str]) -> Iterator[str]:
    return (value.strip() for name in names for value in said.get(name, ()))


def _of_pdf(data: bytes) -> Work:
    import pypdf  # noqa: PLC0415 - agents start cold, and few of them parse

    reader = pypdf.PdfReader(io.BytesIO(data))
    if reader.is_encrypted:
        reader.decrypt("")
    said = reader.metadata
    if said is None:
        return Work()
    return Work(
        title=_tidied(said.title or ""),
        authors=authors_of(said.author or ""),
        published=said.creation_date.date().isoformat() if said.creation_date else "",
        modified=said.modification_date.date().isoformat() if said.modification_date else "",
    )


def _tidied(text: str) -> str:
    """One line of bounded length without quotes around it; nothing for what a program put there."""
    line = one_line(text)[:MAX_CHARACTERS].strip("\"' ")
    return "" if _NO_TITLE.fullmatch(line) else line


def _day(text: str) -> str:
    """`2024-05-01` of whatever time of that day, or what there is of it; a date in words as it is written."""
    found = _DAY.search(text)
    if found is None:
        return _tidied(text)
    return "-".join((found[1], *(part.zfill(2) for part in found.groups()[1:] if part)))


def _address(text: str) -> str:
    line = _tidied(text)
    return line if _WEB.match(line) else ""


_READERS: dict[str, Callable[[bytes], Work]] = {
    ".htm": _of_html,
    ".html": _of_html,
    ".markdown": _of_markdown,
    ".md": _of_markdown,
    ".pdf": _of_pdf,
    ".rst": _of_rst,
}
