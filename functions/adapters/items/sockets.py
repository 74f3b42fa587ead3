"""The `Sockets` port over items.

A connection's partition has the connection and the names of what it watches; a request's has who watches it. So one
query finds either, and each is removed by way of the other. Everything expires with its connection.
"""

import uuid
from collections.abc import Callable, Sequence
from datetime import datetime, timedelta

import msgspec

from functions.adapters.items import keys
from functions.adapters.items.writing import encoded
from functions.events.decoding import decoder
from functions.ports.items import Due, Items, Place
from functions.ports.sockets import Connection, TooManyWatchedError, Watch

MOST_WATCHED = 50
HELD = timedelta(seconds=20)  # longer than sending takes
GRACE = timedelta(seconds=5)  # past a deadline, for what ends a request at it


class ItemSockets:
    """See `Sockets`."""

    def __init__(self, items: Items, now: Callable[[], datetime]) -> None:
        self._items = items
        self._now = now

    def connect(self, connection: Connection) -> None:
        """See `Sockets.connect`."""
        place = keys.connection(connection.name)
        self._items.put(place, encoded(connection), revision=0, expires_at=connection.until)

    def connection(self, name: str) -> Connection | None:
        """See `Sockets.connection`."""
        (item,) = self._items.get([keys.connection(name)])
        found = decoder(Connection).decode(item.value) if item else None
        return found if found is not None and found.until > self._now() else None

    def forget(self, name: str) -> None:
        """See `Sockets.forget`."""
        place = keys.connection(name)
        watched = [decoder(Watch).decode(item.value) for item in self._items.query(place[0], keys.joined("watch", ""))]
        self._items.delete([*(each for watch in watched for each in _places(watch)), place])

    def watch(self, watch: Watch) -> None:
        """See `Sockets.watch`."""
        of_connection, of_request = _places(watch)
        watched = self._items.query(of_connection[0], keys.joined("watch", ""))
        if len(watched) >= MOST_WATCHED and of_connection[1] not in {item.key for item in watched}:
            raise TooManyWatchedError(f"this connection watches {MOST_WATCHED} requests already: open another one")
        self._items.put(of_connection, encoded(watch), revision=0, expires_at=watch.connection.until)
        while True:
            (item,) = self._items.get([of_request])
            if self._put(watch, item.revision if item else 0):
                return

    def unwatch(self, watch: Watch) -> None:
        """See `Sockets.unwatch`."""
        self._items.delete(_places(watch))

    def watching(self, request: str, *, tenant: str) -> Sequence[Watch]:
        """See `Sockets.watching`."""
        partition, _ = keys.watcher(tenant, request, "")
        return self._alive([decoder(Watch).decode(item.value) for item in self._items.query(partition)])

    def overdue(self, limit: int) -> Sequence[Watch]:
        """See `Sockets.overdue`; those whose connection is over are removed, or they stay the first ones for days."""
        places = self._items.due(keys.WATCHED, self._now(), limit)
        found = [decoder(Watch).decode(item.value) for item in self._items.get(places) if item is not None]
        alive = {_places(watch)[1]: watch for watch in self._alive(found)}
        self._items.delete([place for place in places if place not in alive])
        return list(alive.values())

    def put_off(self, watch: Watch) -> None:
        """See `Sockets.put_off`."""
        found, revision = self._read(watch)
        if found is not None:
            self._put(found, revision, self._now())

    def hold(self, watch: Watch) -> Watch | None:
        """See `Sockets.hold`."""
        while True:
            found, revision = self._read(watch)
            if found is None:
                return None
            now = self._now()
            if found.holder and found.held_until is not None and found.held_until > now:
                if self._put(msgspec.structs.replace(found, notified=found.notified + 1), revision):
                    return None
                continue
            held = msgspec.structs.replace(found, holder=uuid.uuid4().hex, held_until=now + HELD, notified=0)
            if self._put(held, revision):
                return held

    def give_back(self, held: Watch) -> Watch | None:
        """See `Sockets.give_back`."""
        while True:
            found, revision = self._read(held)
            if found is None or found.holder != held.holder:  # unwatched, or taken over
                return None
            if found.notified == held.notified:
                given = msgspec.structs.replace(held, holder="", held_until=None, notified=0)
            else:
                given = msgspec.structs.replace(held, held_until=self._now() + HELD, notified=found.notified)
            if self._put(given, revision):
                return given if given.holder else None

    def _alive(self, watches: Sequence[Watch]) -> Sequence[Watch]:
        return [each for each in watches if each.connection.until > self._now()]

    def _read(self, watch: Watch) -> tuple[Watch | None, int]:
        (item,) = self._items.get([_places(watch)[1]])
        return (decoder(Watch).decode(item.value), item.revision) if item else (None, 0)

    def _put(self, watch: Watch, revision: int, at: datetime | None = None) -> bool:
        due = Due(keys.WATCHED, at or watch.deadline + GRACE)
        place = _places(watch)[1]
        return self._items.put(place, encoded(watch), revision=revision, expires_at=watch.connection.until, due=due)


def _places(watch: Watch) -> tuple[Place, Place]:
    """Of what a connection watches, and of who watches a request."""
    connection, request = watch.connection, watch.request
    of_connection = keys.connection(connection.name)[0], keys.joined("watch", request)
    return of_connection, keys.watcher(connection.tenant, request, connection.name)
