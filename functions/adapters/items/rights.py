"""The `Rights` port over items and blobs: what is held about a conversation lies where its requests say.

An erasure is an item, written before anything is removed. Then one request goes after the other: it is marked, so that
nobody works for it any more, and what it left is removed. A sweep goes on where that was cut off. Ten minutes later
everything is removed once more: what an agent had in hand that was at work in that moment has its end by then.
"""

from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from datetime import datetime
from functools import reduce
from operator import or_
from typing import TYPE_CHECKING, Any, NamedTuple, Protocol

import msgspec

from functions.adapters.items import keys
from functions.adapters.items.conversations import KeptMessage
from functions.adapters.items.effects import Kept
from functions.adapters.items.holding import Held, held_by, marks
from functions.adapters.items.requests import SETTLES, Erasing, Opened, erasing_in, write_erasing
from functions.adapters.items.state import Letter
from functions.adapters.items.sweeping import each_alone, put_off
from functions.adapters.items.writing import STAYS, replace
from functions.events.decoding import decoder
from functions.events.envelope import root_group
from functions.ports.blobs import KeptBlobs, prefix_of
from functions.ports.items import Items, Place
from functions.ports.rights import Export, Holdings, Row
from functions.ports.stops import conversation_scope
from functions.runtime.plans import Crew

if TYPE_CHECKING:
    from functions.ports.effects import Effect

SWEPT = 20  # erasures in one pass
BLOBS = "blobs"
_NAMES = {"record": "deliveries", "outputs": "outputs", "request": "requests"}  # of items, by how their key begins


class Points(Protocol):
    """The collections of a stack."""

    def erase(self, collection: str, ids: Iterable[str], *, tenant: str) -> None:
        """Erase points of a collection, by its key; one that is not there holds none."""
        ...


class Found(NamedTuple):
    """One item of a conversation.

    Attributes:
        name: What a person calls its like.
        request: Whose it is; empty where it is of the conversation.
        at: When it came to be; None where its request says so.
        value: What it is, as it can be shown.
    """

    name: str
    place: Place
    request: str
    at: datetime | None
    value: Any


