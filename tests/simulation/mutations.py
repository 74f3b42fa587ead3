"""The safeguards of delivery, each with what it is like without it.

The simulation is worth something where it tells the difference: `test_mutations.py` removes one at a time.
"""

import itertools
import sqlite3
from collections.abc import Callable, Mapping, Sequence
from datetime import datetime
from types import MappingProxyType
from typing import Any

import msgspec
import pytest
from memory_items import MemoryItems
from memory_target import MemoryTarget
from simulation.scenarios import HURRIED_S, PATIENT_S, Scenario

from functions.adapters.items import keys
from functions.adapters.items import requests as item_requests
from functions.adapters.items import state as item_state
from functions.adapters.items.dead_letters import ItemDeadLetters
from functions.adapters.items.requests import LONG_AGO, ItemRequests, Opened, Pending, Record
from functions.adapters.items.spending import ItemSpending
from functions.adapters.items.state import Ended, ItemState, Joined, Letter, Marks
from functions.adapters.local import ahead, joins, requests, settling, state
from functions.adapters.local.due import Entry
from functions.adapters.local.rows import Routes
from functions.adapters.local.spending import LocalSpending
from functions.adapters.models.bound import BoundModel
from functions.events.envelope import Envelope
from functions.ports.items import Place
from functions.ports.spending import Spending, Spent
from functions.ports.state import Begun, Finish, Part, Standing, Task
from functions.runtime import arrival, delivery, guard, outputs
from functions.runtime.delivery import _Attempt
from functions.runtime.redrive import Candidate

Patch = pytest.MonkeyPatch
Marked = Sequence[tuple[Letter, Candidate]]
LOCAL = ("sqlite", "ahead")
CLOUD = ("memory",)
EVERY = (*LOCAL, *CLOUD)
OVERRUNS = MappingProxyType({"deadline_s": HURRIED_S, "losing": False, "overruns": 0.1})
GIVES_UP = MappingProxyType({"deadline_s": PATIENT_S, "losing": False, "refuses": 0.15})


class Mutation(msgspec.Struct, frozen=True):
    """A safeguard, where it is, how to take it away, and what of a scenario makes it needed often."""

    name: str
    targets: tuple[str, ...]
    remove: Callable[[Patch], None]
    where: Mapping[str, object] = MappingProxyType({})

    def scenario(self, drawn: Scenario) -> Scenario:
        """What was drawn, on a target that has this safeguard."""
        target = drawn.target
        if target not in self.targets:
            target = self.targets[len(drawn.askings) % len(self.targets)]
        return msgspec.structs.replace(drawn, target=target, **self.where)


# ---------------------------------------------------------------------------------- what every target shares


def _counted(module: Any, name: str) -> Callable[[Patch], None]:  # noqa: ANN401 - a module
    """Another id at every try."""

    def remove(patch: Patch) -> None:
        original, counter = getattr(module, name), itertools.count()
        patch.setattr(module, name, lambda *parts: original(*parts, next(counter)))

    return remove


def _untold_failures(patch: Patch) -> None:
    patch.setattr(delivery, "failure", lambda *_: ())


def _untold_ends(patch: Patch) -> None:
    patch.setattr(outputs, "_ended", lambda *_: ())


def _no_timers(patch: Patch) -> None:
    patch.setattr(delivery, "timers", lambda *_: ())


def _works_for_what_is_settled(patch: Patch) -> None:
    original = _Attempt.proceed

    def proceed(attempt: _Attempt, begun: Begun) -> object:
        return original(attempt, msgspec.structs.replace(begun, standing=Standing()))

    patch.setattr(_Attempt, "proceed", proceed)


def _spends_whatever_it_costs(patch: Patch) -> None:
    def reserve(self: Spending, spent: Spent, *, within: Spent) -> bool:
        del within
        self.spend(spent)
        return True

    patch.setattr(BoundModel, "_affordable", lambda *_: 1_000_000)
    for ledger in (LocalSpending, ItemSpending):
        patch.setattr(ledger, "reserve", reserve)
    patch.setattr(guard, "_needs_a_model", lambda _: False)


# -------------------------------------------------------------------------------------------------- on SQLite


def _local_lease(patch: Patch) -> None:
    original = ahead.begin

    def begin(connection: sqlite3.Connection, bus: object, task: Task, receipt: int) -> Begun:
        connection.execute("UPDATE delivery SET lease_until = 0 WHERE key = ?", (task.key,))
        return original(connection, bus, task, receipt)  # type: ignore[arg-type]  # it is the bus

    patch.setattr(ahead, "begin", begin)
    patch.setattr(state, "begin", begin)


def _local_done(patch: Patch) -> None:
    patch.setattr(state, "mark_done", lambda *_: True)


def _local_early_join(patch: Patch) -> None:
    original = joins._standing

    def standing(connection: sqlite3.Connection, part: Part) -> tuple[int, bool, bool, bool, int]:
        *stands, arrived = original(connection, part)
        return *stands, arrived + 1

    patch.setattr(joins, "_standing", standing)


def _local_closed_join(patch: Patch) -> None:
    patch.setattr(joins, "_mark_joined", lambda *_: None)


