"""Text becomes passages: pieces of bounded size that keep their headings and can be cited.

A passage's name is the path of the headings above it, joined with ` > ` (`Guide > Install > Linux`). Its id
is derived from source, name and text, so that an edited file changes the ids of the edited pieces only.
"""

import hashlib
import re
from collections import Counter
from collections.abc import Iterable, Iterator
from dataclasses import dataclass

from functions.events.common import Passage, Work

#: Characters a passage holds at most. The default encoder reads 256 word pieces, about as much English.
MAX_CHARS = 1_000
#: Characters of one heading that enter a name; what is longer is a paragraph in a heading's clothes.
MAX_HEADING_CHARS = 120
#: What stands between the headings of a name.
HEADING_SEPARATOR = " > "

# Never shown, so never stored: terminal controls, direction overrides, zero-width spaces, byte order marks
# and tag characters, all of which can hide text from the person who reads the citation.
_INVISIBLE = re.compile(
    "[\x00-\x08\x0b\x0c\x0e-\x1f\x7f-\x9f\xad\u200b\u200e\u200f\u202a-\u202e\u2060-\u2069\ufeff\U000e0000-\U000e007f]"
)
# Half of a surrogate pair cannot be written as UTF-8: some PDFs yield it.
_SURROGATE = re.compile("[\ud800-\udfff]")
_LINE_END = re.compile(r"\r\n?|\x0c|\u2028|\u2029")
_BLANK_LINES = re.compile(r"\n(?:[^\S\n]*\n)+")
_SPACE = re.compile(r"\s*")
_WORD_END = re.compile(r"\s")
# A sentence ends at a full stop with space behind it, or at an ideographic one without.
_SENTENCE_END = re.compile(r"""[.!?…]["'”’)\]]*(?=\s)|[。！？]""")  # noqa: RUF001 - full-width on purpose
_UNKNOWN = Work()


@dataclass(frozen=True)
class Block:
    """A paragraph, a list item, a table or a code block: kept whole wherever it fits a passage."""

    text: str
    code: bool = False


@dataclass(frozen=True)
class Section:
    """The blocks below one heading, with the headings above them, outermost first."""

    headings: tuple[str, ...]
    blocks: tuple[Block, ...]


def passages_of(source: str, sections: Iterable[Section], *, untitled: str, work: Work = _UNKNOWN) -> Iterator[Passage]:
    """The passages of one source, in reading order; `untitled` names what stands under no heading.

    The same sections yield the same ids. A piece that occurs twice under one name is told apart by its turn.
    """
    seen: Counter[tuple[str, str]] = Counter()
    for section in sections:
        name = _name(section.headings) or untitled
        for text in pieces(section.blocks):
            turn = seen[name, text]
            seen[name, text] += 1
            yield Passage(id=passage_id(source, name, text, turn), name=name, source=source, text=text, work=work)


def passage_id(source: str, name: str, text: str, turn: int = 0) -> str:
    """32 hexadecimal digits that change with any of the four; also a valid UUID."""
    parts = (source, name, text, str(turn))
    return hashlib.sha256("\0".join(parts).encode()).hexdigest()[:32]


def pieces(blocks: Iterable[Block], limit: int = MAX_CHARS) -> Iterator[str]:
    """Texts of at most `limit` characters: blocks joined while they fit, longer ones cut."""
    held: list[str] = []
    size = 0
    for part in _fitting(blocks, limit):
        if held and size + len(part) + 2 > limit:
            yield "\n\n".join(held)
            held, size = [], 0
        held.append(part)
        size += len(part) + 2 * (len(held) > 1)
    if held:
        yield "\n\n".join(held)


def paragraphs(text: str) -> Iterator[Block]:
    """The blocks of plain text: what blank lines separate; indented and `>>>` blocks are code.

    Code blocks that follow one another are one block, as blank lines inside an example do not end it.
    """
    example: list[str] = []
    for paragraph in _BLANK_LINES.split(clean(text).strip("\n")):
        if _is_code(paragraph):
            example.append(paragraph)
            continue
        if example:
            yield Block("\n\n".join(example), code=True)
            example = []
        if paragraph.strip():
            yield Block(paragraph)
    if example:
        yield Block("\n\n".join(example), code=True)


def clean(text: str) -> str:
    r"""The text with line ends as `\n`, without invisible characters and lone surrogates."""
    return _SURROGATE.sub("\ufffd", _INVISIBLE.sub("", _LINE_END.sub("\n", text)))


def one_line(text: str) -> str:
    """The visible text with every run of space as one space."""
    return " ".join(clean(text).split())


def _name(headings: tuple[str, ...]) -> str:
    lines = (one_line(heading) for heading in headings)
    return HEADING_SEPARATOR.join(_shortened(line) for line in lines if line)


def _shortened(heading: str) -> str:
    return heading if len(heading) <= MAX_HEADING_CHARS else heading[: MAX_HEADING_CHARS - 1].rstrip() + "…"


def _is_code(paragraph: str) -> bool:
    first = paragraph.split("\n", 1)[0]
    return first.startswith(("    ", "\t")) or first.lstrip().startswith(">>> ")


def _fitting(blocks: Iterable[Block], limit: int) -> Iterator[str]:
    for block in blocks:
        text = clean(block.text)
        text = text.strip("\n").rstrip() if block.code else text.strip()
        if len(text) <= limit:
            if text:
                yield text
        else:
            yield from _cut(text, limit, code=block.code)


def _cut(text: str, limit: int, *, code: bool) -> Iterator[str]:
    """Pieces of a text that is too long, in time linear in its length whatever it holds."""
    start = 0
    while start < len(text):
        end = len(text) if len(text) - start <= limit else _boundary(text, start, start + limit, code=code)
        piece = text[start:end].rstrip()
        if piece:
            yield piece.strip("\n") if code else piece
        start = end if code else _after_space(text, end)


def _after_space(text: str, at: int) -> int:
    found = _SPACE.match(text, at)
    return found.end() if found else at


def _boundary(text: str, start: int, end: int, *, code: bool) -> int:
    """Where to cut: after a sentence (code: a line), else a line, else a word, else at `end`.

    A boundary in the first half of the window is passed over for a lesser one further on.
    """
    middle = (start + end) // 2
    if not code and (stop := _last(_SENTENCE_END, text, middle, end)):
        return stop
    line = text.rfind("\n", middle, end)
    return line if line > middle else _last(_WORD_END, text, middle, end) or end


def _last(pattern: re.Pattern[str], text: str, start: int, end: int) -> int:
    """The end of the pattern's last match in a window, or 0."""
    last = 0
    for found in pattern.finditer(text, start, end):
        last = found.end()
    return last
