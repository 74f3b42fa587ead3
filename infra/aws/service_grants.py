"""What each service's function may do on AWS: those that are no agent and have no signature, so each has a list here.

A statement says what the service does that asks for it; see `grants` for the agents'.
"""

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from typing import Final

from functions.adapters.aws.items import BY_DUE, BY_TIME
from functions.adapters.items.keys import COLLECTION, CONVERSATION, DOCUMENT, REQUEST, SOCKET, joined
from functions.events.envelope import type_of
from functions.events.event import Event
from functions.events.ingest import DocumentsReceived
from functions.runtime.workflow import Plan
from infra.aws.grants import (
    READS,
    REMOVES,
    WRITES,
    Place,
    Statement,
    leading,
    older_plans,
    runs,
)

NEVER_HELD: Final = (COLLECTION, DOCUMENT, SOCKET)  # partitions that hold nothing of a conversation
BUS: Final = "bus"  # whose net holds what a key of ours kept off every rule
#: Those that reach a vector store, which may stand there. They reach nothing else that has no endpoint in a network
#: without a way out, such as the connections of a WebSocket.
IN_NETWORK: Final = ("api", "keeper")


def services(plans: Sequence[Plan], place: Place) -> dict[str, list[Statement]]:
    """What the function of each service may do; `socket` and `pusher` only where the stack has a WebSocket."""
    deployed = [name for name in _SERVICES if place.socket or name not in {"socket", "pusher"}]
    return {name: service(name, plans, place) for name in deployed}


def service(name: str, plans: Sequence[Plan], place: Place) -> list[Statement]:
    """What the function of one service may do."""
    found = [*_SERVICES[name](plans, place), *runs(place.logs[name], place, in_network=name in IN_NETWORK)]
    return [statement for statement in found if statement.resources]


def _api(plans: Sequence[Plan], place: Place) -> Iterator[Statement]:
    yield from _accepts(plans, place, "POST: a message or documents begin a request")
    yield Statement(
        sid="Messages",
        actions=("dynamodb:Query",),
        resources=(f"{place.table}/index/{BY_TIME}",),
        conditions=leading(f"{CONVERSATION}#*"),
        because="GET /conversations/{conversation}/messages",
    )
    because = "GET /collections/{collection}/passages/{passage}; erasing what a conversation stored in any collection"
    yield from _versions(place, *READS, because=because)
    because = "GET /requests/{request}: what was done for it; all that is held about a conversation, shown or erased"
    yield from _erases(place, because)


def _socket(plans: Sequence[Plan], place: Place) -> Iterator[Statement]:
    yield from _accepts(plans, place, "a message over a WebSocket begins a request")
    yield _connections(place, "$connect, $disconnect, and which request a connection watches")
    yield _deliveries(plans, place, "what happened to a request so far")
    yield _posts(place, "the answer to what a connection sent")


def _authorizer(_plans: Sequence[Plan], place: Place) -> Iterator[Statement]:
    yield _secret("api-keys", place, "every call: whose its API key is")


def _desk(plans: Sequence[Plan], place: Place) -> Iterator[Statement]:
    yield _hears("desk", place, "every answer and AgentFailed: its conversation goes on")
    yield from _goes_on(plans, place)
    yield Statement(
        sid="Await",
        actions=("dynamodb:PutItem",),
        resources=(place.table,),
        conditions=leading(*(f"{joined(name)}#*" for name in _closers(plans))),
        because="the next request may be a redrive, which every join around it awaits",
    )
    yield older_plans(plans, place)
    yield _parks("desk", place)
    yield _blobs(place, "s3:PutObject", because="large dead letters")


def _pusher(plans: Sequence[Plan], place: Place) -> Iterator[Statement]:
    yield _hears("pusher", place, "every event of the stack: progress, and the answer")
    yield _connections(place, "which connections watch a request, and how far they were told; one gone is forgotten")
    yield _deliveries(plans, place, "what happened to a watched request")
    yield _parks("pusher", place)
    yield Statement(
        sid="Requests",
        actions=("dynamodb:GetItem", "dynamodb:BatchGetItem"),
        resources=(place.table,),
        conditions=leading(f"{REQUEST}#*"),
        because="how a watched request stands",
    )
    yield _blobs(place, "s3:GetObject", "s3:PutObject", because="an answer above 48 KB; large dead letters")
    yield _posts(place, "progress, and the answer")


