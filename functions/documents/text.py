"""Plain text and reStructuredText, in whatever encoding they were saved."""

import codecs
import re

from functions.documents.chunks import Section, clean, paragraphs
from functions.documents.document import Unreadable

#: Bytes from which an encoding other than UTF-8 is guessed.
SNIFF_BYTES = 64 * 1024
#: Share of control characters above which decoded text is taken for binary data.
MAX_CONTROL_SHARE = 0.01

_MARKS = (
    (codecs.BOM_UTF8, "utf-8-sig"),
    (codecs.BOM_UTF32_LE, "utf-32"),  # before UTF-16, whose mark is its beginning
    (codecs.BOM_UTF32_BE, "utf-32"),
    (codecs.BOM_UTF16_LE, "utf-16"),
    (codecs.BOM_UTF16_BE, "utf-16"),
)
# What text that is not UTF-8 is found in; of two that fit equally well, the earlier is taken.
_ENCODINGS = (
    *("cp1252", "cp1250", "cp1251", "cp1253", "cp1254", "koi8_r"),
    *("cp932", "euc_jp", "gb18030", "big5", "cp949"),
)
_CONTROL = re.compile("[\x00-\x08\x0e-\x1a\x1c-\x1f\x7f]")
# A reStructuredText title is underlined, with or without a line above, by one repeated character.
_UNDERLINE = re.compile(r"([=\-`:.'\"~^_*+#<>])\1{2,}\s*\Z")


def read_text(data: bytes) -> list[Section]:
    """Plain text: one section without headings."""
    return [Section((), tuple(paragraphs(decode(data))))]


def read_rst(data: bytes) -> list[Section]:
    """A reStructuredText file by its titles; its markup is left as it is written, which reads well."""
    found: list[tuple[int, str, list[str]]] = [(0, "", [])]
    levels: list[str] = []
    lines = clean(decode(data)).split("\n")
    for line in lines:
        held = found[-1][2]
        mark = _UNDERLINE.match(line)
        if mark is None or not held or not _is_title(held[-1], line):
            held.append(line)
            continue
        title = held.pop().strip()
        style = mark[1] * (2 if held and _UNDERLINE.match(held[-1]) else 1)
        if len(style) > 1:
            held.pop()
        if style not in levels:
            levels.append(style)
        found.append((levels.index(style) + 1, title, []))
    return list(_nested(found))


def decode(data: bytes) -> str:
    """The text of a file: by its byte order mark, as UTF-8, or as the encoding that fits best.

    Raises:
        Unreadable: It is binary data, or in no encoding that can be told.
    """
    for mark, encoding in _MARKS:
        if data.startswith(mark):
            return _decoded(data, encoding)
    if b"\0" in data:
        raise Unreadable("holds binary data; expected text")
    try:
        text = data.decode()
    except UnicodeDecodeError:
        text = _decoded(data, _guessed(data))
    if len(_CONTROL.findall(text[:SNIFF_BYTES])) > MAX_CONTROL_SHARE * len(text[:SNIFF_BYTES]):
        raise Unreadable("holds binary data; expected text")
    return text


def _decoded(data: bytes, encoding: str) -> str:
    try:
        return data.decode(encoding)
    except (UnicodeDecodeError, LookupError) as error:
        raise Unreadable(f"is not the {encoding} text that it seems to be; save it as UTF-8") from error


def _guessed(data: bytes) -> str:
    from charset_normalizer import from_bytes  # noqa: PLC0415 - agents start cold, few files need it

    # The part that is not ASCII tells encodings apart; it may stand anywhere in the file.
    first = next(at for at, byte in enumerate(data) if byte > 0x7F)  # noqa: PLR2004 - the end of ASCII
    start = max(0, first - SNIFF_BYTES // 2)
    matches = from_bytes(data[start : start + SNIFF_BYTES], cp_isolation=list(_ENCODINGS))
    best = matches.best()
    if best is None:
        raise Unreadable("is in no encoding that can be told; save it as UTF-8")
    equal = [match for match in matches if (match.chaos, match.coherence) == (best.chaos, best.coherence)]
    names = {name for match in equal for name in match.could_be_from_charset}
    return next(name for name in (*_ENCODINGS, best.encoding) if name in names)


def _is_title(title: str, underline: str) -> bool:
    return bool(title.strip()) and not _UNDERLINE.match(title) and len(title.strip()) <= len(underline.strip()) + 2


def _nested(found: list[tuple[int, str, list[str]]]) -> list[Section]:
    """Sections with the path of titles above each, from titles with their levels."""
    path: list[str] = []
    sections = []
    for level, title, lines in found:
        if level:
            path = [*path[: level - 1], title]
        sections.append(Section(tuple(path), tuple(paragraphs("\n".join(lines)))))
    return sections
