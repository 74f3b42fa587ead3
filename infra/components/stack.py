"""What all other components are in."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol

from infra.components.common import Common
from infra.naming import Names


@dataclass(frozen=True, kw_only=True)
class StackArgs:
    """The stack.

    Attributes:
        workflows: Those that are deployed: a tag of everything.
        cost_centre: Another.
        protect: Whether data outlives a deploy that leaves it out.
    """

    names: Names
    region: str
    workflows: Sequence[str]
    cost_centre: str
    protect: bool


class Stack(Protocol):
    """What every other component is told."""

    common: Common