def _sweeper(plans: Sequence[Plan], place: Place) -> Iterator[Statement]:
    yield Statement(
        sid="Nets",
        actions=("sqs:ReceiveMessage", "sqs:DeleteMessage", "sqs:GetQueueAttributes"),
        resources=(place.nets,),
        because="what landed in a net becomes a dead letter",
        wildcard="a list of all would outgrow the role; a stack named `<this>-…` is in it, as its other names would be",
    )
    yield from _goes_on(plans, place)
    yield _due(place, "requests that are overdue")
    yield older_plans(plans, place)
    yield Statement(
        sid="Letters",
        actions=(*READS, *WRITES, REMOVES),
        resources=(place.table,),
        conditions=leading(*_of_agents(plans), *(f"{joined(name)}#*" for name in listeners(plans, place))),
        because="a crash's dead letter, its delivery's record and outputs; of what was erased, none",
    )
    if place.socket:
        yield _connections(place, "who watches a request that nobody else ends is told")
        yield _posts(place, "what became of a request at its deadline")
    yield _blobs(place, "s3:GetObject", "s3:PutObject", because="large dead letters, and stored outputs")


def _keeper(_plans: Sequence[Plan], place: Place) -> Iterator[Statement]:
    yield from _versions(place, *READS, *WRITES, because="each deploy: declared collections are there; hourly: expiry")
    because = "every ten minutes: erasures that were cut off"
    yield _requests(place, because)
    yield _due(place, because)
    yield from _erases(place, f"{because}; hourly: long texts of what expired")


def _uploads(plans: Sequence[Plan], place: Place) -> Iterator[Statement]:
    yield _hears("uploads", place, "S3 tells of an object that was put there")
    ingests = [plan for plan in plans if plan.workflow.entry is DocumentsReceived]
    yield Statement(
        sid="Documents",
        actions=("s3:GetObject",),
        resources=(f"{place.bucket}/documents/*",),
        because="an object that was put there is read",
        wildcard="whoever puts an object names it",
    )
    yield from _accepts(ingests, place, "an object that was put under documents/ begins a request")
    yield _parks("uploads", place)


#: By name: what each does.
_SERVICES: Final[Mapping[str, Callable[[Sequence[Plan], Place], Iterator[Statement]]]] = {
    "api": _api,
    "socket": _socket,
    "authorizer": _authorizer,
    "desk": _desk,
    "pusher": _pusher,
    "sweeper": _sweeper,
    "keeper": _keeper,
    "uploads": _uploads,
}
SERVICES: Final = tuple(_SERVICES)


# ----------------------------------------------------------------------------------------------- requests


def _accepts(plans: Sequence[Plan], place: Place, because: str) -> Iterator[Statement]:
    """A request is taken, and starts if its conversation is free: entry events alone."""
    for plan in plans:
        yield _emits(plan, (plan.workflow.entry,), place, because)
    forked = {
        plan.closers[f"fork {plan.workflow.entry.__name__}"]
        for plan in plans
        if plan.workflow.entry.__name__ in plan.forks
    }
    yield _closes_later(forked, place, "an entry event that forks opens a scope, which a timer closes")
    yield _requests(place, because)
    yield _due(place, "limits on how much is open")
    yield _blobs(place, "s3:GetObject", "s3:PutObject", because="messages and answers above 48 KB")


def _goes_on(plans: Sequence[Plan], place: Place) -> Iterator[Statement]:
    """The next request of a conversation starts: with its entry event, or where it is a redrive with any event."""
    because = "the next request of a conversation, which may be a redrive; what a crash left unpublished"
    yield Statement(
        sid="Emit",
        actions=("events:PutEvents",),
        resources=(place.bus,),
        conditions={
            "StringEquals": {"events:source": tuple(sorted(f"{place.source}.{plan.workflow.name}" for plan in plans))},
            "Null": {"events:source": "false"},
        },
        because=f"{because}: any event of a workflow, and a list of all would outgrow the role",
    )
    yield _closes_later(_closers(plans), place, "what is started again is in a scope, which a timer closes")
    yield _requests(place, because)


def _closers(plans: Sequence[Plan]) -> list[str]:
    return sorted({closer for plan in plans for closer in plan.closers.values()})


def _emits(plan: Plan, events: Iterable[type[Event]], place: Place, because: str) -> Statement:
    return Statement(
        sid=f"Emit{plan.workflow.name.title().replace('_', '').replace('-', '')}",
        actions=("events:PutEvents",),
        resources=(place.bus,),
        conditions={
            "StringEquals": {
                "events:detail-type": tuple(sorted({type_of(event) for event in events})),
                "events:source": f"{place.source}.{plan.workflow.name}",
            },
            "Null": {"events:detail-type": "false", "events:source": "false"},
        },
        because=because,
    )


def _closes_later(closers: Iterable[str], place: Place, because: str) -> Statement:
    return Statement(
        sid="CloseLater",
        actions=("sqs:SendMessage",),
        resources=tuple(place.queues[closer] for closer in sorted(closers)),
        because=because,
    )


