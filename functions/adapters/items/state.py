"""The `State` port over items: a write changes one, and a crash between any two is mended by the next try.

A delivery writes its record when it begins, what it ends with, and its record again; a count of its conversation's
pace comes beside these. A part of a join is an item and a count, so that only who may be the last one reads them all.
"""

import hashlib
from collections.abc import Callable, Iterable, Mapping, Sequence
from datetime import datetime, timedelta

import msgspec

from functions.adapters.items import keys
from functions.adapters.items.redriving import Awaited
from functions.adapters.items.requests import LONG_AGO, Record, is_erased, settle, standing, written
from functions.adapters.items.writing import STAYS, encoded
from functions.events.decoding import decoder
from functions.events.envelope import Envelope
from functions.ports.blobs import Blobs, prefix_of
from functions.ports.bus import Bus
from functions.ports.items import Items, Place
from functions.ports.state import Begun, DeadLetter, Finish, Gathered, Part, Task, Timer

INLINE_BYTES = 4 * 1024  # an item is billed by its size: what is larger lies in the blobs
ERROR_CHARACTERS = 300


class Ended(msgspec.Struct, frozen=True, kw_only=True):
    """What a delivery ended with, as whoever stored it first said; see `Finish`. In `blob`, where it is large."""

    outputs: tuple[Envelope, ...] = ()
    timers: tuple[Timer, ...] = ()
    settlement: Envelope | None = None
    letter: DeadLetter | None = None
    blob: str = ""


class Letter(msgspec.Struct, frozen=True, kw_only=True):
    """A dead letter; its event is in `blob`, where it is large.

    Attributes:
        redriven: When it was; None before.
        redriven_as: The request that carries on.
        generation: That its last redrive opened, whether or not its own event went again; 0 before any.
    """

    letter: DeadLetter
    blob: str = ""
    redriven: datetime | None = None
    redriven_as: str = ""
    generation: int = 0


class Joined(msgspec.Struct, frozen=True):
    """A join that is closed, with generation and index of the parts that count: a later one changes nothing."""

    generation: int
    parts: tuple[tuple[int, int], ...]


class Marks(msgspec.Struct, frozen=True):
    """What is known of a join beside its parts: as it was closed, by generation, and what redrives await."""

    closed: Mapping[int, Joined]
    awaited: Sequence[Awaited]

    def newest(self, *generations: int) -> int:
        """In which generation the join stands, with parts of these."""
        return max([*generations, *self.closed, *(each.generation for each in self.awaited)])

    def is_awaiting(self, arrived: Iterable[tuple[int, int]]) -> bool:
        """Whether a redrive still awaits a part, after these of a generation and an index."""
        newest = {index: generation for generation, index in sorted(arrived)}
        # what was not there when a later generation was closed will not come, nor what a request awaits that ended
        over = max([*(generation + 1 for generation in self.closed), *(each.since for each in self.awaited)], default=0)
        return any(each.generation >= over and newest.get(each.index, -1) < each.generation for each in self.awaited)


UNMARKED = Marks({}, ())


