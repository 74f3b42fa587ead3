"""Entries of the catalog: found by name, and changed by one writer at a time."""

from collections.abc import Callable

import msgspec

from functions.errors import TroupeError
from functions.ports.catalog import Catalog, ChangedMeanwhileError, Entry, Version


class UnknownCollectionError(TroupeError, LookupError):
    """No collection has this name."""


class UnknownVersionError(TroupeError, LookupError):
    """A collection has no version of this number."""


def entry_of(catalog: Catalog, name: str) -> Entry:
    """The entry of a collection.

    Raises:
        UnknownCollectionError: There is none, with those that there are.
    """
    found = catalog.read(name)
    if found is None:
        there = ", ".join(each.name for each in catalog.entries()) or "none yet"
        raise UnknownCollectionError(
            f"there is no collection {name!r}: there are {there}; `troupe collections create` makes one"
        )
    return found


def version_of(entry: Entry, number: int) -> Version:
    """A version of a collection.

    Raises:
        UnknownVersionError: There is none, with those that there are.
    """
    found = entry.version(number)
    if found is None:
        there = ", ".join(str(each.number) for each in entry.versions)
        raise UnknownVersionError(f"{entry.name} has no version {number}: it has {there}")
    return found


def changed(catalog: Catalog, name: str, change: Callable[[Entry], Entry]) -> Entry:
    """Change an entry; where somebody else changed it meanwhile, decide again by what is there now.

    Args:
        catalog: Of the stack.
        name: Of the collection.
        change: The entry as it shall be, or the same where nothing is to be done. Raises what refuses the change.

    Raises:
        UnknownCollectionError: There is none of this name.
    """
    while True:
        entry = entry_of(catalog, name)
        wanted = change(entry)
        if wanted == entry:
            return entry
        try:
            return catalog.write(wanted)
        except ChangedMeanwhileError:
            continue


def with_version(entry: Entry, version: Version) -> Entry:
    """The entry with this version in the place of the one with its number."""
    others = [each for each in entry.versions if each.number != version.number]
    versions = sorted([*others, version], key=lambda each: each.number)
    return msgspec.structs.replace(entry, versions=tuple(versions))


def without_version(entry: Entry, number: int) -> Entry:
    """The entry without the version of this number."""
    return msgspec.structs.replace(
        entry, versions=tuple(version for version in entry.versions if version.number != number)
    )
