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
        permissions_boundary: The ARN of a policy that bounds every role; empty for none.
    """

    names: Names
    region: str
    workflows: Sequence[str]
    cost_centre: str
    protect: bool
    permissions_boundary: str = ""


class Stack(Protocol):
    """What every other component is told."""

    common: Common
