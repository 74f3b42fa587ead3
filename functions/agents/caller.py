"""Has an action done that the user asked for by its name: one call of a server outside, once."""

from typing import Annotated

from functions.errors import PermanentError
from functions.events.answer import ActionAnswered, ActionRequested
from functions.ports.actions import Invoke
from functions.runtime.agent import Backoff, Delivery, agent


@agent(memory_mb=256, timeout_s=30, delivery=Delivery(backoff=Backoff(minimum_s=2.0, maximum_s=60.0)))
def caller(requested: ActionRequested, *, actions: Annotated[Invoke, "actions"] | None) -> ActionAnswered:
    """Send the user's words; what is in doubt, refused or not to be reached ends as the error says it."""
    if actions is None:
        raise PermanentError(
            f"this stack declares no action {requested.action!r} any more: ask again", reason="unknown action"
        )
    result = actions.invoke(requested.action, requested.text)
    return ActionAnswered(action=requested.action, status=result.status, text=result.text, cut=result.cut)
