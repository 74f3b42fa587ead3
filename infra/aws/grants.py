"""What each agent's function may do on AWS, derived from its signature. No Pulumi here: `troupe explain` tells it, too.

A statement names the part of the signature that asks for it. Nothing has a wildcard for an action; a wildcard for a
resource says why AWS has nothing narrower.
"""

from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any, Final

import msgspec

from functions.adapters.aws.blobs import TEXTS
from functions.adapters.aws.items import BY_TIME
from functions.adapters.items.keys import (
    COLLECTION,
    CONVERSATION,
    DOCUMENT,
    EFFECT,
    PASSAGE,
    REQUEST,
    TOKEN,
    VAULT,
    carriers,
    joined,
)
from functions.events.envelope import type_of
from functions.events.event import AgentFailed, Event, PartEnded
from functions.ports.actions import ActionNames, Invoke
from functions.ports.conversations import Append, History
from functions.ports.documents import Ingest
from functions.ports.models import LanguageModel
from functions.ports.personal import Reveal
from functions.ports.vectors import Lookup, Remove, Search, Upsert
from functions.runtime.agent import AgentSpec, Grant
from functions.runtime.workflow import Plan, fan_out_scope

READS: Final = ("dynamodb:GetItem", "dynamodb:BatchGetItem", "dynamodb:Query")
WRITES: Final = ("dynamodb:PutItem", "dynamodb:UpdateItem")
REMOVES: Final = "dynamodb:BatchWriteItem"  # how the table's adapter removes, several at once
_HELD: Final = f"{REQUEST}#*#{CONVERSATION}#*"  # what a conversation has: a name holds no `#`, so no request begins so


class Statement(msgspec.Struct, frozen=True, kw_only=True):
    """One statement of a policy that allows something.

    Attributes:
        because: The part of the signature, or what every agent needs it for.
        wildcard: Why nothing narrower than a wildcard could be its resource; empty where it has none.
    """

    sid: str
    actions: tuple[str, ...]
    resources: tuple[str, ...]
    conditions: Mapping[str, Mapping[str, str | tuple[str, ...]]] = {}
    because: str
    wildcard: str = ""


class Place(msgspec.Struct, frozen=True, kw_only=True):
    """What a stack is called on AWS: ARNs, and the names that events and items carry.

    Attributes:
        source: What the source of every event begins with.
        queues: The ARN of each queue, by its agent or service.
        logs: The ARN of each log group, by its agent or service.
        secrets: The ARN of each secret, by what it is for: `vectors`, `model`, `actions`, `personal`, `api-keys`.
        models: ARNs of the models of Bedrock that may be asked; none where a model is reached by URL or left out.
        keys: ARNs of the stack's own keys; none where AWS's keys encrypt.
        in_network: Whether functions stand in the stack's network.
        nets: The ARN of every dead-letter queue: a pattern, which a service's policy has room for.
        socket: The ARN of the stage of the WebSocket API; empty where the stack has none.
    """

    bus: str
    source: str
    table: str
    bucket: str
    queues: Mapping[str, str]
    logs: Mapping[str, str]
    secrets: Mapping[str, str] = {}
    models: tuple[str, ...] = ()
    keys: tuple[str, ...] = ()
    in_network: bool = False
    nets: str = ""
    socket: str = ""


def statements(agent: str, plans: Sequence[Plan], place: Place) -> list[Statement]:
    """What the function of an agent may do, over all the workflows that have it."""
    mine = [plan for plan in plans if agent in plan.nodes]
    spec = mine[0].nodes[agent].spec
    granted = [
        statement
        for grant in spec.grants
        for statement in _GRANTED[grant.capability](grant, place)
        if statement.resources
    ]
    found = [
        *_receives(spec, place),
        *_emits(spec, mine, place),
        *_tells_later(spec, mine, place),
        *_keeps(spec, place),
        older_plans(mine, place),
        *runs(place.logs[spec.name], place),
        *granted,
    ]
    return list({statement.sid: statement for statement in found}.values())


def policy(allowed: Sequence[Statement]) -> dict[str, Any]:
    """The policy document of these statements."""
    return {
        "Version": "2012-10-17",
        "Statement": [
            {
                "Sid": each.sid,
                "Effect": "Allow",
                "Action": list(each.actions),
                "Resource": list(each.resources),
                **({"Condition": _plain(each.conditions)} if each.conditions else {}),
            }
            for each in allowed
        ],
    }


