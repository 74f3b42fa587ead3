"""A dead-letter queue: EventBridge's for what it could not deliver, and SQS's for what was received too often.

EventBridge says which rule and which error in attributes of the message. What it leaves there may be the whole event:
the documentation does not say whether a target's `input_path` counts, so both are read.
"""

from collections.abc import Mapping
from datetime import datetime
from typing import Any, Final

import msgspec

from functions.adapters.aws.bus import DUE, due_of
from functions.adapters.aws.client import SQS, Aws
from functions.events.decoding import decoder

AT_ONCE: Final = 10
HIDDEN_S: Final = 120  # longer than a round takes
_RULE, _CODE, _MESSAGE = "RULE_ARN", "ERROR_CODE", "ERROR_MESSAGE"


class Fallen(msgspec.Struct, frozen=True, kw_only=True):
    """A message in a net.

    Attributes:
        body: The envelope.
        receipt: What it is deleted by.
        received: How often it was received, this time included.
        rule: The ARN of the rule of EventBridge that could not deliver it; empty where it did.
        error: What EventBridge says.
        due: When it is to be handled, where that is said.
    """

    body: bytes
    receipt: str
    received: int
    rule: str = ""
    error: str = ""
    due: datetime | None = None


class Net:
    """One dead-letter queue, by its URL."""

    def __init__(self, aws: Aws, url: str) -> None:
        self._aws = aws
        self._url = url

    def receive(self) -> list[Fallen]:
        """Some of what is there; what is not removed is seen again later."""
        asked = {
            "QueueUrl": self._url,
            "MaxNumberOfMessages": AT_ONCE,
            "VisibilityTimeout": HIDDEN_S,
            "MessageSystemAttributeNames": ["ApproximateReceiveCount"],
            "MessageAttributeNames": ["All"],
        }
        return [_fallen(message) for message in self._aws.call(SQS, "ReceiveMessage", asked).get("Messages") or []]

    def remove(self, fallen: Fallen) -> None:
        """It is done with."""
        self._aws.call(SQS, "DeleteMessage", {"QueueUrl": self._url, "ReceiptHandle": fallen.receipt})


def _fallen(message: Mapping[str, Any]) -> Fallen:
    said = {name: each.get("StringValue", "") for name, each in (message.get("MessageAttributes") or {}).items()}
    return Fallen(
        body=envelope_in(message["Body"].encode()),
        receipt=message["ReceiptHandle"],
        received=int((message.get("Attributes") or {}).get("ApproximateReceiveCount", 1)),
        rule=said.get(_RULE, ""),
        error=": ".join(filter(None, (said.get(_CODE), said.get(_MESSAGE)))),
        due=due_of(said.get(DUE, "")),
    )


class _Event(msgspec.Struct):
    detail: msgspec.Raw
    kind: str = msgspec.field(name="detail-type")


def envelope_in(body: bytes) -> bytes:
    """The detail of an event of EventBridge; anything else as it is."""
    try:
        return bytes(decoder(_Event).decode(body).detail)
    except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError):
        return body
