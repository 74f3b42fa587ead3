"""Who goes next of those that are due: by priority, then by tenant, then by conversation, then by arrival.

Of those with the same priority, the tenant that holds the fewest places goes first, and of that tenant the
conversation that does; where they hold as many, they take turns. What goes before a lower priority makes it older,
and after eight it is the lower one's turn (docs/adr/0012-fair-turns.md).
"""

from collections import OrderedDict, deque
from collections.abc import Iterable, Mapping
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


class Next(NamedTuple):
    """What goes next: the rank of its priority, -1 where it is old and so before any other, and whose it is."""

    rank: int
    flow: Flow


class Places:
    """The deliveries in work: how many places each tenant and each conversation holds, of those that hold any."""

    def __init__(self) -> None:
        self.of_tenants: dict[str, int] = {}
        self.of_flows: dict[Flow, int] = {}

    def hold(self, flow: Flow) -> None:
        """A delivery of this conversation takes a place."""
        self.of_tenants[flow.tenant] = self.of_tenants.get(flow.tenant, 0) + 1
        self.of_flows[flow] = self.of_flows.get(flow, 0) + 1

    def let_go(self, flow: Flow) -> None:
        """A delivery of this conversation gives its place back."""
        _take_one(self.of_tenants, flow.tenant)
        _take_one(self.of_flows, flow)

    def is_owed(self, waiting: Flow, ending: Flow) -> bool:
        """Whether the one would still hold fewer places than the other with one of those."""
        if waiting.tenant != ending.tenant:
            return self.of_tenants.get(waiting.tenant, 0) + 1 < self.of_tenants.get(ending.tenant, 0)
        return self.of_flows.get(waiting, 0) + 1 < self.of_flows.get(ending, 0)


def _take_one(counts: dict[K, int], key: K) -> None:
    if counts[key] == 1:
        del counts[key]
    else:
        counts[key] -= 1


class _Rank(Generic[E]):
    """What waits with one priority: tenants and conversations stand in the order in which they were served."""

    def __init__(self, places: Places) -> None:
        self._places = places
        self._tenants: OrderedDict[str, OrderedDict[Flow, deque[E]]] = OrderedDict()
        self.passed = 0  # how many of a higher priority went before it since it was served

    def __bool__(self) -> bool:
        return bool(self._tenants)

    def first(self) -> Flow:
        """Whose turn it is."""
        tenant = _fewest(self._tenants, self._places.of_tenants)
        return _fewest(self._tenants[tenant], self._places.of_flows)

    def push(self, entry: E) -> None:
        flows = self._tenants.get(entry.flow.tenant)
        if flows is None:
            flows = self._tenants[entry.flow.tenant] = OrderedDict()
        entries = flows.get(entry.flow)
        if entries is None:
            entries = flows[entry.flow] = deque()
        entries.append(entry)

    def pop(self) -> E:
        flow = self.first()
        flows = self._tenants[flow.tenant]
        entry = flows[flow].popleft()
        if flows[flow]:
            flows.move_to_end(flow)
        else:
            del flows[flow]
        if flows:
            self._tenants.move_to_end(flow.tenant)
        else:
            del self._tenants[flow.tenant]
        return entry


def _fewest(waiting: Iterable[K], places: Mapping[K, int]) -> K:
    """Who holds the fewest places, and was served the longest time ago. No more are passed over than hold any."""
    found, fewest = None, 0
    for key in waiting:
        held = places.get(key, 0)
        if not held:
            return key
        if found is None or held < fewest:
            found, fewest = key, held
    if found is None:
        raise LookupError("nobody waits")
    return found


class FairQueue(Generic[E]):
    """What is due and waits for a place. A step takes no longer where more waits.

    Attributes:
        places: Who holds how many, as whoever takes from here says.
    """

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
        return Next(-1 if rank.passed >= OLD else number, rank.first())

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

    def _turn(self) -> int:
        """The rank whose turn it is: the highest priority that waits, unless a lower one is old."""
        turn = -1
        for number, rank in enumerate(self._ranks):
            if rank and (turn < 0 or rank.passed >= OLD):
                turn = number
        return turn
