"""The `DeadLetters` port over items: a letter is an item of its agent, and stays when it is redriven.

A redrive is decided in one write, of the item that says what was redriven of a request: whole, or not at all. What
follows from the decision may be done again by whoever finds it undone, and is then the same.
"""

from collections.abc import Callable, Iterable, Mapping, Sequence
from contextlib import suppress
from datetime import datetime, timedelta

import msgspec

from functions.adapters.items import keys
from functions.adapters.items.redriving import Plans, keep_beginning, publish
from functions.adapters.items.requests import ItemRequests, Led, Opened, Pending, Redrives, is_erased, read, write
from functions.adapters.items.state import Letter
from functions.adapters.items.stops import ItemStops
from functions.adapters.items.writing import STAYS, encoded
from functions.events.decoding import decoder
from functions.events.envelope import Envelope, digest, pack, unpack
from functions.ports.blobs import KeptBlobs
from functions.ports.bus import Bus
from functions.ports.dead_letters import LetterFilter, LetterView, Redrive
from functions.ports.items import Item, Items
from functions.ports.state import DeadLetter
from functions.runtime.redrive import Candidate, NotRedrivableError, Redriven, candidate, leading, outdoes, redriven
from functions.runtime.workflow import Plan

REDRIVABLE = STAYS - timedelta(days=1)  # since a request was accepted: its parts are kept until a redrive is done
_CHANGED = "it changed since it was looked at: list the letters again"
_GONE = "the request it belongs to is no longer kept: ask again"
_IN_DOUBT = "effect in doubt: nobody knows whether an action of its request was done; settle that first"


