"""One collection of a `FaissStore` as a file: SQLite's, since a commit there is whole or not at all.

Every row carries a sum of what it holds and the file the number of its rows, so that damage is found when it is opened.
What is deleted is overwritten with zeros. The graph holds no vector: only which rows are neighbours.
"""

import sqlite3
import struct
import zlib
from collections.abc import Iterable, Iterator, Sequence
from contextlib import closing, contextmanager, suppress
from pathlib import Path

import msgspec
import numpy as np
from numpy.typing import NDArray

from functions.adapters.files import sync_folder
from functions.events.decoding import decoder
from functions.ports.vector_stores import Layout, Point, RefusedError, Terms

SUFFIX = ".faiss"
_SCHEMA = """
CREATE TABLE about (layout BLOB NOT NULL, sum INTEGER NOT NULL, points INTEGER NOT NULL, last INTEGER NOT NULL);
CREATE TABLE point (
    position INTEGER PRIMARY KEY, -- above every one before, and never used twice: the graph knows rows by it
    id BLOB NOT NULL, vector BLOB NOT NULL, terms BLOB NOT NULL, fields BLOB NOT NULL, sum INTEGER NOT NULL
);
CREATE TABLE graph (part INTEGER PRIMARY KEY, data BLOB NOT NULL, sum INTEGER NOT NULL);
"""
_TABLES = {"about", "point", "graph"}
_PRAGMAS = ("journal_mode = TRUNCATE", "synchronous = FULL", "secure_delete = ON", "busy_timeout = 10000")
_ROW = "position, id, vector, terms, fields, sum"
_BATCH = 4_096
_PART_BYTES = 64 * 1024 * 1024  # SQLite takes no value above 1 GB
_TERM_BYTES = struct.calcsize("<Id")


class DamagedError(RefusedError):
    """A file does not hold what was written to it."""


class Row(msgspec.Struct, frozen=True):
    """A point as it is stored; replaced, it is another row."""

    position: int
    point: Point


class Graph(msgspec.Struct, frozen=True):
    """Which rows are neighbours.

    Attributes:
        nodes: The positions of its rows, in order; some of them may be gone.
        data: Faiss's own form, without the vectors.
    """

    nodes: NDArray[np.int64]
    data: bytes


