"""A collection of two versions whose ports can be cut off at any call, with one who writes it half a step at a time."""

import random
import uuid
from collections.abc import Callable, Iterator, Sequence
from datetime import UTC, datetime
from typing import Any

import numpy as np
import pytest
from memory_catalog import MemoryCatalog
from small_encoder import SmallEncoder

from functions.collections.migration import Ended, fill
from functions.ports.catalog import Catalog, Entry, Version
from functions.ports.vector_stores import NEVER, Filter, Layout, Point, Range, Terms, VectorStore
from tests.memory_store import MemoryStore

START = datetime(2026, 1, 1, tzinfo=UTC)
FIELDS = {"expires_at": "number", "written": "number"}
OLD, NEW = SmallEncoder(), SmallEncoder("small.2")


class Killed(BaseException):
    """What comes after it does not happen."""


def layout(number: int, encoder: SmallEncoder) -> Layout:
    return Layout(
        name=f"documents_v{number}_{encoder.version}",
        encoder=encoder.version,
        dimension=encoder.dimension,
        fields=FIELDS,  # type: ignore[arg-type]
    )


FIRST, SECOND = layout(1, OLD), layout(2, NEW)


def id_of(number: int) -> str:
    return str(uuid.uuid5(uuid.NAMESPACE_OID, str(number)))


def point(number: int, text: str, encoder: SmallEncoder, *, written: float = 0.0, expires_at: float = NEVER) -> Point:
    fields = {"text": text, "encoder": encoder.version, "written": written, "expires_at": expires_at}
    return Point(id=id_of(number), vector=encoder.encode([text])[0], terms=Terms((len(text),), (1.0,)), fields=fields)


def recoded(wanted: Layout, points: Sequence[Point]) -> Sequence[Point]:
    encoder = {each.version: each for each in (OLD, NEW)}[wanted.encoder]
    texts = [str(each.fields["text"]) for each in points]
    return [
        Point(
            id=each.id,
            vector=vector,
            terms=Terms((len(text),), (1.0,)),
            fields={**each.fields, "encoder": encoder.version},
        )
        for each, vector, text in zip(points, encoder.encode(texts), texts, strict=True)
    ]


def assert_same(found: Sequence[Point], fresh: Sequence[Point]) -> None:
    """The points of a version are those of one that was built anew."""
    by_id = {each.id: each for each in found}
    assert by_id.keys() == {each.id for each in fresh}
    for wanted in fresh:
        there = by_id[wanted.id]
        assert dict(there.fields) == dict(wanted.fields)
        assert dict(zip(there.terms.indices, there.terms.weights, strict=True)) == pytest.approx(
            dict(zip(wanted.terms.indices, wanted.terms.weights, strict=True))
        )  # Edge keeps them sorted, in 32 bits
        np.testing.assert_allclose(there.vector, wanted.vector, rtol=1e-5)  # Edge makes them of length 1


class Watched:
    """A port whose calls are told of before and after each."""

    def __init__(self, port: Any, before: Callable[[str], None], after: Callable[[str], None]) -> None:  # noqa: ANN401
        self._port, self._before, self._after = port, before, after

    def __getattr__(self, name: str) -> Any:  # noqa: ANN401
        found = getattr(self._port, name)

        def call(*arguments: Any, **named: Any) -> Any:  # noqa: ANN401
            self._before(name)
            answer = found(*arguments, **named)
            self._after(name)
            return answer

        return call


class World:
    """Attributes:
    store, catalog: What holds everything, as those see it that are never killed.
    seconds: What the clock says, since it was started.
    """

    def __init__(self, points: int, store: VectorStore | None = None, catalog: Catalog | None = None) -> None:
        self.store: VectorStore = store or MemoryStore()
        self.catalog: Catalog = catalog or MemoryCatalog()
        self.seconds = 0.0
        if self.catalog.read("documents") is None:
            self._begin(points)

    def _begin(self, points: int) -> None:
        self.store.create(FIRST)
        self.store.create(SECOND)
        self.store.upsert(FIRST, [point(number, f"first {number}", OLD) for number in range(points)])
        versions = (
            Version(number=1, layout=FIRST, phase="whole", created=START),
            Version(number=2, layout=SECOND, phase="filling", created=START),
        )
        self.catalog.write(Entry(name="documents", key=FIRST.name, current=1, versions=versions))

    def now(self) -> datetime:
        return datetime.fromtimestamp(START.timestamp() + self.seconds, UTC)

    def fill(
        self,
        before: Callable[[str], None] = lambda _: None,
        after: Callable[[str], None] = lambda _: None,
        wait: Callable[[float], bool] = lambda _: False,
        recode: Callable[[Layout, Sequence[Point]], Sequence[Point]] = recoded,
    ) -> Ended:
        def watched_recode(wanted: Layout, points: Sequence[Point]) -> Sequence[Point]:
            before("recode")
            made = recode(wanted, points)
            after("recode")
            return made

        return fill(
            "documents",
            2,
            catalog=Watched(self.catalog, before, after),
            store=Watched(self.store, before, after),
            recode=watched_recode,
            now=self.now,
            wait=wait,
        )

    def phase(self) -> str:
        entry = self.catalog.read("documents")
        return entry.versions[1].phase if entry else ""

    def living(self, wanted: Layout) -> dict[str, Point]:
        gone = Filter(must_not=(Range("expires_at", at_most=self.now().timestamp()),))
        return {each.id: each for each in self.store.scroll(wanted, gone, limit=10**6, vectors=True)}

    def assert_equals_a_fresh_build(self) -> None:
        fresh = recoded(SECOND, list(self.living(FIRST).values()))
        assert_same(list(self.living(SECOND).values()), fresh)


class Writer:
    """One who writes both versions, the lower number first, and may stand still between the two for a while."""

    def __init__(self, world: World, chosen: random.Random, points: int) -> None:
        self._world, self._chosen, self._points = world, chosen, points
        self._halves: Iterator[None] = iter(())

    def half(self) -> None:
        """The next half of a write."""
        if next(self._halves, self) is self:
            self._world.seconds += self._chosen.choice((0.0, 0.0, 0.25))
            kinds = (self._upsert, self._delete, self._erase, self._expire)
            self._halves = self._chosen.choices(kinds, (6, 2, 1, 1))[0]()
            next(self._halves)

    def finish(self) -> None:
        """Whatever is between its halves comes to its end."""
        for _ in self._halves:
            pass

    def _upsert(self) -> Iterator[None]:
        world = self._world
        numbers = self._chosen.sample(range(self._points + 5), 3)
        text, now = f"again {self._chosen.random()}", world.now().timestamp()
        until = self._chosen.choice((NEVER, NEVER, now + 1))
        for wanted, encoder in ((FIRST, OLD), (SECOND, NEW)):
            points = [point(each, f"{text} {each}", encoder, written=now, expires_at=until) for each in numbers]
            world.store.upsert(wanted, points)
            yield

    def _delete(self) -> Iterator[None]:
        ids = [id_of(each) for each in self._chosen.sample(range(self._points + 5), 2)]
        for wanted in (FIRST, SECOND):
            self._world.store.delete(wanted, ids)
            yield

    def _erase(self) -> Iterator[None]:
        ids = [id_of(self._chosen.randrange(self._points))]
        for wanted in (FIRST, SECOND):
            self._world.store.erase(wanted, ids)
            yield

    def _expire(self) -> Iterator[None]:
        gone = Filter(must=(Range("expires_at", at_most=self._world.now().timestamp()),))
        for wanted in (FIRST, SECOND):
            self._world.store.delete_where(wanted, gone)
            yield
