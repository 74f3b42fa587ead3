"""A batch of SQS for a service: each message on its own, those that failed are seen again."""

import logging
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from functions.events.envelope import Envelope, MalformedEnvelopeError, decode
from functions.ports.state import DeadLetter
from functions.runtime.arrival import refuse_foreign
from functions.runtime.dead_letters import fallen

log = logging.getLogger("troupe.services")


def each(event: Mapping[str, Any], take: Callable[[bytes], object]) -> dict[str, Any]:
    """What Lambda is answered for a batch: the ids of the messages that are to be seen again."""
    failures = []
    for record in event["Records"]:
        try:
            take(record["body"].encode())
        except Exception:
            log.exception("message %s is seen again", record["messageId"])
            failures.append({"itemIdentifier": record["messageId"]})
    return {"batchItemFailures": failures}


@dataclass(frozen=True)
class EventFilter:
    """Lets in what this stack has published, and keeps anything else as a dead letter.

    Attributes:
        service: Whose dead letter it is.
        workflows: Of this stack.
        park: Keeps a dead letter.
        now: The time, in UTC.
    """

    service: str
    workflows: frozenset[str]
    park: Callable[[DeadLetter], None]
    now: Callable[[], datetime]

    def accepted(self, raw: bytes) -> Envelope | None:
        """The envelope in a message; None where it is none, or comes from elsewhere."""
        try:
            envelope = decode(raw)
            self._refuse_elsewhere(envelope)
        except MalformedEnvelopeError as error:
            self.park(fallen(self.service, raw, error, self.now()))
            return None
        return envelope

    def _refuse_elsewhere(self, envelope: Envelope) -> None:
        if envelope.workflow not in self.workflows:
            known = ", ".join(sorted(self.workflows))
            raise MalformedEnvelopeError(f"workflow is {envelope.workflow[:80]!r}, and this stack has {known}")
        refuse_foreign(envelope, envelope.workflow)
