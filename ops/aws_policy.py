"""What a function or an operator may do on AWS, as `troupe explain --aws` tells it; under names of an example."""

from collections.abc import Iterator, Sequence

import msgspec

from functions.adapters.aws.blobs import DELIVERIES
from functions.adapters.aws.items import BY_TIME
from functions.runtime.topology import topology
from functions.runtime.workflow import Plan
from functions.workflows.catalog import WORKFLOWS
from infra.aws.grants import READS, REMOVES, WRITES, Place, Statement, statements
from infra.aws.service_grants import SERVICES, service
from infra.naming import Names
from ops.explain import explain

_NAMES = Names("troupe", "example")
_REGION, _ACCOUNT = "eu-central-1", "123456789012"
OPERATOR = "operator"  # a person, who looks after a stack by commands
_SECRETS = ("model", "vectors", "actions", "personal", "api-keys")


class Policy(msgspec.Struct, frozen=True, kw_only=True):
    """What the role of a function, or of a person, allows.

    Attributes:
        file: Where its reasons are: the agent's signature, the list of the services, or the commands of a person.
    """

    function: str
    file: str
    allowed: tuple[Statement, ...]


def names() -> list[str]:
    """The agents of every workflow, the services, and the operator."""
    return [*_agents(_plans()), *SERVICES, OPERATOR]


def policy_of(function: str) -> Policy:
    """What an agent or a service may do, over all workflows; or what a person needs for the commands with `--stack`.

    Raises:
        KeyError: There is none of this name.
    """
    plans = _plans()
    if function in SERVICES:
        found = service(function, plans, _place(plans))
        return Policy(function=function, file="infra/aws/service_grants.py", allowed=tuple(found))
    if function == OPERATOR:
        return Policy(function=function, file="ops/aws_policy.py", allowed=tuple(_operator(_place(plans))))
    plan = next((plan for plan in plans if function in plan.nodes), None)
    if plan is None:
        raise KeyError(function)
    found = statements(function, plans, _place(plans))
    return Policy(function=function, file=explain(plan, function).file, allowed=tuple(found))


def _operator(place: Place) -> Iterator[Statement]:
    """A person's own credentials are let through whole: who may stop a stack may see what is in it."""
    yield Statement(
        sid="State",
        actions=(*READS, *WRITES, REMOVES),
        resources=(place.table, f"{place.table}/index/{BY_TIME}"),
        because="every command: letters, stops, effects, conversations and the catalog are items",
    )
    yield Statement(
        sid="LargeData",
        actions=("s3:GetObject", "s3:PutObject", "s3:DeleteObject"),
        resources=(f"{place.bucket}/{DELIVERIES}*",),
        because="`dead-letters show` and `redrive`, `conversations export` and `erase`: data too large for an event",
        wildcard="keys are digests: the prefix is all that is known of them before",
    )
    yield Statement(
        sid="Plans",
        actions=("s3:GetObject",),
        resources=(f"{place.bucket}/plans/*",),
        because="`conversations`: which agents there were",
        wildcard="a plan is named by its version, a digest, and its workflow may be gone",
    )
    yield Statement(
        sid="ListBlobs",
        actions=("s3:ListBucket",),
        resources=(place.bucket,),
        conditions={
            "StringLike": {"s3:prefix": (f"{DELIVERIES}*", "plans/*")},
            "Null": {"s3:prefix": "false"},
        },
        because="`conversations`: what is held of each",
    )
    yield Statement(
        sid="Publish",
        actions=("events:PutEvents",),
        resources=(place.bus,),
        because="`dead-letters redrive`: events go through their agents again",
    )
    yield Statement(
        sid="Timers",
        actions=("sqs:SendMessage",),
        resources=tuple(place.queues.values()),
        because="`dead-letters redrive`: a join waits for what is redriven until its time is over",
    )
    yield Statement(
        sid="Decrypt",
        actions=("kms:Decrypt", "kms:GenerateDataKey"),
        resources=place.keys,
        because="every command, where the stack has a key of its own",
    )


def _plans() -> list[Plan]:
    return list(topology(*WORKFLOWS.values()).values())


def _agents(plans: Sequence[Plan]) -> list[str]:
    return sorted({name for plan in plans for name in plan.nodes})


def _place(plans: Sequence[Plan]) -> Place:
    """A stack that has everything a stack may have, so that no statement is left out."""
    agents = _agents(plans)
    return Place(
        bus=_arn("events", f"event-bus/{_NAMES.prefix}"),
        source=_NAMES.prefix,
        table=_arn("dynamodb", f"table/{_NAMES.prefix}"),
        bucket=f"arn:aws:s3:::{_NAMES.of(_ACCOUNT)}",
        queues={name: _arn("sqs", _NAMES.of(name)) for name in (*agents, "desk", "pusher", "uploads")},
        logs={name: _log(name) for name in (*agents, *SERVICES)},
        secrets={name: _arn("secretsmanager", f"secret:{_NAMES.of(name)}") for name in _SECRETS},
        models=(f"arn:aws:bedrock:{_REGION}::foundation-model/MODEL",),
        keys=(_arn("kms", "key/KEY"),),
        in_network=True,
        nets=_arn("sqs", _NAMES.of("*", "dead")),
        socket=_arn("execute-api", "API/live"),
    )


def _arn(product: str, resource: str) -> str:
    return f"arn:aws:{product}:{_REGION}:{_ACCOUNT}:{resource}"


def _log(name: str) -> str:
    return _arn("logs", f"log-group:/aws/lambda/{_NAMES.of(name)}")
