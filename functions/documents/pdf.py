"""PDF, page by page, within bounds: a PDF may be a program that unpacks to anything."""

import io
import re
import unicodedata
from typing import TYPE_CHECKING

from functions.documents.chunks import Section, one_line, paragraphs
from functions.documents.document import Unreadable

if TYPE_CHECKING:
    from pypdf import PdfReader

#: Pages a PDF may have.
MAX_PAGES = 5_000
#: Characters that may be on them together.
MAX_CHARS = 20_000_000
#: Bytes within which a PDF says that it is one.
_HEADER_WITHIN = 1024
#: Characters of a parser's own message that are passed on: it may quote the file.
_CLAUSE_CHARS = 120
_ENCRYPTED = "is encrypted; save a copy without a password"
_LIGATURES = re.compile("[\ufb00-\ufb06]")
_HYPHENATED = re.compile(r"([a-zà-ÿ])-\n([a-zà-ÿ])")


def read_pdf(data: bytes) -> list[Section]:
    """A section a page, headed `page 12`; text only, in the order the file draws it.

    Raises:
        Unreadable: It is no PDF, broken, encrypted, beyond the bounds, or pictures of text.
    """
    import pypdf  # noqa: PLC0415 - agents start cold, and few of them parse

    if b"%PDF-" not in data[:_HEADER_WITHIN]:
        raise Unreadable("is not a PDF: it does not begin with %PDF")
    try:
        sections = _pages(pypdf.PdfReader(io.BytesIO(data)))
    except pypdf.errors.LimitReachedError as error:
        raise Unreadable(f"unpacks to more than a PDF of text would: {_clause(error)}") from error
    except (pypdf.errors.FileNotDecryptedError, pypdf.errors.DependencyError) as error:
        raise Unreadable(_ENCRYPTED) from error
    except (MemoryError, Unreadable):
        raise
    except Exception as error:  # pypdf lets whatever a broken file provokes through
        raise Unreadable(f"is a broken PDF: {_clause(error)}") from error
    if not any(section.blocks for section in sections):
        raise Unreadable("has no text on its pages; if it is a scan, run text recognition on it first")
    return sections


def _pages(reader: "PdfReader") -> list[Section]:
    if reader.is_encrypted and not reader.decrypt(""):
        raise Unreadable(_ENCRYPTED)
    count = len(reader.pages)
    if count > MAX_PAGES:
        raise Unreadable(f"has {count:,} pages, at most {MAX_PAGES:,} are read; split it")
    sections, chars = [], 0
    for number, page in enumerate(reader.pages, start=1):
        text = _plain(page.extract_text())
        chars += len(text)
        if chars > MAX_CHARS:
            raise Unreadable(f"holds more than {MAX_CHARS:,} characters; split it")
        sections.append(Section((f"page {number}",), tuple(paragraphs(text))))
    return sections


def _plain(text: str) -> str:
    """Without typographic ligatures, and with words whole that a line's end cut in two."""
    unligated = _LIGATURES.sub(lambda found: unicodedata.normalize("NFKC", found[0]), text)
    return _HYPHENATED.sub(r"\1\2", unligated)


def _clause(error: Exception) -> str:
    return one_line(str(error))[:_CLAUSE_CHARS].rstrip(". ") or type(error).__name__