def _requests(place: Place, because: str) -> Statement:
    return Statement(
        sid="Requests",
        actions=(*READS, *WRITES),
        resources=(place.table,),
        conditions=leading(f"{REQUEST}#*"),
        because=because,
    )


def _due(place: Place, because: str) -> Statement:
    """No leading keys: the partitions of this index are groups such as `open`, and it holds keys alone."""
    return Statement(
        sid="Due",
        actions=("dynamodb:Query",),
        resources=(f"{place.table}/index/{BY_DUE}",),
        because=because,
    )


# ------------------------------------------------------------------------------------------ what is held


def _of_agents(plans: Sequence[Plan]) -> list[str]:
    return [f"{joined(name)}#*" for name in sorted({name for plan in plans for name in plan.nodes})]


def listeners(plans: Sequence[Plan], place: Place) -> list[str]:
    """The services that work from a queue, and the bus where it has a net of its own."""
    found = place.queues.keys() - {name for plan in plans for name in plan.nodes}
    return sorted([*found, BUS] if place.keys else found)


def _deliveries(plans: Sequence[Plan], place: Place, because: str) -> Statement:
    return Statement(
        sid="Deliveries",
        actions=("dynamodb:Query",),
        resources=(place.table,),
        conditions=leading(*_of_agents(plans)),
        because=because,
    )


def _erases(place: Place, because: str) -> Iterator[Statement]:
    """All that is held about a conversation, wherever it lies."""
    yield Statement(
        sid="Held",
        actions=(*READS, REMOVES),
        resources=(place.table,),
        conditions={
            "ForAllValues:StringNotLike": {"dynamodb:LeadingKeys": tuple(f"{kind}#*" for kind in NEVER_HELD)},
            "Null": {"dynamodb:LeadingKeys": "false"},
        },
        because=f"{because}, by agents that are deployed and by those that were: only their names are the partitions'",
    )
    yield Statement(
        sid="AllPlans",
        actions=("s3:GetObject",),
        resources=(f"{place.bucket}/plans/*",),
        because=f"{because}: which agents there were",
        wildcard="a plan is named by its version, a digest, and its workflow may be gone",
    )
    yield Statement(
        sid="HeldBlobs",
        actions=("s3:DeleteObject",),
        resources=(f"{place.bucket}/blobs/*",),
        because=because,
        wildcard="keys are digests: the prefix is all that is known of them before",
    )
    yield Statement(
        sid="ListBlobs",
        actions=("s3:ListBucket",),
        resources=(place.bucket,),
        conditions={"StringLike": {"s3:prefix": ("blobs/*", "plans/*")}, "Null": {"s3:prefix": "false"}},
        because=because,
    )


def _versions(place: Place, *actions: str, because: str) -> Iterator[Statement]:
    """Which versions collections have, and the key of the vector store."""
    yield Statement(
        sid="Versions",
        actions=actions,
        resources=(place.table,),
        conditions=leading(f"{COLLECTION}#*"),
        because=because,
    )
    yield _secret("vectors", place, because)


def _blobs(place: Place, *actions: str, because: str) -> Statement:
    return Statement(
        sid="LargeData",
        actions=actions,
        resources=(f"{place.bucket}/blobs/*",),
        because=because,
        wildcard="keys are digests: the prefix is all that is known of them before",
    )


# ------------------------------------------------------------------------------------------ each alone


def _hears(name: str, place: Place, because: str) -> Statement:
    return Statement(
        sid="Receive",
        actions=("sqs:ReceiveMessage", "sqs:DeleteMessage", "sqs:GetQueueAttributes"),
        resources=(place.queues[name],),
        because=because,
    )


def _parks(name: str, place: Place) -> Statement:
    return Statement(
        sid="Park",
        actions=("dynamodb:PutItem",),
        resources=(place.table,),
        conditions=leading(f"{joined(name)}#*"),
        because="what comes from elsewhere, or cannot be read, becomes a dead letter",
    )


def _connections(place: Place, because: str) -> Statement:
    return Statement(
        sid="Connections",
        actions=(*READS, "dynamodb:PutItem", REMOVES),
        resources=(place.table,),
        conditions=leading(f"{SOCKET}#*"),
        because=because,
    )


def _posts(place: Place, because: str) -> Statement:
    return Statement(
        sid="Post",
        actions=("execute-api:ManageConnections",),
        resources=(f"{place.socket}/POST/@connections/*",) if place.socket else (),
        because=because,
        wildcard="a connection's id is known when it is opened",
    )


def _secret(name: str, place: Place, because: str) -> Statement:
    """Without a resource, and so left out, where the stack has no secret of this name."""
    return Statement(
        sid="Secret" + "".join(part.title() for part in name.split("-")),
        actions=("secretsmanager:GetSecretValue",),
        resources=(place.secrets[name],) if name in place.secrets else (),
        because=because,
    )
