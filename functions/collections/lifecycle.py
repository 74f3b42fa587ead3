"""What may be done to a collection as a whole: made, given another version, switched, taken back, told of.

Everything here changes the catalog alone, by one write of an entry; what moves points is `migration.fill`, and
`remove_dropped`. What is refused says what to do instead.
"""

from collections.abc import Sequence
from datetime import datetime

import msgspec

from functions.collections.entries import (
    changed,
    entry_of,
    version_of,
    with_version,
    without_version,
)
from functions.collections.opening import listed
from functions.collections.points import layout_of
from functions.errors import TroupeError
from functions.ports.catalog import Carrier, Catalog, ChangedMeanwhileError, Entry, Progress, Version
from functions.ports.encoders import Encoder
from functions.ports.vector_stores import EVERYTHING, Layout, VectorStore


class LifecycleError(TroupeError):
    """A collection cannot be changed like this now; nothing was."""


class VersionStatus(msgspec.Struct, frozen=True, kw_only=True):
    """A version, for a person or a program.

    Attributes:
        number: Of it.
        phase: `new`, `filling`, `whole` or `dropping`.
        is_current: Whether the collection's name stands for it.
        layout: What it was made for.
        created: When.
        points: How many it holds; None where the store is not open here, or does not have it.
        is_gone: Whether the store is open here and does not have it, though it was made.
        progress: How far it was filled, where it was.
        missing: Who searches or writes now and does not carry its encoder.
    """

    number: int
    phase: str
    is_current: bool
    layout: Layout
    created: datetime
    points: int | None
    is_gone: bool
    progress: Progress | None
    missing: tuple[str, ...]


class Status(msgspec.Struct, frozen=True, kw_only=True):
    """A collection, for a person or a program.

    Attributes:
        name: What agents call it.
        ttl_s: How long a point stays where it does not say so itself.
        current: The number that its name stands for.
        previous: The one that `rollback` goes back to.
        versions: By number, those being dropped among them.
        carriers: How many processes search and write now.
    """

    name: str
    ttl_s: float | None
    current: int
    previous: int | None
    versions: tuple[VersionStatus, ...]
    carriers: int


def create(catalog: Catalog, name: str, encoder: Encoder, *, ttl_s: float | None, now: datetime) -> Entry:
    """List a collection whose first version is of this encoder, as `new`: whoever has the store makes it.

    Raises:
        LayoutError: The name is not one that a store takes.
        LifecycleError: One of this name is there: a collection never changes in place.
    """
    try:
        return listed(catalog, name, encoder, phase="new", ttl_s=ttl_s, now=now)
    except ChangedMeanwhileError:
        found = entry_of(catalog, name)
    there = version_of(found, found.current).layout
    raise LifecycleError(
        f"there is a collection {name} already, of the encoder {there.encoder} with {there.dimension} dimensions, and "
        f"it stays as it is: `troupe collections migrate {name} --encoder …` gives it a version of another encoder"
    )


def begin(
    catalog: Catalog,
    name: str,
    encoder: Encoder,
    *,
    rate: float | None,
    now: datetime,
) -> int:
    """List a version with another encoder as `filling`: from then on every write goes to it too; its number.

    One that is being filled with the same encoder is the one that is meant.

    Raises:
        LifecycleError: There is a version of this encoder, another one is being filled, or who writes now could not
            write it.
    """
    number = 0

    def change(entry: Entry) -> Entry:
        nonlocal number
        filling = next((version for version in entry.versions if version.phase == "filling"), None)
        if filling is not None and filling.layout.encoder == encoder.version:
            number = filling.number
            return entry
        _refuse_another(entry, filling, encoder.version)
        _refuse_uncarried(
            catalog.carriers(), name, {encoder.version}, "no version can be filled that not all can write"
        )
        number = _next_number(catalog, entry)
        layout = layout_of(name, number, encoder)
        catalog.put_progress(Progress(collection=name, number=number, started=now, at=now, rate=rate))
        return with_version(entry, Version(number=number, layout=layout, phase="filling", created=now))

    changed(catalog, name, change)
    return number