def _receives(spec: AgentSpec, place: Place) -> Iterator[Statement]:
    consumed = " | ".join(event.__name__ for event in spec.consumes)
    yield Statement(
        sid="Receive",
        actions=(
            "sqs:ReceiveMessage",
            "sqs:DeleteMessage",
            "sqs:GetQueueAttributes",
            "sqs:ChangeMessageVisibility",
        ),
        resources=(place.queues[spec.name],),
        because=f"the first parameter: {consumed}",
    )


def _emits(spec: AgentSpec, plans: Sequence[Plan], place: Place) -> Iterator[Statement]:
    """One type of event and one source at a time; the runtime's own two are how a failure or an end is told."""
    events: list[type[Event]] = [*spec.emits, *spec.fans_out, AgentFailed, PartEnded]
    yield Statement(
        sid="Emit",
        actions=("events:PutEvents",),
        resources=(place.bus,),
        conditions={
            "StringEquals": {
                "events:detail-type": tuple(sorted({type_of(event) for event in events})),
                "events:source": tuple(sorted(f"{place.source}.{plan.workflow.name}" for plan in plans)),
            },
            "Null": {"events:detail-type": "false", "events:source": "false"},
        },
        because="the return: " + (" | ".join(event.__name__ for event in (*spec.emits, *spec.fans_out)) or "None"),
    )


def _tells_later(spec: AgentSpec, plans: Sequence[Plan], place: Place) -> Iterator[Statement]:
    """Whoever opens a scope sets the timer that closes it, in the queue of the join, which puts it off from there."""
    closers = {
        plan.closers[fan_out_scope(spec)] for plan in plans if spec.fans_out and fan_out_scope(spec) in plan.closers
    }
    closers |= {
        plan.closers[f"fork {event.__name__}"]
        for plan in plans
        for event in (*spec.emits, *spec.fans_out)
        if event.__name__ in plan.forks
    }
    if closers:
        opened = ", ".join(event.__name__ for event in spec.fans_out) or "a fork"
        yield Statement(
            sid="CloseLater",
            actions=("sqs:SendMessage",),
            resources=tuple(place.queues[closer] for closer in sorted(closers)),
            because=f"the return opens a scope ({opened}), which a timer closes",
        )
    if any(spec.name in plan.closers.values() for plan in plans):
        yield Statement(
            sid="PutOff",
            actions=("sqs:SendMessage",),
            resources=(place.queues[spec.name],),
            because="it closes a scope when its timer is due, which is later than a message can wait: it is sent anew",
        )


def _keeps(spec: AgentSpec, place: Place) -> Iterator[Statement]:
    """Only an agent that joins reads what others have put beside each other, and counts it."""
    yield Statement(
        sid="OwnItems",
        actions=("dynamodb:GetItem", "dynamodb:PutItem", REMOVES),
        resources=(place.table,),
        conditions=leading(f"{joined(spec.name)}#*"),
        because="every delivery: its record, its outputs, its dead letters; of what was erased, none",
    )
    if spec.joins:
        yield Statement(
            sid="Joins",
            actions=("dynamodb:Query", "dynamodb:UpdateItem"),
            resources=(place.table,),
            conditions=leading(f"{joined(spec.name)}#*"),
            because=f"the first parameter: it waits for every {' | '.join(each.__name__ for each in spec.consumes)}",
        )
    yield Statement(
        sid="Requests",
        actions=("dynamodb:GetItem", "dynamodb:BatchGetItem", *WRITES),
        resources=(place.table,),
        conditions=leading(f"{REQUEST}#*"),
        because="every delivery: how its request stands, its budget, its pace, its settlement",
    )
    yield Statement(
        sid="LargeData",
        actions=("s3:GetObject", "s3:PutObject"),
        resources=(f"{place.bucket}/blobs/*",),
        because="every delivery: data above 48 KB, outputs above 4 KB",
        wildcard="keys are digests: the prefix is all that is known of them before",
    )


