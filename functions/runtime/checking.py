"""How a sentence is held against the source that it is said to be from."""

import re
from collections.abc import Iterator, Sequence

from functions.events.common import Passage
from functions.runtime.text import gives_instructions, support

SUPPORTED = 0.9  # of a sentence's words, in one sentence of its source: one other word may be another statement
QUOTED_WORDS = 8  # so many words in a row that stand in the source are taken from it, not said anew

_WORD = re.compile(r"\w+(?:['\u2019.]\w+)*")


def is_supported(sentence: str, source: str) -> bool:
    """Whether a sentence of the source says it: its words, its numbers and its negations."""
    return support(sentence, source) >= SUPPORTED


def is_poisoned(passage: Passage) -> bool:
    """Whether anything that may be shown of a passage gives instructions instead of facts."""
    work = passage.work
    shown = (passage.name, passage.text, work.title, *work.authors, work.published, work.version, work.location)
    return gives_instructions("\n".join(shown))


def quoted(sentence: str, source: str) -> str:
    """The sentence with quotation marks around what stands in its source word for word.

    Either the whole of it, or every run of QUOTED_WORDS or more of its words.
    """
    found = list(_WORD.finditer(sentence))
    taken = [each.group().casefold() for each in found]
    said = [each.casefold() for each in _WORD.findall(source)]
    marked, start = "", 0
    for first, last in _runs(taken, said):
        is_whole = (first, last) == (0, len(found) - 1)
        begin, end = (0, len(sentence)) if is_whole else (found[first].start(), found[last].end())
        marked += f"{sentence[start:begin]}\u201c{sentence[begin:end]}\u201d"
        start = end
    return marked + sentence[start:]


def _runs(taken: Sequence[str], said: Sequence[str]) -> Iterator[tuple[int, int]]:
    """First and last word of every run that the source has too, from left to right, as long as each can be."""
    least = min(QUOTED_WORDS, len(taken))
    places: dict[tuple[str, ...], list[int]] = {}
    for place in range(len(said) - least + 1):
        places.setdefault(tuple(said[place : place + least]), []).append(place)
    first = 0
    while least and first <= len(taken) - least:
        starts = places.get(tuple(taken[first : first + least]), ())
        length = max((_common(taken[first:], said[place:]) for place in starts), default=0)
        if length:
            yield first, first + length - 1
        first += length or 1


def _common(one: Sequence[str], other: Sequence[str]) -> int:
    """How many words both begin with."""
    for count, (mine, theirs) in enumerate(zip(one, other, strict=False)):
        if mine != theirs:
            return count
    return min(len(one), len(other))
