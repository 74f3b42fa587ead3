"""How a collection begins: with an entry in the catalog and a first version.

Whoever has the store makes the physical collection, and whoever has not may list one all the same: it is `new` until
it is made, by `made`, which whoever has the store asks of every entry.
"""

from collections.abc import Callable
from datetime import datetime

import msgspec

from functions.collections.entries import changed, entry_of, with_version
from functions.collections.points import Model, layout_of
from functions.ports.catalog import Catalog, ChangedMeanwhileError, Entry, Phase, Version
from functions.ports.vector_stores import NoSuchCollectionError, VectorStore


def ensured(  # noqa: PLR0913 - what an entry is made of
    name: str,
    *,
    catalog: Catalog,
    store: VectorStore,
    encoder: Model,
    now: Callable[[], datetime],
    ttl_s: float | None = None,
    number: int = 1,
) -> Entry:
    """The entry of a collection; where there is none, it gets a first version of this number for this encoder.

    Processes that do so at once make one. A physical collection that is there stays as it is, also one that an earlier
    Troupe made, which had no catalog; one that was moved away is made again, empty, where it is the only version.

    Raises:
        LayoutError: The name is not one that a store takes, or the physical collection was made otherwise.
        NoSuchCollectionError: The current version is gone, and another one would be filled from an empty one.
    """
    entry = catalog.read(name)
    if entry is None:
        store.create(layout_of(name, number, encoder))  # first: what was made otherwise is not listed
        try:
            return listed(catalog, name, encoder, phase="whole", ttl_s=ttl_s, now=now(), number=number)
        except ChangedMeanwhileError:  # another process was as far before
            entry = entry_of(catalog, name)
    entry = made(entry, catalog=catalog, store=store)
    if len(entry.versions) > 1:
        _refuse_lost(entry, store)
    store.create(current_of(entry).layout)
    return entry


def listed(  # noqa: PLR0913 - what an entry is made of
    catalog: Catalog, name: str, encoder: Model, *, phase: Phase, ttl_s: float | None, now: datetime, number: int = 1
) -> Entry:
    """List a collection whose first version is of this encoder.

    Raises:
        ChangedMeanwhileError: One of this name is listed.
        LayoutError: The name is not one that a store takes.
    """
    layout = layout_of(name, number, encoder)
    first = Version(number=number, layout=layout, phase=phase, created=now)
    return catalog.write(Entry(name=name, key=layout.name, current=number, versions=(first,), ttl_s=ttl_s))


def made(entry: Entry, *, catalog: Catalog, store: VectorStore) -> Entry:
    """The entry, once every version is made that is listed as new; it may be cut off at any point and called again."""
    for version in entry.versions:
        if version.phase == "new":
            store.create(version.layout)
            entry = changed(catalog, entry.name, lambda found, number=version.number: _as_whole(found, number))  # type: ignore[misc]
    return entry


def current_of(entry: Entry) -> Version:
    """The version that searches go to.

    Raises:
        NoSuchCollectionError: The entry does not list it.
    """
    version = entry.version(entry.current)
    if version is None:
        raise NoSuchCollectionError(
            f"the collection {entry.name} stands for version {entry.current}, which the catalog does not list: switch "
            "it to one that is there"
        )
    return version


def _as_whole(entry: Entry, number: int) -> Entry:
    version = entry.version(number)
    return entry if version is None else with_version(entry, msgspec.structs.replace(version, phase="whole"))


def _refuse_lost(entry: Entry, store: VectorStore) -> None:
    there, current = {layout.name for layout in store.layouts()}, current_of(entry)
    if current.layout.name in there:
        return
    whole = [each.number for each in entry.versions if each.phase == "whole" and each.layout.name in there]
    others = " and ".join(f"`drop {entry.name} {each.number}`" for each in entry.versions if each != current)
    instead = (
        f"`troupe collections switch {entry.name} {whole[-1]}` to another one and `drop {entry.name} {current.number}`"
        if whole
        else f"`troupe collections` {others}: then it is made again, empty"
    )
    raise NoSuchCollectionError(
        f"version {current.number} of {entry.name}, which the name stands for, is not in the vector store "
        f"({current.layout.name}): bring it back from a copy, or {instead}; nothing was changed"
    )