class ItemDeadLetters:
    """See `DeadLetters`.

    Args:
        items: Of the stack.
        blobs: Where large letters are.
        bus: Carries what is redriven.
        requests: Of the stack.
        plans: The current ones, by the workflow's name.
        now: The time, in UTC.
        services: That keep letters, too.
        in_doubt: Whether a request of a tenant has an effect that may have happened and must not be repeated.
    """

    def __init__(  # noqa: PLR0913, PLR0917 - what a redrive needs of its stack
        self,
        items: Items,
        blobs: KeptBlobs,
        bus: Bus,
        requests: ItemRequests,
        plans: Mapping[str, Plan],
        now: Callable[[], datetime],
        *,
        services: Sequence[str] = (),
        in_doubt: Callable[[str, str], bool] = lambda _tenant, _request: False,
    ) -> None:
        self._items = items
        self._blobs = blobs
        self._bus = bus
        self._requests = requests
        self._plans = Plans({plan.version: plan for plan in plans.values()})
        self._now = now
        self._services = services
        self._in_doubt = in_doubt
        self._stops = ItemStops(items)

    def find(self, wanted: LetterFilter) -> Sequence[LetterView]:
        """See `DeadLetters.find`; without an agent, of those that are deployed."""
        agents = [wanted.agent] if wanted.agent else self._agents()
        found = [letter for agent in agents for _, letter in self._letters(agent) if _is_meant(letter, wanted)]
        asked = [keys.request(each.letter.tenant, each.letter.request) for each in found]
        requests = self._items.get(asked) if asked else ()
        views = [_view(each, request) for each, request in zip(found, requests, strict=True)]
        return sorted(views, key=lambda view: (view.at, view.key))

    def letter(self, key: str, *, tenant: str | None) -> DeadLetter | None:
        """See `DeadLetters.letter`."""
        found, _ = self._find(key)
        return None if found is None or tenant not in {None, found.letter.tenant} else self._whole(found)

    def redrive(self, letters: Sequence[LetterView]) -> Sequence[Redrive]:
        """See `DeadLetters.redrive`; what a crash cut off is completed by the next redrive of the same request."""
        origins: dict[tuple[str, str], list[LetterView]] = {}
        for view in letters:
            origins.setdefault((view.tenant, view.origin), []).append(view)
        return [found for origin, together in origins.items() for found in self._redrive_together(*origin, together)]

    def drop(self, letters: Sequence[LetterView]) -> Sequence[LetterView]:
        """See `DeadLetters.drop`."""
        return [view for view in letters if self._drop(view)]

    # ------------------------------------------------------------------------------------------ letters

    def _agents(self) -> list[str]:
        agents = {agent for plan in self._plans.by_version.values() for agent in plan.nodes}
        return sorted(agents.union(self._services))

    def _letters(self, agent: str) -> Iterable[tuple[str, Letter]]:
        for item in self._items.query(keys.letters(agent)):
            yield item.key, decoder(Letter).decode(item.value)

    def _find(self, key: str) -> tuple[Letter | None, int]:
        """A letter of any agent, and its revision."""
        places = [(keys.letters(agent), key) for agent in self._agents()]
        item = next((each for each in self._items.get(places) if each is not None), None)
        return (decoder(Letter).decode(item.value), item.revision) if item else (None, 0)

    def _of(self, agent: str, key: str) -> tuple[Letter | None, int]:
        (item,) = self._items.get([(keys.letters(agent), key)])
        return (decoder(Letter).decode(item.value), item.revision) if item else (None, 0)

    def _whole(self, found: Letter) -> DeadLetter | None:
        """With its event; None where that is no longer kept."""
        if not found.blob:
            return found.letter
        try:
            return msgspec.structs.replace(found.letter, event=self._blobs.get(found.blob))
        except KeyError:
            return None

    def _drop(self, view: LetterView) -> bool:
        found, _ = self._of(view.agent, view.key)
        if found is None or found.redriven != view.redriven or self._is_waited_for(view):
            return False
        self._items.delete([(keys.letters(view.agent), view.key)])
        return True

    def _is_waited_for(self, view: LetterView) -> bool:
        redrives, _ = self._redrives(view.tenant, view.origin)
        if redrives.pending and (view.agent, view.key) in redrives.pending.letters:
            return True
        carrier, _ = read(self._items, keys.request(view.tenant, view.redriven_as))
        return bool(view.redriven_as) and carrier is not None and carrier.status == "waiting"

    # ----------------------------------------------------------------------------------------- a redrive

    def _redrive_together(self, tenant: str, origin: str, views: Sequence[LetterView]) -> list[Redrive]:
        """Redrive letters of one origin."""
        completed = self._complete(tenant, origin)
        found = [completed[view.key] for view in views if view.key in completed]
        chosen: list[Candidate] = []
        for view in views:
            if view.key in completed:
                continue
            try:
                chosen.append(self._candidate(view))
            except NotRedrivableError as error:
                found.append(Redrive(key=view.key, refused=str(error)))
        while chosen:
            first = self._first(tenant, origin)
            if first is None:
                return [*found, *(Redrive(key=letter.key, refused=_GONE) for letter in chosen)]
            redrives, revision = self._redrives(tenant, origin)
            if redrives.pending is None:
                pending = self._decided(first, redrives, chosen, redrives.generation + 1, self._now())
                if not self._write(first, _with(redrives, pending), revision):
                    continue
            done = self._complete(tenant, origin)
            found += [done[letter.key] for letter in chosen if letter.key in done]
            chosen = []
        return found

    def _candidate(self, view: LetterView) -> Candidate:
        kept, _ = self._of(view.agent, view.key)
        if kept is None or kept.redriven != view.redriven:
            raise NotRedrivableError(_CHANGED)
        found = self._read(kept)
        event = found.envelope
        stop = self._stops.found(tenant=event.tenant, conversation=event.conversation, workflow=event.workflow)
        if stop is not None:
            raise NotRedrivableError(f"{stop}: resume it first, or the redrive ends at once")
        if self._in_doubt(view.tenant, view.request):
            raise NotRedrivableError(_IN_DOUBT)
        if event.dataref:
            self._keep_data(event)
        return found

    def _keep_data(self, event: Envelope) -> None:
        """Keep it as long as the redrive, unless its conversation is erased meanwhile."""
        try:
            self._blobs.put(event.dataref, self._blobs.get(event.dataref))
        except KeyError as error:
            raise NotRedrivableError("the data of its event is no longer kept: ask again") from error
        if is_erased(self._items, event.tenant, event.request):
            self._blobs.remove([event.dataref])
            raise NotRedrivableError(_CHANGED)

    def _read(self, kept: Letter) -> Candidate:
        letter = self._whole(kept)
        if letter is None:
            raise NotRedrivableError("its event is no longer kept: ask again")
        return candidate(letter.key, letter.agent, letter.event, self._plans.of)

    def _first(self, tenant: str, origin: str) -> Envelope | None:
        """The envelope of the origin; None where its parts may be gone before a redrive is done with them."""
        opened, _ = read(self._items, keys.request(tenant, origin))
        if opened is None or opened.accepted + REDRIVABLE < self._now():
            return None
        return self._requests.first(origin, tenant=tenant)

    def _decided(
        self, first: Envelope, redrives: Redrives, letters: Sequence[Candidate], generation: int, at: datetime
    ) -> Pending:
        """Which letters go again, and under which request: that of this origin that is open, or a new one."""
        pending = Pending(
            generation=generation, at=at, letters=tuple((each.node.spec.name, each.key) for each in letters)
        )
        answering = [letter for letter in letters if not letter.node.side]
        if not answering:
            return pending
        earlier = self._earlier(redrives)
        left = [each for each in answering if not any(_does(led, other, each) for led, other in earlier)]
        leaders = leading(left) if left else []
        names = tuple(each.key for each in leaders)
        carrier = self._open(first, redrives)
        if carrier is not None:
            since = carrier.since
            return msgspec.structs.replace(
                pending, leaders=names, request=carrier.name, status=carrier.status, since=since
            )
        if leaders:
            request = digest(first.tenant, first.request, "redrive", generation)
            return msgspec.structs.replace(pending, leaders=names, request=request, status="linked", since=generation)
        newest = max((led for led, _ in earlier), key=lambda led: led.generation)
        return msgspec.structs.replace(pending, request=newest.request, status="settled")

    def _earlier(self, redrives: Redrives) -> list[tuple[Led, Candidate]]:
        """The letters that were redriven before; one that this version does not carry does nobody's work here."""
        found = []
        for led in redrives.led:
            kept, _ = self._of(led.agent, led.key)
            if kept is not None:
                with suppress(NotRedrivableError):
                    found.append((led, self._read(kept)))
        return found

    def _open(self, first: Envelope, redrives: Redrives) -> "_Carrier | None":
        """The request of this origin that is not settled, once one is whose deadline nobody was there to keep."""
        for name in (first.request, *redrives.linked):
            self._requests.settle_overdue(name, tenant=first.tenant)
            opened, _ = read(self._items, keys.request(first.tenant, name))
            if opened is not None and opened.status != "settled":
                began = self._requests.first(name, tenant=first.tenant)
                return _Carrier(name, opened.status, began.generation if began else 0)
        return None

    def _complete(self, tenant: str, origin: str) -> dict[str, Redrive]:
        """Do what was decided and is not done, if anything is; what came of each of its letters."""
        while True:
            redrives, revision = self._redrives(tenant, origin)
            pending, first = redrives.pending, self._requests.first(origin, tenant=tenant)
            if pending is None or first is None:
                return {}
            letters = self._pending_letters(pending)
            if not self._is_noted(first, pending):  # its request went on meanwhile
                candidates = [found for _, found in letters]
                again = self._decided(first, redrives, candidates, pending.generation, pending.at)
                self._write(first, _with(redrives, again), revision)
                continue
            self._publish(first, pending, letters)
            for kept, found in letters:
                self._mark(kept, found, pending)
            self._write(first, _done(redrives, pending, letters), revision)
            return {found.key: _said(pending, found) for _, found in letters}

    def _pending_letters(self, pending: Pending) -> list[tuple[Letter, Candidate]]:
        found = []
        for agent, key in pending.letters:
            kept, _ = self._of(agent, key)
            if kept is not None:  # else somebody dropped it just before
                with suppress(NotRedrivableError):
                    found.append((kept, self._read(kept)))
        return found

    def _is_noted(self, first: Envelope, pending: Pending) -> bool:
        """Let the request that carries on know of this redrive, unless it is not what it was when that was decided."""
        while pending.status in {"running", "waiting"}:
            place = keys.request(first.tenant, pending.request)
            opened, revision = read(self._items, place)
            if opened is None or opened.redrives >= pending.generation:
                return True
            if opened.status != pending.status:
                return False
            if pending.status == "waiting":
                self._keep_beginnings(first, pending)
            if write(self._items, _noted(opened, pending), revision, self._now()):
                return True
        return True

    def _publish(self, first: Envelope, pending: Pending, letters: Sequence[tuple[Letter, Candidate]]) -> None:
        wanted = [_aside(letter, pending) for _, letter in letters if letter.node.side]
        opened, _ = read(self._items, keys.request(first.tenant, pending.request))
        if pending.status == "running" and opened is not None:
            leaders = [letter for _, letter in letters if letter.key in pending.leaders]
            wanted += [_redriven(letter, pending.request, opened.deadline, pending) for letter in leaders]
        publish(self._items, self._bus, wanted, since=pending.since, now=self._now())
        if pending.status == "linked":
            self._keep_beginnings(first, pending)
            self._requests.link(self._linked(first, pending, letters))

    def _keep_beginnings(self, first: Envelope, pending: Pending) -> None:
        for kept, letter in self._pending_letters(pending):
            whole = self._whole(kept)
            if letter.key in pending.leaders and whole is not None:
                until = self._now() + STAYS
                keep_beginning(self._items, first.tenant, pending.request, letter, whole.event, until)

    @staticmethod
    def _linked(first: Envelope, pending: Pending, letters: Sequence[tuple[Letter, Candidate]]) -> Envelope:
        """What a new request begins with that names its origin."""
        deadline_s = next(letter.plan.workflow.deadline_s for _, letter in letters if letter.key in pending.leaders)
        deadline = pending.at + timedelta(seconds=deadline_s)
        (root, *_) = unpack(first.part)
        return msgspec.structs.replace(
            first,
            id=digest(first.tenant, first.conversation, pending.request),
            request=pending.request,
            origin=first.request,
            generation=pending.generation,
            time=pending.at,
            deadline=deadline,
            part=pack((msgspec.structs.replace(root, deadline=deadline),)),
        )

    def _mark(self, kept: Letter, letter: Candidate, pending: Pending) -> None:
        """Say on a letter what carries on, unless a later redrive has."""
        agent, request = letter.node.spec.name, _carrier_of(pending, letter)
        found, revision = self._of(agent, letter.key)
        while found is not None and found.generation < pending.generation:
            marked = msgspec.structs.replace(
                found, redriven=pending.at, redriven_as=request, generation=pending.generation
            )
            place, expires_at = (keys.letters(agent), letter.key), self._now() + STAYS
            if self._items.put(place, encoded(marked), revision=revision, at=kept.letter.at, expires_at=expires_at):
                return
            found, revision = self._of(agent, letter.key)

    # ------------------------------------------------------------------------------ what was redriven of it

    def _redrives(self, tenant: str, origin: str) -> tuple[Redrives, int]:
        (item,) = self._items.get([keys.redrives(tenant, origin)])
        return (decoder(Redrives).decode(item.value), item.revision) if item else (Redrives(), 0)

    def _write(self, first: Envelope, redrives: Redrives, revision: int) -> bool:
        place = keys.redrives(first.tenant, first.request)
        return self._items.put(place, encoded(redrives), revision=revision, expires_at=self._now() + 2 * STAYS)


