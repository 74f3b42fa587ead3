"""A catalog in memory, encoders that cost nothing, and a collection over them."""

import re
import threading
import zlib
from collections.abc import Callable, Mapping, Sequence
from datetime import UTC, datetime, timedelta
from pathlib import Path

import msgspec
import numpy as np
from numpy.typing import NDArray

from functions.adapters.local.blobs import LocalTexts
from functions.collections.collection import VersionedCollection
from functions.collections.opening import ensured
from functions.collections.points import layout_of
from functions.events.common import Passage
from functions.ports.catalog import Carrier, ChangedMeanwhileError, Entry, Phase, Progress, Version
from functions.ports.encoders import Encoder, UnknownEncoderError
from functions.ports.personal import Tokenizer
from functions.ports.vector_stores import VectorStore

START = datetime(2026, 1, 5, 9, tzinfo=UTC)


class BagOfWords:
    """The `Encoder` port: a dimension a word, chosen by its checksum.

    Attributes:
        encoded: The texts, in order.
    """

    def __init__(self, version: str = "Bag of words/1", dimension: int = 256) -> None:
        self.version = version
        self.dimension = dimension
        self.encoded: list[str] = []

    def encode(self, texts: Sequence[str]) -> NDArray[np.float32]:
        self.encoded += texts
        vectors = np.full((len(texts), self.dimension), 1e-3, np.float32)
        for row, text in enumerate(texts):
            for word in re.findall(r"\w+", text.lower()):
                vectors[row, zlib.crc32(word.encode("utf-8", "replace")) % self.dimension] += 1
        lengths: NDArray[np.float32] = np.linalg.norm(vectors, axis=1, keepdims=True)
        return vectors / lengths


class FakeEncoders:
    """The `Encoders` port over some."""

    def __init__(self, *encoders: Encoder) -> None:
        self._by_version = {each.version: each for each in encoders}

    @property
    def versions(self) -> frozenset[str]:
        return frozenset(self._by_version)

    def encoder(self, version: str) -> Encoder:
        if version not in self._by_version:
            raise UnknownEncoderError(f"{version} is not carried here: carried are {', '.join(self._by_version)}")
        return self._by_version[version]


class MemoryCatalog:
    """The `Catalog` port.

    Attributes:
        before: Called before each reading; may change what is read.
    """

    def __init__(self) -> None:
        self.kept: dict[str, Entry] = {}
        self.before: Callable[[], None] = lambda: None
        self._filling: dict[tuple[str, int], Progress] = {}
        self._writing = threading.Lock()

    def read(self, name: str) -> Entry | None:
        self.before()
        return self.kept.get(name)

    def entries(self) -> Sequence[Entry]:
        return [self.kept[name] for name in sorted(self.kept)]

    def write(self, entry: Entry) -> Entry:
        with self._writing:
            found = self.kept.get(entry.name)
            if (found.revision if found else 0) != entry.revision:
                raise ChangedMeanwhileError(entry.name)
            self.kept[entry.name] = msgspec.structs.replace(entry, revision=entry.revision + 1)
            return self.kept[entry.name]

    def progress(self, name: str, number: int) -> Progress | None:
        return self._filling.get((name, number))

    def put_progress(self, progress: Progress) -> None:
        self._filling[progress.collection, progress.number] = progress

    def carriers(self) -> Sequence[Carrier]:
        return []


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
        self.encoder = BagOfWords()
        self.encoders = FakeEncoders(self.encoder, BagOfWords("other/1", 64))

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