def older_plans(plans: Sequence[Plan], place: Place) -> Statement:
    """A function that meets an event of an earlier deployment reads the plan that it was made under."""
    return Statement(
        sid="OlderPlans",
        actions=("s3:GetObject",),
        resources=tuple(f"{place.bucket}/plans/{plan.workflow.name}/*" for plan in plans),
        because="every event: the plan it was made under, where an earlier deployment made it",
        wildcard="a plan is named by its version, a digest",
    )


def runs(log: str, place: Place, *, in_network: bool = True) -> Iterator[Statement]:
    """What every function needs for itself.

    Args:
        log: The ARN of its log group.
        place: Where.
        in_network: Whether it stands in the stack's network, where that has one.
    """
    yield Statement(
        sid="Log",
        actions=("logs:CreateLogStream", "logs:PutLogEvents"),
        resources=(f"{log}:*",),
        because="every function: its own log group",
        wildcard="Lambda names a log stream when it starts an environment",
    )
    if place.keys:
        yield Statement(
            sid="Decrypt",
            actions=("kms:Decrypt", "kms:GenerateDataKey"),
            resources=place.keys,
            because="every function: its queue, items, blobs and secrets are encrypted with the stack's key",
        )
    if place.in_network and in_network:
        yield Statement(
            sid="Network",
            actions=(
                "ec2:CreateNetworkInterface",
                "ec2:DescribeNetworkInterfaces",
                "ec2:DescribeSubnets",
                "ec2:DeleteNetworkInterface",
                "ec2:AssignPrivateIpAddresses",
                "ec2:UnassignPrivateIpAddresses",
            ),
            resources=("*",),
            because="every function: it stands in the stack's network",
            wildcard="Lambda asks for these before an interface has an ARN, and describing takes no resource",
        )


def _searches(grant: Grant, place: Place) -> Iterator[Statement]:
    """A question loses its personal data before it is encoded."""
    yield from _uses(grant, place)
    yield _secret("personal", grant, place)


def _uses(grant: Grant, place: Place) -> Iterator[Statement]:
    """A collection: which versions it has, and the key of the vector store; what a role may do there is the store's."""
    yield Statement(
        sid=_sid("Versions", grant.resource),
        actions=("dynamodb:GetItem",),
        resources=(place.table,),
        conditions=leading(joined(COLLECTION, grant.resource)),
        because=_parameter(grant),
    )
    yield Statement(
        sid="Carries",
        actions=("dynamodb:GetItem", "dynamodb:PutItem"),
        resources=(place.table,),
        conditions=leading(carriers()),
        because=f"{_parameter(grant)}: it says which encoders it carries",
    )
    yield _secret("vectors", grant, place)


def _upsert(grant: Grant, place: Place) -> Iterator[Statement]:
    """What is stored is held by its conversation; what was erased meanwhile is taken out again."""
    yield from _stores(grant, place)
    yield Statement(
        sid="Holds",
        actions=("dynamodb:Query", REMOVES),
        resources=(place.table,),
        conditions=leading(_HELD, f"{REQUEST}#*#{PASSAGE}#*", f"{REQUEST}#*#{TOKEN}#*"),
        because=_parameter(grant),
    )

    yield Statement(
        sid="ListTexts",
        actions=("s3:ListBucket",),
        resources=(place.bucket,),
        conditions={"StringLike": {"s3:prefix": f"{TEXTS}*"}, "Null": {"s3:prefix": "false"}},
        because=f"{_parameter(grant)}: every text that an erased passage ever had",
    )


def _remove(grant: Grant, place: Place) -> Iterator[Statement]:
    yield from _uses(grant, place)
    yield _drops(grant, place)


def _ingest(grant: Grant, place: Place) -> Iterator[Statement]:
    yield from _stores(grant, place)
    yield Statement(
        sid=_sid("Document", grant.resource),
        actions=("dynamodb:GetItem", "dynamodb:PutItem", REMOVES),
        resources=(place.table,),
        conditions=leading(f"{joined(DOCUMENT, grant.resource)}#*"),
        because=_parameter(grant),
    )


def _stores(grant: Grant, place: Place) -> Iterator[Statement]:
    """Where personal data becomes tokens, the originals go to the vault; a long text takes the place of another one."""
    yield from _searches(grant, place)
    yield _drops(grant, place)
    yield Statement(
        sid="Seal",
        actions=("dynamodb:GetItem", "dynamodb:BatchGetItem", "dynamodb:PutItem"),
        resources=(place.table,) if "personal" in place.secrets else (),
        conditions=leading(f"{VAULT}#*"),
        because=_parameter(grant),
    )