def _local_awaited(patch: Patch) -> None:
    patch.setattr(joins, "_is_awaiting", lambda *_: False)


def _local_settlement(patch: Patch) -> None:
    original = settling.settle

    def settle(connection: sqlite3.Connection, routes: Routes, envelope: Envelope, now: float) -> list[Entry]:
        connection.execute("UPDATE request SET status = 'running' WHERE request = ?", (envelope.request,))
        return original(connection, routes, envelope, now)

    for module in (settling, state, requests):
        patch.setattr(module, "settle", settle)


def _local_deadline(patch: Patch) -> None:
    patch.setattr(requests, "set_deadline", lambda *_: [])


def _local_letters(patch: Patch) -> None:
    patch.setattr(state, "keep", lambda *_: None)


def _local_taken_over(patch: Patch) -> None:
    patch.setattr(state.LocalState, "_is_taken_over", lambda *_: False)


def _local_queue_of_a_conversation(patch: Patch) -> None:
    """Every request starts when it is accepted."""

    def start(connection: sqlite3.Connection, routes: Routes, *named: Any, **_: object) -> list[Entry]:
        rows = connection.execute(
            "UPDATE request SET status = 'running' WHERE tenant = ? AND conversation = ? AND status = 'waiting'"
            " RETURNING envelope",
            named[:2],
        ).fetchall()
        return [
            entry for (raw,) in rows for entry in settling.enqueue(connection, routes, settling.decode(raw), named[2])
        ]

    patch.setattr(requests, "start_next", start)


def _local_row(patch: Patch) -> None:
    """What was begun is in memory alone."""
    original = ahead.Publication._start

    def start(publication: ahead.Publication, *arguments: Any) -> None:
        before = len(publication.started)
        original(publication, *arguments)
        for entry in publication.started[before:]:
            publication._connection.execute("DELETE FROM queue WHERE receipt = ?", (entry.receipt,))

    patch.setattr(ahead.Publication, "_start", start)


# --------------------------------------------------------------------------------------------- as on a cloud


def _cloud_lease(patch: Patch) -> None:
    original = ItemState._record

    def record(self: ItemState, task: Task) -> tuple[Record | None, int]:
        found, revision = original(self, task)
        if found is not None and found.finished is None:
            found = msgspec.structs.replace(found, lease_until=LONG_AGO)
        return found, revision

    patch.setattr(ItemState, "_record", record)


def _cloud_done(patch: Patch) -> None:
    patch.setattr(ItemState, "_mark_done", lambda *_, **__: None)


def _cloud_conditions(patch: Patch) -> None:
    """Whoever writes last is right."""
    original = MemoryItems.put

    def put(self: MemoryItems, place: Place, value: bytes, **given: Any) -> bool:
        (found,) = self.get([place])
        return original(self, place, value, **given | {"revision": found.revision if found else 0})

    patch.setattr(MemoryItems, "put", put)


def _cloud_outbox(patch: Patch) -> None:
    """Nothing is stored: an attempt publishes what it made itself."""
    patch.setattr(
        ItemState,
        "_stored_end",
        lambda _, end: Ended(outputs=end.outputs, timers=end.timers, settlement=end.settlement, letter=end.letter),
    )


def _cloud_done_before_published(patch: Patch) -> None:
    original, done = ItemState.finish, ItemState._mark_done

    def finish(self: ItemState, end: Finish) -> None:
        found = self._record(end.task)
        done(self, end.task, "")
        patch.setattr(self, "_record", lambda _task: found)
        patch.setattr(self, "_mark_done", lambda *_, **__: None)
        original(self, end)

    patch.setattr(ItemState, "finish", finish)


def _cloud_parts(patch: Patch) -> None:
    """The count alone says whether a join is complete: whoever comes twice counts twice."""
    patch.setattr(ItemState, "_is_complete", lambda *_: True)


def _cloud_awaited(patch: Patch) -> None:
    patch.setattr(Marks, "is_awaiting", lambda *_: False)


def _cloud_outrun(patch: Patch) -> None:
    """What was made before a redrive settles the request as ever."""
    original = item_state.settle
    patch.setattr(item_state, "settle", lambda items, settlement, now, **_: original(items, settlement, now))


def _cloud_marked_before_published(patch: Patch) -> None:
    """A letter says that it was redriven before it is."""
    original = ItemDeadLetters._publish

    def publish(self: ItemDeadLetters, first: Envelope, pending: Pending, letters: Marked) -> None:
        for kept, found in letters:
            self._mark(kept, found, pending)
        original(self, first, pending, letters)

    patch.setattr(ItemDeadLetters, "_publish", publish)


def _cloud_closed_join(patch: Patch) -> None:
    """Nobody writes down that a join is closed."""
    original = ItemState._put

    def put(self: ItemState, place: Place, value: msgspec.Struct, revision: int = 0) -> bool:
        return isinstance(value, Joined) or original(self, place, value, revision)

    patch.setattr(ItemState, "_put", put)


