"""Requests from the outside: accepted once, settled once, looked at meanwhile."""

from collections.abc import Sequence
from datetime import datetime
from typing import Final, Literal, Protocol

import msgspec

from functions.errors import TroupeError
from functions.events.envelope import Envelope

MOST: Final = 10_000  # open requests that are counted, where nobody asks for fewer


class DeliveryView(msgspec.Struct, frozen=True, kw_only=True):
    """What one agent did for a request, for whoever looks at it.

    Attributes:
        key: Of the delivery, the same at every attempt.
        agent: Who.
        event: What it consumed, e.g. `PlanCreated.v1`.
        emitted: When that event was emitted.
        started: When the last attempt began; None before the first.
        finished: When it was done; None while it is not.
        attempts: How many began.
        error: Of the last attempt that failed; empty where none did.
        failed: Whether it was given up: a dead letter tells of it.
    """

    key: str
    agent: str
    event: str
    emitted: datetime
    started: datetime | None
    finished: datetime | None
    attempts: int
    error: str = ""
    failed: bool = False


class RequestView(msgspec.Struct, frozen=True, kw_only=True):
    """A request as it stands.

    Attributes:
        tokens: Spent on models so far.
        micros: Spent on models so far, in millionths of a US dollar.
        status: `waiting` for an earlier message of its conversation, `running`, or `settled`.
        accepted: When it came in.
        settled: When it was settled; None before.
        settlement: The envelope of its answer, or of its `AgentFailed`; None before.
        origin: The request that it redrives; empty for one that somebody asked.
        redriven_as: The newest request that redrives this one; empty where there is none.
    """

    request: str
    conversation: str
    workflow: str
    status: Literal["waiting", "running", "settled"]
    accepted: datetime
    deadline: datetime
    settled: datetime | None
    settlement: Envelope | None
    tokens: int = 0
    micros: int = 0
    origin: str = ""
    redriven_as: str = ""


class TokensView(msgspec.Struct, frozen=True, kw_only=True):
    """A piece of the text that an agent's model is writing.

    Attributes:
        agent: Who has it written.
        attempt: A later attempt writes anew: what an earlier one wrote no longer counts.
        position: How many characters this attempt had written before.
        text: The piece.
    """

    agent: str
    attempt: int
    position: int
    text: str


class Change(msgspec.Struct, frozen=True, kw_only=True):
    """Something that happened to a request, as it stands now.

    Attributes:
        number: Greater than that of every earlier change of the same request.
        view: What changed. A delivery that changed again is listed once, under its last number.
    """

    number: int
    view: DeliveryView | TokensView


class Depth(msgspec.Struct, frozen=True, kw_only=True):
    """How much there is to do, and how much is kept.

    Attributes:
        open: Requests that are not settled yet, of every tenant together.
        of_tenant: Those of one tenant.
        of_conversation: Those of one conversation of it.
        events: Events that wait for an agent.
        store_mb: Megabytes that the store holds.
        free_mb: Megabytes that are free on its disk; None where nobody can tell.
    """

    open: int
    of_tenant: int
    of_conversation: int
    events: int = 0
    store_mb: int = 0
    free_mb: int | None = None


class Limits(msgspec.Struct, frozen=True, kw_only=True):
    """How much may be open: so little that each request can still be answered before its deadline, and kept.

    Attributes:
        of_tenant: Fewer than `open` where there are several tenants, so that one alone leaves room for the others.
        events: That may wait for an agent.
        store_mb: Megabytes that the store may hold.
        free_mb: Megabytes that must be free on its disk: what is at work needs room to end.
    """

    open: int = 400
    of_tenant: int = 400
    of_conversation: int = 50
    events: int = 100_000
    store_mb: int = 10_000
    free_mb: int = 200

    def refuse(self, depth: Depth) -> None:
        """Look for room for one more.

        Raises:
            QueueFullError: More is open or waits than may be.
            StoreFullError: The store holds more than it may, or its disk is nearly full.
        """
        if depth.store_mb >= self.store_mb:
            raise StoreFullError(f"the store holds {depth.store_mb} MB, and may hold {self.store_mb}")
        if depth.free_mb is not None and depth.free_mb < self.free_mb:
            raise StoreFullError(f"{depth.free_mb} MB are free on the store's disk, and {self.free_mb} must be")
        if depth.events >= self.events:
            raise QueueFullError(f"{depth.events} events wait, and more are not taken")
        if depth.open > self.open:
            raise QueueFullError(f"{self.open} requests are open, and more are not taken")
        if depth.of_tenant > self.of_tenant:
            raise QueueFullError(f"{self.of_tenant} requests of this tenant are open, and more are not taken")
        if depth.of_conversation > self.of_conversation:
            count = self.of_conversation
            raise QueueFullError(f"{count} requests of this conversation are open, and more are not taken")


class QueueFullError(TroupeError):
    """A request was not taken: too many are open."""


class StoreFullError(TroupeError):
    """A request was not taken: there is no room to keep it."""


class Requests(Protocol):
    """The requests of one tenant are invisible to the others."""

    def accept(self, envelope: Envelope, *, limits: Limits | None = None) -> bool:
        """Take a request, durably; False where the same one is there already.

        It starts once every earlier request of its conversation is settled.

        Raises:
            QueueFullError: With it, more than the limits allow would be open; nothing was kept of it.
            StoreFullError: There is no room for it; nothing was kept of it.
        """
        ...

    def first(self, request: str, *, tenant: str) -> Envelope | None:
        """The envelope that a request was accepted with; None where this tenant has no such request."""
        ...

    def depth(self, conversation: str, *, tenant: str, most: int = MOST) -> Depth:
        """How much is open; of so many open requests on, there may be more than it says."""
        ...

    def view(self, request: str, *, tenant: str) -> RequestView | None:
        """A request as it stands; None where this tenant has no such request."""
        ...

    def deliveries(self, request: str, *, tenant: str) -> Sequence[DeliveryView]:
        """What was done for a request so far, in the order in which it was emitted."""
        ...

    def changes(self, request: str, *, tenant: str, after: int = 0) -> Sequence[Change]:
        """What happened to a request after the change of this number, in order; 0 is before the first."""
        ...