def set_rate(catalog: Catalog, name: str, number: int, rate: float | None) -> None:
    """From the next batch on, copy so many points a second at most."""
    found = catalog.progress(name, number)
    if found is not None and found.rate != rate:
        catalog.put_progress(msgspec.structs.replace(found, rate=rate))


def switch(catalog: Catalog, name: str, number: int | None = None, *, store: VectorStore | None = None) -> Entry:
    """Let the name stand for another version, by one write: a search meets the one or the other.

    Args:
        catalog: Of the stack.
        name: Of the collection.
        number: Of the version; None means the newest.
        store: With the versions; None where another process has it, and what is gone from it is not noticed.

    Raises:
        UnknownVersionError: There is none of this number.
        LifecycleError: It is not whole, it is gone, or who searches now does not carry both encoders.
    """

    def change(entry: Entry) -> Entry:
        wanted = version_of(entry, number if number is not None else entry.versions[-1].number)
        if wanted.number == entry.current:
            return _nothing_newer(entry) if number is None else entry
        _refuse_gone(entry, wanted, store)
        return _switched(catalog, entry, wanted, previous=entry.current)

    return changed(catalog, name, change)


def rollback(catalog: Catalog, name: str, *, store: VectorStore | None = None) -> Entry:
    """Let the name stand for what it stood for before the last switch.

    Raises:
        LifecycleError: There was none, it is dropped or gone, or who searches now does not carry both encoders.
    """

    def change(entry: Entry) -> Entry:
        wanted = entry.version(entry.previous) if entry.previous is not None else None
        if wanted is None:
            raise LifecycleError(
                f"{name} has nothing to go back to: it was not switched since it was made or rolled back, or what it "
                f"stood for is dropped; `troupe collections switch {name} <number>` goes to another version"
            )
        _refuse_gone(entry, wanted, store)
        return _switched(catalog, entry, wanted, previous=None)

    return changed(catalog, name, change)


def take_out(catalog: Catalog, name: str, number: int) -> Entry:
    """Take a version out of use for good; `remove_dropped` removes its points. Again, it changes nothing.

    Raises:
        UnknownVersionError: There is none of this number.
        LifecycleError: The collection's name stands for it.
    """

    def change(entry: Entry) -> Entry:
        if any(each.number == number for each in entry.dropping):
            return entry
        wanted = version_of(entry, number)
        if number == entry.current:
            raise LifecycleError(
                f"{name} stands for version {number}, which is not dropped: `troupe collections switch {name} "
                "<number>` to another one first"
            )
        rest = without_version(entry, number)
        previous = None if entry.previous == number else entry.previous
        return msgspec.structs.replace(rest, previous=previous, dropping=(*entry.dropping, wanted))

    return changed(catalog, name, change)


def remove_dropped(catalog: Catalog, store: VectorStore, name: str) -> int:
    """Remove the points of every version that was taken out of use; how many versions that were.

    It may be cut off at any point and called again.
    """
    dropped = entry_of(catalog, name).dropping
    for version in dropped:
        store.drop(version.layout.name)
        changed(catalog, name, lambda entry, gone=version.number: _forgotten(entry, gone))  # type: ignore[misc]
    return len(dropped)


def status(catalog: Catalog, name: str, store: VectorStore | None) -> Status:
    """A collection as it is now; how many points its versions hold, where the store is open here."""
    entry, carriers = entry_of(catalog, name), catalog.carriers()
    phases = [(version, str(version.phase)) for version in entry.versions]
    phases += [(version, "dropping") for version in entry.dropping]
    return Status(
        name=name,
        ttl_s=entry.ttl_s,
        current=entry.current,
        previous=entry.previous,
        versions=tuple(
            VersionStatus(
                number=version.number,
                phase=phase,
                is_current=version.number == entry.current,
                layout=version.layout,
                created=version.created,
                points=_points(store, version.layout, phase),
                is_gone=store is not None and phase == "whole" and not _is_there(store, version.layout),
                progress=catalog.progress(name, version.number),
                missing=tuple(_without(carriers, {version.layout.encoder})),
            )
            for version, phase in phases
        ),
        carriers=len(carriers),
    )


