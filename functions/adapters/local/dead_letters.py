"""Dead letters in SQLite: a row each, that stays when it is redriven and says what carries on."""

import sqlite3
from collections.abc import Callable, Iterable, Sequence
from contextlib import suppress
from datetime import datetime, timedelta
from typing import Any

import msgspec

from functions.adapters.local.blobs import LocalBlobs
from functions.adapters.local.due import Entry
from functions.adapters.local.redriving import publish
from functions.adapters.local.rows import Routes, set_deadline
from functions.adapters.local.settling import settle, start_next
from functions.adapters.local.stops import LocalStops
from functions.adapters.local.store import Store, utc
from functions.events.envelope import Envelope, decode, digest, encode, pack, unpack
from functions.ports.dead_letters import LetterFilter, LetterView, Redrive
from functions.ports.state import DeadLetter
from functions.runtime.outputs import overdue
from functions.runtime.redrive import Candidate, NotRedrivableError, candidate, leading, outdoes, redriven

_CHANGED = "it changed since it was looked at: list the letters again"
_GONE = "the request it belongs to is no longer kept: ask again"
_IN_DOUBT = "effect in doubt: nobody knows whether an action of its request was done; settle that first"


class LocalDeadLetters:
    """The `DeadLetters` port on SQLite.

    What it publishes is held by the process of its routes; where that delivers nothing itself, by whichever process
    comes to it first (ADR 0013).

    Args:
        routes: Of the plans that are carried here.
        announce: Told of the rows that this process holds.
        in_doubt: Whether a request of a tenant has an effect that may have happened and must not be repeated.
    """

    def __init__(  # noqa: PLR0913 - what a redrive needs of its process
        self,
        store: Store,
        routes: Routes,
        blobs: LocalBlobs,
        now: Callable[[], datetime],
        *,
        announce: Callable[[Iterable[Entry]], None] = lambda _entries: None,
        in_doubt: Callable[[str, str], bool] = lambda _tenant, _request: False,
    ) -> None:
        self._store = store
        self._routes = routes
        self._blobs = blobs
        self._now = now
        self._announce = announce
        self._in_doubt = in_doubt
        self._stops = LocalStops(store)

    def find(self, wanted: LetterFilter) -> Sequence[LetterView]:
        """See `DeadLetters.find`."""
        named: dict[str, object] = {
            "tenant": wanted.tenant,
            "agent": wanted.agent or None,
            "reason": wanted.reason or None,
            "conversation": wanted.conversation or None,
            "request": wanted.request or None,
            "before": wanted.before and wanted.before.timestamp(),
            "after": wanted.after and wanted.after.timestamp(),
            "redriven": wanted.redriven,
            "keys": msgspec.json.encode(wanted.keys).decode() if wanted.keys else None,
        }
        return [_view(row) for row in self._store.read(_FIND, named)]

    def letter(self, key: str, *, tenant: str | None) -> DeadLetter | None:
        """See `DeadLetters.letter`."""
        rows = self._store.read(_LETTER, {"key": key, "tenant": tenant})
        return _letter(rows[0]) if rows else None

    def redrive(self, letters: Sequence[LetterView]) -> Sequence[Redrive]:
        """See `DeadLetters.redrive`."""
        origins: dict[tuple[str, str], list[LetterView]] = {}
        for view in letters:
            origins.setdefault((view.tenant, view.origin), []).append(view)
        return [found for together in origins.values() for found in self._redrive_together(together)]

    def _redrive_together(self, letters: Sequence[LetterView]) -> list[Redrive]:
        chosen, found = [], []
        for view in letters:
            try:
                chosen.append((view, self._candidate(view)))
            except NotRedrivableError as error:
                found.append(Redrive(key=view.key, refused=str(error)))
        if chosen:
            now = self._now()
            redrives, entries = self._store.write(lambda connection: _redrive(connection, self._routes, chosen, now))
            self._announce(entries)
            found += redrives
        return found

    def _candidate(self, view: LetterView) -> Candidate:
        letter = self.letter(view.key, tenant=view.tenant)
        if letter is None:
            raise NotRedrivableError(_CHANGED)
        found = candidate(letter.key, letter.agent, letter.event, self._routes.plan)
        event = found.envelope
        stop = self._stops.found(tenant=event.tenant, conversation=event.conversation, workflow=event.workflow)
        if stop is not None:
            raise NotRedrivableError(f"{stop}: resume it first, or the redrive ends at once")
        if self._in_doubt(view.tenant, view.request):
            raise NotRedrivableError(_IN_DOUBT)
        reference = found.envelope.dataref
        if reference:
            try:
                # so that it is kept as long as the redrive, unless its conversation is erased meanwhile
                self._blobs.put_if(lambda: self._is_kept(view), reference, self._blobs.get(reference))
            except KeyError as error:
                raise NotRedrivableError("the data of its event is no longer kept: ask again") from error
        return found

    def _is_kept(self, view: LetterView) -> bool:
        return self.letter(view.key, tenant=view.tenant) is not None

    def drop(self, letters: Sequence[LetterView]) -> Sequence[LetterView]:
        """See `DeadLetters.drop`."""

        def step(connection: sqlite3.Connection) -> list[LetterView]:
            return [view for view in letters if _drop(connection, view)]

        return self._store.write(step)