class ItemRights:
    """See `Rights`. An export is read one item after the other: what changes meanwhile may be in it or not.

    Args:
        items: Of the stack.
        blobs: Of the stack.
        points: Its collections.
        crews: By workflow, the agents that any of its plans has or had; asked for when they are needed.
        now: The time, in UTC.
        services: That keep letters, too.
    """

    def __init__(  # noqa: PLR0913 - where things are held, and who holds them
        self,
        items: Items,
        blobs: KeptBlobs,
        points: Points,
        crews: Callable[[], Mapping[str, Crew]],
        now: Callable[[], datetime],
        *,
        services: Sequence[str] = (),
    ) -> None:
        self._items = items
        self._blobs = blobs
        self._points = points
        self._crews = crews
        self._now = now
        self._services = services

    def conversations(self, *, tenant: str) -> Sequence[Holdings]:
        """See `Rights.conversations`."""
        names = [item.key for item in self._items.query(keys.conversations(tenant))]
        return [held for name in names if (held := self.holdings(name, tenant=tenant)) is not None]

    def holdings(self, conversation: str, *, tenant: str) -> Holdings | None:
        """See `Rights.holdings`."""
        items: dict[str, int] = {}
        for found in self._shown(tenant, conversation):
            items[found.name] = items.get(found.name, 0) + 1
        if blobs := self._kept_blobs(tenant, conversation):
            items[BLOBS] = len(blobs)
        return Holdings(conversation=conversation, items=items) if items else None

    def export(self, conversation: str, *, tenant: str) -> Export | None:
        """See `Rights.export`."""
        places: dict[str, list[Row]] = {}
        for found in self._shown(tenant, conversation):
            places.setdefault(found.name, []).append(_row(found))
        blobs = {key: data for key in self._kept_blobs(tenant, conversation) if (data := self._read(key)) is not None}
        if not places and not blobs:
            return None
        return Export(tenant=tenant, conversation=conversation, exported=self._now(), places=places, blobs=blobs)

    def erase(self, conversation: str, *, tenant: str) -> Holdings | None:
        """See `Rights.erase`; what is counted is what was removed."""
        erasing, is_repeat = self._begun(tenant, conversation)
        held = self._remove(erasing)
        if not held and not is_repeat:
            self._items.delete([keys.erasing(tenant, conversation)])
            return None
        return Holdings(conversation=conversation, items=held)

    def unfinished(self) -> int:
        """Go on with the erasures that are not finished; how many there were to do something for."""
        places = self._items.due(keys.ERASING, self._now(), SWEPT)
        each_alone(places, self._go_on, lambda place: put_off(self._items, place, keys.ERASING, self._now()))
        return len(places)

    def _go_on(self, place: Place) -> None:
        (item,) = self._items.get([place])
        if item is not None:
            self._remove(erasing_in(item))

    # ------------------------------------------------------------------------------------- what is held

    def _requests(self, tenant: str, conversation: str) -> list[str]:
        partition, prefix = keys.of_conversation(tenant, conversation)
        return [keys.parted(item.key)[1] for item in self._items.query(partition, prefix)]

    def _shown(self, tenant: str, conversation: str) -> Iterator[Found]:
        """What is held, but for what is erased and not removed yet."""
        erasing, _ = self._erasing(tenant, conversation)
        requests = self._requests(tenant, conversation)
        if erasing is None:
            return self._found(tenant, conversation, requests)
        left = [request for request in requests if request not in erasing.requests]
        return (each for each in self._found(tenant, conversation, left) if not _is_erased(each, erasing))

    def _found(self, tenant: str, conversation: str, requests: Sequence[str]) -> Iterator[Found]:
        for request, crew in self._crewed(tenant, requests):
            yield from self._of_request(tenant, conversation, request, crew)
        yield from self._of_conversation(tenant, conversation)

    def _crewed(self, tenant: str, requests: Sequence[str]) -> Iterator[tuple[str, Crew]]:
        """Each request with the agents that may have worked for it."""
        for request, workflow in zip(requests, self._workflows(tenant, requests), strict=True):
            yield request, self._crew([workflow])

    def _workflows(self, tenant: str, requests: Sequence[str]) -> list[str]:
        """The workflow of each request; empty where that is not known."""
        found = self._items.get([keys.request(tenant, request) for request in requests]) if requests else ()
        return [decoder(Opened).decode(item.value).workflow if item else "" for item in found]

    def _crew(self, workflows: Iterable[str]) -> Crew:
        """The agents of these workflows; of all, where one is not known."""
        crews = self._crews()
        chosen = set(workflows)
        return reduce(or_, (crews[name] for name in (chosen if chosen <= crews.keys() else crews)), Crew())

    def _of_request(self, tenant: str, conversation: str, request: str, crew: Crew) -> Iterator[Found]:
        partition, own = keys.request(tenant, request)
        for item in self._items.query(partition):
            if item.key != keys.erased(tenant, request)[1]:
                name = "requests" if item.key == own else "envelopes"
                yield Found(name, (partition, item.key), request, None, _shown(item.value))
        root = root_group(tenant, conversation, request)
        worked = [keys.deliveries(agent, tenant, request) for agent in sorted(crew.agents)]
        joined = [keys.deliveries(agent, tenant, root) for agent in sorted(crew.joining)]
        for partition in (*worked, *joined):
            for item in self._items.query(partition):
                kind = keys.parted(item.key)
                name = _NAMES.get(kind[0]) or ("parts" if "part" in kind else "joins")
                yield Found(name, (partition, item.key), request, None, _shown(item.value))

    def _of_conversation(self, tenant: str, conversation: str) -> Iterator[Found]:
        for item in self._items.query(keys.conversation(tenant, conversation)):
            message = decoder(KeptMessage).decode(item.value).message
            place = keys.conversation(tenant, conversation), item.key
            yield Found("messages", place, message.request, message.at, msgspec.to_builtins(message))
        for held in held_by(self._items, tenant, conversation):
            place = keys.hold(tenant, conversation, held.collection, held.id)
            yield Found("memories", place, "", held.at, held)
        yield from self._letters(tenant, conversation)
        yield from self._effects(tenant, conversation)
        stop = keys.stop(conversation_scope(tenant, conversation))
        for item in filter(None, self._items.get([stop])):
            yield Found("stops", stop, "", None, _shown(item.value))

    def _letters(self, tenant: str, conversation: str) -> Iterator[Found]:
        for agent in sorted(self._crew([""]).agents.union(self._services)):
            for item in self._items.query(keys.letters(agent)):
                letter = decoder(Letter).decode(item.value).letter
                if (letter.tenant, letter.conversation) == (tenant, conversation):
                    shown = msgspec.to_builtins(letter) | {"event": _shown(letter.event)}
                    yield Found("dead letters", (keys.letters(agent), item.key), letter.request, letter.at, shown)

    def _effects(self, tenant: str, conversation: str) -> Iterator[Found]:
        partition, prefix = keys.asked(tenant, conversation, "")
        asked = [item.key for item in self._items.query(partition, prefix)]
        places = [keys.effect(tenant, key.removeprefix(prefix)) for key in asked]
        for place, item in zip(places, self._items.get(places) if places else (), strict=True):
            effect: Effect | None = decoder(Kept).decode(item.value).effect if item else None
            if effect is not None and effect.conversation == conversation:
                yield Found("effects", place, effect.request, effect.at, msgspec.to_builtins(effect))

    def _kept_blobs(self, tenant: str, conversation: str) -> Sequence[str]:
        return self._blobs.keys(prefix_of(tenant, conversation))

    def _read(self, key: str) -> Any:  # noqa: ANN401 - what an event's data is
        try:
            return _shown(self._blobs.get(key))
        except KeyError:  # it was removed since it was listed
            return None

    # --------------------------------------------------------------------------------------- an erasure

    def _erasing(self, tenant: str, conversation: str) -> tuple[Erasing | None, int]:
        (item,) = self._items.get([keys.erasing(tenant, conversation)])
        return (erasing_in(item), item.revision) if item else (None, 0)

    def _begun(self, tenant: str, conversation: str) -> tuple[Erasing, bool]:
        """Write down that a conversation is erased; whether that was so before."""
        while True:
            before, revision = self._erasing(tenant, conversation)
            found = self._requests(tenant, conversation)
            requests = tuple(dict.fromkeys([*(before.requests if before else ()), *found]))
            workflows = {*(before.workflows if before else ()), *self._workflows(tenant, found)}
            begun = Erasing(
                tenant=tenant,
                conversation=conversation,
                at=self._now(),
                requests=requests,
                workflows=tuple(sorted(workflows)),
            )
            if write_erasing(self._items, begun, revision):
                return begun, before is not None

    def _remove(self, erasing: Erasing) -> dict[str, int]:
        """Remove what was erased, how much by place; again, it removes what was left or came late."""
        tenant, conversation = erasing.tenant, erasing.conversation
        counts, crew = Counter[str](), self._crew(erasing.workflows)
        while True:
            found, revision = self._erasing(tenant, conversation)
            if found is None or found.at != erasing.at:
                return counts  # somebody erased it again meanwhile, and removes it
            if found.done == len(found.requests):
                break
            counts += self._remove_request(tenant, conversation, found.requests[found.done], crew)
            write_erasing(self._items, msgspec.structs.replace(found, done=found.done + 1), revision)
        gone = [each for each in self._of_conversation(tenant, conversation) if _is_erased(each, found)]
        for each in gone:
            if isinstance(each.value, Held):
                self._let_go(each.value, tenant, conversation)
        self._items.delete([each.place for each in gone])
        counts += Counter(each.name for each in gone)
        if not set(self._requests(tenant, conversation)) - set(found.requests):
            blobs = self._kept_blobs(tenant, conversation)
            counts += Counter({BLOBS: len(blobs)})
            self._items.delete(list(self._around(tenant, conversation)))
            self._blobs.remove(blobs)
        # else it began anew, and what is left of before goes when blobs do
        self._finish(found)
        return dict(counts)

    def _remove_request(self, tenant: str, conversation: str, request: str, crew: Crew) -> Counter[str]:
        replace(self._items, keys.erased(tenant, request), b"", expires_at=self._now() + STAYS)
        place = keys.request(tenant, request)
        counts = Counter("requests" for item in self._items.get([place]) if item is not None)
        self._items.delete([place])  # whoever stores for a request looks whether that is there once more afterwards
        found = list(self._of_request(tenant, conversation, request, crew))
        around = keys.ledger(tenant, request), keys.of_conversation(tenant, conversation, request)
        self._items.delete([*(place for each in found for place in _with_counters(each)), *around])
        return counts + Counter(each.name for each in found)

    def _let_go(self, held: Held, tenant: str, conversation: str) -> None:
        """What another conversation holds, too, stays."""
        self._items.delete(list(marks(held, tenant, conversation)))
        if not self._items.query(keys.holders(tenant, held.collection, held.id)):
            self._points.erase(held.collection, [held.id], tenant=tenant)
        unheld = [token for token in held.tokens if not self._items.query(keys.token_holders(tenant, token))]
        self._items.delete([keys.original(tenant, token) for token in unheld])

    def _around(self, tenant: str, conversation: str) -> Iterator[Place]:
        """What says that there was something, once that is gone."""
        partition, prefix = keys.asked(tenant, conversation, "")
        for item in self._items.query(partition, prefix):
            yield partition, item.key
        minute = int(self._now().timestamp() // 60)
        yield from (keys.pace(tenant, conversation, minute - back) for back in range(4))
        yield keys.waiting(tenant, conversation)
        yield keys.conversations(tenant), conversation

    def _finish(self, erasing: Erasing) -> None:
        """Write down that it was removed, and once nobody can be at work on it any more, forget the erasure."""
        found, revision = self._erasing(erasing.tenant, erasing.conversation)
        if found is None or found.at != erasing.at:
            return  # somebody erased it again meanwhile
        if self._now() >= found.at + SETTLES:
            self._items.delete([keys.erasing(found.tenant, found.conversation)])
        elif not found.removed:
            write_erasing(self._items, msgspec.structs.replace(found, done=0, removed=True), revision)


def _is_erased(found: Found, erasing: Erasing) -> bool:
    """Whether an item is of what was erased, and not of a conversation of the same name that began since."""
    if found.request in erasing.requests:
        return True
    return not found.request if found.at is None else found.at <= erasing.at


def _with_counters(found: Found) -> Iterator[Place]:
    """An item, and the count of the parts of its join, which no query shows."""
    partition, key = found.place
    yield found.place
    if found.name == "parts":
        kind, join, *_ = keys.parted(key)
        yield partition, keys.joined(kind, join, "count")


def _row(found: Found) -> Row:
    shown = found.value
    if isinstance(shown, Held):
        shown = msgspec.to_builtins(shown)
    return {"key": found.place[1], **(shown if isinstance(shown, dict) else {"value": shown})}


def _shown(value: bytes) -> Any:  # noqa: ANN401 - whatever is stored, as JSON has it
    try:
        return msgspec.json.decode(value)
    except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError):
        return {"base64": msgspec.to_builtins(value)}
