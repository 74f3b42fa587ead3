"""A function that is no agent: the API's, the sweeper, the keeper, whoever hears how requests end."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Protocol

import pulumi

from infra.components.common import Bundle, Common, Platform
from infra.components.event_route import EventRoute


@dataclass(frozen=True, kw_only=True)
class ServiceFunctionArgs:
    """One function.

    Attributes:
        function: What it is called in the stack.
        policy: What it may do, as a policy document.
        environment: What it is told.
        route: What it works from; None where it is called.
        concurrency: How many messages it works on at once; as many as come, where it is None.
        warm: How many environments stay ready.
    """

    common: Common
    platform: Platform
    function: str
    bundle: Bundle
    policy: pulumi.Input[str]
    environment: Mapping[str, pulumi.Input[str]] = field(default_factory=dict)
    memory_mb: int = 512
    timeout_s: int = 30
    route: EventRoute | None = None
    concurrency: int | None = None
    warm: int = 0


class ServiceFunction(Protocol):
    """What calls it goes to `target`: the alias, which a deploy switches at once."""

    name: pulumi.Output[str]
    target: pulumi.Output[str]
    qualifier: pulumi.Output[str]
    invoke: pulumi.Output[str]
