"""The port of the catalog: which versions a collection has, and which of them its name stands for."""

from collections.abc import Sequence
from datetime import datetime
from typing import Literal, Protocol

import msgspec

from functions.errors import TroupeError
from functions.ports.vector_stores import Layout

Phase = Literal["new", "filling", "whole"]


class ChangedMeanwhileError(TroupeError):
    """Somebody else changed the entry since it was read: read it again, and decide again."""


class Version(msgspec.Struct, frozen=True, kw_only=True):
    """One physical collection.

    Attributes:
        number: 1, 2, … in the order in which they were made; never used again.
        layout: What it was made for.
        phase: `new` where it is the first one and nobody made it yet, `filling` until it holds everything that the
            current one holds.
        created: When.
    """

    number: int
    layout: Layout
    phase: Phase
    created: datetime


class Entry(msgspec.Struct, frozen=True, kw_only=True):
    """A collection. Writes go to every version that is listed, searches to the current one.

    Attributes:
        name: What agents call it.
        key: What is known of its contents is kept under this: the physical name of its first version.
        revision: Counts the changes of the entry; 0 of one that was never written.
        current: The number that its name stands for.
        versions: Those that exist, by number.
        ttl_s: How long a point stays, in seconds, where it does not say so itself; None for ever.
        previous: The number that its name stood for before: what a rollback goes back to.
        dropping: Those that nobody uses any more, and whose points are still to be removed.
    """

    name: str
    key: str
    revision: int = 0
    current: int
    versions: tuple[Version, ...]
    ttl_s: float | None = None
    previous: int | None = None
    dropping: tuple[Version, ...] = ()

    def version(self, number: int) -> Version | None:
        """The version with this number, if it exists."""
        return next((each for each in self.versions if each.number == number), None)


class Progress(msgspec.Struct, frozen=True, kw_only=True):
    """How far a version was filled: what a migration that was cut off goes on from.

    Attributes:
        collection: Its name.
        number: Of the version that is filled.
        after: The id of the last point that was copied; empty at the beginning.
        done: How many were.
        total: How many there were at the beginning.
        started: When the migration began.
        at: When this was written.
        problem: Why it stands still; empty while it does not.
        rate: How many points a second are copied at most; None without a limit.
    """

    collection: str
    number: int
    after: str = ""
    done: int = 0
    total: int = 0
    started: datetime
    at: datetime
    problem: str = ""
    rate: float | None = None


class Carrier(msgspec.Struct, frozen=True, kw_only=True):
    """A process that searches and writes collections now.

    Attributes:
        name: For a person, e.g. `process 4711`.
        encoders: The versions of the encoders that it can use.
    """

    name: str
    encoders: frozenset[str]


class Catalog(Protocol):
    """The entries of a stack, one for each collection."""

    def read(self, name: str) -> Entry | None:
        """The entry of a collection, as it is now."""
        ...

    def entries(self) -> Sequence[Entry]:
        """All of them, by name."""
        ...

    def write(self, entry: Entry) -> Entry:
        """Put an entry in the place of the one with its revision; what was written, with the next revision.

        Raises:
            ChangedMeanwhileError: The one that is there has another revision.
        """
        ...

    def progress(self, name: str, number: int) -> Progress | None:
        """How far a version was filled; None where no migration began."""
        ...

    def put_progress(self, progress: Progress) -> None:
        """Keep how far a version was filled."""
        ...

    def carriers(self) -> Sequence[Carrier]:
        """Who searches and writes now."""
        ...
