"""Fill a new version of a collection from the current one, while everybody goes on writing (docs/adr/0019).

From the moment on in which the new version is listed, whoever writes, writes the lower number first and then the new
one. The copy is one more who writes the new version, and keeps to one rule: after each write it looks at the source
again, and goes on until that still holds what was written. So whoever wrote last, wrote what the source holds.
"""

from collections.abc import Callable, Iterable, Mapping, Sequence
from datetime import datetime
from typing import Literal

import msgspec

from functions.collections.entries import changed, entry_of, with_version
from functions.collections.expiring import expired, is_alive
from functions.errors import TroupeError
from functions.ports.catalog import Catalog, Entry, Progress
from functions.ports.vector_stores import SCROLL_POINTS, Fields, Filter, Layout, Point, VectorStore

BATCH = 64  # points that are encoded and written between two checkpoints: seconds, which a stop has to wait for
PAGE = SCROLL_POINTS  # of both versions, where they are compared
PASSES = 8  # one is enough where nobody dies; each finds what somebody left half done before it
LONGEST_PAUSE_S = 30.0
_FIRST_PAUSE_S = 0.5

Ended = Literal["whole", "stopped", "dropped"]
#: The same points for another version: encoded by its encoder. Raises a `TroupeError` that names what cannot be.
Recode = Callable[[Layout, Sequence[Point]], Sequence[Point]]
#: Waits so many seconds; whether to stop instead of going on (`threading.Event.wait`).
Wait = Callable[[float], bool]


def fill(  # noqa: PLR0913 - the ports of a plain entry point
    name: str,
    number: int,
    *,
    catalog: Catalog,
    store: VectorStore,
    recode: Recode,
    now: Callable[[], datetime],
    wait: Wait,
) -> Ended:
    """Fill a version until it holds what the current one holds, and say so in the catalog.

    It may be killed at any point and run again, or by two at once. Where a store, an encoder or the disk fails, the
    progress says why it stands still, and it goes on once that is mended.

    Args:
        name: Of the collection.
        number: Of a version that is listed as `filling`.
        catalog: Of the stack.
        store: Holds both versions.
        recode: Makes the points of the new version.
        now: The time, in UTC.
        wait: Between batches, and where something failed.

    Returns:
        `whole`; `stopped` where `wait` said so; `dropped` where the version is no longer listed.
    """
    filling = _Filling(name, number, catalog, store, recode, now, wait)
    pause_s = 0.0
    while not wait(pause_s):
        try:
            return filling.go_on()
        except _DroppedError:
            filling.clear()
            return "dropped"
        except _StoppedError:
            break
        except (TroupeError, OSError) as error:
            moved = filling.stand_still(str(error))
            pause_s = _FIRST_PAUSE_S if moved else min(max(2 * pause_s, _FIRST_PAUSE_S), LONGEST_PAUSE_S)
    return "stopped"


class _DroppedError(Exception):
    """The version is no longer listed."""


class _StoppedError(Exception):
    """Whoever waits was told to stop."""


