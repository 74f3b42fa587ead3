"""Calls to the API as a server makes them, and workflows that take messages."""

from collections.abc import Mapping
from typing import Annotated, Any

import msgspec
from harness import Harness
from sample_workflows import CONTRACT, LOG, Answered

from functions.adapters.local.conversations import LocalConversations
from functions.adapters.local.rights import LocalRights
from functions.api.api import Api
from functions.api.http import Chunk, HttpRequest, HttpResponse, Reply, Stream
from functions.api.target import Target
from functions.events.common import Passage
from functions.events.event import Event
from functions.ports.conversations import Append
from functions.ports.requests import Limits
from functions.runtime.agent import agent
from functions.runtime.workflow import Workflow

Json = Any  # whatever was sent


class Told(Event):
    text: str


@agent(delivery=CONTRACT)
def tell(event: Told, *, log: Annotated[Append, "log"]) -> Answered:
    log.append("assistant", event.text)
    return Answered(texts=(event.text,))


TOLD = Workflow(name="answer", agents=(tell,), entry=Told, answer=Answered, resources=LOG)
PASSAGE = Passage(id="p/1", name="heapq", source="python:heapq", text="A heap.")


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


class Caller:
    """Somebody who calls, as one tenant."""

    def __init__(self, harness: Harness, limits: Limits, tenant: str = "default") -> None:
        self.harness = harness
        self.limits = limits
        self.tenant = tenant
        self.api = Api(
            Target(
                plans=harness.plans,
                requests=harness.requests,
                conversations=LocalConversations(harness.store, harness.clock),
                rights=LocalRights(harness.store, harness.blobs, harness.clock),
                collections={"documents": OnePassage()},  # type: ignore[dict-item] - what the API reads of one
                blobs=harness.blobs,
                stops=harness.bus.stops,
                now=harness.clock,
                limits=limits,
                secured=False,
            )
        )

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
