"""What the events of every workflow share."""

import msgspec


class Passage(msgspec.Struct, frozen=True, kw_only=True):
    """A piece of a source, small enough to be cited.

    Attributes:
        id: Stable: the same piece of the same source has the same id whenever it is read.
        name: The dotted name or the heading a reader would look for, e.g. `heapq.nlargest`.
        source: Where it was read: a file's path below its folder, or `python:heapq`.
        text: The text itself, without its name.
        score: How well it fits the query that found it, 0 to 1; 0 where no query was asked.
    """

    id: str
    name: str
    source: str
    text: str
    score: float = 0.0
