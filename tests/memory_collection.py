"""A collection in memory that fails and blocks when told to, and what it is filled with."""

from collections.abc import Callable, Iterable, Iterator, Sequence

import msgspec

from functions.events.common import Passage
from functions.ports.vectors import ANY, Only
from functions.runtime.text import overlap, words

DOCUMENTS = [
    Passage(
        id="sort",
        name="list.sort",
        source="python:builtins",
        text="Sort the list in place. The sort is stable.",
    ),
    Passage(id="heap", name="heapq.nlargest", source="python:heapq", text="Find the n largest elements in a dataset."),
    Passage(id="gzip", name="gzip.compress", source="python:gzip", text="Compress data in one shot."),
]


class MemoryCollection:
    """The `Collection` port in memory: scores are the share of the asked words.

    Attributes:
        during: Called with each text that is searched for, before anything is found; may raise or block.
    """

    def __init__(self) -> None:
        self.points: dict[tuple[str, str], Passage] = {}
        self.during: Callable[[str], None] = lambda _: None

    name = "in_memory"
    key = "in_memory"

    def search(
        self, text: str, *, limit: int, tenant: str, only: Only = ANY, minimum: float = 0.0
    ) -> Sequence[Passage]:
        assert not only, "this one cannot narrow a search"
        self.during(text)
        asked = words(text)
        scored = [
            msgspec.structs.replace(passage, score=overlap(asked, words(f"{passage.name} {passage.text}")))
            for (owner, _), passage in self.points.items()
            if owner == tenant
        ]
        found = [each for each in scored if each.score > 0 and each.score >= minimum]
        return sorted(found, key=lambda each: (-each.score, each.id))[:limit]

    def search_each(
        self, texts: Sequence[str], *, limit: int, tenant: str, only: Only = ANY, minimum: float = 0.0
    ) -> Sequence[Sequence[Passage]]:
        return [self.search(text, limit=limit, tenant=tenant, only=only, minimum=minimum) for text in texts]

    def read(self, ids: Iterable[str], *, tenant: str) -> Sequence[Passage]:
        return [self.points[tenant, each] for each in ids if (tenant, each) in self.points]

    def upsert(self, passages: Sequence[Passage], *, tenant: str, ttl_s: float | None = None) -> None:
        assert ttl_s is None, "this one keeps what it has"
        self.points |= {(tenant, passage.id): passage for passage in passages}

    def describe(self, passages: Sequence[Passage], *, tenant: str) -> None:
        there = [passage for passage in passages if (tenant, passage.id) in self.points]
        for passage in there:
            stored = self.points[tenant, passage.id]
            self.points[tenant, passage.id] = msgspec.structs.replace(stored, work=passage.work)

    def delete(self, ids: Iterable[str], *, tenant: str) -> None:
        for each in ids:
            self.points.pop((tenant, each), None)

    def erase(self, ids: Iterable[str], *, tenant: str) -> None:
        self.delete(ids, tenant=tenant)

    def expire(self) -> int:
        return 0

    def count(self, *, tenant: str) -> int:
        return sum(owner == tenant for owner, _ in self.points)

    def ids(self, *, tenant: str) -> Iterator[str]:
        return iter([each for owner, each in self.points if owner == tenant])

    def close(self) -> None: ...
