"""The `VectorStore` port in this process, on a folder or from blobs: for collections that are mostly read.

A collection is one file (faiss_file.py); what searches look at is read into memory when it is first used
(faiss_rows.py). One process at a time holds a folder. Others, and functions at their cold start, open snapshots, which
are blobs, to read.
"""

import fcntl
import threading
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from hashlib import sha256
from pathlib import Path
from typing import IO

import msgspec
import numpy as np

from functions.adapters.files import sync_folder
from functions.adapters.vectors.checking import (
    check_fields,
    check_filter,
    check_ids,
    check_layout,
    check_name,
    check_open,
    check_page,
    check_points,
    check_queries,
    check_same,
    no_such_collection,
)
from functions.adapters.vectors.faiss_file import SUFFIX, CollectionFile, DamagedError, Row
from functions.adapters.vectors.faiss_rows import COMPARED, Found, Rows, graph_over
from functions.ports.blobs import Blobs
from functions.ports.vector_stores import (
    EVERYTHING,
    SCROLL_POINTS,
    Fields,
    Filter,
    Hit,
    Layout,
    Point,
    Query,
    RefusedError,
    Terms,
    UnavailableError,
)


class Snapshots(msgspec.Struct, frozen=True):
    """Collections as blobs, each under the key that `FaissStore.snapshot` gave."""

    blobs: Blobs
    keys: Sequence[str]


class FaissStore:
    """The collections in the files of a folder; or those of snapshots, to be read only.

    Raises:
        UnavailableError: Another process holds the folder.
        DamagedError: A file does not hold what was written to it; what it says of itself is looked at here, its points
            when the collection is first used.
        KeyError: There is no blob of such a key.
    """

    searches_words = True

    def __init__(self, source: Path | Snapshots) -> None:
        self._lock = threading.RLock()
        self._is_open = True
        self._collections: dict[str, _Collection] = {}
        self._folder = source if isinstance(source, Path) else None
        self._held = _held(source) if isinstance(source, Path) else None
        try:
            for file in _files(source) if isinstance(source, Path) else _snapshots(source):
                self._add(file)
        except BaseException:
            self.close()
            raise

    def snapshot(self, name: str, blobs: Blobs) -> str:
        """Put all of a collection into a blob; its key, which `Snapshots` takes.

        Raises:
            NoSuchCollectionError: There is none of this name.
        """
        data = self._named(name).bytes()
        key = sha256(data).hexdigest()
        blobs.put(key, data)
        return key

    def create(self, layout: Layout) -> None:
        """See `VectorStore.create`."""
        check_layout(layout)
        with self._used():
            if layout.name in self._collections:
                check_same(layout, self._collections[layout.name].layout)
                return
            path = self._writable() / f"{layout.name}{SUFFIX}"
            CollectionFile.create(path, layout)
            self._add(CollectionFile.open(path))

    def drop(self, name: str) -> None:
        """See `VectorStore.drop`."""
        check_name(name)
        with self._used():
            folder = self._writable()
            if found := self._collections.pop(name, None):
                found.close()
                (folder / f"{name}{SUFFIX}").unlink()
                sync_folder(folder)

    def layouts(self) -> Sequence[Layout]:
        """See `VectorStore.layouts`."""
        with self._used():
            return [self._collections[name].layout for name in sorted(self._collections)]

    def upsert(self, layout: Layout, points: Sequence[Point]) -> None:
        """See `VectorStore.upsert`."""
        collection = self._writing(layout)
        collection.upsert(check_points(layout, points))

    def search(self, layout: Layout, queries: Sequence[Query]) -> Sequence[Sequence[Hit]]:
        """See `VectorStore.search`."""
        collection = self._of(layout)
        return collection.search(check_queries(layout, queries))

    def read(self, layout: Layout, ids: Iterable[str], *, vectors: bool = False) -> Sequence[Point]:
        """See `VectorStore.read`."""
        collection = self._of(layout)
        return _shown(collection.read(check_ids(ids)), vectors=vectors)

    def set_fields(self, layout: Layout, fields: Mapping[str, Fields]) -> None:
        """See `VectorStore.set_fields`."""
        collection = self._writing(layout)
        collection.set_fields(check_fields(fields, layout))

    def delete(self, layout: Layout, ids: Iterable[str]) -> None:
        """See `VectorStore.delete`."""
        collection = self._writing(layout)
        collection.delete(check_ids(ids))

    def delete_where(self, layout: Layout, where: Filter) -> None:
        """See `VectorStore.delete_where`."""
        collection = self._writing(layout)
        collection.delete_where(check_filter(layout, where))

    def erase(self, layout: Layout, ids: Iterable[str]) -> None:
        """See `VectorStore.erase`: the file overwrites whatever is deleted. Snapshots are the blob store's to erase."""
        self.delete(layout, ids)

    def count(self, layout: Layout, where: Filter = EVERYTHING) -> int:
        """See `VectorStore.count`."""
        collection = self._of(layout)
        return collection.count(check_filter(layout, where))

    def scroll(
        self,
        layout: Layout,
        where: Filter = EVERYTHING,
        *,
        after: str = "",
        limit: int = SCROLL_POINTS,
        vectors: bool = False,
    ) -> Sequence[Point]:
        """See `VectorStore.scroll`."""
        collection = self._of(layout)
        asked = check_filter(layout, where)
        check_page(after, limit)
        return _shown(collection.scroll(asked, after, limit), vectors=vectors)

    def optimize(self, layout: Layout) -> None:
        """See `VectorStore.optimize`: builds the graph, while points are stored and searched."""
        self._writing(layout).optimize()

    def close(self) -> None:
        """See `VectorStore.close`."""
        with self._lock:
            self._is_open = False
            while self._collections:
                self._collections.popitem()[1].close()
            if self._held:
                self._held.close()

    @contextmanager
    def _used(self) -> Iterator[None]:
        with self._lock:
            check_open(is_open=self._is_open)
            yield

    def _add(self, file: CollectionFile) -> None:
        self._collections[file.layout.name] = _Collection(file)

    def _writable(self) -> Path:
        if self._folder is None:
            raise RefusedError("this store was opened from snapshots, to be read: write to the one they were made of")
        return self._folder

    def _writing(self, layout: Layout) -> "_Collection":
        collection = self._of(layout)
        self._writable()
        return collection

    def _of(self, layout: Layout) -> "_Collection":
        found = self._named(layout.name)
        check_same(layout, found.layout)
        return found

    def _named(self, name: str) -> "_Collection":
        with self._used():
            found = self._collections.get(name)
        if found is None:
            raise no_such_collection(name)
        return found


