"""Documents that users send: read as files of a folder are, and kept apart from them.

An upload's ledger is its own, one for each collection and tenant, so that reading the folder again neither removes
uploads nor takes them for strays; and an upload never has a passage's id in common with a file.
"""

import base64
import binascii
import hashlib
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass

import msgspec

from functions.documents.chunks import passages_of
from functions.documents.document import Unreadable
from functions.documents.folder import READERS_VERSION
from functions.documents.reader_process import ReaderProcess
from functions.documents.sync import add
from functions.events.common import Passage
from functions.events.ingest import DocumentOutcome, SentDocument
from functions.ports.ledger import Ledger
from functions.ports.vectors import Collection

PREFIX = "upload:"  # of its source, as a citation shows it
_SUFFIXES = {"text": ".txt", "markdown": ".md", "html": ".html", "pdf": ".pdf", "rst": ".rst"}


@dataclass(frozen=True)
class Upload:
    """A document that a user sent."""

    sent: SentDocument
    parser: ReaderProcess

    @property
    def source(self) -> str:
        """Its name, told apart from a file's."""
        return f"{PREFIX}{self.sent.name}"

    @property
    def fingerprint(self) -> str:
        """Of what was sent, and of how it is read."""
        content = f"{self.sent.format}\0{self.sent.text}".encode()
        return f"{hashlib.sha256(content).hexdigest()}-readers{READERS_VERSION}"

    @property
    def size(self) -> int:
        """In characters."""
        return len(self.sent.text)

    def read(self) -> Sequence[Passage]:
        """Its passages; see `Document.read`."""
        if not self.sent.text:
            raise Unreadable("is empty")
        parsed = self.parser.parse(_SUFFIXES[self.sent.format], _bytes_of(self.sent))
        # No file has a NUL in its name, and an id is made of the source: no file's passage has the id of this one's.
        unique = passages_of(f"{PREFIX}\0{self.sent.name}", parsed.sections, untitled=self.sent.name, work=parsed.work)
        passages = [msgspec.structs.replace(passage, source=self.source) for passage in unique]
        if not passages:
            raise Unreadable("holds no text")
        return passages


def _bytes_of(sent: SentDocument) -> bytes:
    if not sent.base64:
        return sent.text.encode()
    try:
        return base64.b64decode(sent.text, validate=True)
    except (binascii.Error, ValueError) as error:
        raise Unreadable("is not the Base64 that it is said to be") from error


def ingest(
    documents: Iterable[SentDocument], collection: Collection, ledger: Ledger, parser: ReaderProcess, *, tenant: str
) -> Iterator[DocumentOutcome]:
    """Bring documents into a collection, one after the other; what became of each.

    One call at a time may work on a collection for a tenant.
    """
    for sent in documents:
        report, entry = add(Upload(sent, parser), collection, ledger, tenant=tenant)
        yield DocumentOutcome(
            name=sent.name,
            passages=len(entry.ids),
            written=report.written,
            deleted=report.deleted,
            skipped=entry.problem,
        )
