"""The function of one agent: its signature says what it may do, its file how much memory and time it has."""

from functions.runtime.agent import AgentSpec, Delivery
from infra.components.common import Bundle, Common, Platform
from infra.components.function import Function, FunctionArgs, Surroundings
from infra.settings import AgentSettings, DeliverySettings

AgentFunction = Function  # what others need of it


def agent_function_args(  # noqa: PLR0913 - what its file says, what the stack says, and what all have
    spec: AgentSpec,
    settings: AgentSettings,
    *,
    common: Common,
    platform: Platform,
    surroundings: Surroundings,
    bundle: Bundle,
) -> FunctionArgs:
    """What an agent's file says, but where the stack says otherwise."""
    return FunctionArgs(
        common=common,
        platform=platform,
        surroundings=surroundings,
        function=spec.name,
        bundle=bundle,
        memory_mb=settings.memory_mb or spec.memory_mb,
        timeout_s=timeout_s(spec, settings),
        concurrency=settings.concurrency,
        warm=settings.warm,
    )


def timeout_s(spec: AgentSpec, settings: AgentSettings) -> int:
    """Of one attempt."""
    return settings.timeout_s or spec.timeout_s


def delivery(spec: AgentSpec, settings: DeliverySettings) -> Delivery:
    """The contract of its routes."""
    own = spec.delivery
    return Delivery(
        attempts=settings.attempts or own.attempts, backoff=own.backoff, max_age_s=settings.max_age_s or own.max_age_s
    )