class _Collection:
    """One collection: its file, and its rows once they were asked for."""

    def __init__(self, file: CollectionFile) -> None:
        self._file = file
        self._rows: Rows | None = None
        self._writing = threading.RLock()  # held by who changes something, before the other one
        self._lock = threading.RLock()  # of the rows, and of the file while it is changed

    @property
    def layout(self) -> Layout:
        return self._file.layout

    def upsert(self, points: Sequence[Point]) -> None:
        with self._writing:
            self._change([_normal(self.layout, point) for point in points])

    def search(self, queries: Sequence[Query]) -> list[list[Hit]]:
        with self._lock:
            rows = self._loaded()
            asked = rows.ask(queries)
        found = [rows.nearest(each) for each in asked]
        with self._lock:
            hits = [self._hits(rows, each) for each in found]
            if None in hits:  # some were replaced meanwhile: once more, and nobody stores until it is done
                rows = self._loaded()
                hits = [self._hits(rows, rows.nearest(each)) for each in rows.ask(queries)]
        return [each or [] for each in hits]

    def read(self, ids: Iterable[str]) -> list[Point]:
        with self._lock:
            positions = self._loaded().positions(ids)
            found = self._file.at(positions.values())
            return [found[each] for each in positions.values()]

    def set_fields(self, fields: Mapping[str, Fields]) -> None:
        with self._writing:
            said = [
                msgspec.structs.replace(point, fields={**point.fields, **fields[point.id]})
                for point in self.read(fields)
            ]
            filed = {each for each, given in fields.items() if given.keys() & self.layout.fields.keys()}
            self._change(
                [point for point in said if point.id in filed], [point for point in said if point.id not in filed]
            )

    def delete(self, ids: Iterable[str]) -> None:
        with self._writing, self._lock:
            positions = self._loaded().positions(ids)
            self._file.change(removed=list(positions.values()))
            self._loaded().remove(positions)

    def delete_where(self, where: Filter) -> None:
        with self._writing, self._lock:
            self.delete(self._loaded().ids(where))

    def count(self, where: Filter) -> int:
        with self._lock:
            return int(np.count_nonzero(self._loaded().passing(where)))

    def scroll(self, where: Filter, after: str, limit: int) -> list[Point]:
        with self._lock:
            return self.read(self._loaded().ids(where, after, limit))

    def optimize(self) -> None:
        with self._lock:
            rows = self._loaded()
            if not rows.is_untidy():
                return
            positions, vectors = rows.vectors()
        graph = graph_over(positions, vectors) if len(positions) > COMPARED else None
        with self._writing:  # searches go on meanwhile
            with self._lock:
                self._file.put_graph(graph)
            self._rows = self._read()

    def bytes(self) -> bytes:
        with self._lock:
            return self._file.bytes()

    def close(self) -> None:
        with self._writing, self._lock:
            self._file.close()

    def _change(self, points: Sequence[Point], told: Sequence[Point] = ()) -> None:
        """Store points, and what others say in fields that nothing is filtered by: first in the file."""
        with self._lock:
            rows = self._loaded()
            replaced = rows.positions(point.id for point in points)
            rewritten = rows.positions(point.id for point in told)
            positions = self._file.change(
                removed=list(replaced.values()),
                added=points,
                rewritten=[(rewritten[point.id], point) for point in told],
            )
            rows.add([Row(position, point) for position, point in zip(positions, points, strict=True)])

    def _hits(self, rows: Rows, found: Sequence[Found]) -> list[Hit] | None:
        """What the rows say; None if one of them was replaced or removed."""
        positions = rows.at(each.row for each in found)
        points = self._file.at(positions)
        if len(points) < len(positions):
            return None
        return [
            Hit(id=points[position].id, score=each.score, words=each.words, fields=points[position].fields)
            for position, each in zip(positions, found, strict=True)
        ]

    def _loaded(self) -> Rows:
        if self._rows is None:
            self._rows = self._read()
        return self._rows

    def _read(self) -> Rows:
        return Rows.loaded(self.layout, self._file.rows(), self._file.graph())


