"""The envelope of every event: CloudEvents 1.0 in structured JSON, its extensions lower-case scalars.

An envelope never changes once it is made. Its id is a hash of what it came from, so that every try of a
delivery makes the same envelopes. `part` is the lineage: one frame for each open scope, innermost last.
"""

import hashlib
from datetime import UTC, datetime
from functools import lru_cache

import msgspec

from functions.errors import TroupeError
from functions.events.event import PRIORITIES, Event

CLAIM_CHECK_BYTES = 48 * 1024  # above this, the data goes to the blob store; Service Bus allows 256 KB in all
ID_CHARACTERS = 32
MAX_ATTRIBUTE_BYTES = 16 * 1024  # with the data, 64 KB: what CloudEvents has every intermediary forward
MAX_NAME = 128  # characters of what stores find things by: two names and their prefix fit DynamoDB's 2,048 bytes
MAX_PARTS = 10_000  # of one fan-out: more would not fit in the 25,000 events that a Step Functions history holds
MAX_COUNT = 1_000_000  # of hops, of generations: far above what any workflow allows, and fits every store
EARLIEST, LATEST = datetime(1970, 1, 1, tzinfo=UTC), datetime(9000, 1, 1, tzinfo=UTC)  # in any time zone, a timestamp
RUNTIME = "runtime"  # who does what no agent does: no event is meant for it, and no agent may be named so


class MalformedEnvelopeError(TroupeError, ValueError):
    """Bytes that are no envelope: never retried, since they will not get better."""


class Frame(msgspec.Struct, frozen=True):
    """One open scope: a fan-out or a fork that its join has not closed.

    Attributes:
        group: The scope's id, shared by its parts.
        index: Which part this is, from 0.
        total: How many parts there are; 0 for a fan-out of nothing.
        deadline: The deadline outside the scope, which counts again after the join.
        rounds: How often each bounded event was emitted inside this scope.
        joins: The generations in which the scopes that were opened inside this one were joined, in order: which of
            two events of one request comes after the other, over all its redrives.
    """

    group: str
    index: int
    total: int
    deadline: datetime
    rounds: tuple[tuple[str, int], ...] = ()
    joins: tuple[int, ...] = ()

    def counted(self, events: frozenset[str]) -> "Frame":
        """This frame, with one more round of each of these events."""
        rounds = dict(self.rounds)
        for event in events:
            rounds[event] = rounds.get(event, 0) + 1
        return msgspec.structs.replace(self, rounds=tuple(sorted(rounds.items())))

    def joined(self, generation: int) -> "Frame":
        """This frame, after a scope inside it was joined in this generation."""
        return msgspec.structs.replace(self, joins=(*self.joins, generation))


Lineage = tuple[Frame, ...]


class Envelope(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """An event on its way; every attribute of CloudEvents 1.0 and of design section 3 that is in use.

    Attributes:
        type: The event's name and version: `PlanCreated.v1`.
        source: The agent that emitted it, or `entry`.
        time: When it was emitted; its age counts from here.
        part: The lineage, as text (see `pack`).
        target: The one agent it is meant for; empty for whoever subscribes.
        hop: How many agents it passed through.
        deadline: When work on it is no longer of use.
        causation: The id of the envelope it came from.
        generation: How often its request was redriven.
        origin: The request that its request redrives; empty for one that somebody asked.
        planversion: A digest of the topology it was made under.
        dataref: Where the data is, when it is too large to travel (the CloudEvents claim check).
    """

    specversion: str
    id: str
    source: str
    type: str
    time: datetime
    datacontenttype: str = "application/json"
    data: msgspec.Raw = msgspec.Raw(b"null")
    dataref: str = ""
    workflow: str
    conversation: str
    request: str
    part: str
    deadline: datetime
    planversion: str
    plan: str = ""
    correlation: str = ""
    target: str = ""
    hop: int = 0
    causation: str = ""
    generation: int = 0
    origin: str = ""
    tenant: str = "default"
    priority: str = "normal"
    traceparent: str = ""
    tracestate: str = ""

    @property
    def name(self) -> str:
        """The event's name without its version."""
        return self.type.rpartition(".v")[0]


_ENCODER = msgspec.json.Encoder()
_DECODER = msgspec.json.Decoder(Envelope)


def encode(envelope: Envelope) -> bytes:
    """The envelope as CloudEvents JSON."""
    return _ENCODER.encode(envelope)


def decode(raw: bytes) -> Envelope:
    """The envelope in these bytes; unknown attributes are ignored, since a newer producer may add some.

    Raises:
        MalformedEnvelopeError: With everything that is wrong with them.
    """
    try:
        envelope = _DECODER.decode(raw)
    except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError) as error:
        raise MalformedEnvelopeError(f"no CloudEvents envelope: {error}") from error
    problems = _problems(envelope)
    if len(raw) - len(bytes(envelope.data)) > MAX_ATTRIBUTE_BYTES:
        problems.append(f"its attributes take more than {MAX_ATTRIBUTE_BYTES} bytes: leave what is large to its data")
    if problems:
        raise MalformedEnvelopeError("no valid envelope: " + "; ".join(problems))
    return envelope


