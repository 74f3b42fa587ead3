"""What the events of every workflow share."""

import msgspec


class Work(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """What a bibliography would say of the work that a passage is from; empty is what the work does not say.

    Attributes:
        title: Its title.
        authors: By name, in its own order.
        published: When, as the work writes it: `2024`, `2024-05-01`.
        modified: When its file was last changed, a day: `2024-05-01`.
        version: Which version of it was read, e.g. `CPython 3.12.4`.
        location: Its address, where it gives one.
    """

    title: str = ""
    authors: tuple[str, ...] = ()
    published: str = ""
    modified: str = ""
    version: str = ""
    location: str = ""


class Passage(msgspec.Struct, frozen=True, kw_only=True):
    """A piece of a source, small enough to be cited.

    Attributes:
        id: Stable: the same piece of the same source has the same id whenever it is read.
        name: The dotted name or the heading a reader would look for, e.g. `heapq.nlargest`.
        source: Where it was read: a file's path below its folder, or `python:heapq`.
        text: The text itself, without its name.
        score: How well it fits the query that found it, 0 to 1; 0 where no query was asked.
        work: What it is a passage of.
        labels: What else it can be found by, e.g. `team=billing`.
    """

    id: str
    name: str
    source: str
    text: str
    score: float = 0.0
    work: Work = Work()
    labels: tuple[str, ...] = ()


MAX_PASSAGE_CHARACTERS = 4_000  # a handful of passages stays well below the size at which an event's data is set aside


def shortened(passage: Passage) -> Passage:
    """The passage as an event carries it: with the beginning of its text."""
    return msgspec.structs.replace(passage, text=passage.text[:MAX_PASSAGE_CHARACTERS])
