"""A passage as a point of a physical collection, and back: the same in every store.

What a payload holds is flat: `id`, `name`, `source`, `text`, `work` (as JSON), `labels`, `tenant`, `encoder`,
`expires_at` and `written` (seconds since 1970), and `blob`, the key of the whole text where `text` is its beginning.
"""

import re
import uuid
from collections.abc import Callable, Mapping
from typing import Any, Final, Protocol

import msgspec

from functions.collections.words import terms_of_passage
from functions.events.common import Passage, Work
from functions.events.decoding import decoder
from functions.events.envelope import digest
from functions.events.utf8 import storable
from functions.ports.vector_stores import Fields, Kind, Layout, LayoutError, Point, Vector

#: Of a text in UTF-8, that a payload holds; a longer one lives in the blob store.
TEXT_BYTES: Final = 8_192
#: What a collection can be filtered by.
FILTERED: Final[Mapping[str, Kind]] = {
    "tenant": "keyword",
    "source": "keyword",
    "name": "keyword",
    "labels": "keyword",
    "expires_at": "number",
}

_POINT_IDS: Final = uuid.UUID("6f1f2a3e-6f0b-5f5e-9a57-0d2c1c2f7f11")
_NAME: Final = re.compile(r"[a-z0-9][a-z0-9_-]{0,62}")


class Model(Protocol):
    """What a version is made for: an encoder, or what is known of one that is not open."""

    @property
    def version(self) -> str:
        """See `Encoder.version`."""
        ...

    @property
    def dimension(self) -> int:
        """See `Encoder.dimension`."""
        ...


def point_id(tenant: str, passage_id: str) -> str:
    """The same for the same passage of the same tenant; the tenant's length keeps the two apart."""
    return str(uuid.uuid5(_POINT_IDS, storable(f"{len(tenant)}:{tenant}{passage_id}")))


def layout_of(name: str, version: int, encoder: Model) -> Layout:
    """What one version of a collection is made for: its physical name carries the encoder, so that two never meet.

    Raises:
        LayoutError: The name is not one that a store takes.
    """
    if not _NAME.fullmatch(name):
        raise LayoutError(
            f"{name!r} is no collection's name: expected 1 to 63 of a-z, 0-9, - and _, a letter or digit first"
        )
    tag = re.sub(r"[^a-z0-9.-]+", "-", encoder.version.lower())
    return Layout(
        name=f"{name}_v{version}_{tag}", encoder=encoder.version, dimension=encoder.dimension, fields=FILTERED
    )


def point_of(  # noqa: PLR0913 - what a point says beside its passage
    passage: Passage, vector: Vector, *, collection: str, tenant: str, encoder: str, expires_at: float, written: float
) -> Point:
    """The point of a passage with its whole text; where that is long, its blob has to be stored first (`blob_of`)."""
    text = storable(passage.text)
    beginning = _beginning(text)
    fields: dict[str, Any] = {
        "id": storable(passage.id),
        "name": storable(passage.name),
        "source": storable(passage.source),
        "text": beginning,
        "work": work_field(passage.work),
        "labels": [storable(each) for each in passage.labels],
        "tenant": storable(tenant),
        "encoder": encoder,
        "expires_at": expires_at,
        "written": written,
    }
    if beginning != text:
        fields["blob"] = _blob_key(collection, tenant, passage.id, text)
    return Point(id=point_id(tenant, passage.id), vector=vector, terms=terms_of_passage(passage), fields=fields)


def passage_of(fields: Fields) -> Passage:
    """The passage of a payload, with the text that this holds: where it says a `blob`, the beginning of the whole."""
    said: Mapping[str, Any] = fields
    return Passage(
        id=said["id"],
        name=said["name"],
        source=said["source"],
        text=said["text"],
        work=decoder(Work).decode(said["work"]) if said.get("work") else Work(),
        labels=tuple(said.get("labels") or ()),
    )


def blob_of(passage: Passage, *, collection: str, tenant: str) -> tuple[str, bytes] | None:
    """Key and bytes of a text that is too long for a payload; `collection` is the key of the collection."""
    text = storable(passage.text)
    data = text.encode()
    return (_blob_key(collection, tenant, passage.id, text), data) if len(data) > TEXT_BYTES else None


def blob_prefix(collection: str, tenant: str, passage_id: str) -> str:
    """How the keys of all blobs begin that a passage ever had in a collection: others keep theirs beside them."""
    return f"{digest(collection, point_id(tenant, passage_id))}-"


def work_field(work: Work) -> str:
    """What is known of a work, as a payload holds it; empty where nothing is."""
    return "" if work == Work() else msgspec.json.encode(changed_work(work, storable)).decode()


def changed_work(work: Work, change: Callable[[str], str]) -> Work:
    """The work with every text in it changed; what is empty stays so."""
    said = {
        field: (change(value) if value else "") if isinstance(value, str) else [change(each) for each in value]
        for field, value in msgspec.structs.asdict(work).items()
    }
    return msgspec.convert(said, Work)


def _blob_key(collection: str, tenant: str, passage_id: str, text: str) -> str:
    return f"{blob_prefix(collection, tenant, passage_id)}{digest(text)}"


def _beginning(text: str) -> str:
    data = text.encode()
    return text if len(data) <= TEXT_BYTES else data[:TEXT_BYTES].decode("utf-8", "ignore")
