"""How large the policies and environments of a stack's functions become: looked at before anything is made."""

import json
from collections.abc import Iterator, Mapping, Sequence
from typing import Any, Final

import msgspec

from functions.entry_points.aws.environment import DEPLOYED, Deployed, said
from functions.errors import TroupeError
from functions.runtime.workflow import Plan
from infra import environment
from infra.aws.granted import SECRETS
from infra.aws.grants import Place, Statement, policy, statements
from infra.aws.limits import ENVIRONMENT, POLICY
from infra.aws.models import model_arns
from infra.aws.service_grants import service
from infra.components.common import Common
from infra.components.service_function import deployed_services
from infra.settings import Settings

_ID: Final = "0" * 36  # as long as what AWS names itself
_URL: Final = f"https://{_ID}.execute-api.ap-southeast-1.amazonaws.com/live"


class TooLargeError(TroupeError):
    """A function would be given more than AWS takes."""


class Weight(msgspec.Struct, frozen=True):
    """Of one function, in characters."""

    policy: int
    environment: int


def check(chosen: Settings, common: Common, plans: Sequence[Plan]) -> None:
    """Whether AWS takes what every function is given.

    Raises:
        TooLargeError: With all that it would not take.
    """
    found = [
        f"the {what} of {name} has {has:,} characters, and AWS takes {most:,}"
        for name, weight in weights(chosen, common, plans).items()
        for what, has, most in (("policy", weight.policy, POLICY), ("environment", weight.environment, ENVIRONMENT))
        if has > most
    ]
    if found:
        raise TooLargeError(
            f"{'; '.join(found)}: shorten names and settings, or deploy some of the workflows as a stack of their own"
        )


def weights(chosen: Settings, common: Common, plans: Sequence[Plan]) -> dict[str, Weight]:
    """Of every function, under ARNs and URLs that are as long as those that will be made."""
    place = _place(chosen, common, plans)
    return {
        name: Weight(policy_size(allowed), environment_size(_told(name, allowed, place, chosen, plans)))
        for name, allowed in _allowed(chosen, place, plans)
    }


def policy_size(allowed: Sequence[Statement]) -> int:
    """As IAM counts: without white space."""
    return len(json.dumps(policy(allowed), separators=(",", ":")))


def environment_size(variables: Mapping[str, str]) -> int:
    """As Lambda's error measures it: the JSON of all variables, in which the quotes of another JSON count twice."""
    return len(json.dumps(variables, separators=(",", ":")).encode())


def _allowed(chosen: Settings, place: Place, plans: Sequence[Plan]) -> Iterator[tuple[str, list[Statement]]]:
    for name in sorted({name for plan in plans for name in plan.nodes}):
        yield name, statements(name, plans, place)
    for name in deployed_services(chosen):
        yield name, service(name, plans, place)


def _place(chosen: Settings, common: Common, plans: Sequence[Plan]) -> Place:
    names, secrets = common.names, sorted({*chosen.secrets, "vectors"})
    functions = [*sorted({name for plan in plans for name in plan.nodes}), *deployed_services(chosen)]

    def arn(product: str, resource: str) -> str:
        return f"arn:aws:{product}:{common.region}:{common.account}:{resource}"

    return Place(
        bus=arn("events", f"event-bus/{names.prefix}"),
        source=names.prefix,
        table=arn("dynamodb", f"table/{names.prefix}"),
        bucket=f"arn:aws:s3:::{names.of(common.account)}",
        queues={name: arn("sqs", names.of(name)) for name in functions},
        logs={name: arn("logs", f"log-group:/aws/lambda/{names.of(name)}") for name in functions},
        secrets={
            name: arn("secretsmanager", f"secret:{chosen.secrets.get(name, names.of(name))}-{_ID[:6]}")
            for name in secrets
        },
        models=model_arns(chosen.model, common),
        keys=() if chosen.encryption == "aws" else (arn("kms", f"key/{_ID}"),),
        in_network=chosen.network.vpc,
        nets=arn("sqs", names.of("*", "dead")),
        socket=arn("execute-api", f"{_ID[:10]}/live") if chosen.api.websocket else "",
    )


def _told(
    name: str, allowed: Sequence[Statement], place: Place, chosen: Settings, plans: Sequence[Plan]
) -> dict[str, Any]:
    reached = {arn for each in allowed for arn in each.resources}
    deployed = Deployed(
        function=name,
        source=place.source,
        workflows=tuple(plan.workflow.name for plan in plans),
        bus=place.source,
        table=place.source,
        bucket=place.bucket.rpartition(":")[2],
        queues_at=f"https://{place.nets}",
        services=("desk", "pusher", "uploads"),
        secrets={SECRETS[purpose]: arn for purpose, arn in place.secrets.items() if arn in reached},
        collections=environment.declared(chosen, plans),
        contract=environment.contract(chosen),
        budget_tokens=chosen.budget.tokens_per_request,
        budget_micros=environment.micros(chosen.budget.usd_per_request),
        socket_url=_URL if place.socket else "",
        tenant_claim=chosen.api.tenant_claim,
        timeout_s=540,
    )
    return {**environment.told(chosen), environment.VECTOR_URL: chosen.vectors.url or _URL, DEPLOYED: said(deployed)}
