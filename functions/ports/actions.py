"""Actions: what an agent may have done by servers outside, and nothing but that."""

from collections.abc import Sequence
from typing import Protocol

import msgspec

from functions.errors import TroupeError
from functions.ports.capability import capability


class ActionError(TroupeError):
    """The server was not reached, or it is worth asking again: the delivery is retried, under the same key."""


class ActionResult(msgspec.Struct, frozen=True, kw_only=True):
    """What a server answered.

    Attributes:
        status: Of HTTP, always one that says it is done; None where a person said so, since no answer is known.
        text: Of the answer, as far as it is kept; without what no terminal shows, and without secrets.
        cut: Whether the answer was longer, or did not come whole in time.
    """

    status: int | None
    text: str = ""
    cut: bool = False


@capability(of="action")
class ActionNames(Protocol):
    """Know which actions there are."""

    def names(self) -> Sequence[str]:
        """Of every action that this stack declares, sorted."""
        ...


@capability(of="action")
class Invoke(Protocol):
    """Have an action done, once, however often the delivery is repeated or redriven."""

    def invoke(self, action: str, text: str) -> ActionResult:
        """Send the text to the action's server, unless that was done before: then what it answered.

        The second call of one action in a delivery is another effect than the first. A text that is worded anew at
        each attempt is refused once one was sent: let one agent word it and another invoke the action with it.

        Raises:
            ActionError: Nothing was done, or the same call may be repeated: retry.
            PermanentError: With the reason `effect in doubt` where it may have been done and is not repeated;
                `effect changed` where another text was sent; `action refused` where the server refused it;
                `address refused` where its host's addresses are not allowed; `unknown action`; `secret missing`;
                `erased` where its conversation is gone.
        """
        ...
