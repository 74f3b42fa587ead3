"""What a function may do on AWS, as `troupe explain --aws` tells it: under example names, since no stack is asked."""

from collections.abc import Sequence

import msgspec

from functions.runtime.topology import topology
from functions.runtime.workflow import Plan
from functions.workflows.catalog import WORKFLOWS
from infra.aws.grants import Place, Statement, statements
from infra.aws.service_grants import SERVICES, service
from infra.naming import Names
from ops.explain import explain

_NAMES = Names("troupe", "example")
_REGION, _ACCOUNT = "eu-central-1", "123456789012"
_SECRETS = ("model", "vectors", "actions", "personal", "api-keys")


class Policy(msgspec.Struct, frozen=True, kw_only=True):
    """What the role of a function allows.

    Attributes:
        file: Where its reasons are: the agent's signature, or the list of the services.
    """

    function: str
    file: str
    allowed: tuple[Statement, ...]


def names() -> list[str]:
    """The agents of every workflow, and the services."""
    return [*_agents(_plans()), *SERVICES]


def policy_of(function: str) -> Policy:
    """What an agent or a service may do, over all workflows.

    Raises:
        KeyError: There is neither of this name.
    """
    plans = _plans()
    if function in SERVICES:
        found = service(function, plans, _place(plans))
        return Policy(function=function, file="infra/aws/service_grants.py", allowed=tuple(found))
    plan = next((plan for plan in plans if function in plan.nodes), None)
    if plan is None:
        raise KeyError(function)
    found = statements(function, plans, _place(plans))
    return Policy(function=function, file=explain(plan, function).file, allowed=tuple(found))


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