def _drop(connection: sqlite3.Connection, view: LetterView) -> bool:
    """Whether a letter was removed; one whose request waits for its turn holds what that begins with."""
    dropped = connection.execute(
        "DELETE FROM dead_letter WHERE key = ? AND redriven IS ? AND NOT EXISTS (SELECT 1 FROM request"
        " WHERE tenant = dead_letter.tenant AND request = dead_letter.redriven_as AND status = 'waiting')",
        (view.key, view.redriven and view.redriven.timestamp()),
    )
    return dropped.rowcount == 1


Chosen = Sequence[tuple[LetterView, Candidate]]


def _redrive(
    connection: sqlite3.Connection, routes: Routes, chosen: Chosen, now: datetime
) -> tuple[list[Redrive], list[Entry]]:
    """Redrive letters of one origin."""
    current = [letter for view, letter in chosen if _is_as_seen(connection, view)]
    current_keys = {letter.key for letter in current}
    refused = [Redrive(key=view.key, refused=_CHANGED) for view, _ in chosen if view.key not in current_keys]
    if not current:
        return refused, []
    origin = connection.execute(
        "UPDATE request SET generation = generation + 1 WHERE tenant = ? AND request = ?"
        " RETURNING generation, envelope",
        (chosen[0][0].tenant, chosen[0][0].origin),
    ).fetchone()
    if origin is None:
        return [*refused, *(Redrive(key=letter.key, refused=_GONE) for letter in current)], []
    step = _Step(connection=connection, routes=routes, now=now, generation=origin[0], first=decode(origin[1]))
    aside, side_entries = step.redrive_aside([letter for letter in current if letter.node.side])
    answering, entries = step.redrive_answering([letter for letter in current if not letter.node.side])
    return [*refused, *aside, *answering], [*side_entries, *entries]


def _is_as_seen(connection: sqlite3.Connection, view: LetterView) -> bool:
    seen = view.redriven and view.redriven.timestamp()
    row = connection.execute("SELECT redriven IS ? FROM dead_letter WHERE key = ?", (seen, view.key)).fetchone()
    return row is not None and bool(row[0])


class _Carrier(msgspec.Struct, frozen=True, kw_only=True):
    """The request that carries on: since when it is or will be, in which generation."""

    request: str
    status: str
    deadline: datetime
    generation: int


class _Earlier(msgspec.Struct, frozen=True, kw_only=True):
    """A letter of the same origin that was redriven before."""

    letter: Candidate
    generation: int
    request: str

    def does(self, letter: Candidate) -> bool:
        """Whether its redrive does the work of this letter again: not of one that it led to itself."""
        return self.generation > letter.envelope.generation and outdoes(self.letter, letter)