def _drops(grant: Grant, place: Place) -> Statement:
    """Long texts of passages: what is put and read of them is among the large data of every agent."""
    return Statement(
        sid="DropTexts",
        actions=("s3:DeleteObject",),
        resources=(f"{place.bucket}/{TEXTS}*",),
        because=_parameter(grant),
        wildcard="keys are digests: the prefix is all that is known of them before",
    )


def _append(grant: Grant, place: Place) -> Iterator[Statement]:
    yield Statement(
        sid="Say",
        actions=("dynamodb:PutItem",),
        resources=(place.table,),
        conditions=leading(f"{CONVERSATION}#*"),
        because=_parameter(grant),
    )


def _history(grant: Grant, place: Place) -> Iterator[Statement]:
    yield Statement(
        sid="Recall",
        actions=("dynamodb:Query",),
        resources=(f"{place.table}/index/{BY_TIME}",),
        conditions=leading(f"{CONVERSATION}#*"),
        because=_parameter(grant),
    )


def _model(grant: Grant, place: Place) -> Iterator[Statement]:
    yield Statement(
        sid="AskModel",
        actions=("bedrock:InvokeModel", "bedrock:InvokeModelWithResponseStream"),
        resources=place.models,
        because=_parameter(grant),
        wildcard="a profile that spreads calls names no regions" if any("*" in each for each in place.models) else "",
    )
    yield _secret("model", grant, place)


def _invoke(grant: Grant, place: Place) -> Iterator[Statement]:
    """Each effect is put down before its call; what was erased meanwhile is removed again."""
    yield Statement(
        sid="Effects",
        actions=("dynamodb:GetItem", "dynamodb:PutItem", REMOVES),
        resources=(place.table,),
        conditions=leading(f"{EFFECT}#*", _HELD),
        because=_parameter(grant),
    )
    yield _secret("actions", grant, place)


def _names(_grant: Grant, _place: Place) -> Iterator[Statement]:
    """The names of actions come with the function."""
    return iter(())


def _reveal(grant: Grant, place: Place) -> Iterator[Statement]:
    yield Statement(
        sid="Originals",
        actions=("dynamodb:GetItem", "dynamodb:BatchGetItem"),
        resources=(place.table,),
        conditions=leading(f"{VAULT}#*"),
        because=_parameter(grant),
    )
    yield _secret("personal", grant, place)


def _secret(name: str, grant: Grant, place: Place) -> Statement:
    """A secret of the stack; without a resource, and so left out, where the stack has none of this name."""
    return Statement(
        sid=_sid("Secret", name),
        actions=("secretsmanager:GetSecretValue",),
        resources=(place.secrets[name],) if name in place.secrets else (),
        because=_parameter(grant),
    )


def leading(*partitions: str) -> Mapping[str, Mapping[str, str | tuple[str, ...]]]:
    """Only items of these partitions; a call that names none is refused, too."""
    return {
        "ForAllValues:StringLike": {"dynamodb:LeadingKeys": partitions},
        "Null": {"dynamodb:LeadingKeys": "false"},
    }


def _parameter(grant: Grant) -> str:
    optional = " | None" if grant.optional else ""
    return f'{grant.parameter}: Annotated[{grant.capability.__name__}, "{grant.resource}"]{optional}'


def _sid(kind: str, name: str) -> str:
    return kind + "".join(part.title() for part in name.replace("_", "-").split("-"))


def _plain(conditions: Mapping[str, Mapping[str, str | tuple[str, ...]]]) -> dict[str, dict[str, str | list[str]]]:
    return {
        operator: {key: value if isinstance(value, str) else list(value) for key, value in keys.items()}
        for operator, keys in conditions.items()
    }


#: What each capability allows. A capability that is missing here fails a test.
_GRANTED: Final[Mapping[type[Any], Callable[[Grant, Place], Iterator[Statement]]]] = {
    ActionNames: _names,
    Append: _append,
    History: _history,
    Ingest: _ingest,
    Invoke: _invoke,
    LanguageModel: _model,
    Lookup: _uses,
    Remove: _remove,
    Reveal: _reveal,
    Search: _searches,
    Upsert: _upsert,
}