def _aside(letter: Candidate, pending: Pending) -> Redriven:
    """A side branch goes on under its own request, which nobody waits for."""
    deadline = pending.at + timedelta(seconds=letter.plan.workflow.deadline_s)
    return _redriven(letter, letter.envelope.request, deadline, pending)


def _redriven(letter: Candidate, request: str, deadline: datetime, pending: Pending) -> Redriven:
    return redriven(letter, request=request, generation=pending.generation, deadline=deadline, now=pending.at)


class _Carrier(msgspec.Struct, frozen=True):
    """The request that carries on, and the generation in which it began."""

    name: str
    status: str
    since: int


def _is_meant(found: Letter, wanted: LetterFilter) -> bool:
    letter = found.letter
    return (
        wanted.tenant in {None, letter.tenant}
        and (not wanted.keys or letter.key in wanted.keys)
        and (not wanted.reason or letter.reason == wanted.reason)
        and (not wanted.conversation or letter.conversation == wanted.conversation)
        and (not wanted.request or letter.request == wanted.request)
        and (wanted.before is None or letter.at < wanted.before)
        and (wanted.after is None or letter.at > wanted.after)
        and (wanted.redriven or found.redriven is None)
    )


def _view(found: Letter, request: Item | None) -> LetterView:
    letter = found.letter
    opened = decoder(Opened).decode(request.value) if request else None
    return LetterView(
        key=letter.key,
        agent=letter.agent,
        reason=letter.reason,
        error=letter.error,
        attempt=letter.attempt,
        age_s=letter.age_s,
        at=letter.at,
        tenant=letter.tenant,
        conversation=letter.conversation,
        request=letter.request,
        origin=(opened.origin if opened else "") or letter.request,
        redriven=found.redriven,
        redriven_as=found.redriven_as,
    )


