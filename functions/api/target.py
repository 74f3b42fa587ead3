"""What the API asks of the target that it runs on, and what follows from the workflows there."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import datetime

from functions.ports.blobs import Blobs
from functions.ports.conversations import Conversations
from functions.ports.requests import Limits, Requests
from functions.ports.rights import Rights
from functions.ports.stops import Stops
from functions.ports.vectors import Collection
from functions.runtime.workflow import Plan


@dataclass(frozen=True)
class Target:
    """A target's ports, made once at its start.

    Attributes:
        plans: By the workflow's name.
        collections: By the resource name that the workflows declare.
        limits: On what waits to be answered.
        secured: Whether callers need an API key.
    """

    plans: Mapping[str, Plan]
    requests: Requests
    conversations: Conversations
    rights: Rights
    collections: Mapping[str, Collection]
    blobs: Blobs
    stops: Stops
    now: Callable[[], datetime]
    limits: Limits
    secured: bool


def takes_messages(plan: Plan) -> bool:
    """Whether a workflow can be asked: its entry event has a text."""
    return "text" in plan.workflow.entry.__struct_fields__