class ItemState:
    """One delivery's view of the state.

    Args:
        items: Of the stack.
        blobs: For what is too large for an item.
        bus: Carries what is published.
        now: The time, in UTC.
    """

    def __init__(self, items: Items, blobs: Blobs, bus: Bus, now: Callable[[], datetime]) -> None:
        self._items = items
        self._blobs = blobs
        self._bus = bus
        self._now = now
        self._attempt = 0

    # Joins

    def gather(self, part: Part) -> Gathered | None:
        """See `State.gather`; a part of what was erased is not kept."""
        if self._is_erased(part.envelope):
            return None
        marks = self._marks(part)
        if part.total and marks.newest(part.generation) not in marks.closed:
            self._put(keys.join(part, "part", f"{part.generation:07}", f"{part.index:05}"), part)
            arrived = self._items.count(keys.join(part, "count"), {"parts": 1}, expires_at=self._now() + STAYS)
            if marks == UNMARKED and (arrived or {})["parts"] < part.total:
                return None
        parts = self._parts(part)
        generation = marks.newest(part.generation, *(generation for generation, _ in parts))
        if generation not in marks.closed:
            newest = _newest(parts)
            if marks.is_awaiting([*parts, (part.generation, part.index)]):
                return None
            if not marks.closed and not self._is_complete(part, newest):
                return None  # a part was counted twice
        return self._gathered(part, generation, parts)

    def close(self, part: Part) -> Gathered | None:
        """See `State.close`; what was erased has nothing to close."""
        if self._is_erased(part.envelope):
            return None
        parts = self._parts(part)
        if self._marks(part).newest(0, *(generation for generation, _ in parts)) > part.generation:
            return None
        return self._gathered(part, part.generation, parts)

    @staticmethod
    def _is_complete(part: Part, newest: Mapping[int, object]) -> bool:
        return len(newest) >= part.total

    def _marks(self, part: Part) -> Marks:
        partition, prefix = keys.join(part, "mark", "")
        closed, awaited = {}, []
        _, closing = keys.join(part, "mark", "closed", "")
        for item in self._items.query(partition, prefix):
            if item.key.startswith(closing):
                joined = decoder(Joined).decode(item.value)
                closed[joined.generation] = joined
            else:
                awaited.append(decoder(Awaited).decode(item.value))
        return Marks(closed, tuple(awaited))

    def _parts(self, part: Part) -> dict[tuple[int, int], Envelope]:
        """What arrived, by generation and index."""
        partition, prefix = keys.join(part, "part", "")
        found = [decoder(Part).decode(item.value) for item in self._items.query(partition, prefix)]
        return {(each.generation, each.index): each.envelope for each in found}

    def _gathered(self, part: Part, generation: int, parts: Mapping[tuple[int, int], Envelope]) -> Gathered:
        """Close the join with the newest part of each index, unless somebody has; its parts then."""
        place, newest = keys.join(part, "mark", "closed", f"{generation:07}"), _newest(parts)
        closed = Joined(generation, tuple(newest[index] for index in sorted(newest)))
        if not self._put(place, closed):
            closed = self._marks(part).closed[generation]
        missing = [each for each in closed.parts if each not in parts]  # they came after `parts` was read
        found = parts if not missing else self._parts(part)
        return Gathered(generation=generation, parts=[found[each] for each in closed.parts])

    # A delivery

    def begin(self, task: Task) -> Begun:
        """See `State.begin`; the first attempt of all is one write, without a read before it."""
        if task.outrun:
            self._mark_done(task.outrun, "superseded: its join was redriven")
        record, revision = None, 0
        while True:
            now = self._now()
            if record is not None and record.finished is not None:
                return Begun(status="done", attempt=record.attempts, until=now)
            if record is not None and record.lease_until > now:
                return Begun(status="busy", attempt=record.attempts, until=record.lease_until)
            leased = _leased(task, record, now)
            if self._put(keys.record(task), leased, revision):
                self._attempt = leased.attempts
                return self._begun(task, leased)
            record, revision = self._record(task)

    def _begun(self, task: Task, leased: Record) -> Begun:
        stands = standing(self._items, task.envelope, self._now())
        if stands is None:
            self._items.delete([keys.record(task)])
            return Begun(status="done", attempt=leased.attempts, until=self._now())
        stored = self._ended(task) if leased.attempts > 1 else None
        return Begun(
            status="leased",
            attempt=leased.attempts,
            until=leased.lease_until,
            outputs=stored.outputs if stored else None,
            standing=stands,
        )

    def finish(self, finish: Finish) -> None:
        """See `State.finish`: whoever stored first, that is what everybody publishes."""
        task = finish.task
        record, _ = self._record(task)
        if record is None or record.finished is not None:
            return  # it is done, or was erased
        if finish.letter and record.attempts != self._attempt:
            return  # giving up is for the attempt that holds the lease
        ended = self._stored_end(finish)
        if ended.letter:
            self.park(ended.letter)
        if ended.settlement:
            settle(self._items, ended.settlement, self._now(), generation=ended.settlement.generation)
        self._bus.publish(ended.outputs)
        for timer in ended.timers:  # no bus takes a message back: one that is of no use any more finds its join done
            self._bus.publish_later(timer)
        self._mark_done(task, ended.letter.error if ended.letter else "", failed=ended.letter is not None)

    def release(self, task: Task, *, error: str, due: datetime) -> None:
        """See `State.release`; a lease that somebody took over meanwhile stays theirs."""
        while True:
            record, revision = self._record(task)
            if record is None or record.attempts != self._attempt or record.finished:
                return
            released = msgspec.structs.replace(
                record, lease_until=due, error=error[:ERROR_CHARACTERS], changed=written(record, self._now())
            )
            if self._put(keys.record(task), released, revision):
                return

    def supersede(self, task: Task) -> None:
        """See `State.supersede`."""
        self._mark_done(task, "superseded: the request was settled")

    def park(self, letter: DeadLetter) -> None:
        """See `State.park`; what is large in it lies in the blobs."""
        event, blob = letter.event, ""
        if letter.request and is_erased(self._items, letter.tenant, letter.request):
            return
        if len(event) > INLINE_BYTES:
            event, blob = b"", self._put_blob(letter.tenant, letter.conversation, event)
        kept = Letter(letter=msgspec.structs.replace(letter, event=event), blob=blob)
        place = keys.letters(letter.agent), letter.key
        self._items.put(place, encoded(kept), revision=0, at=letter.at, expires_at=self._now() + STAYS)

    def _stored_end(self, finish: Finish) -> Ended:
        """What this delivery ends with, from now on for every attempt; nothing is written where that is nothing."""
        ended = Ended(outputs=finish.outputs, timers=finish.timers, settlement=finish.settlement, letter=finish.letter)
        if ended == Ended():
            return self._ended(finish.task) or ended if self._attempt > 1 else ended
        value, envelope = encoded(ended), finish.task.envelope
        if len(value) > INLINE_BYTES:
            value = encoded(Ended(blob=self._put_blob(envelope.tenant, envelope.conversation, value)))
        if self._items.put(keys.outputs(finish.task), value, revision=0, expires_at=self._now() + STAYS):
            return ended
        return self._ended(finish.task) or ended

    def _ended(self, task: Task) -> Ended | None:
        (item,) = self._items.get([keys.outputs(task)])
        if item is None:
            return None
        ended = decoder(Ended).decode(item.value)
        return decoder(Ended).decode(self._blobs.get(ended.blob)) if ended.blob else ended

    def _mark_done(self, task: Task, error: str, *, failed: bool = False) -> None:
        record, revision = self._record(task)
        while record is not None and record.finished is None:
            done = msgspec.structs.replace(
                record,
                finished=self._now(),
                changed=written(record, self._now()),
                lease_until=LONG_AGO,
                error=error[:ERROR_CHARACTERS] or record.error,
                failed=failed,
            )
            if self._put(keys.record(task), done, revision):
                return
            record, revision = self._record(task)

    def _is_erased(self, envelope: Envelope) -> bool:
        return is_erased(self._items, envelope.tenant, envelope.request)

    def _record(self, task: Task) -> tuple[Record | None, int]:
        (item,) = self._items.get([keys.record(task)])
        return (decoder(Record).decode(item.value), item.revision) if item else (None, 0)

    def _put(self, place: Place, value: msgspec.Struct, revision: int = 0) -> bool:
        return self._items.put(place, encoded(value), revision=revision, expires_at=self._now() + STAYS)

    def _put_blob(self, tenant: str, conversation: str, data: bytes) -> str:
        key = f"{prefix_of(tenant, conversation)}{hashlib.sha256(data).hexdigest()}"
        self._blobs.put(key, data)
        return key


def _newest(parts: Iterable[tuple[int, int]]) -> dict[int, tuple[int, int]]:
    """Of each index, the part of the newest generation."""
    return {index: (generation, index) for generation, index in sorted(parts)}


def _leased(task: Task, record: Record | None, now: datetime) -> Record:
    return Record(
        key=task.key,
        agent=task.agent,
        event=task.envelope.type,
        emitted=task.envelope.time,
        attempts=record.attempts + 1 if record else 1,
        lease_until=now + timedelta(seconds=task.lease_s),
        changed=written(record, now) if record else now,
        started=now,
        error=record.error if record else "",
    )
