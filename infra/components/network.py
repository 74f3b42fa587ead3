"""A network that only functions and the stack's own server stand in: nothing in it has a public address."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol

import pulumi

from infra.components.common import Common
from infra.settings import NetworkSettings


@dataclass(frozen=True, kw_only=True)
class NetworkArgs:
    """The network.

    Attributes:
        settings: Its addresses, and whether what is outside can be reached.
        services: What functions call in it beside tables and buckets, as the cloud calls them.
    """

    common: Common
    settings: NetworkSettings
    services: Sequence[str]


class Network(Protocol):
    """Where to stand."""

    vpc: pulumi.Output[str]
    subnets: tuple[pulumi.Output[str], ...]
    zones: tuple[str, ...]
    functions: pulumi.Output[str]