class _Step(msgspec.Struct, frozen=True, kw_only=True):
    """The transaction that redrives letters of one origin.

    Attributes:
        generation: That it opens.
        first: The envelope that the origin was accepted with.
    """

    connection: sqlite3.Connection
    routes: Routes
    now: datetime
    generation: int
    first: Envelope

    def redrive_aside(self, letters: Sequence[Candidate]) -> tuple[list[Redrive], list[Entry]]:
        """Side branches go on under their own request, which nobody waits for."""
        found, entries = [], []
        for letter in letters:
            request, deadline = letter.envelope.request, self._deadline(letter)
            entries += self._publish(letter, request, deadline)
            self._mark(letter, request, self.generation)
            found.append(Redrive(key=letter.key, request=request, published=True))
        return found, entries

    def redrive_answering(self, letters: Sequence[Candidate]) -> tuple[list[Redrive], list[Entry]]:
        """What leads to the answer goes on under the request of this origin that is open, or under a new one."""
        if not letters:
            return [], []
        earlier = self._earlier()
        left = [letter for letter in letters if not any(each.does(letter) for each in earlier)]
        leaders = leading(left) if left else []
        entries = self._settle_overdue()
        carrier = self._open() or (self._link(leaders[0]) if leaders else self._newest(earlier))
        keys = {letter.key for letter in leaders}
        for letter in letters:
            self._mark(letter, carrier.request, carrier.generation if letter.key in keys else 0)
        if carrier.status == "running":
            for letter in leaders:
                entries += self._publish(letter, carrier.request, carrier.deadline)
        elif carrier.status == "linked":
            entries += start_next(
                self.connection, self.routes, self.first.tenant, self.first.conversation, self.now.timestamp()
            )
        found = [Redrive(key=each.key, request=carrier.request, published=each.key in keys) for each in letters]
        return found, entries

    def _earlier(self) -> list[_Earlier]:
        """Those of them that lead to the answer; one that this version does not carry does nobody's work here."""
        found = []
        for key, agent, event, generation, request in self.connection.execute(_REDRIVEN_OF_ORIGIN, self._named()):
            with suppress(NotRedrivableError):
                letter = candidate(key, agent, event, self.routes.plan)
                found.append(_Earlier(letter=letter, generation=generation, request=request))
        return [each for each in found if not each.letter.node.side]

    def _settle_overdue(self) -> list[Entry]:
        """End the request of this origin whose deadline nobody was there to keep."""
        row = self.connection.execute(_OPEN_OF_ORIGIN, self._named()).fetchone()
        if row is None or utc(row[2]) > self.now:
            return []
        return settle(self.connection, self.routes, overdue(decode(row[4]), self.now), self.now.timestamp())

    def _open(self) -> _Carrier | None:
        """The request of this origin that is not settled; where it waits, it begins with these letters as well."""
        row = self.connection.execute(_OPEN_OF_ORIGIN, self._named()).fetchone()
        if row is None:
            return None
        request, status, deadline, generation, _ = row
        return _Carrier(
            request=request,
            status=status,
            deadline=utc(deadline),
            generation=self.generation if status == "running" else generation,
        )

    def _newest(self, earlier: Sequence[_Earlier]) -> _Carrier:
        """The request that did the work of these letters again."""
        newest = max(earlier, key=lambda each: each.generation)
        return _Carrier(request=newest.request, status="settled", deadline=self.now, generation=newest.generation)

    def _link(self, letter: Candidate) -> _Carrier:
        """A new request that names its origin, at the end of its conversation's line."""
        tenant, conversation = self.first.tenant, self.first.conversation
        request = digest(tenant, self.first.request, "redrive", self.generation)
        deadline = self._deadline(letter)
        (root, *_) = unpack(self.first.part)
        first = msgspec.structs.replace(
            self.first,
            id=digest(tenant, conversation, request),
            request=request,
            origin=self.first.request,
            generation=self.generation,
            time=self.now,
            deadline=deadline,
            part=pack((msgspec.structs.replace(root, deadline=deadline),)),
        )
        self.connection.execute(_STOP_AWAITING, self._named())  # what settled requests await will not come
        self.connection.execute(
            "INSERT INTO request (tenant, request, conversation, workflow, status, accepted, deadline, envelope,"
            " planversion, origin, generation) VALUES (?, ?, ?, ?, 'waiting', ?, ?, ?, ?, ?, ?)",
            (
                tenant,
                request,
                conversation,
                first.workflow,
                self.now.timestamp(),
                deadline.timestamp(),
                encode(first),
                first.planversion,
                self.first.request,
                self.generation,
            ),
        )
        set_deadline(self.connection, self.routes, first)
        return _Carrier(request=request, status="linked", deadline=deadline, generation=self.generation)

    def _deadline(self, letter: Candidate) -> datetime:
        return self.now + timedelta(seconds=letter.plan.workflow.deadline_s)

    def _publish(self, letter: Candidate, request: str, deadline: datetime) -> list[Entry]:
        wanted = redriven(letter, request=request, generation=self.generation, deadline=deadline, now=self.now)
        return publish(self.connection, self.routes, wanted)

    def _mark(self, letter: Candidate, request: str, generation: int) -> None:
        self.connection.execute(
            "UPDATE dead_letter SET redriven = ?, redriven_as = ?, generation = ? WHERE key = ?",
            (self.now.timestamp(), request, generation, letter.key),
        )

    def _named(self) -> dict[str, str]:
        return {"tenant": self.first.tenant, "origin": self.first.request}


