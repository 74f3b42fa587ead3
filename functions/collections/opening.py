"""How a collection begins: with an entry in the catalog and a first version."""

from collections.abc import Callable
from datetime import datetime

from functions.collections.points import Model, layout_of
from functions.ports.catalog import Catalog, ChangedMeanwhileError, Entry, Version
from functions.ports.vector_stores import NoSuchCollectionError, VectorStore


def ensured(  # noqa: PLR0913 - what an entry is made of
    name: str,
    *,
    catalog: Catalog,
    store: VectorStore,
    encoder: Model,
    now: Callable[[], datetime],
    ttl_s: float | None = None,
) -> Entry:
    """The entry of a collection; where there is none, it gets a first version for this encoder.

    Processes that do so at once make one. A physical collection that is there stays as it is, also one that an earlier
    Troupe made, which had no catalog; a current one that was moved away is made again, empty.

    Raises:
        LayoutError: The name is not one that a store takes, or the physical collection was made otherwise.
    """
    entry = catalog.read(name)
    if entry is None:
        return _begun(
            name,
            catalog,
            store,
            Version(number=1, layout=layout_of(name, 1, encoder), phase="whole", created=now()),
            ttl_s,
        )
    store.create(current_of(entry).layout)
    return entry


def entry_of(catalog: Catalog, name: str) -> Entry:
    """The entry of a collection that was made before.

    Raises:
        NoSuchCollectionError: It was not.
    """
    entry = catalog.read(name)
    if entry is None:
        raise NoSuchCollectionError(f"there is no collection {name} in the catalog: create it first")
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


def _begun(name: str, catalog: Catalog, store: VectorStore, first: Version, ttl_s: float | None) -> Entry:
    store.create(first.layout)  # before the catalog lists it
    try:
        return catalog.write(
            Entry(name=name, key=first.layout.name, current=first.number, versions=(first,), ttl_s=ttl_s)
        )
    except ChangedMeanwhileError:  # another process was as far before
        return entry_of(catalog, name)
