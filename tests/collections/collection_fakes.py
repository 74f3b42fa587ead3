"""A collection over a catalog in memory and encoders that cost nothing."""

from collections.abc import Mapping, Sequence
from datetime import UTC, datetime, timedelta
from pathlib import Path

import msgspec
from carried_encoders import Carrying
from memory_catalog import MemoryCatalog
from small_encoder import SmallEncoder

from functions.adapters.local.blobs import LocalTexts
from functions.collections.collection import VersionedCollection
from functions.collections.opening import ensured
from functions.collections.points import layout_of
from functions.events.common import Passage
from functions.ports.catalog import Phase, Version
from functions.ports.personal import Tokenizer
from functions.ports.vector_stores import VectorStore

START = datetime(2026, 1, 5, 9, tzinfo=UTC)


class Clock:
    """The time, which passes when told to."""

    def __init__(self) -> None:
        self.at = START

    def __call__(self) -> datetime:
        return self.at

    def pass_s(self, seconds: float) -> None:
        self.at += timedelta(seconds=seconds)


class Shelf:
    """A store with all that collections stand on."""

    def __init__(self, store: VectorStore, folder: Path) -> None:
        self.store = store
        self.catalog = MemoryCatalog()
        self.blobs = LocalTexts(folder / "texts")
        self.clock = Clock()
        self.encoder = SmallEncoder("Bag of words/1")
        self.encoders = Carrying(self.encoder, SmallEncoder("other/1", 64))

    def open(
        self, name: str = "documents", *, ttl_s: float | None = None, tokenizer: Tokenizer | None = None
    ) -> VersionedCollection:
        ensured(name, catalog=self.catalog, store=self.store, encoder=self.encoder, now=self.clock, ttl_s=ttl_s)
        return VersionedCollection(
            name,
            catalog=self.catalog,
            store=self.store,
            encoders=self.encoders,
            blobs=self.blobs,
            now=self.clock,
            tokenizer=tokenizer,
        )

    def add_version(self, encoder: str = "other/1", name: str = "documents", *, phase: Phase = "filling") -> Version:
        """List another version, which holds nothing."""
        entry = self.catalog.kept[name]
        number = entry.versions[-1].number + 1
        version = Version(
            number=number,
            layout=layout_of(name, number, self.encoders.encoder(encoder)),
            phase=phase,
            created=self.clock(),
        )
        self.store.create(version.layout)
        self.catalog.write(msgspec.structs.replace(entry, versions=(*entry.versions, version)))
        return version

    def switch(self, number: int, name: str = "documents") -> None:
        """Let the name stand for another version."""
        self.catalog.write(msgspec.structs.replace(self.catalog.kept[name], current=number))

    def drop(self, number: int, name: str = "documents") -> None:
        """Remove a version from the catalog, and then from the store."""
        entry = self.catalog.kept[name]
        dropped = entry.version(number)
        assert dropped is not None
        left = tuple(each for each in entry.versions if each.number != number)
        self.catalog.write(msgspec.structs.replace(entry, versions=left))
        self.store.drop(dropped.layout.name)

    def held(self, number: int, name: str = "documents") -> Mapping[str, str]:
        """The texts in the payloads of a version, by the id of the passage."""
        version = self.catalog.kept[name].version(number)
        assert version is not None
        return {str(point.fields["id"]): str(point.fields["text"]) for point in self.store.scroll(version.layout)}


def passage(
    id_: str, text: str = "", *, name: str = "", source: str = "guide.md", labels: Sequence[str] = ()
) -> Passage:
    return Passage(
        id=id_, name=name or f"Guide > {id_}", source=source, text=text or f"about {id_}", labels=tuple(labels)
    )


FRUIT = [passage("apples", "red and round"), passage("bananas", "yellow and long"), passage("plums", "blue")]
