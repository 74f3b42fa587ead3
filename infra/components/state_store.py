"""The items of a stack: deliveries, joins, requests, conversations, dead letters, catalog and documents.

A conversation store is no component of its own: it is the partitions `conversation#…` of the same table, which only
agents with such a capability may touch.
"""

from dataclasses import dataclass
from typing import Protocol

import pulumi

from infra.components.common import Common


@dataclass(frozen=True, kw_only=True)
class StateStoreArgs:
    """Nothing but its stack."""

    common: Common


class StateStore(Protocol):
    """Where items are."""

    name: pulumi.Output[str]
    arn: pulumi.Output[str]