class CollectionFile:
    """The rows and the graph of one collection. One thread at a time.

    Raises:
        RefusedError: From every method, where it cannot be read or written; nothing was changed.
        DamagedError: It is damaged.
    """

    def __init__(self, connection: sqlite3.Connection, name: str) -> None:
        self._connection = connection
        self._name = name
        with self._told():
            self.layout = self._layout()

    @classmethod
    def create(cls, path: Path, layout: Layout) -> None:
        """Make an empty one: there with its layout, or not at all."""
        draft = path.with_name(f".{path.name}")
        draft.unlink(missing_ok=True)
        try:
            with closing(_connect(str(draft))) as connection:
                connection.executescript(f"BEGIN IMMEDIATE; {_SCHEMA}")
                said = msgspec.json.encode(layout)
                connection.execute("INSERT INTO about VALUES (?, ?, 0, 0)", (said, zlib.crc32(said)))
                connection.execute("COMMIT")
            draft.replace(path)
            sync_folder(path.parent)
        except (OSError, sqlite3.Error) as error:
            with suppress(OSError):
                draft.unlink(missing_ok=True)
            raise _refused(path.name, error) from error

    @classmethod
    def open(cls, path: Path) -> "CollectionFile":
        """The one at a path."""
        try:
            return cls(_connect(str(path)), str(path))
        except sqlite3.Error as error:
            raise _refused(str(path), error) from error

    @classmethod
    def of_bytes(cls, data: bytes, name: str) -> "CollectionFile":
        """What `bytes` gave, in memory."""
        connection = sqlite3.connect(":memory:", isolation_level=None, check_same_thread=False)
        connection.deserialize(data)
        return cls(connection, name)

    def bytes(self) -> bytes:
        """All that it holds."""
        with self._told():
            return self._connection.serialize()

    def rows(self) -> Iterator[list[Row]]:
        """All rows in the order of their positions, in batches, each of them proved."""
        with self._told():
            problem = self._connection.execute("PRAGMA quick_check(1)").fetchone()[0]
            if problem != "ok":
                raise self._damaged(problem)
            expected = self._connection.execute("SELECT points FROM about").fetchone()[0]
            cursor = self._connection.execute(f"SELECT {_ROW} FROM point ORDER BY position")  # noqa: S608 - a constant
            found = 0
            while batch := cursor.fetchmany(_BATCH):
                found += len(batch)
                yield [self._row(*each) for each in batch]
            if found != expected:
                raise self._damaged(f"{expected} points were written, and {found} are there")

    def at(self, positions: Iterable[int]) -> dict[int, Point]:
        """The points of the rows at these positions, those that exist."""
        with self._told():
            found = {}
            for position in positions:
                cursor = self._connection.execute(f"SELECT {_ROW} FROM point WHERE position = ?", (position,))  # noqa: S608
                for each in cursor:
                    found[position] = self._row(*each).point
            return found

    def change(
        self,
        *,
        removed: Sequence[int] = (),
        added: Sequence[Point] = (),
        rewritten: Sequence[tuple[int, Point]] = (),
    ) -> Sequence[int]:
        """Take rows away, add others, and rewrite what some say: all of it durably, or nothing.

        Returns:
            The positions of those that were added.
        """
        with self._changing() as connection:
            last = connection.execute("SELECT last FROM about").fetchone()[0]
            positions = range(last + 1, last + 1 + len(added))
            connection.executemany("DELETE FROM point WHERE position = ?", ((each,) for each in removed))
            connection.executemany(
                "INSERT INTO point VALUES (?, ?, ?, ?, ?, ?)",
                ((position, *_stored(position, point)) for position, point in zip(positions, added, strict=True)),
            )
            connection.executemany(
                "UPDATE point SET fields = ?, sum = ? WHERE position = ?",
                ((*_stored(position, point)[3:], position) for position, point in rewritten),
            )
            connection.execute(
                "UPDATE about SET points = points + ?, last = ?", (len(added) - len(removed), positions.stop - 1)
            )
        return positions

    def graph(self) -> Graph | None:
        """The graph, where one was put."""
        with self._told():
            data = b""
            for part, piece, total in self._connection.execute("SELECT part, data, sum FROM graph ORDER BY part"):
                if zlib.crc32(piece) != total:
                    raise self._damaged(f"part {part} of its graph is not what was written")
                data += piece
        if not data:
            return None
        end = 8 + 8 * struct.unpack_from("<q", data)[0]
        return Graph(np.frombuffer(data[8:end], "<i8"), data[end:])

    def put_graph(self, graph: Graph | None) -> None:
        """Store a graph, or none, in the place of the one that is there."""
        data = b""
        if graph:
            data = struct.pack("<q", len(graph.nodes)) + graph.nodes.astype("<i8").tobytes() + graph.data
        parts = [data[start : start + _PART_BYTES] for start in range(0, len(data), _PART_BYTES)]
        with self._changing() as connection:
            connection.execute("DELETE FROM graph")
            connection.executemany(
                "INSERT INTO graph VALUES (?, ?, ?)", ((n, part, zlib.crc32(part)) for n, part in enumerate(parts))
            )

    def close(self) -> None:
        """Release the file."""
        self._connection.close()

    def _layout(self) -> Layout:
        tables = {name for (name,) in self._connection.execute("SELECT name FROM sqlite_schema WHERE type = 'table'")}
        if not tables >= _TABLES:
            raise self._damaged(f"it has no {' and no '.join(sorted(_TABLES - tables))}")
        found = self._connection.execute("SELECT layout, sum FROM about").fetchall()
        if len(found) != 1 or zlib.crc32(found[0][0]) != found[0][1]:
            raise self._damaged("what it says of itself is not what was written")
        return decoder(Layout).decode(found[0][0])

    def _row(self, position: int, *stored: object) -> Row:
        *content, total = stored
        parts = [each for each in content if isinstance(each, bytes)]
        if len(parts) != len(content) or _sum(position, parts) != total:
            raise self._damaged(f"the point at {position} is not what was written")
        id_, vector, terms, fields = parts
        point = Point(
            id=id_.decode(),
            vector=np.frombuffer(vector, "<f4").copy(),
            terms=_terms(terms),
            fields=msgspec.msgpack.decode(fields),
        )
        return Row(position, point)

    @contextmanager
    def _changing(self) -> Iterator[sqlite3.Connection]:
        with self._told():
            self._connection.execute("BEGIN IMMEDIATE")
            try:
                yield self._connection
                self._connection.execute("COMMIT")
            except BaseException:
                if self._connection.in_transaction:
                    self._connection.execute("ROLLBACK")
                raise

    @contextmanager
    def _told(self) -> Iterator[None]:
        try:
            yield
        except sqlite3.Error as error:
            raise _refused(self._name, error) from error

    def _damaged(self, what: str) -> DamagedError:
        return DamagedError(f"{self._name} is damaged: {what}: bring it back from a copy, or fill the collection anew")


def _connect(path: str) -> sqlite3.Connection:
    connection = sqlite3.connect(path, isolation_level=None, check_same_thread=False)
    for each in _PRAGMAS:
        connection.execute(f"PRAGMA {each}")
    return connection


def _refused(name: str, error: Exception) -> RefusedError:
    of_the_call = (sqlite3.OperationalError, sqlite3.ProgrammingError)
    if isinstance(error, sqlite3.DatabaseError) and not isinstance(error, of_the_call):
        return DamagedError(f"{name} is damaged ({error}): bring it back from a copy, or fill the collection anew")
    return RefusedError(
        f"{name} could not be read or written ({error}): free space there, or see that it may be written; nothing of "
        "the call was kept"
    )


def _stored(position: int, point: Point) -> tuple[bytes, bytes, bytes, bytes, int]:
    indices, weights = point.terms.indices, point.terms.weights
    content = (
        point.id.encode(),
        np.asarray(point.vector, "<f4").tobytes(),
        struct.pack(f"<{len(indices)}I{len(weights)}d", *indices, *weights),
        msgspec.msgpack.encode(point.fields),
    )
    return (*content, _sum(position, content))


def _sum(position: int, content: Iterable[bytes]) -> int:
    total = zlib.crc32(str(position).encode())
    for each in content:
        total = zlib.crc32(each, total)
    return total


def _terms(data: bytes) -> Terms:
    count = len(data) // _TERM_BYTES
    stored = struct.unpack(f"<{count}I{count}d", data)
    return Terms(stored[:count], stored[count:])
