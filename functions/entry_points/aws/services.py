"""What the services of a stack are put together from: each part is made when a handler first asks for it."""

import os
import time
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from functools import cache, cached_property
from typing import Final

from functions.adapters.aws.connections import Connections
from functions.adapters.items.conversations import ItemConversations
from functions.adapters.items.punctual import PunctualRequests
from functions.adapters.items.requests import ItemRequests
from functions.adapters.items.rights import ItemRights
from functions.adapters.items.sockets import ItemSockets
from functions.adapters.items.state import ItemState
from functions.adapters.items.stops import ItemStops
from functions.api.api import Api
from functions.api.target import Target
from functions.entry_points.aws.batch import Border
from functions.entry_points.aws.environment import DEPLOYED
from functions.entry_points.aws.invocation import LambdaContext
from functions.entry_points.aws.stack import Stack
from functions.ports.requests import Limits
from functions.ports.vectors import Collection
from functions.runtime.agent import Grant
from functions.runtime.delivery import Binding, Ports

#: How much may be open: what one machine takes says nothing here, and one caller is not to fill the queues of all.
LIMITS: Final = Limits(open=5_000, of_tenant=2_500)
#: An event is heard well after the change that it tells of: little has to be waited for on top.
APART: Final = timedelta(milliseconds=100)


class Services:
    """The parts of one stack. It handles one invocation at a time, as Lambda has it.

    Args:
        environment: What the infrastructure set, and what Lambda did.
        now: The time, in UTC.
    """

    def __init__(
        self, environment: Mapping[str, str], *, now: Callable[[], datetime] = lambda: datetime.now(UTC)
    ) -> None:
        self._ends = float("inf")
        self.stack = Stack(environment, now=now, left_s=self.left_s)

    def begun(self, context: LambdaContext) -> "Services":
        """The same, for an invocation that has begun: every call to AWS ends before it does."""
        self._ends = time.monotonic() + context.get_remaining_time_in_millis() / 1000
        return self

    def left_s(self) -> float:
        """Seconds that the invocation has left."""
        return self._ends - time.monotonic()

    @cached_property
    def requests(self) -> PunctualRequests:
        """Of the stack."""
        stack = self.stack
        return PunctualRequests(stack.items, stack.bus, stack.current, stack.now)

    @cached_property
    def sockets(self) -> ItemSockets:
        """The connections, and what they watch."""
        return ItemSockets(self.stack.items, self.stack.now)

    @cached_property
    def connections(self) -> Connections:
        """Where they are posted to."""
        return Connections(self.stack.aws, self.stack.deployed.socket_url)

    @cached_property
    def rights(self) -> ItemRights:
        """Of persons, about conversations."""
        stack = self.stack
        return ItemRights(stack.items, stack.blobs, Points(stack), sorted(stack.agents), stack.now)

    @cached_property
    def target(self) -> Target:
        """What the API stands on."""
        stack = self.stack
        return Target(
            plans=stack.current,
            requests=self.requests,
            conversations=ItemConversations(stack.items, stack.now),
            rights=self.rights,
            collections=Collections(stack),
            blobs=stack.blobs,
            stops=ItemStops(stack.items),
            now=stack.now,
            limits=LIMITS,
            secured=True,
        )

    @cached_property
    def pushed(self) -> Target:
        """The same for whoever only tells what happened: it settles nothing, and looks at what has just happened."""
        stack = self.stack
        requests = ItemRequests(stack.items, stack.bus, stack.current, stack.now, apart=APART)
        return replace(self.target, requests=requests)

    @cached_property
    def api(self) -> Api:
        """The API."""
        return Api(self.target)

    @property
    def state(self) -> ItemState:
        """One delivery's view of the state."""
        return ItemState(self.stack.items, self.stack.blobs, self.stack.bus, self.stack.now)

    def ports(self) -> Ports:
        """What a delivery is handed of which nothing but its end is wanted."""
        stack = self.stack
        return Ports(plans=stack.plans, state=self.state, blobs=stack.blobs, bind=_unbound, now=stack.now)

    @property
    def border(self) -> Border:
        """What lets in the events of this stack, and nobody else's."""
        deployed = self.stack.deployed
        return Border(
            service=deployed.function,
            workflows=frozenset(deployed.workflows),
            park=self.state.park,
            now=self.stack.now,
        )


class Collections(Mapping[str, Collection]):
    """The collections that the stack declares, each opened when it is first read."""

    def __init__(self, stack: Stack) -> None:
        self._stack = stack

    def __getitem__(self, name: str) -> Collection:
        if name not in self._stack.deployed.collections:
            raise KeyError(name)
        return self._stack.collection(name)

    def __iter__(self) -> Iterator[str]:
        return iter(self._stack.deployed.collections)

    def __len__(self) -> int:
        return len(self._stack.deployed.collections)


class Points:
    """The points of the stack's collections, by the key of a collection."""

    def __init__(self, stack: Stack) -> None:
        self._stack = stack

    def erase(self, collection: str, ids: Iterable[str], *, tenant: str) -> None:
        """Erase points; of a collection that is in no catalog there are none."""
        for entry in self._stack.catalog.entries():
            if entry.key == collection:
                self._stack.collection(entry.name).erase(ids, tenant=tenant)


def _unbound(grant: Grant, _binding: Binding) -> object:
    raise AssertionError(f"no agent works here, and one asked for {grant.resource}")


@cache
def services() -> Services:
    """Those of this process."""
    return Services(os.environ)


if DEPLOYED in os.environ:  # while Lambda starts the function, which costs nobody time
    services()