def _does(led: Led, earlier: Candidate, letter: Candidate) -> bool:
    """Whether an earlier redrive does the work of this letter again: not of one that it led to itself."""
    return led.generation > letter.envelope.generation and outdoes(earlier, letter)


def _with(redrives: Redrives, pending: Pending) -> Redrives:
    """With this redrive under way; a new request is named from then on."""
    linked = redrives.linked
    if pending.status == "linked" and pending.request not in linked:
        linked = (*linked, pending.request)
    return msgspec.structs.replace(redrives, generation=pending.generation, linked=linked, pending=pending)


def _done(redrives: Redrives, pending: Pending, letters: Sequence[tuple[Letter, Candidate]]) -> Redrives:
    """With this redrive done: its leaders are remembered, and what it did again is no longer done by another."""
    keys_ = {key for _, key in pending.letters}
    leaders = [pending.led(each.key, each.node.spec.name) for _, each in letters if each.key in pending.leaders]
    led = (*(each for each in redrives.led if each.key not in keys_), *leaders)
    return msgspec.structs.replace(redrives, led=led, pending=None)


def _noted(opened: Opened, pending: Pending) -> Opened:
    """A request that runs awaits the redrive; one that waits begins with it, in the generation of its own."""
    awaits = pending.generation if pending.status == "running" and pending.leaders else opened.awaits
    return msgspec.structs.replace(opened, redrives=pending.generation, awaits=awaits)


def _carrier_of(pending: Pending, letter: Candidate) -> str:
    return letter.envelope.request if letter.node.side else pending.request


def _said(pending: Pending, letter: Candidate) -> Redrive:
    went = letter.node.side or letter.key in pending.leaders
    return Redrive(key=letter.key, request=_carrier_of(pending, letter), published=went)