def _problems(envelope: Envelope) -> list[str]:
    problems = []
    if envelope.specversion != "1.0":
        problems.append(f"specversion is {envelope.specversion!r}, not '1.0'")
    required = {
        "id": envelope.id,
        "source": envelope.source,
        "workflow": envelope.workflow,
        "conversation": envelope.conversation,
        "request": envelope.request,
        "planversion": envelope.planversion,
        "tenant": envelope.tenant,
    }
    if not all(0 < len(value) <= MAX_NAME for value in required.values()):
        problems += [f"{name} is empty" for name, value in required.items() if not value]
        long = [name for name, value in required.items() if len(value) > MAX_NAME]
        problems += [f"{name} has more than {MAX_NAME} characters" for name in long]
    if not (envelope.name and envelope.type.rpartition(".v")[2].isdecimal()):
        problems.append(f"type is {envelope.type!r}, not a name and a version such as 'PlanCreated.v1'")
    problems += _time_problems("time", envelope.time) + _time_problems("deadline", envelope.deadline)
    for name, count in (("hop", envelope.hop), ("generation", envelope.generation)):
        if not 0 <= count <= MAX_COUNT:
            problems.append(f"{name} is {count}, not from 0 to {MAX_COUNT}")
    if envelope.priority not in PRIORITIES:
        problems.append(f"priority is {envelope.priority!r}, not one of {', '.join(PRIORITIES)}")
    if envelope.target == RUNTIME:
        problems.append(f"target is {RUNTIME!r}, and no event is meant for it")
    try:
        unpack(envelope.part)
    except MalformedEnvelopeError as error:
        problems.append(str(error))
    return problems


def _time_problems(name: str, time: datetime) -> list[str]:
    if time.tzinfo is None:
        return [f"{name} has no time zone"]
    if not EARLIEST <= time <= LATEST:
        return [f"{name} is in the year {time.year}, not from 1970 to 8999"]
    return []


def pack(lineage: Lineage) -> str:
    """A lineage as one string: `group:index/total:deadline:Event=rounds,…` a frame, `;` between them.

    Where scopes were joined inside a frame, `:generation,…` follows.
    """
    return ";".join(
        f"{frame.group}:{frame.index}/{frame.total}:{round(frame.deadline.timestamp() * 1000)}:"
        + ",".join(f"{event}={count}" for event, count in frame.rounds)
        + (":" + ",".join(map(str, frame.joins)) if frame.joins else "")
        for frame in lineage
    )


@lru_cache(maxsize=4096)  # each step of a delivery asks again
def unpack(part: str) -> Lineage:
    """The lineage in a string that `pack` made.

    Raises:
        MalformedEnvelopeError: It is none, or it lies: an index beyond its total, more parts than a fan-out has, a
            deadline that no clock shows, fewer rounds than none.
    """
    try:
        lineage = tuple(_frame(text) for text in part.split(";"))
    except (ValueError, OverflowError, OSError) as error:
        raise MalformedEnvelopeError(f"part is {part[:80]!r}, which is no lineage") from error
    for frame in lineage:
        if not (0 <= frame.index < frame.total <= MAX_PARTS or frame.index == frame.total == 0):
            raise MalformedEnvelopeError(f"part says index {frame.index} of {frame.total}, and at most {MAX_PARTS} are")
        if not EARLIEST <= frame.deadline <= LATEST:
            raise MalformedEnvelopeError(f"part says a deadline in the year {frame.deadline.year}")
        if any(count < 0 for _, count in frame.rounds):
            raise MalformedEnvelopeError("part says that something was emitted fewer than 0 times")
    return lineage


def _frame(text: str) -> Frame:
    group, place, deadline, rounds, *more = text.split(":")
    if not group:
        raise ValueError("a scope without an id")
    (joins,) = more or ("",)
    index, total = place.split("/")
    counts = [each.split("=") for each in rounds.split(",") if each]
    return Frame(
        group,
        int(index),
        int(total),
        datetime.fromtimestamp(int(deadline) / 1000, UTC),
        tuple((event, int(count)) for event, count in counts),
        tuple(int(generation) for generation in joins.split(",") if generation),
    )


def digest(*parts: object) -> str:
    """A deterministic id: the first 128 bits of a SHA-256, in hexadecimal. Other parts, another id."""
    return hashlib.sha256(_ENCODER.encode(parts)).hexdigest()[:ID_CHARACTERS]


def derived_id(made_of: str, first: str, *parts: object) -> str:
    """The id of what is made of something that would be `first` if nothing had been redriven.

    Where the two differ, what its own id would be follows after a dot: so it is known through any number of events.
    """
    own = digest(made_of, *parts)
    return own if made_of == first else f"{own}.{digest(first, *parts)}"


def first_id(made: str) -> str:
    """The id that an event or a scope would have if nothing had been redriven."""
    return made.rpartition(".")[2]


def root_group(tenant: str, conversation: str, request: str) -> str:
    """The id of a request's first event, and of the scope that all of its events are in."""
    return digest(tenant, conversation, request)


def type_of(event: type[Event]) -> str:
    """What the `type` attribute says of an event: `PlanCreated.v1`."""
    return f"{event.__name__}.v{event.version}"


def open_request(  # noqa: PLR0913 - each is an attribute of the envelope that only the caller knows
    event: Event,
    *,
    workflow: str,
    planversion: str,
    conversation: str,
    request: str,
    now: datetime,
    deadline: datetime,
    tenant: str = "default",
    priority: str = "normal",
    correlation: str = "",
) -> Envelope:
    """The first envelope of a request; the same request always has the same id."""
    root = root_group(tenant, conversation, request)
    return Envelope(
        specversion="1.0",
        id=root,
        source="entry",
        type=type_of(type(event)),
        time=now,
        data=msgspec.Raw(msgspec.json.encode(event)),
        workflow=workflow,
        conversation=conversation,
        request=request,
        part=pack((Frame(root, 0, 1, deadline),)),
        deadline=deadline,
        planversion=planversion,
        tenant=tenant,
        priority=priority,
        correlation=correlation,
    )
