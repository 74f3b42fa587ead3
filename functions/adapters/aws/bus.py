"""The `Bus` port on EventBridge, with SQS for what is due later.

An event's `source` is the stack's name and its workflow's, its `detail-type` the event's name and version, its detail
the envelope: so rules route it, and a role says which events its function may emit. A rule's target takes the detail
alone, so that a queue's message is the envelope.
"""

from collections.abc import Callable, Mapping, Sequence
from datetime import UTC, datetime
from typing import Any, Final

from functions.adapters.aws.client import EVENTS, LATER, SQS, Aws
from functions.errors import TroupeError
from functions.events.envelope import Envelope, encode
from functions.ports.state import Timer

DUE: Final = "due"  # the attribute of a message that is not to be handled before: seconds since 1970
LONGEST_DELAY_S: Final = 900  # SQS's
MOST_ENTRIES, MOST_BYTES = 10, 900_000  # of one PutEvents, which takes less than 1 MB
_FAILED: Final = frozenset({"InternalException", "InternalFailure"})  # of an entry, beside what may come later


class BusError(TroupeError):
    """The bus did not take an event: the delivery is tried again, and publishes it again."""


class EventBridgeBus:
    """See `Bus`.

    Args:
        aws: The client of both services.
        name: Of the bus.
        source: What a source begins with: the stack's name.
        queues: The URL of the queue of each agent that is told of something later.
        now: The time, in UTC.
    """

    def __init__(
        self,
        aws: Aws,
        *,
        name: str,
        source: str,
        queues: Mapping[str, str],
        now: Callable[[], datetime],
    ) -> None:
        self._aws = aws
        self._name = name
        self._source = source
        self._queues = queues
        self._now = now

    def publish(self, envelopes: Sequence[Envelope]) -> None:
        """See `Bus.publish`."""
        for entries in _batches([self._entry(envelope) for envelope in envelopes]):
            self._put(entries)

    def publish_later(self, timer: Timer) -> None:
        """See `Bus.publish_later`; one that is due after 15 minutes is put off again by whoever receives it."""
        envelope = timer.envelope
        if envelope.target not in self._queues:
            raise BusError(f"no queue is known for {envelope.target}: it is not deployed, or not in this role's grants")
        send_later(self._aws, self._queues[envelope.target], text_of(envelope), due=timer.due, now=self._now())

    def _entry(self, envelope: Envelope) -> dict[str, Any]:
        return {
            "Source": f"{self._source}.{envelope.workflow}",
            "DetailType": envelope.type,
            "Detail": text_of(envelope),
            "EventBusName": self._name,
        }

    def _put(self, entries: Sequence[dict[str, Any]]) -> None:
        left = list(entries)
        for _ in self._aws.tries(EVENTS):
            answered = self._aws.call(EVENTS, "PutEvents", {"Entries": left})
            refused = [
                (entry, said) for entry, said in zip(left, answered["Entries"], strict=True) if "EventId" not in said
            ]
            if not refused:
                return
            left = [entry for entry, _ in refused]
            if any(said.get("ErrorCode") not in LATER | _FAILED for _, said in refused):
                break
        entry, said = refused[0]
        raise BusError(
            f"EventBridge did not take {entry['DetailType']} on {self._name}: {said.get('ErrorCode')}, "
            f"{said.get('ErrorMessage')}"
        )


def send_later(aws: Aws, queue: str, body: str, *, due: datetime, now: datetime) -> None:
    """Send a message to a queue, to be handled when it is due: sooner it is not seen, as far as SQS can hide it."""
    delay = min(max(round((due - now).total_seconds()), 0), LONGEST_DELAY_S)
    message = {
        "QueueUrl": queue,
        "MessageBody": body,
        "DelaySeconds": delay,
        "MessageAttributes": {DUE: {"DataType": "Number", "StringValue": str(due.timestamp())}},
    }
    aws.call(SQS, "SendMessage", message)


def due_of(said: str) -> datetime | None:
    """When a message is to be handled, as its attribute says; None where that is no time: then it is at once."""
    try:
        return datetime.fromtimestamp(float(said), UTC)
    except (ValueError, OverflowError, OSError):
        return None


def text_of(envelope: Envelope) -> str:
    """An envelope as SQS takes it: of the characters that JSON leaves as they are, it refuses these two."""
    return encode(envelope).decode().replace("\ufffe", "\\ufffe").replace("\uffff", "\\uffff")


def _batches(entries: Sequence[dict[str, Any]]) -> list[list[dict[str, Any]]]:
    """Of one source and one type each: that is what a role's condition on a call says."""
    batches: list[list[dict[str, Any]]] = []
    size, kind = MOST_BYTES, ("", "")
    for entry in sorted(entries, key=_kind):
        own = len(entry["Detail"].encode()) + len(entry["Source"]) + len(entry["DetailType"])
        if size + own > MOST_BYTES or len(batches[-1]) == MOST_ENTRIES or kind != _kind(entry):
            kind = _kind(entry)
            batches.append([])
            size = 0
        batches[-1].append(entry)
        size += own
    return batches


def _kind(entry: dict[str, Any]) -> tuple[str, str]:
    return entry["Source"], entry["DetailType"]
