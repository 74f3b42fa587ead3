"""One machine: the shipped runtime over the shipped SQLite store, without its threads."""

import os
from collections.abc import Callable, Sequence
from datetime import datetime
from pathlib import Path
from typing import ClassVar

import msgspec
from harness import Clock, Harness
from target import Handed, readable

from functions.adapters.local.blobs import LocalBlobs
from functions.adapters.local.bus import DEADLINE
from functions.adapters.local.conversations import LocalAppend, LocalHistory
from functions.adapters.local.due import Entry
from functions.adapters.local.retention import sweep
from functions.adapters.local.spending import LocalSpending
from functions.adapters.local.state import LocalState
from functions.adapters.local.store import utc
from functions.events.envelope import Envelope
from functions.ports.conversations import Append, History
from functions.ports.spending import Spending
from functions.ports.state import DeadLetter, State
from functions.runtime.delivery import Binding, Outcome
from functions.runtime.workflow import Workflow

_LETTER = DeadLetter.__struct_fields__
_SEND = (
    "INSERT INTO queue (envelope_id, generation, agent, priority, due, envelope, holder)"
    " VALUES (?, 0, ?, 'normal', ?, ?, ?)"
)


class DatedBlobs(LocalBlobs):
    """Blobs whose files are as old as the clock of the test says."""

    def __init__(self, folder: Path, now: Callable[[], datetime]) -> None:
        super().__init__(folder)
        self._now = now

    def put(self, key: str, data: bytes) -> None:
        super().put(key, data)
        seconds = self._now().timestamp()
        os.utime(self._path(key), (seconds, seconds))


class LocalTarget:
    """See `Target`."""

    sets_clock: ClassVar[bool] = True

    def __init__(self, folder: Path, clock: Clock, *workflows: Workflow) -> None:
        self._harness = Harness(folder, *workflows, clock=clock)
        self.clock = clock
        self._sent = 0
        self.script = self._harness.script
        self.plans = self._harness.plans
        self.requests = self._harness.requests
        self.blobs = self._harness.blobs = DatedBlobs(folder / "blobs", self.clock)

    def close(self) -> None:
        self._harness.store.close()

    def publish(self, envelope: Envelope) -> None:
        self._harness.publish(envelope)

    def send(self, agent: str, raw: bytes) -> None:
        due, self._sent = self.clock().timestamp(), self._sent + 1
        row = (f"sent {self._sent}", agent, due, raw, self._harness.store.member.id)
        receipt = self._harness.store.write(lambda connection: connection.execute(_SEND, row).lastrowid)
        self._harness.bus.announce([Entry(due, 1, receipt or 0, agent)])

    def take(self, agent: str = "") -> Handed:
        entry = self._harness.take(agent)
        return Handed(entry.agent, self._harness.raw(entry), entry)

    def deliver(self, handed: Handed, raw: bytes) -> Outcome:
        return self._harness.deliver_again(_entry(handed), raw)

    def put_back(self, handed: Handed) -> None:
        self._harness.bus.announce([_entry(handed)])

    def lose(self, handed: Handed) -> None:
        receipt = _entry(handed).receipt
        self._harness.store.write(
            lambda connection: connection.execute("DELETE FROM queue WHERE receipt = ?", (receipt,))
        )

    def settle_overdue(self) -> None:
        self._harness.step(DEADLINE)

    def run_due(self) -> None:
        self._harness.run_due()

    def run(self) -> None:
        self._harness.run()

    def queued(self) -> Sequence[Envelope]:
        rows = self._harness.store.read("SELECT envelope FROM queue WHERE agent != ? ORDER BY receipt", (DEADLINE,))
        return [envelope for (raw,) in rows if (envelope := readable(raw)) is not None]

    def letters(self) -> Sequence[DeadLetter]:
        rows = self._harness.store.read(f"SELECT {', '.join(_LETTER)} FROM dead_letter ORDER BY at, agent, key")  # noqa: S608
        found = [dict(zip(_LETTER, row, strict=True)) for row in rows]
        return [msgspec.convert(each | {"at": utc(each["at"])}, DeadLetter) for each in found]

    def leases(self) -> int:
        return len(self._harness.leases())

    def at_rest(self) -> bytes:
        store = self._harness.store
        tables = [name for (name,) in store.read("SELECT name FROM sqlite_schema WHERE type = 'table'")]
        values = [value for table in tables for row in store.read(f"SELECT * FROM {table}") for value in row]  # noqa: S608
        files = [path.read_bytes() for path in (self._harness.folder / "blobs").iterdir()]
        return b"\n".join([*files, *(each if isinstance(each, bytes) else str(each).encode() for each in values)])

    def conversation(self, binding: Binding) -> tuple[Append, History]:
        store = self._harness.store
        return LocalAppend(store, self.clock, binding), LocalHistory(store, self.clock, binding)

    def spending(self, *, request: str, tenant: str) -> Spending:
        return LocalSpending(self._harness.store, tenant=tenant, request=request)

    def state(self, handed: Handed) -> State:
        return LocalState(self._harness.bus, _entry(handed).receipt)

    def stop(self, *scope: str, reason: str) -> None:
        self.requests.stop("#".join(scope), reason)

    def resume(self, *scope: str) -> None:
        self.requests.resume("#".join(scope))

    def sweep(self) -> None:
        sweep(self._harness.store, self.blobs, self.clock())


def _entry(handed: Handed) -> Entry:
    assert isinstance(handed.ticket, Entry)
    return handed.ticket
