"""Whether what a model wrote is said by what it cites: words, numbers, names and negations, without a model."""

import functools
import re
from collections.abc import Iterator, Sequence

import msgspec

from functions.runtime.patterns import compiled
from functions.runtime.text import sentences, support, words

#: Of a paraphrase's words, in what it cites. On the 60 written by hand in tests/data/paraphrases.jsonl, what is said
#: measures .67 and more, but for two of 30; what is not said .57 and less.
PARAPHRASED = 0.65

_CITATION = r"[\[\u3010][1-9]\d{0,2}(?:\s*[,;\u2013-]\s*[1-9]\d{0,2})*[\]\u3011]"
_RUN = rf"{_CITATION}(?:\s*{_CITATION})*"
#: Behind a space or a stop, or before one: `rows[1]` in the middle of a sentence is code.
_CITATIONS = rf"(?:^|\s+|(?<=[.!?,;:])){_RUN}|{_RUN}(?=[.!?,;:]+(?:\s|$)|\s*$)"
_AFTER_THE_END = rf"([.!?]+[\"'\u201d\u2019)]*)[ \t]*({_RUN})(?=\s|$)"
_NUMBER_OR_RANGE = r"(\d+)(?:\s*[\u2013-]\s*(\d+))?"
_NAME = r"\b(?!(?:e\.g|i\.e|a\.k\.a)\b)[A-Za-z]\w*(?:[._]\w+)+\b|\b[A-Z][a-z]+[A-Z]\w*\b|`([^`\n]+)`"
_MARKS = r"\*\*|__(?=\S)|^#+\s+"
_LONGEST_RANGE = 20
_OPPOSITES = (
    "largest smallest",
    "largest least",
    "maximum minimum",
    "ascending descending",
    "first last",
    "before after",
    "newest oldest",
    "latest earliest",
    "true false",
    "start stop",
    "begin end",
    "open close",
    "enable disable",
    "allow forbid",
    "include exclude",
    "increase decrease",
    "mutable immutable",
    "always sometimes",
    "add remove",
    "left right",
    "parent child",
    "read write",
    "success failure",
    "required optional",
)


class Claim(msgspec.Struct, frozen=True):
    """A sentence that a model wrote, without its citations, and the numbers that it cites."""

    text: str
    cited: tuple[int, ...]


def claims(written: str) -> Iterator[Claim]:
    """The sentences of a text with `[1]` or `[1, 3]` in or behind them, in order."""
    plain = _compiled(_MARKS).sub("", written)
    for sentence in sentences(_compiled(_AFTER_THE_END).sub(lambda found: f" {found[2]}{found[1]}", plain)):
        numbers = (each for found in _compiled(_CITATIONS).findall(sentence) for each in _numbers(found))
        yield Claim(" ".join(_compiled(_CITATIONS).sub("", sentence).split()), tuple(dict.fromkeys(numbers)))


def _numbers(citation: str) -> Iterator[int]:
    for first, last in _compiled(_NUMBER_OR_RANGE).findall(citation):
        yield from range(int(first), min(int(last or first), int(first) + _LONGEST_RANGE) + 1)


def grounded(claim: str, cited: Sequence[str]) -> float:
    """How much of a claim the sentences that it cites say, one of them or all together, 0 to 1.

    A claim with a name that stands in none of them, or with the opposite of a word of theirs, has nothing of it.
    """
    together = "; ".join(sentence.strip().rstrip(".!?") for sentence in cited)
    if any(name not in together.casefold() for name in _names(claim)) or _turns(claim, together):
        return 0.0
    return max((support(claim, source) for source in (*cited, together)), default=0.0)


def _names(text: str) -> Iterator[str]:
    return ((found[1] or found[0]).casefold().rstrip("()") for found in _compiled(_NAME).finditer(text))


def _turns(claim: str, source: str) -> bool:
    """Whether a word of the source is its opposite in the claim."""
    new, said = set(words(claim)) - set(words(source)), set(words(source))
    return any((one in new and other in said) or (other in new and one in said) for one, other in _opposites())


@functools.cache
def _opposites() -> tuple[tuple[str, ...], ...]:
    """As `words` gives them."""
    return tuple(map(words, _OPPOSITES))


def _compiled(pattern: str) -> re.Pattern[str]:
    return compiled(pattern, re.MULTILINE)
