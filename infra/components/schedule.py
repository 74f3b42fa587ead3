"""Calls a function again and again."""

from dataclasses import dataclass

from infra.components.common import Common
from infra.components.function import Function


@dataclass(frozen=True, kw_only=True)
class ScheduleArgs:
    """One schedule.

    Attributes:
        called: What the function is called in the stack.
        every: E.g. `1 minute`, `1 hour`.
        says: What the function is called with, as JSON.
    """

    common: Common
    called: str
    function: Function
    every: str
    says: str = "{}"
