"""The function of one agent: its signature says what it may do, its file how much memory and time it has."""

from functions.runtime.agent import AgentSpec
from infra.components.code import Uploaded
from infra.components.common import Common, Platform
from infra.components.function import Function, FunctionArgs, Surroundings
from infra.settings import AgentSettings

AgentFunction = Function  # what others need of it


def agent_function_args(  # noqa: PLR0913 - what its file says, what the stack says, and what all have
    spec: AgentSpec,
    settings: AgentSettings,
    *,
    common: Common,
    platform: Platform,
    surroundings: Surroundings,
    code: Uploaded,
) -> FunctionArgs:
    """What an agent's file says, but where the stack says otherwise."""
    return FunctionArgs(
        common=common,
        platform=platform,
        surroundings=surroundings,
        function=spec.name,
        code=code,
        memory_mb=settings.memory_mb or spec.memory_mb,
        timeout_s=settings.timeout_s or spec.timeout_s,
        concurrency=settings.concurrency,
        warm=settings.warm,
        snap_start=settings.snap_start,
    )