def _switched(catalog: Catalog, entry: Entry, wanted: Version, *, previous: int | None) -> Entry:
    current = version_of(entry, entry.current)
    if wanted.phase != "whole":
        raise LifecycleError(
            f"version {wanted.number} of {entry.name} is not whole yet ({_how_far(catalog, entry.name, wanted)}): wait "
            f"for `troupe collections migrate {entry.name}`, which goes on where it was cut off"
        )
    encoders = {current.layout.encoder, wanted.layout.encoder}
    _refuse_uncarried(catalog.carriers(), entry.name, encoders, "the name cannot move to vectors that not all can ask")
    return msgspec.structs.replace(entry, current=wanted.number, previous=previous)


def _refuse_gone(entry: Entry, wanted: Version, store: VectorStore | None) -> None:
    if store is not None and wanted.phase == "whole" and not _is_there(store, wanted.layout):
        raise LifecycleError(
            f"version {wanted.number} of {entry.name} is gone from the vector store ({wanted.layout.name}): bring it "
            f"back from a copy, or `troupe collections drop {entry.name} {wanted.number}`; nothing was changed"
        )


def _is_there(store: VectorStore, layout: Layout) -> bool:
    return layout.name in {each.name for each in store.layouts()}


def _nothing_newer(entry: Entry) -> Entry:
    raise LifecycleError(
        f"{entry.name} stands for its newest version, {entry.current}: `troupe collections migrate {entry.name} "
        "--encoder …` makes another one, and `rollback` goes back"
    )


def _refuse_another(entry: Entry, filling: Version | None, encoder: str) -> None:
    if filling is not None:
        raise LifecycleError(
            f"version {filling.number} of {entry.name} is being filled, with the encoder {filling.layout.encoder}: "
            f"wait until it is whole, or `troupe collections drop {entry.name} {filling.number}`"
        )
    same = next((version for version in entry.versions if version.layout.encoder == encoder), None)
    if same is not None:
        raise LifecycleError(
            f"version {same.number} of {entry.name} is of the encoder {encoder} already, and whole: "
            f"`troupe collections switch {entry.name} {same.number}` lets the name stand for it"
        )


def _refuse_uncarried(carriers: Sequence[Carrier], name: str, encoders: set[str], why: str) -> None:
    lacking = _without(carriers, encoders)
    if lacking:
        raise LifecycleError(
            f"{name}: {why}: {'; '.join(lacking)}. Start them again with every encoder, then try again: nothing was "
            "changed"
        )


def _without(carriers: Sequence[Carrier], encoders: set[str]) -> list[str]:
    return [
        f"{carrier.name} does not carry {', '.join(sorted(encoders - carrier.encoders))}"
        for carrier in carriers
        if encoders - carrier.encoders
    ]


def _how_far(catalog: Catalog, name: str, version: Version) -> str:
    progress = catalog.progress(name, version.number)
    if progress is None or not progress.total:
        return "nothing was copied so far"
    problem = f", and stands still: {progress.problem}" if progress.problem else ""
    return f"{progress.done:,} of {progress.total:,} points are copied{problem}"


def _next_number(catalog: Catalog, entry: Entry) -> int:
    """Never one that was used before: a version leaves its progress behind."""
    number = 1 + max(version.number for version in (*entry.versions, *entry.dropping))
    while catalog.progress(entry.name, number) is not None:
        number += 1
    return number


def _forgotten(entry: Entry, number: int) -> Entry:
    rest = tuple(version for version in entry.dropping if version.number != number)
    return msgspec.structs.replace(entry, dropping=rest)


def _points(store: VectorStore | None, layout: Layout, phase: str) -> int | None:
    if store is None or phase == "dropping" or not _is_there(store, layout):
        return None
    return store.count(layout, EVERYTHING)
