"""The `Rights` port over items and blobs: what is held about a conversation lies where its requests say.

An erasure is an item, and one at each of its requests, before anything is removed: from then on nobody works for them,
and a sweep finishes what was cut off. Ten minutes later everything is removed once more: what an agent had in hand
that was at work in that moment has its end by then.
"""

from collections.abc import Callable, Iterable, Iterator, Sequence
from datetime import datetime, timedelta
from typing import TYPE_CHECKING, Any, NamedTuple, Protocol

import msgspec

from functions.adapters.items import keys
from functions.adapters.items.conversations import Said
from functions.adapters.items.effects import Kept
from functions.adapters.items.holding import Held, held_by, marks
from functions.adapters.items.replacing import replace
from functions.adapters.items.requests import SETTLES, Erasing, write_erasing
from functions.adapters.items.state import Letter
from functions.errors import TroupeError
from functions.events.decoding import decoder
from functions.events.envelope import root_group
from functions.ports.blobs import KeptBlobs, prefix_of
from functions.ports.conversations import TTL_DAYS
from functions.ports.items import Items, Place
from functions.ports.rights import Export, Holdings, Row
from functions.ports.stops import conversation_scope

if TYPE_CHECKING:
    from functions.ports.effects import Effect

STAYS = timedelta(days=TTL_DAYS)
SWEPT = 20  # erasures in one pass
BLOBS = "blobs"
_NAMES = {"record": "deliveries", "outputs": "outputs", "request": "requests"}  # of items, by how their key begins


class UnfinishedError(TroupeError):
    """What was erased could not all be removed yet."""


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
        agents: The names of all agents that are or were deployed.
        now: The time, in UTC.
    """

    def __init__(
        self, items: Items, blobs: KeptBlobs, points: Points, agents: Sequence[str], now: Callable[[], datetime]
    ) -> None:
        self._items = items
        self._blobs = blobs
        self._points = points
        self._agents = agents
        self._now = now

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
        """See `Rights.erase`."""
        held = self.holdings(conversation, tenant=tenant)
        erasing, revision = self._erasing(tenant, conversation)
        if held is None:
            return Holdings(conversation=conversation, items={}) if erasing else None
        before = erasing.requests if erasing else ()
        requests = tuple(dict.fromkeys([*before, *self._requests(tenant, conversation)]))
        begun = Erasing(tenant=tenant, conversation=conversation, at=self._now(), requests=requests)
        if not write_erasing(self._items, begun, revision):
            return self.erase(conversation, tenant=tenant)  # somebody else began, too
        self._remove(begun)
        return held

    def unfinished(self) -> int:
        """Go on with the erasures that are not finished; how many there were to do something for.

        Raises:
            UnfinishedError: Some could not be finished, which kept no other one waiting.
        """
        places, failed = self._items.due(keys.ERASING, self._now(), SWEPT), list[Exception]()
        for item in self._items.get(places) if places else ():
            if item is not None:
                try:
                    self._remove(decoder(Erasing).decode(item.value))
                except Exception as error:  # noqa: BLE001 - told below, all at once
                    failed.append(error)
        if failed:
            said = "; ".join(f"{type(error).__name__}: {error}" for error in failed)
            raise UnfinishedError(f"{len(failed)} of {len(places)} erasures are tried again later: {said}") from failed[
                0
            ]
        return len(places)

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
        for request in requests:
            yield from self._of_request(tenant, conversation, request)
        for item in self._items.query(keys.conversation(tenant, conversation)):
            message = decoder(Said).decode(item.value).message
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

    def _of_request(self, tenant: str, conversation: str, request: str) -> Iterator[Found]:
        partition, own = keys.request(tenant, request)
        for item in self._items.query(partition):
            if item.key != keys.erased(tenant, request)[1]:
                name = "requests" if item.key == own else "envelopes"
                yield Found(name, (partition, item.key), request, None, _shown(item.value))
        root = root_group(tenant, conversation, request)
        for agent in self._agents:
            for group in (request, root):
                partition = keys.deliveries(agent, tenant, group)
                for item in self._items.query(partition):
                    kind = keys.parted(item.key)
                    name = _NAMES.get(kind[0]) or ("parts" if "part" in kind else "joins")
                    yield Found(name, (partition, item.key), request, None, _shown(item.value))

    def _letters(self, tenant: str, conversation: str) -> Iterator[Found]:
        for agent in self._agents:
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
        return (decoder(Erasing).decode(item.value), item.revision) if item else (None, 0)

    def _remove(self, erasing: Erasing) -> None:
        """Remove what was erased; again, it removes what was left or came late."""
        tenant, conversation = erasing.tenant, erasing.conversation
        for request in erasing.requests:
            replace(self._items, keys.erased(tenant, request), b"", expires_at=self._now() + STAYS)
        # whoever stores for a request looks whether that is there once more afterwards
        self._items.delete([keys.request(tenant, request) for request in erasing.requests])
        found = list(self._found(tenant, conversation, erasing.requests))
        gone = [each for each in found if _is_erased(each, erasing)]
        for each in gone:
            if isinstance(each.value, Held):
                self._let_go(each.value, tenant, conversation)
        self._items.delete([place for each in gone for place in _with_counters(each)])
        others = set(self._requests(tenant, conversation)) - set(erasing.requests)
        self._items.delete(list(self._around(erasing, is_over=not others)))
        if not others:  # else it began anew, and what is left of before goes when blobs do
            self._blobs.remove(self._kept_blobs(tenant, conversation))
        self._finish(erasing)

    def _let_go(self, held: Held, tenant: str, conversation: str) -> None:
        """What another conversation holds, too, stays."""
        self._items.delete(list(marks(held, tenant, conversation)))
        if not self._items.query(keys.holders(tenant, held.collection, held.id)):
            self._points.erase(held.collection, [held.id], tenant=tenant)
        unheld = [token for token in held.tokens if not self._items.query(keys.token_holders(tenant, token))]
        self._items.delete([keys.original(tenant, token) for token in unheld])

    def _around(self, erasing: Erasing, *, is_over: bool) -> Iterator[Place]:
        """What says that there was something, once that is gone."""
        tenant, conversation = erasing.tenant, erasing.conversation
        for request in erasing.requests:
            yield keys.ledger(tenant, request)
            yield keys.of_conversation(tenant, conversation, request)
        partition, prefix = keys.asked(tenant, conversation, "")
        for item in self._items.query(partition, prefix) if is_over else ():
            yield partition, item.key
        if is_over:
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
            write_erasing(self._items, msgspec.structs.replace(found, removed=True), revision)


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
