"""What a function is allowed, as its role's policy, and told, in its environment: both from the same statements."""

import json
from collections.abc import Callable, Mapping
from typing import Any, Final

import msgspec
import pulumi

from functions.entry_points.aws.environment import DEPLOYED, Deployed, said
from infra.aws.grants import Place, Statement, policy
from infra.aws.service_grants import listeners
from infra.components.event_route import EventRoute
from infra.components.function import FunctionArgs, Surroundings

#: The setting that stands for each secret.
SECRETS: Final = {
    "model": "TROUPE_MODEL_KEY",
    "vectors": "TROUPE_VECTOR_KEY",
    "actions": "TROUPE_ACTION_SECRETS",
    "personal": "TROUPE_PERSONAL_DATA_KEY",
    "api-keys": "TROUPE_API_KEYS",
}

Allowed = Callable[[Place], list[Statement]]


class Granted(msgspec.Struct, frozen=True):
    """Of one function."""

    policy: pulumi.Output[str]
    environment: dict[str, pulumi.Input[str]]


def granted(
    args: FunctionArgs,
    allowed: Allowed,
    *,
    queues: Mapping[str, EventRoute],
    log: pulumi.Output[str],
    timeout_s: int | None = None,
) -> Granted:
    """The policy and the environment of a function.

    Args:
        args: The function.
        allowed: Its statements, in a place.
        queues: The routes that it may have to do with: a policy waits for no other queue.
        log: The ARN of its log group.
        timeout_s: What an agent's function is told of its time.
    """
    function, common, platform, around = args.function, args.common, args.platform, args.surroundings
    consumer, route = next(iter(queues.items()))  # by the convention of names, one tells where the others are
    url, net = common.names.of(consumer), common.names.of(consumer, "dead")
    found = pulumi.Output.all(
        bus=around.bus.arn,
        table=around.state.arn,
        bucket=around.blobs.arn,
        log=log,
        key=common.key or "",
        secrets=dict(around.secrets),
        socket=around.socket.arn if around.socket else "",
        queues={name: each.queue_arn for name, each in queues.items()},
        nets=route.dead_arn.apply(lambda arn: f"{arn.removesuffix(net)}{common.names.of('*', 'dead')}"),
    )
    names = pulumi.Output.all(
        bus=around.bus.name,
        table=around.state.name,
        bucket=around.blobs.name,
        socket=around.socket.url if around.socket else "",
        queues_at=route.queue_url.apply(lambda found: f"{found.removesuffix(url)}{common.names.of('')}"),
    )

    def place(known: Mapping[str, Any]) -> Place:
        return Place(
            bus=known["bus"],
            source=common.names.prefix,
            table=known["table"],
            bucket=known["bucket"],
            queues=known["queues"],
            logs={function: known["log"]},
            secrets=known["secrets"],
            models=around.models,
            keys=(known["key"],) if known["key"] else (),
            in_network=bool(platform.subnets),
            nets=known["nets"],
            socket=known["socket"],
        )

    def told(both: list[Any]) -> str:
        known, named = both
        where = place(known)
        deployed = _deployed(function, named, allowed(where), where, around)
        return said(msgspec.structs.replace(deployed, timeout_s=timeout_s))

    return Granted(
        policy=found.apply(lambda known: json.dumps(policy(allowed(place(known))))),
        environment={DEPLOYED: pulumi.Output.all(found, names).apply(told), **around.settings},
    )


def _deployed(
    function: str, named: Mapping[str, Any], allowed: list[Statement], place: Place, around: Surroundings
) -> Deployed:
    """Of secrets, those that a statement lets it reach."""

    def may(action: str, arn: str) -> bool:
        return any(action in each.actions and arn in each.resources for each in allowed)

    return Deployed(
        function=function,
        source=place.source,
        workflows=tuple(plan.workflow.name for plan in around.plans),
        bus=named["bus"],
        table=named["table"],
        bucket=named["bucket"],
        queues_at=named["queues_at"],
        services=tuple(listeners(around.plans, place)),
        secrets={
            SECRETS[purpose]: arn for purpose, arn in place.secrets.items() if may("secretsmanager:GetSecretValue", arn)
        },
        collections=around.collections,
        contract=around.contract,
        budget_tokens=around.budget_tokens,
        budget_micros=around.budget_micros,
        socket_url=named["socket"],
        tenant_claim=around.tenant_claim,
    )
