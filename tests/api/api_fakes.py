"""Calls to the API as a server makes them, and workflows that take messages."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Annotated, Any, Literal

import msgspec
from harness import Clock, Harness
from memory_target import MemoryTarget
from sample_workflows import CONTRACT, LOG, Answered

from functions.adapters.items.conversations import ItemConversations
from functions.adapters.local.conversations import LocalConversations
from functions.adapters.local.rights import LocalRights
from functions.api.api import Api
from functions.api.http import Chunk, HttpRequest, HttpResponse, Reply, Stream
from functions.api.target import Target
from functions.events.common import Passage
from functions.events.envelope import LATEST
from functions.events.event import Event
from functions.ports.conversations import Append, Conversations
from functions.ports.requests import Limits
from functions.ports.rights import Rights
from functions.ports.stops import Stops
from functions.runtime.agent import agent
from functions.runtime.delivery import Binding
from functions.runtime.workflow import Budget, Workflow

Json = Any  # whatever was sent
Role = Literal["user", "assistant"]
_SAID = "INSERT INTO message (tenant, conversation, key, role, text, at) VALUES (?, ?, ?, ?, ?, ?)"


class Told(Event):
    text: str


@agent(delivery=CONTRACT)
def tell(event: Told, *, log: Annotated[Append, "log"]) -> Answered:
    log.append("assistant", event.text)
    return Answered(texts=(event.text,))


TOLD = Workflow(name="answer", agents=(tell,), entry=Told, answer=Answered, resources=LOG)
PASSAGE = Passage(id="p/1", name="heapq", source="python:heapq", text="A heap.")


class NoPoints:
    """The collections of a stack whose agents store nothing."""

    def erase(self, collection: str, ids: Iterable[str], *, tenant: str) -> None:
        raise AssertionError(f"nothing was stored in {collection} for {tenant}: {list(ids)}")


class OnePassage:
    """A collection that holds one passage of one tenant."""

    def read(self, ids: list[str], *, tenant: str) -> list[Passage]:
        return [PASSAGE for each in ids if (each, tenant) == (PASSAGE.id, "default")]


class Answered202(msgspec.Struct):
    """What a POST gave."""

    request: str
    conversation: str
    workflow: str
    status: str
    events: str


@dataclass(frozen=True)
class Kept:
    """The ports that a target makes in its own way."""

    conversations: Conversations
    rights: Rights
    stops: Stops


def on_one_machine(harness: Harness) -> Kept:
    """Over its store."""
    return Kept(
        LocalConversations(harness.store, harness.clock),
        LocalRights(harness.store, harness.blobs, harness.clock),
        harness.bus.stops,
    )


def on_items(target: MemoryTarget) -> Kept:
    """As on a cloud."""
    return Kept(ItemConversations(target.items, target.clock), target.rights(NoPoints()), target.stops)


def bound(tenant: str, conversation: str, key: str) -> Binding:
    """A delivery of a conversation."""
    return Binding(
        tenant=tenant,
        conversation=conversation,
        request="r1",
        key=key,
        origin=key,
        agent="tell",
        attempt=1,
        until=LATEST,
        budget=Budget(),
    )


class TickingClock(Clock):
    """A clock that is later each time it is looked at, as every real one is."""

    def __call__(self) -> datetime:
        self.time += timedelta(microseconds=1)
        return self.time


class Caller:
    """Somebody who calls, as one tenant."""

    def __init__(self, harness: Harness | MemoryTarget, limits: Limits, tenant: str = "default") -> None:
        self.harness = harness
        self.limits = limits
        self.tenant = tenant
        kept = on_one_machine(harness) if isinstance(harness, Harness) else on_items(harness)
        self.stops = kept.stops
        self.api = Api(
            Target(
                plans=harness.plans,
                requests=harness.requests,
                conversations=kept.conversations,
                rights=kept.rights,
                collections={"documents": OnePassage()},  # type: ignore[dict-item] - what the API reads of one
                blobs=harness.blobs,
                stops=kept.stops,
                now=harness.clock,
                limits=limits,
                secured=False,
            )
        )

    @property
    def machine(self) -> Harness:
        """The harness over the store of one machine, for a test that looks into that."""
        assert isinstance(self.harness, Harness)
        return self.harness

    def tell(self, conversation: str, key: str, role: Role, text: str) -> None:
        """Have something said in a conversation, by a delivery of this key."""
        harness = self.harness
        if isinstance(harness, MemoryTarget):
            harness.talk(bound(self.tenant, conversation, key)).append(role, text)
            return
        row = (self.tenant, conversation, key, role, text, harness.clock().timestamp())
        harness.store.write(lambda connection: connection.execute(_SAID, row))

    def as_tenant(self, tenant: str) -> "Caller":
        """Somebody else."""
        return Caller(self.harness, self.limits, tenant)

    def call(self, method: str, target: str, body: bytes = b"", headers: Mapping[str, str] | None = None) -> Reply:
        """Any call."""
        path, _, query = target.partition("?")
        return self.api.handle(
            HttpRequest(
                method=method,
                path=path,
                query=query,
                headers={name.lower(): value for name, value in (headers or {}).items()},
                body=body,
                tenant=self.tenant,
                correlation="corr",
            )
        )

    def get(self, target: str, headers: Mapping[str, str] | None = None) -> HttpResponse:
        """A GET that is answered at once."""
        reply = self.call("GET", target, headers=headers)
        assert isinstance(reply, HttpResponse)
        return reply

    def post(self, path: str, body: object, **headers: str) -> HttpResponse:
        """A POST of JSON; bytes are sent as they are."""
        raw = body if isinstance(body, bytes) else msgspec.json.encode(body)
        named = {name.replace("_", "-"): value for name, value in headers.items()}
        reply = self.call("POST", path, raw, {"content-type": "application/json", **named})
        assert isinstance(reply, HttpResponse)
        return reply

    def say(self, text: str, conversation: str = "c1", **headers: str) -> Answered202:
        """A message that is taken."""
        response = self.post(f"/conversations/{conversation}/messages", {"text": text}, **headers)
        assert response.status == 202, response.body
        return msgspec.json.decode(response.body, type=Answered202)

    def watch(self, request: str, last: str = "") -> Stream:
        """A stream of a request."""
        reply = self.call("GET", f"/requests/{request}/events", headers={"Last-Event-ID": last} if last else {})
        assert isinstance(reply, Stream), reply
        return reply

    def follow(self, stream: Stream) -> Chunk:
        """What the stream sends next."""
        return self.api.follow(stream)


def data(response: HttpResponse) -> Json:
    """The JSON of a response."""
    return msgspec.json.decode(response.body)


class Sent(msgspec.Struct):
    """A server-sent event, as a client reads it."""

    name: str
    id: str
    data: Any


def events_of(body: bytes) -> list[Sent]:
    """The events in the body of a stream, as the standard has them read."""
    found = []
    for block in body.decode().split("\n\n"):
        fields = dict(line.split(": ", 1) for line in block.split("\n") if line and not line.startswith(":"))
        if fields:
            found.append(Sent(fields["event"], fields.get("id", ""), msgspec.json.decode(fields["data"])))
    return found
