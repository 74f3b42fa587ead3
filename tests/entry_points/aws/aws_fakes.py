"""A stack in memory, as the services see one."""

from collections.abc import Callable, Sequence
from typing import Any

import msgspec
from api_fakes import TOLD, OnePassage
from harness import Clock
from memory_target import Handed, MemoryTarget
from sample_workflows import FANNED, SINGLE

from functions.adapters.items.conversations import ItemConversations
from functions.adapters.items.punctual import PunctualRequests
from functions.adapters.items.sockets import ItemSockets
from functions.api.api import Api
from functions.api.target import Target
from functions.entry_points.aws.api import Gateway, answered
from functions.entry_points.aws.batch import EventFilter
from functions.entry_points.aws.socket import WebSocketContext
from functions.ports.requests import Limits
from functions.ports.sockets import ConnectionGoneError
from functions.ports.state import DeadLetter

Json = dict[str, Any]


class Posted:
    """What connections were sent.

    Attributes:
        gone: The connections that are closed.
        before: Called before each message.
    """

    def __init__(self) -> None:
        self.messages: list[tuple[str, Json]] = []
        self.gone: set[str] = set()
        self.before: Callable[[], None] = lambda: None

    def post(self, name: str, message: bytes) -> None:
        self.before()
        if name in self.gone:
            raise ConnectionGoneError(f"{name} is closed")
        self.messages.append((name, msgspec.json.decode(message)))

    def to(self, name: str) -> list[Json]:
        """What one of them was sent."""
        return [message for each, message in self.messages if each == name]

    def events(self, name: str) -> list[str]:
        """The same by name."""
        return [message["event"] for message in self.to(name)]


class Stack:
    """Services over one stack in memory: an agent's work is done where a test says so."""

    def __init__(self, limits: Limits | None = None) -> None:
        self.clock = Clock()
        self.memory = MemoryTarget(TOLD, SINGLE, FANNED, clock=self.clock)
        self.items = self.memory.items
        self.requests = PunctualRequests(self.items, self.memory.bus, self.memory.plans, self.clock)
        self.sockets = ItemSockets(self.items, self.clock)
        self.posted = Posted()
        self.target = Target(
            plans=self.memory.plans,
            requests=self.requests,
            conversations=ItemConversations(self.items, self.clock),
            rights=None,  # type: ignore[arg-type] - nobody asks for them here
            collections={"documents": OnePassage()},  # type: ignore[dict-item] - what the API reads of one
            blobs=self.memory.blobs,
            stops=self.memory.stops,
            now=self.clock,
            limits=limits or Limits(),
            secured=True,
        )
        self.api = Api(self.target)

    def call(self, event: Json, *, base_path: str = "", remaining_s: float = 30.0) -> Json:
        """What the HTTP API answers."""
        return answered(event, Gateway(self.api, "tenant", base_path), lambda: remaining_s)

    @property
    def web_socket(self) -> WebSocketContext:
        """What answers a WebSocket."""
        return WebSocketContext(
            api=self.api,
            target=self.target,
            sockets=self.sockets,
            post=self.posted.post,
            tenant_claim="tenant",
            now=self.clock,
        )

    def event_filter(self, service: str) -> EventFilter:
        """What lets events in."""
        workflows = frozenset(self.memory.plans)
        return EventFilter(service=service, workflows=workflows, park=self.memory.state().park, now=self.clock)

    def letters(self) -> Sequence[DeadLetter]:
        """What was given up."""
        return self.memory.dead_letters()

    def messages(self) -> list[Handed]:
        """What is on the bus, for whomever."""
        return list(self.memory.bus.messages.values())


def body(answer: Json) -> Any:  # noqa: ANN401 - whatever was answered
    """The JSON of an answer."""
    return msgspec.json.decode(answer["body"])
