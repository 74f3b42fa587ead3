"""A target in memory that works as a cloud must: single-item conditional writes, at least once, in no order."""

from collections.abc import Sequence
from datetime import timedelta
from pathlib import Path
from typing import ClassVar

import memory_target
import msgspec
from harness import Clock
from target import Handed, readable

from functions.events.envelope import Envelope
from functions.ports.conversations import TTL_DAYS, Append, History
from functions.ports.spending import Spending
from functions.ports.state import DeadLetter, State
from functions.ports.stops import Stop, scope_of
from functions.runtime.delivery import Binding, Outcome
from functions.runtime.workflow import Workflow


class CloudlikeTarget:
    """See `Target`."""

    sets_clock: ClassVar[bool] = True

    def __init__(
        self, folder: Path, clock: Clock, *workflows: Workflow, target: memory_target.MemoryTarget | None = None
    ) -> None:
        del folder
        self._target = target or memory_target.MemoryTarget(*workflows, clock=clock)
        self.clock = clock
        self.script = self._target.script
        self.plans = self._target.plans
        self.requests = self._target.requests
        self.blobs = self._target.blobs

    def close(self) -> None:
        """Nothing is held."""

    def publish(self, envelope: Envelope) -> None:
        self._target.publish(envelope)

    def send(self, agent: str, raw: bytes) -> None:
        self._target.bus.send(agent, raw, self.clock())

    def take(self, agent: str = "") -> Handed:
        message = self._target.take(agent)
        return Handed(message.agent, message.raw, message)

    def deliver(self, handed: Handed, raw: bytes) -> Outcome:
        return self._target.deliver(msgspec.structs.replace(_message(handed), raw=raw))

    def put_back(self, handed: Handed) -> None:
        self._target.bus.hide(_message(handed), self.clock())

    def lose(self, handed: Handed) -> None:
        self._target.bus.acknowledge(_message(handed))

    def settle_overdue(self) -> None:
        self.requests.sweep()

    def run_due(self) -> None:
        self._target.run_due()

    def run(self) -> None:
        self._target.run()

    def queued(self) -> Sequence[Envelope]:
        messages = [each for each in self._target.bus.messages.values() if each.agent != memory_target.DESK]
        return [envelope for each in messages if (envelope := readable(each.raw)) is not None]

    def letters(self) -> Sequence[DeadLetter]:
        return self._target.dead_letters()

    def leases(self) -> int:
        return len(self._target.leases())

    def at_rest(self) -> bytes:
        kept = [repr(self._target.items.partitions).encode()]
        values = [
            each.item.value for items in self._target.items.partitions.values() for each in items.values() if each.item
        ]
        return b"\n".join([*kept, *values, *self.blobs.stored.values()])

    def conversation(self, binding: Binding) -> tuple[Append, History]:
        talk = self._target.talk(binding)
        return talk, talk

    def spending(self, *, request: str, tenant: str) -> Spending:
        return self._target.spending(request=request, tenant=tenant)

    def state(self, handed: Handed) -> State:
        del handed
        return self._target.state()

    def stop(self, *scope: str, reason: str) -> None:
        self._target.stops.stop(Stop(scope=scope_of("#".join(scope)), reason=reason, by="", at=self.clock()))

    def resume(self, *scope: str) -> None:
        self._target.stops.resume(scope_of("#".join(scope)))

    def sweep(self) -> None:
        self._target.expire(self.clock() - timedelta(days=TTL_DAYS))


def _message(handed: Handed) -> memory_target.Handed:
    assert isinstance(handed.ticket, memory_target.Handed)
    return handed.ticket
