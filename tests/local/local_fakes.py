"""What a process is given here: collections in memory that fail and block when told to, and a clock."""

import threading
import uuid
from collections.abc import Callable, Iterable, Iterator, Sequence
from datetime import UTC, datetime, timedelta

import msgspec

from functions.events.answer import ResponseReady, UserMessage
from functions.events.common import Passage
from functions.events.event import AgentFailed
from functions.ports.requests import RequestView
from functions.runtime.text import overlap, words
from local.process import LocalProcess

PATIENCE_S = 60.0  # how long a test waits for what must happen; nothing waits so long unless it is broken

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

    physical_name = "in_memory"

    def search(self, text: str, *, limit: int, tenant: str) -> Sequence[Passage]:
        self.during(text)
        asked = words(text)
        scored = [
            msgspec.structs.replace(passage, score=overlap(asked, words(f"{passage.name} {passage.text}")))
            for (owner, _), passage in self.points.items()
            if owner == tenant
        ]
        return sorted((each for each in scored if each.score), key=lambda each: (-each.score, each.id))[:limit]

    def read(self, ids: Iterable[str], *, tenant: str) -> Sequence[Passage]:
        return [self.points[tenant, each] for each in ids if (tenant, each) in self.points]

    def upsert(self, passages: Sequence[Passage], *, tenant: str) -> None:
        self.points |= {(tenant, passage.id): passage for passage in passages}

    def delete(self, ids: Iterable[str], *, tenant: str) -> None:
        for each in ids:
            self.points.pop((tenant, each), None)

    def count(self, *, tenant: str) -> int:
        return sum(owner == tenant for owner, _ in self.points)

    def ids(self, *, tenant: str) -> Iterator[str]:
        return iter([each for owner, each in self.points if owner == tenant])

    def close(self) -> None: ...


class Clock:
    """The time, which only tests move; safe to read from any thread."""

    def __init__(self) -> None:
        self._time = datetime(2026, 1, 5, 9, 0, tzinfo=UTC)
        self._lock = threading.Lock()

    def __call__(self) -> datetime:
        with self._lock:
            return self._time

    def advance(self, seconds: float) -> None:
        with self._lock:
            self._time += timedelta(seconds=seconds)


def settled(process: LocalProcess, request: str, *, tenant: str = "default") -> RequestView:
    """The request, once it is settled."""
    view = process.wait(request, tenant=tenant, timeout_s=PATIENCE_S)
    assert view is not None
    assert view.status == "settled", f"{request} is {view.status}"
    return view


def answer_to(process: LocalProcess, request: str, *, tenant: str = "default") -> ResponseReady:
    """The answer of a request."""
    settlement = settled(process, request, tenant=tenant).settlement
    assert settlement is not None
    assert settlement.name == "ResponseReady", msgspec.json.decode(settlement.data, type=AgentFailed)
    return msgspec.json.decode(settlement.data, type=ResponseReady)


def asked(
    process: LocalProcess, text: str, *, conversation: str = "c1", tenant: str = "default", request: str = ""
) -> ResponseReady:
    """The answer to a message."""
    name = request or uuid.uuid4().hex
    process.submit("answer", UserMessage(text=text), conversation=conversation, request=name, tenant=tenant)
    return answer_to(process, name, tenant=tenant)


def wait_for(event: threading.Event) -> None:
    """Wait until something has happened."""
    assert event.wait(PATIENCE_S), "it never happened"
