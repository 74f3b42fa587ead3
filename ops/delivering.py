"""Who delivers what a command publishes, and what no redrive does again: of a store and of a stack alike."""

from collections.abc import Sequence

import msgspec

from functions.ports.effects import Effect


class Delivering(msgspec.Struct, frozen=True, kw_only=True):
    """Who delivers what is published.

    Attributes:
        at_work: Process ids, or the name of a stack; empty where nobody is at work.
        says: The same as a sentence.
    """

    at_work: Sequence[int | str]
    says: str


def is_never_repeated(effects: Sequence[Effect]) -> bool:
    """Whether a redrive would come to an effect in doubt that is not repeated: where a server honours keys, it is."""
    return not all(effect.sent.key_header for effect in effects)