def _view(row: Sequence[Any]) -> LetterView:
    *fields, at, redriven_at = row
    return LetterView(
        **dict(zip(_VIEWED, fields, strict=True)),
        at=utc(at),
        redriven=None if redriven_at is None else utc(redriven_at),
    )


def _letter(row: Sequence[Any]) -> DeadLetter:
    *fields, at = row
    return DeadLetter(**dict(zip(_KEPT, fields, strict=True)), at=utc(at))


_KEPT = ("key", "agent", "reason", "error", "trace", "attempt", "age_s", "request", "conversation", "tenant", "event")
_VIEWED = (
    "key",
    "agent",
    "reason",
    "error",
    "attempt",
    "age_s",
    "tenant",
    "conversation",
    "request",
    "redriven_as",
    "origin",
)
_LETTER = f"SELECT {', '.join(_KEPT)}, at FROM dead_letter WHERE key = :key AND tenant IS ifnull(:tenant, tenant)"  # noqa: S608
_FIND = f"""
SELECT {", ".join(f"letter.{name}" for name in _VIEWED[:-1])},
    ifnull(nullif(request.origin, ''), letter.request), letter.at, letter.redriven
FROM dead_letter AS letter LEFT JOIN request
    ON request.tenant = letter.tenant AND request.request = letter.request
WHERE letter.tenant = ifnull(:tenant, letter.tenant)
    AND letter.agent = ifnull(:agent, letter.agent)
    AND letter.reason = ifnull(:reason, letter.reason)
    AND letter.conversation = ifnull(:conversation, letter.conversation)
    AND letter.request = ifnull(:request, letter.request)
    AND letter.at < ifnull(:before, letter.at + 1)
    AND letter.at > ifnull(:after, letter.at - 1)
    AND (:redriven OR letter.redriven IS NULL)
    AND (:keys IS NULL OR letter.key IN (SELECT value FROM json_each(:keys)))
ORDER BY letter.at, letter.key
"""  # noqa: S608 - the names are those above
_OF_ORIGIN = """
SELECT request FROM request WHERE tenant = :tenant AND request = :origin
UNION ALL SELECT request FROM request WHERE tenant = :tenant AND origin = :origin AND origin != ''
"""
_OPEN_OF_ORIGIN = f"""
SELECT request, status, deadline, generation, envelope FROM request
WHERE tenant = :tenant AND request IN ({_OF_ORIGIN}) AND status != 'settled'
"""  # noqa: S608
_REDRIVEN_OF_ORIGIN = f"""
SELECT key, agent, event, generation, redriven_as FROM dead_letter
WHERE tenant = :tenant AND request IN ({_OF_ORIGIN}) AND generation > 0
"""  # noqa: S608
_STOP_AWAITING = f"DELETE FROM awaited WHERE tenant = :tenant AND request IN ({_OF_ORIGIN})"  # noqa: S608
