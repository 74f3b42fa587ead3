"""Who goes next of those that are due: by priority, then by tenant, then by conversation, then by arrival.

Of those with the same priority, the tenant that holds the fewest places goes first, and of that tenant the
conversation that does; where they hold as many, they take turns. What goes before a lower priority makes it older,
and after eight it is the lower one's turn (docs/adr/0012-fair-turns.md).
"""

from collections import OrderedDict, deque
from typing import Generic, NamedTuple, Protocol, TypeVar

from functions.events.event import PRIORITIES

OLD = 8  # deliveries that may go before a lower priority that waits


class Flow(NamedTuple):
    """Whose a delivery is: what takes turns."""

    tenant: str
    conversation: str


class Queued(Protocol):
    """What waits."""

    @property
    def rank(self) -> int:
        """Of its priority: 0 for the highest."""
        ...

    @property
    def flow(self) -> Flow:
        """Whose it is."""
        ...


E = TypeVar("E", bound=Queued)
K = TypeVar("K")


class Places:
    """Who holds how many places: the deliveries that are in work, by tenant and by conversation."""

    def __init__(self) -> None:
        self._of_tenant: dict[str, int] = {}
        self._of_flow: dict[Flow, int] = {}

    def of_tenant(self, tenant: str) -> int:
        """How many places a tenant holds."""
        return self._of_tenant.get(tenant, 0)

    def of_flow(self, flow: Flow) -> int:
        """How many places a conversation of a tenant holds."""
        return self._of_flow.get(flow, 0)

    def change(self, flow: Flow, by: int) -> None:
        """Take a place, with 1, or give it back, with -1."""
        _count(self._of_tenant, flow.tenant, by)
        _count(self._of_flow, flow, by)


def _count(counts: dict[K, int], key: K, by: int) -> None:
    count = counts.get(key, 0) + by
    if count:
        counts[key] = count
    else:
        del counts[key]


class _Line(Generic[K]):
    """Who waits, by how many places they hold; of those that hold as many, by when they were last served."""

    def __init__(self) -> None:
        self._by_places: dict[int, OrderedDict[K, None]] = {}

    def add(self, key: K, places: int) -> None:
        self._by_places.setdefault(places, OrderedDict())[key] = None

    def remove(self, key: K, places: int) -> None:
        equals = self._by_places[places]
        del equals[key]
        if not equals:
            del self._by_places[places]

    def first(self) -> K:
        return next(iter(self._by_places[min(self._by_places)]))  # as many numbers as one can hold places, at most

    def __bool__(self) -> bool:
        return bool(self._by_places)


class _Rank(Generic[E]):
    """What waits with one priority."""

    def __init__(self, places: Places) -> None:
        self._places = places
        self._tenants: _Line[str] = _Line()
        self._flows: dict[str, _Line[Flow]] = {}
        self._entries: dict[Flow, deque[E]] = {}
        self.passed = 0  # how many of a higher priority went before it since it was served

    def __bool__(self) -> bool:
        return bool(self._entries)

    def first(self) -> Flow:
        """Whose turn it is."""
        return self._flows[self._tenants.first()].first()

    def push(self, entry: E) -> None:
        waiting = self._entries.get(entry.flow)
        if waiting is not None:
            waiting.append(entry)
            return
        self._entries[entry.flow] = deque((entry,))
        self._line_up(entry.flow)

    def pop(self) -> E:
        flow = self.first()
        waiting = self._entries[flow]
        self.step_aside(flow)
        entry = waiting.popleft()
        if not waiting:
            del self._entries[flow]
        self.line_up_again(flow)
        return entry

    def step_aside(self, flow: Flow) -> None:
        """Leave the lines, where the number of places that a conversation and its tenant hold is about to change."""
        flows = self._flows.get(flow.tenant)
        if flows is None:
            return
        self._tenants.remove(flow.tenant, self._places.of_tenant(flow.tenant))
        if flow in self._entries:
            flows.remove(flow, self._places.of_flow(flow))
            if not flows:
                del self._flows[flow.tenant]

    def line_up_again(self, flow: Flow) -> None:
        """After `step_aside`: to the end of the lines, as far as there is anything to wait for."""
        if flow in self._entries:
            self._flows.setdefault(flow.tenant, _Line()).add(flow, self._places.of_flow(flow))
        if flow.tenant in self._flows:
            self._tenants.add(flow.tenant, self._places.of_tenant(flow.tenant))

    def _line_up(self, flow: Flow) -> None:
        if flow.tenant not in self._flows:
            self._flows[flow.tenant] = _Line()
            self._tenants.add(flow.tenant, self._places.of_tenant(flow.tenant))
        self._flows[flow.tenant].add(flow, self._places.of_flow(flow))


class Next(NamedTuple):
    """What goes next: its priority's rank, 0 where it is old, and whose it is."""

    rank: int
    flow: Flow


class FairQueue(Generic[E]):
    """What is due and waits for a place. Every step takes the same time, however much waits."""

    def __init__(self) -> None:
        self.places = Places()
        self._ranks: list[_Rank[E]] = [_Rank(self.places) for _ in PRIORITIES]
        self._size = 0

    def __len__(self) -> int:
        return self._size

    def push(self, entry: E) -> None:
        """Add an entry behind the others of its conversation."""
        self._ranks[entry.rank].push(entry)
        self._size += 1

    def next(self) -> Next | None:
        """What `pop` would give; None where nothing waits."""
        if not self._size:
            return None
        number = self._turn()
        rank = self._ranks[number]
        return Next(0 if rank.passed >= OLD else number, rank.first())

    def pop(self) -> E:
        """Take the entry whose turn it is."""
        number = self._turn()
        entry = self._ranks[number].pop()
        self._size -= 1
        self._ranks[number].passed = 0
        for lower in self._ranks[number + 1 :]:
            if lower:
                lower.passed += 1
        return entry

    def hold(self, flow: Flow) -> None:
        """A delivery of this conversation takes a place."""
        self._change(flow, 1)

    def let_go(self, flow: Flow) -> None:
        """A delivery of this conversation gives its place back."""
        self._change(flow, -1)

    def _change(self, flow: Flow, by: int) -> None:
        waiting = [rank for rank in self._ranks if rank]
        for rank in waiting:
            rank.step_aside(flow)
        self.places.change(flow, by)
        for rank in waiting:
            rank.line_up_again(flow)

    def _turn(self) -> int:
        """The rank whose turn it is: the highest priority that waits, unless a lower one is old."""
        waiting = [number for number, rank in enumerate(self._ranks) if rank]
        return next((number for number in reversed(waiting) if self._ranks[number].passed >= OLD), waiting[0])