class _Filling:
    """One attempt to fill a version, from its checkpoint on."""

    def __init__(  # noqa: PLR0913, PLR0917 - as `fill`
        self,
        name: str,
        number: int,
        catalog: Catalog,
        store: VectorStore,
        recode: Recode,
        now: Callable[[], datetime],
        wait: Wait,
    ) -> None:
        self._name = name
        self._number = number
        self._catalog = catalog
        self._store = store
        self._recode = recode
        self._now = now
        self._wait = wait
        self._moved = False
        self._made = ""

    def go_on(self) -> Ended:
        """Copy what is not copied yet, compare both versions, and call the new one whole."""
        _, target = self._layouts()
        self._made = target.name
        self._store.create(target)
        self._copy(self._begun())
        self._store.optimize(target)
        for _ in range(PASSES):
            if not self._compare():
                break
        self._report(problem="")
        changed(self._catalog, self._name, self._as_whole)
        return "whole"

    def clear(self) -> None:
        """Remove what this may have made just after it was dropped; a number is never used again."""
        if self._made:
            self._store.drop(self._made)

    def stand_still(self, problem: str) -> bool:
        """Say why; whether anything was copied since the last time."""
        moved, self._moved = self._moved, False
        try:
            self._report(problem=problem)
        except (TroupeError, OSError):
            return moved  # the catalog cannot be written either: it is tried again all the same
        return moved

    # The copy

    def _begun(self) -> Progress:
        """The checkpoint; where there is none, or nothing was counted yet, a new one."""
        source, _ = self._layouts()
        found = self._catalog.progress(self._name, self._number)
        if found is not None and (found.after or found.total):
            return found
        at = self._now()
        total = self._store.count(source, self._living(at))
        begun = found or Progress(collection=self._name, number=self._number, started=at, at=at)
        begun = msgspec.structs.replace(begun, total=total, at=at)
        self._catalog.put_progress(begun)
        return begun

    def _copy(self, progress: Progress) -> None:
        while True:
            began = self._now()
            source, target = self._layouts()
            most = BATCH if progress.rate is None else min(max(round(progress.rate), 1), BATCH)
            page = self._store.scroll(source, self._living(began), after=progress.after, limit=most)
            if not page:
                return
            self._mirror(source, target, page)
            progress = self._report(after=page[-1].id, done=progress.done + len(page), problem="")
            self._moved = True
            if len(page) < most:
                return
            self._keep_pace(progress.rate, len(page), began)

    def _keep_pace(self, rate: float | None, copied: int, began: datetime) -> None:
        spent = max((self._now() - began).total_seconds(), 0.0)
        if self._wait(max(copied / rate - spent, 0.0) if rate else 0.0):
            raise _StoppedError

    def _mirror(self, source: Layout, target: Layout, points: Sequence[Point]) -> None:
        """Write these points of the source, until it still holds what was written."""
        pending = {point.id: point for point in points}
        while pending:
            self._store.upsert(target, self._recode(target, list(pending.values())))
            there = self._read(source, pending)
            gone = [id_ for id_ in pending if id_ not in there and self._is_living(pending[id_])]
            changed_meanwhile = {id_: point for id_, point in there.items() if not _same(point, pending[id_])}
            pending = changed_meanwhile | self._take_out(source, target, gone)

    def _take_out(self, source: Layout, target: Layout, ids: Sequence[str]) -> dict[str, Point]:
        """Remove what the source no longer has; what it has again by then.

        Erased, not only deleted: it may have been erased everywhere just before it was copied.
        """
        if not ids:
            return {}
        self._store.erase(target, ids)
        return self._read(source, ids)

    # The comparison

    def _compare(self) -> int:
        """Walk through both versions side by side and mend what differs; how many points that were."""
        mended, extra, after = 0, list[str](), ""
        while True:
            source, target = self._layouts()
            living = self._living(self._now())
            ours = self._store.scroll(source, living, after=after, limit=PAGE)
            theirs = self._store.scroll(target, living, after=after, limit=PAGE)
            ends = [page[-1].id for page in (ours, theirs) if len(page) == PAGE]
            until = min(ends, default=None)
            other, surplus = _differing(_up_to(ours, until), _up_to(theirs, until))
            mended += self._mend(source, target, other)
            extra += surplus
            if until is None:
                return mended + self._remove(source, target, extra)
            after = until
            if self._wait(0.0):
                raise _StoppedError

    def _mend(self, source: Layout, target: Layout, ids: Sequence[str]) -> int:
        """What differed may have been a write between its two halves: only what still does is written."""
        ours, theirs = self._read(source, ids), self._read(target, ids)
        wrong = [point for id_, point in ours.items() if id_ not in theirs or not _same(point, theirs[id_])]
        self._mirror(source, target, wrong)
        return len(wrong)

    def _remove(self, source: Layout, target: Layout, ids: Sequence[str]) -> int:
        """Of what only the new version has, most was being deleted: only what is still there is erased."""
        left = self._read(target, ids).keys() - self._read(source, ids).keys()
        back = self._take_out(source, target, sorted(left))
        self._mirror(source, target, list(back.values()))
        return len(left)

    # What it stands on

    def _layouts(self) -> tuple[Layout, Layout]:
        """Of the current version and of the one that is filled, as they are listed now."""
        entry = entry_of(self._catalog, self._name)
        source, target = entry.version(entry.current), entry.version(self._number)
        if source is None or target is None:
            raise _DroppedError
        return source.layout, target.layout

    def _report(self, **news: object) -> Progress:
        """Write the progress anew, over what somebody else may have set in it."""
        found = self._catalog.progress(self._name, self._number)
        at = self._now()
        found = found or Progress(collection=self._name, number=self._number, started=at, at=at)
        written = msgspec.structs.replace(found, at=at, **news)
        if msgspec.structs.replace(written, at=found.at) != found:
            self._catalog.put_progress(written)
        return written

    def _as_whole(self, entry: Entry) -> Entry:
        version = entry.version(self._number)
        if version is None:
            raise _DroppedError
        return with_version(entry, msgspec.structs.replace(version, phase="whole"))

    def _read(self, layout: Layout, ids: Iterable[str]) -> dict[str, Point]:
        """The points of these ids that are there and not expired."""
        return {point.id: point for point in self._store.read(layout, ids) if self._is_living(point)}

    def _is_living(self, point: Point) -> bool:
        return is_alive(point.fields, self._now().timestamp())

    @staticmethod
    def _living(now: datetime) -> Filter:
        """What is expired is not copied and not compared: it is found in no version, and swept from all of them."""
        return Filter(must_not=(expired(now.timestamp()),))


def _up_to(page: Sequence[Point], until: str | None) -> Mapping[str, Point]:
    return {point.id: point for point in page if until is None or point.id <= until}


def _differing(ours: Mapping[str, Point], theirs: Mapping[str, Point]) -> tuple[list[str], list[str]]:
    """The ids that are to be written, and those that are to be removed."""
    other = [id_ for id_, point in ours.items() if id_ not in theirs or not _same(point, theirs[id_])]
    return other, [id_ for id_ in theirs if id_ not in ours]


def _same(point: Point, other: Point) -> bool:
    """Whether two points say the same; whose encoder made their vectors aside."""
    return _said(point.fields) == _said(other.fields)


def _said(fields: Fields) -> Mapping[str, object]:
    return {
        name: value if isinstance(value, str | int | float) else tuple(value)
        for name, value in fields.items()
        if name != "encoder"
    }
