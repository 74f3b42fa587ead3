"""The events of the `ingest` workflow: from documents that a user sent to what became of them."""

from typing import Annotated, Literal

import msgspec

from functions.events.event import Event

MAX_DOCUMENTS = 100
MAX_NAME_CHARACTERS = 256
DocumentName = Annotated[
    str,
    msgspec.Meta(
        min_length=1, max_length=MAX_NAME_CHARACTERS, pattern=r"^[^\x00-\x1f\x7f-\x9f]*[^\x00-\x20\x7f-\x9f]$"
    ),
]
TextFormat = Literal["text", "markdown", "html"]
Format = Literal["text", "markdown", "html", "pdf", "rst"]


class SentDocument(msgspec.Struct, frozen=True, kw_only=True):
    """A document as it was sent. The same name again takes the place of the one before.

    Attributes:
        text: What it says; in Base64 the bytes of a file, in whatever encoding.
        base64: Whether `text` is that.
    """

    name: DocumentName
    text: str
    format: Format = "text"
    base64: bool = False


class DocumentOutcome(msgspec.Struct, frozen=True, kw_only=True):
    """What became of a document.

    Attributes:
        name: As it was sent.
        passages: How many it has in the collection now.
        written: How many of them are new there.
        deleted: How many of those that it had before are gone.
        skipped: Why it could not be read; empty where it could. What cannot be read has no passages.
    """

    name: str
    passages: int = 0
    written: int = 0
    deleted: int = 0
    skipped: str = ""


class DocumentsReceived(Event):
    """A user sent documents."""

    documents: Annotated[tuple[SentDocument, ...], msgspec.Meta(min_length=1, max_length=MAX_DOCUMENTS)]


class DocumentsIngested(Event):
    """They can be searched, as far as they could be read; in the order in which they were sent."""

    documents: tuple[DocumentOutcome, ...]
