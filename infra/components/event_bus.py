"""The bus that carries every event of a stack."""

from dataclasses import dataclass
from typing import Protocol

import pulumi

from infra.components.common import Common


@dataclass(frozen=True, kw_only=True)
class EventBusArgs:
    """Nothing but its stack: it is called as that."""

    common: Common


class EventBus(Protocol):
    """What functions publish to and routes begin at.

    Attributes:
        dead_name: The queue of what gets as far as no rule; None where no key of ours could be the cause.
    """

    name: pulumi.Output[str]
    arn: pulumi.Output[str]
    dead_name: pulumi.Output[str] | None
