"""The function of an agent: a message of its queue is an event, and Lambda is told which messages are to come again.

Which agent it is stands in the environment. It is put together while Lambda starts the function,
before the first event.
"""

import os
import time
from collections.abc import Callable, Mapping
from datetime import UTC, datetime, timedelta
from functools import cache
from typing import Any, Final

import msgspec

from functions.adapters.aws.queue import handled
from functions.adapters.items.state import ItemState
from functions.entry_points.aws.capabilities import Capabilities
from functions.entry_points.aws.environment import DEPLOYED
from functions.entry_points.aws.invocation import LambdaContext
from functions.entry_points.aws.stack import Stack
from functions.errors import TroupeError
from functions.runtime.agent import Grant
from functions.runtime.delivery import Binding, Outcome, Ports, deliver

SPARE: Final = 0.1  # of the time of an invocation, kept to write down what came of it
MOST_SPARE_S: Final = 3.0
TELL_S: Final = 0.2


class AgentFunction:
    """One agent of a stack. It handles one invocation at a time, as Lambda has it.

    Args:
        environment: What the infrastructure set, and what Lambda did.
        now: The time, in UTC.

    Raises:
        TroupeError: The environment is none of this project's, or no deployed workflow has the agent.
    """

    def __init__(
        self, environment: Mapping[str, str], *, now: Callable[[], datetime] = lambda: datetime.now(UTC)
    ) -> None:
        self._ends = float("inf")
        self._now = now
        self._stack = Stack(environment, now=now, left_s=self._left_s)
        self._agent = self._stack.deployed.function
        self._queue = _queue_of(self._agent, self._stack)
        self._capabilities = Capabilities(self._stack)

    def handle(self, event: Mapping[str, Any], left_s: float) -> dict[str, Any]:
        """What Lambda is answered for a batch of messages.

        What a port raises comes out: Lambda counts it as an error, and SQS shows the message again.

        Args:
            event: Of the queue's event source mapping.
            left_s: How long the invocation may take.
        """
        self._ends = time.monotonic() + left_s
        return handled(event, aws=self._stack.aws, queue=self._queue, deliver=self._deliver, now=self._now)

    def _left_s(self) -> float:
        """For a call, so that an error of it can still be told."""
        return self._ends - time.monotonic() - TELL_S

    def _deliver(self, raw: bytes) -> Outcome:
        stack = self._stack
        left_s = self._ends - time.monotonic()
        until = self._now() + timedelta(seconds=left_s - min(SPARE * left_s, MOST_SPARE_S))

        def bind(grant: Grant, binding: Binding) -> object:
            return self._capabilities.bind(grant, msgspec.structs.replace(binding, until=min(binding.until, until)))

        state = ItemState(stack.items, stack.blobs, stack.bus, stack.now)
        return deliver(
            self._agent,
            raw,
            Ports(plans=stack.plans, state=state, blobs=stack.blobs, bind=bind, now=stack.now),
        )


def _queue_of(agent: str, stack: Stack) -> str:
    if agent not in stack.agents:
        raise TroupeError(f"no deployed workflow has the agent {agent}: deploy code and settings together")
    if not stack.deployed.queues_at:
        raise TroupeError(
            f"where the queue of {agent} is, its settings do not say: deploy it with the project's program"
        )
    return stack.queue(agent)


@cache
def function() -> AgentFunction:
    """The one of this process."""
    return AgentFunction(os.environ)


def handler(event: Mapping[str, Any], context: LambdaContext) -> dict[str, Any]:
    """What Lambda calls."""
    return function().handle(event, context.get_remaining_time_in_millis() / 1000)


if DEPLOYED in os.environ:
    function()
