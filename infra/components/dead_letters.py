"""The sweeper: turns what lands in the nets below routes into dead letters, and settles requests that are overdue."""

from dataclasses import dataclass

from infra.components.function import FunctionArgs


@dataclass(frozen=True, kw_only=True)
class DeadLettersArgs:
    """The sweeper's function.

    Attributes:
        every: How often it sweeps.
    """

    sweeper: FunctionArgs
    every: str = "1 minute"
