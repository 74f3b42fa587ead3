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
    """What functions publish to and routes begin at."""

    name: pulumi.Output[str]
    arn: pulumi.Output[str]
