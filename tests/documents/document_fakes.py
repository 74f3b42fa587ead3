"""A collection, a ledger and documents in memory, which can crash before any write."""

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field

import msgspec

from functions.documents.chunks import Block, Section, passages_of
from functions.documents.document import Unreadable
from functions.events.common import Passage, Work
from functions.ports.ledger import Entry
from functions.ports.vectors import ANY, Only

TENANT = "t"


class CrashError(BaseException):
    """The process was killed here."""


@dataclass
class Fuse:
    """Lets so many writes through, then crashes."""

    writes: int = 1_000_000

    def burn(self) -> None:
        if not self.writes:
            raise CrashError
        self.writes -= 1


@dataclass
class FakeCollection:
    fuse: Fuse = field(default_factory=Fuse)
    points: dict[str, dict[str, Passage]] = field(default_factory=dict)
    encoded: list[str] = field(default_factory=list)

    name = "fake"
    key = "fake"

    def search(
        self, text: str, *, limit: int, tenant: str, only: Only = ANY, minimum: float = 0.0
    ) -> Sequence[Passage]:
        assert (only, minimum) == (ANY, 0.0), "nothing here narrows a search"
        return [p for p in self.points.get(tenant, {}).values() if text in p.text][:limit]

    def search_each(
        self, texts: Sequence[str], *, limit: int, tenant: str, only: Only = ANY, minimum: float = 0.0
    ) -> Sequence[Sequence[Passage]]:
        return [self.search(text, limit=limit, tenant=tenant, only=only, minimum=minimum) for text in texts]

    def read(self, ids: Iterable[str], *, tenant: str) -> Sequence[Passage]:
        stored = self.points.get(tenant, {})
        return [stored[i] for i in ids if i in stored]

    def upsert(self, passages: Sequence[Passage], *, tenant: str, ttl_s: float | None = None) -> None:
        assert ttl_s is None, "nothing here expires"
        for passage in passages:
            self.fuse.burn()
            self.encoded.append(passage.id)
            self.points.setdefault(tenant, {})[passage.id] = passage

    def describe(self, passages: Sequence[Passage], *, tenant: str) -> None:
        stored = self.points.get(tenant, {})
        for passage in passages:
            self.fuse.burn()
            if passage.id in stored:
                stored[passage.id] = msgspec.structs.replace(stored[passage.id], work=passage.work)

    def delete(self, ids: Iterable[str], *, tenant: str) -> None:
        for one in ids:
            self.fuse.burn()
            self.points.get(tenant, {}).pop(one, None)

    def erase(self, ids: Iterable[str], *, tenant: str) -> None:
        self.delete(ids, tenant=tenant)

    def expire(self) -> int:
        return 0

    def count(self, *, tenant: str) -> int:
        return len(self.points.get(tenant, {}))

    def ids(self, *, tenant: str) -> Iterator[str]:
        return iter(list(self.points.get(tenant, {})))

    def close(self) -> None: ...


@dataclass
class FakeLedger:
    fuse: Fuse = field(default_factory=Fuse)
    kept: dict[str, Entry] = field(default_factory=dict)

    def entries(self) -> Sequence[Entry]:
        return list(self.kept.values())

    def find(self, source: str) -> Entry | None:
        return self.kept.get(source)

    def put(self, entries: Sequence[Entry]) -> None:
        for entry in entries:
            self.fuse.burn()
            self.kept[entry.source] = entry

    def remove(self, sources: Iterable[str]) -> None:
        for source in sources:
            self.fuse.burn()
            self.kept.pop(source, None)


@dataclass
class Doc:
    """A document of so many words, one passage each; `problem` makes it unreadable."""

    source: str
    words: tuple[str, ...]
    problem: Exception | None = None
    reads: int = 0
    edition: int = 1

    @property
    def fingerprint(self) -> str:
        return f"{'-'.join(self.words) or 'nothing'}-{self.edition}"

    @property
    def size(self) -> int:
        return len(self.words)

    def read(self) -> Sequence[Passage]:
        self.reads += 1
        if self.problem is not None:
            raise self.problem
        sections = [Section((word,), (Block(f"about {word}"),)) for word in self.words]
        return list(passages_of(self.source, sections, untitled="-", work=Work(version=str(self.edition))))


def unreadable(source: str, reason: str) -> Doc:
    return Doc(source, ("was", "readable"), Unreadable(reason))