def _files(folder: Path) -> Iterator[CollectionFile]:
    for path in folder.glob(f".*{SUFFIX}"):
        path.unlink()  # of a `create` that was killed
    for path in sorted(folder.glob(f"*{SUFFIX}")):
        yield CollectionFile.open(path)


def _snapshots(source: Snapshots) -> Iterator[CollectionFile]:
    for key in source.keys:
        data = source.blobs.get(key)
        if sha256(data).hexdigest() != key:
            raise DamagedError(f"the snapshot {key} is damaged: make another one")
        yield CollectionFile.of_bytes(data, f"the snapshot {key}")


def _held(folder: Path) -> IO[str]:
    """The lock of a folder, for as long as it is open."""
    folder.mkdir(parents=True, exist_ok=True)
    file = (folder / ".lock").open("a")
    try:
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError as error:
        file.close()
        raise UnavailableError(
            f"another store has {folder} open: close it first, or open a snapshot of its collections to read them"
        ) from error
    return file


def _normal(layout: Layout, point: Point) -> Point:
    """The point with its vector as it is compared: of unit length where the cosine counts."""
    vector = np.asarray(point.vector, np.float64)
    if layout.distance == "cosine":
        vector = vector / np.linalg.norm(vector)
    return msgspec.structs.replace(point, vector=vector.astype(np.float32))


def _shown(points: Sequence[Point], *, vectors: bool) -> Sequence[Point]:
    return points if vectors else [msgspec.structs.replace(point, vector=None, terms=Terms()) for point in points]
