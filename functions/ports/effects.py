"""The ledger of what servers outside were asked to do: the intent before each call, and what came of it."""

from collections.abc import Sequence
from datetime import datetime, timedelta
from typing import Literal, Protocol

import msgspec

from functions.errors import TroupeError
from functions.ports.actions import ActionResult

Status = Literal["sending", "sending again", "done", "refused", "in doubt", "not done"]
UNSETTLED: tuple[Status, ...] = ("sending", "sending again", "in doubt")
LONGEST_S = 600.0  # no attempt takes as long: after it, what is still `sending` was cut off by a crash


class Sent(msgspec.Struct, frozen=True, kw_only=True):
    """What is sent, without its headers: these may hold secrets.

    Attributes:
        method: Of HTTP.
        url: Where to.
        body: As JSON text.
        key_header: In which header the server is told the effect's key; empty where it honours none.
    """

    method: str
    url: str
    body: str
    key_header: str = ""


class Effect(msgspec.Struct, frozen=True, kw_only=True):
    """One thing that a server was asked to do.

    Attributes:
        key: The same over every retry and redrive; what a server that honours keys is told.
        request: Who asked for it last.
        conversation: Whose request that is.
        action: Its name.
        status: `sending`: it is being sent, or was when a crash cut it off; `sending again`: the same, after an
            earlier call that had no answer; `done`; `refused`: the server did nothing; `in doubt`: it was sent, and
            nobody knows what came of it; `not done`: a person looked and said so.
        sent: What was sent.
        received: What the server answered; None where nothing is known.
        at: When it was first sent.
    """

    key: str
    request: str
    conversation: str
    action: str
    status: Status
    sent: Sent
    received: ActionResult | None = None
    at: datetime


def renewed(found: Effect | None, intent: Effect, key_lasts_s: float) -> Effect:
    """How an effect stands once it is asked for: `sending` or `sending again` where it is to be sent now.

    What may have been done is sent again only to a server that honours keys, as long as it remembers them, and only
    exactly as it was sent before.
    """
    if found is None or found.status in ("refused", "not done"):
        return intent
    if found.status == "done":
        return found
    remembered = intent.at - found.at < timedelta(seconds=key_lasts_s)
    repeatable = bool(intent.sent.key_header) and found.sent == intent.sent and remembered
    return msgspec.structs.replace(
        found,
        status="sending again" if repeatable else "in doubt",
        request=intent.request,
        conversation=intent.conversation,
    )


def settled(found: Effect | None, key: str, status: Literal["done", "not done"], now: datetime) -> Effect:
    """How an effect stands once a person found out about it; see `Effects.settle`."""
    if found is None:
        raise TroupeError(f"there is no effect {key}: `troupe effects list` has their keys")
    if found.status not in UNSETTLED:
        raise TroupeError(f"the effect {key} is {found.status}: only one in doubt can be settled")
    if found.status != "in doubt" and (now - found.at).total_seconds() < LONGEST_S:
        raise TroupeError(f"the effect {key} may be being sent right now: settle it in {LONGEST_S / 60:.0f} minutes")
    received = ActionResult(status=None) if status == "done" else None
    return msgspec.structs.replace(found, status=status, received=received)


class Effects(Protocol):
    """The ledger of one tenant."""

    def find(self, key: str) -> Effect | None:
        """What is known of an effect; None where nobody asked for it."""
        ...

    def begin(self, intent: Effect, *, key_lasts_s: float) -> Effect:
        """Put down what is about to be sent, durably and at once; how it stands, as `renewed` says.

        Raises:
            PermanentError: With the reason `erased`: its request is gone, and nothing may be put down or sent for it.
        """
        ...

    def end(self, key: str, status: Status, received: ActionResult | None = None) -> None:
        """Put down what came of a call, durably; what is done or settled stays as it is."""
        ...

    def effects(self, *, conversation: str | None = None) -> Sequence[Effect]:
        """Of a conversation, or all of them; oldest first."""
        ...

    def in_doubt(self, request: str) -> Sequence[Effect]:
        """Those of a request that nobody knows the end of: being sent, cut off, or in doubt."""
        ...

    def settle(self, key: str, status: Literal["done", "not done"]) -> Effect:
        """Put down what a person found out about an effect in doubt; how it stands then.

        Raises:
            TroupeError: There is no such effect, it is not in doubt, or it may be being sent right now.
        """
        ...
