"""Dead letters: what was given up, with what is needed to understand and to redrive it."""

from datetime import datetime

import msgspec

from functions.errors import PermanentError
from functions.events.envelope import Envelope, MalformedEnvelopeError, decode, digest, encode
from functions.events.utf8 import storable
from functions.ports.state import DeadLetter, Task

TRACE_LINES = 8
SAID_CHARACTERS = 1000  # an agent may raise with a whole document in its message


def said(error: Exception) -> str:
    """The error in words: a type's name tells nothing where the message was written to be read."""
    try:
        words = str(error) if isinstance(error, PermanentError) else f"{type(error).__name__}: {error}"
    except Exception:  # noqa: BLE001 - whatever an agent raises is recorded, even what cannot say what it is
        words = f"{type(error).__name__}, whose message cannot be read"
    return storable(words[:SAID_CHARACTERS])


def given_up(task: Task, reason: str, error: Exception, attempt: int, now: datetime) -> DeadLetter:
    """The letter of a delivery that will not be tried again."""
    from traceback import format_exception  # noqa: PLC0415 - only a failure pays for this import

    return DeadLetter(
        key=task.key,
        agent=task.agent,
        reason=reason,
        error=said(error),
        trace=storable("".join(line[:SAID_CHARACTERS] for line in format_exception(error)[-TRACE_LINES:])),
        attempt=attempt,
        age_s=(now - task.envelope.time).total_seconds(),
        at=now,
        request=task.envelope.request,
        conversation=task.envelope.conversation,
        tenant=task.envelope.tenant,
        event=encode(task.envelope),
    )


def misplaced(agent: str, raw: bytes, envelope: Envelope, error: Exception, now: datetime) -> DeadLetter:
    """The letter of an event that lies, or came where nobody expects it: its id may be that of an honest one."""
    letter = unreadable(agent, raw, error, now)
    return msgspec.structs.replace(
        letter,
        age_s=(now - envelope.time).total_seconds(),
        request=envelope.request,
        conversation=envelope.conversation,
        tenant=envelope.tenant,
    )


def fallen(agent: str, raw: bytes, error: Exception, now: datetime) -> DeadLetter:
    """The letter of bytes that nobody took in, whatever they are: it belongs where they say, if they say it."""
    try:
        envelope = decode(raw)
    except MalformedEnvelopeError:
        return unreadable(agent, raw, error, now)
    return misplaced(agent, raw, envelope, error, now)


def unreadable(agent: str, raw: bytes, error: Exception, now: datetime) -> DeadLetter:
    """The letter of bytes that are no envelope."""
    return DeadLetter(
        key=digest(agent, raw),
        agent=agent,
        reason="malformed envelope",
        error=storable(str(error)[:SAID_CHARACTERS]),
        trace="",
        attempt=1,
        age_s=0.0,
        at=now,
        request="",
        conversation="",
        tenant="",
        event=raw,
    )
