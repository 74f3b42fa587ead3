"""An agent behind its SQS queue: each message is taken through `deliver`, and hidden until it is due again.

A timer that comes too early is sent anew: hidden, it would use up its receives, and be as old as when it was first sent
when SQS drops what is too old. It is acknowledged after that; what comes twice is known by its id.
"""

import contextlib
from collections.abc import Callable, Mapping
from datetime import datetime, timedelta
from typing import Any, Final

from functions.adapters.aws.bus import DUE, due_of, send_later
from functions.adapters.aws.client import SQS, Aws, AwsError
from functions.runtime.agent import Backoff
from functions.runtime.delivery import Outcome

#: SQS's 12 hours, which it counts from the receipt, less ten minutes: a function may have had a message for nine.
LONGEST_HIDDEN_S: Final = 42_600
PAUSE: Final = Backoff(minimum_s=5.0, maximum_s=120.0)  # after what a port raised, by receives


def handled(
    event: Mapping[str, Any],
    *,
    aws: Aws,
    queue: str,
    deliver: Callable[[bytes], Outcome],
    now: Callable[[], datetime],
) -> dict[str, Any]:
    """What Lambda is answered for a batch: the ids of the messages that are to be seen again.

    What `deliver` raises comes out, once SQS was told to show its message soon.

    Args:
        event: With `Records`, as an event source mapping sends it.
        aws: The client that hides a message until it is due, or sends it anew.
        queue: The URL of the queue.
        deliver: Takes the bytes of one message through the agent.
        now: The time, in UTC.
    """
    failures = []
    for record in event["Records"]:
        later = _due_later(record, now())
        if later is not None:
            send_later(aws, queue, record["body"], due=later, now=now())
            continue
        try:
            due = deliver(record["body"].encode()).due
        except Exception:
            _come_again_soon(aws, queue, record, now())
            raise
        if due is not None:
            _hide(aws, queue, record, due, now())
            failures.append({"itemIdentifier": record["messageId"]})
    return {"batchItemFailures": failures}


def _due_later(record: Mapping[str, Any], now: datetime) -> datetime | None:
    """When a message is to be handled that came too early."""
    said = record.get("messageAttributes", {}).get(DUE) or {}
    due = due_of(said.get("stringValue", ""))
    return due if due is not None and (due - now).total_seconds() > 1 else None


def _come_again_soon(aws: Aws, queue: str, record: Mapping[str, Any], now: datetime) -> None:
    """Show a message that could not be delivered before its visibility is over, which is longer than an attempt."""
    tried = int(record["attributes"]["ApproximateReceiveCount"])
    again = now + timedelta(seconds=PAUSE.after(tried, jitter=0.0))
    with contextlib.suppress(AwsError):  # then SQS shows it once that is over
        _hide(aws, queue, record, again, now)


def _hide(aws: Aws, queue: str, record: Mapping[str, Any], until: datetime, now: datetime) -> None:
    seconds = min(max(round((until - now).total_seconds()), 0), LONGEST_HIDDEN_S)
    given = {"QueueUrl": queue, "ReceiptHandle": record["receiptHandle"], "VisibilityTimeout": seconds}
    aws.call(SQS, "ChangeMessageVisibility", given)