def _cloud_settlement(patch: Patch) -> None:
    """Whoever settles last is right."""
    original = item_state.settle

    def settle(items: MemoryItems, settlement: Envelope, now: datetime, **named: int) -> None:
        place = keys.request(settlement.tenant, settlement.request)
        found, revision = item_requests.read(items, place)
        if found is not None:
            reopened = msgspec.structs.replace(found, status="running", closed=False)
            item_requests.write(items, reopened, revision, now)
        original(items, settlement, now, **named)

    patch.setattr(item_state, "settle", settle)
    patch.setattr(item_requests, "settle", settle)


def _cloud_deadline(patch: Patch) -> None:
    patch.setattr(ItemRequests, "sweep", lambda _: 0)
    patch.setattr(MemoryTarget, "next_sweep", lambda _: None)


def _cloud_letters(patch: Patch) -> None:
    patch.setattr(ItemState, "park", lambda *_: None)


def _cloud_taken_over(patch: Patch) -> None:
    """A late attempt gives up what another has taken over."""
    original = ItemState.finish

    def finish(self: ItemState, end: Finish) -> None:
        record, _ = self._record(end.task)
        if record is not None:
            self._attempt = record.attempts
        original(self, end)

    patch.setattr(ItemState, "finish", finish)


def _cloud_queue_of_a_conversation(patch: Patch) -> None:
    """Every request starts when it is accepted."""
    original = ItemRequests.accept

    def accept(self: ItemRequests, envelope: Envelope, **named: Any) -> bool:
        new = original(self, envelope, **named)
        found, _ = self._read(keys.request(envelope.tenant, envelope.request))
        if found is not None and found.status == "waiting":
            self._start(found)
        return new

    patch.setattr(ItemRequests, "accept", accept)


def _cloud_started_before_published(patch: Patch) -> None:
    original = ItemRequests._start

    def start(self: ItemRequests, head: Opened) -> None:
        running = msgspec.structs.replace(head, status="running")
        if self._write(running, self._read(keys.request(head.tenant, head.request))[1]):
            original(self, running)

    patch.setattr(ItemRequests, "_start", start)


MUTATIONS = (
    Mutation("an output's id is that of its delivery", EVERY, _counted(outputs, "derived_id")),
    Mutation("a delivery's key is that of its event", EVERY, _counted(arrival, "digest")),
    Mutation("a failure is told to its join", EVERY, _untold_failures),
    Mutation("a part that ends is told to its join", EVERY, _untold_ends),
    Mutation("a timer closes a scope", EVERY, _no_timers),
    Mutation("what is settled needs no work", EVERY, _works_for_what_is_settled),
    Mutation("a model is asked within the budget", EVERY, _spends_whatever_it_costs),
    Mutation("the lease, on SQLite", LOCAL, _local_lease),
    Mutation("the done mark, on SQLite", LOCAL, _local_done),
    Mutation("a join waits for all its parts, on SQLite", LOCAL, _local_early_join),
    Mutation("a closed join stays closed, on SQLite", LOCAL, _local_closed_join, OVERRUNS),
    Mutation("a request is settled once, on SQLite", LOCAL, _local_settlement, OVERRUNS),
    Mutation("a join waits for all that is redriven", LOCAL, _local_awaited, GIVES_UP),
    Mutation("the row of a deadline, on SQLite", LOCAL, _local_deadline),
    Mutation("what is given up leaves a letter, on SQLite", LOCAL, _local_letters),
    Mutation("a lease that was taken over stays theirs, on SQLite", LOCAL, _local_taken_over, GIVES_UP),
    Mutation("the queue of a conversation, on SQLite", LOCAL, _local_queue_of_a_conversation),
    Mutation("what is begun ahead has its row", ("ahead",), _local_row),
    Mutation("the lease, as on a cloud", CLOUD, _cloud_lease),
    Mutation("the done mark, as on a cloud", CLOUD, _cloud_done),
    Mutation("a write has its condition", CLOUD, _cloud_conditions),
    Mutation("outputs are stored before they are published", CLOUD, _cloud_outbox),
    Mutation("a delivery is done once all of it is published", CLOUD, _cloud_done_before_published),
    Mutation("a part counts once", CLOUD, _cloud_parts),
    Mutation("a closed join stays closed, as on a cloud", CLOUD, _cloud_closed_join),
    Mutation("a join waits for all that is redriven, as on a cloud", CLOUD, _cloud_awaited, GIVES_UP),
    Mutation("a redriven request is settled by no answer of before", CLOUD, _cloud_outrun, GIVES_UP),
    Mutation("a letter is marked once it was redriven", CLOUD, _cloud_marked_before_published, GIVES_UP),
    Mutation("a request is settled once, as on a cloud", CLOUD, _cloud_settlement, OVERRUNS),
    Mutation("the sweep of deadlines", CLOUD, _cloud_deadline),
    Mutation("what is given up leaves a letter, as on a cloud", CLOUD, _cloud_letters),
    Mutation("a lease that was taken over stays theirs, as on a cloud", CLOUD, _cloud_taken_over),
    Mutation("the queue of a conversation, as on a cloud", CLOUD, _cloud_queue_of_a_conversation),
    Mutation("a request runs once it is published", CLOUD, _cloud_started_before_published),
)
