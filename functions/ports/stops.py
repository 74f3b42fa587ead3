"""The stop switch: no agent is called for what is stopped, until it is resumed."""

from collections.abc import Sequence
from datetime import datetime
from typing import Literal, Protocol

import msgspec

STACK = "stack"  # what the stop switch of everything is kept under


class Scope(msgspec.Struct, frozen=True, kw_only=True):
    """What can be stopped.

    Attributes:
        kind: A conversation, every request of a workflow, or everything.
        name: Of the conversation or the workflow; empty for the stack.
        tenant: Whose conversation; empty for the others.
    """

    kind: Literal["conversation", "workflow", "stack"]
    name: str = ""
    tenant: str = ""

    def __str__(self) -> str:
        """As a person reads it."""
        return "everything" if self.kind == "stack" else f"the {self.kind} {self.name}"


class Stop(msgspec.Struct, frozen=True, kw_only=True):
    """A stop that holds.

    Attributes:
        reason: In words; empty where none was given.
        by: Who stopped it; empty where nobody said.
        at: Since when.
    """

    scope: Scope
    reason: str
    by: str
    at: datetime

    def __str__(self) -> str:
        """What the requests that it refuses end with."""
        by = f" by {self.by}" if self.by else ""
        reason = f": {self.reason}" if self.reason else ""
        return f"{self.scope} was stopped{by}{reason}"


class Stops(Protocol):
    """What is stopped: kept over restarts, and seen by every process within a second."""

    def stop(self, stop: Stop) -> None:
        """Refuse every delivery in this scope from now on; a stop of the same scope takes the place of the one before.

        An agent at work is not interrupted, but for its model: what it emits is refused.
        """
        ...

    def resume(self, scope: Scope) -> bool:
        """Let deliveries through again; whether the scope was stopped. Wider stops hold on."""
        ...

    def listed(self) -> Sequence[Stop]:
        """Every stop that holds, the oldest first."""
        ...

    def found(self, *, tenant: str, conversation: str, workflow: str) -> Stop | None:
        """The widest stop that holds for a request; None where it may go on."""
        ...


def keys(tenant: str, conversation: str, workflow: str) -> tuple[str, str, str]:
    """What the stops of a request are kept under, the widest first."""
    return STACK, workflow_scope(workflow), conversation_scope(tenant, conversation)


def conversation_scope(tenant: str, conversation: str) -> str:
    """What the stop switch of a conversation is kept under."""
    return f"conversation#{tenant}#{conversation}"


def workflow_scope(workflow: str) -> str:
    """What the stop switch of a workflow is kept under."""
    return f"workflow#{workflow}"


def key_of(scope: Scope) -> str:
    """What the stop switch of a scope is kept under."""
    if scope.kind == "conversation":
        return conversation_scope(scope.tenant, scope.name)
    return workflow_scope(scope.name) if scope.kind == "workflow" else STACK


def scope_of(key: str) -> Scope:
    """The scope that is kept under a key."""
    kind, _, rest = key.partition("#")
    if kind == "conversation":
        tenant, _, name = rest.partition("#")  # a tenant's name has no #
        return Scope(kind="conversation", name=name, tenant=tenant)
    return Scope(kind="workflow", name=rest) if kind == "workflow" else Scope(kind="stack")
