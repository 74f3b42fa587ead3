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
from functions.runtime.delivery import Binding, Outcome
from functions.runtime.workflow import Workflow


class CloudlikeTarget:
    """See `Target`."""

    sets_clock: ClassVar[bool] = True

    def __init__(self, folder: Path, clock: Clock, *workflows: Workflow) -> None:
        del folder
        self._target = memory_target.MemoryTarget(*workflows, clock=clock)
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
        raws = [message.raw for message in self._target.bus.messages.values()]
        return [envelope for raw in raws if (envelope := readable(raw)) is not None]

    def letters(self) -> Sequence[DeadLetter]:
        letters = [letter for _, letter in self._target.table.query("dead_letter")]
        return sorted(letters, key=lambda letter: (letter.at, letter.agent, letter.key))

    def leases(self) -> int:
        return len(self._target.leases())

    def at_rest(self) -> bytes:
        table = self._target.table
        items = [table.query(partition) for partition in table.partitions("")]
        kept = msgspec.json.encode([table.partitions(""), items], enc_hook=repr)
        return b"\n".join([kept, *self.blobs.stored.values()])

    def conversation(self, binding: Binding) -> tuple[Append, History]:
        talk = memory_target.MemoryTalk(self._target.table, self.clock, binding)
        return talk, talk

    def spending(self, *, request: str, tenant: str) -> Spending:
        return memory_target.MemorySpending(self._target.table, tenant=tenant, request=request)

    def state(self, handed: Handed) -> State:
        del handed
        return self._target.state()

    def stop(self, *scope: str, reason: str) -> None:
        self.requests.stop("#".join(scope), reason)

    def resume(self, *scope: str) -> None:
        self.requests.resume("#".join(scope))

    def sweep(self) -> None:
        self._target.expire(self.clock() - timedelta(days=TTL_DAYS))


def _message(handed: Handed) -> memory_target.Handed:
    assert isinstance(handed.ticket, memory_target.Handed)
    return handed.ticket
