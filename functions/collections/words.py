"""The words of a text as a sparse vector: what BM25 weighs in a passage, and what a question looks for.

Made here, so that every store has the same. A word is what Qdrant's own BM25 makes of it: lower case, without English
stop words, stemmed, numbered by MurmurHash3; points that Qdrant Edge made itself are found by these too. How rare a
word is, the store counts.
"""

import functools
import math
import re
import struct
from collections import Counter
from collections.abc import Sequence
from typing import Final

import Stemmer

from functions.collections.ranking import related_words, words_of_passage, words_of_question
from functions.events.common import Passage
from functions.ports.vector_stores import Terms

# BM25: how soon a word said again counts less, how much longer passages are discounted, and the words of a usual one.
_SATURATION: Final = 1.2
_LENGTH_WEIGHT: Final = 0.5
_USUAL_LENGTH: Final = 50.0

_STOPWORDS: Final = frozenset(
    """a about above after again against ain all am an and any are aren as at be because been before being below between
    both but by can couldn d did didn do does doesn doing don down during each few for from further had hadn has hasn
    have haven having he her here hers herself him himself his how i if in into is isn it its itself just ll m ma me
    mightn more most mustn my myself needn no nor not now o of off on once only or other our ours ourselves out over own
    re s same shan she should shouldn so some such t than that the their theirs them themselves then there these they
    this those through to too under until up ve very was wasn we were weren what when where which while who whom why
    will with won wouldn y you your yours yourself yourselves""".split()  # noqa: SIM905 - as in functions.runtime.text
)
_WORD: Final = re.compile(r"[^\W_]+")
_BITS: Final = 0xFFFF_FFFF
_KNOWN_WORDS: Final = 65_536

_stemmer = Stemmer.Stemmer("english")


def terms_of_passage(passage: Passage) -> Terms:
    """The words of a passage, each weighed by how often it is said, and by how much else is."""
    found = _numbers(words_of_passage(passage))
    ballast = _SATURATION * (1 - _LENGTH_WEIGHT + _LENGTH_WEIGHT * len(found) / _USUAL_LENGTH)
    times = Counter(found)
    weights = [each * (_SATURATION + 1) / (each + ballast) for each in times.values()]
    return Terms(tuple(times), tuple(weights))


def terms_of_question(question: str) -> Terms:
    """The words of a question with the weight 1, and related words with less."""
    weights = dict.fromkeys(_numbers(words_of_question(question)), 1.0)
    for word, weight in related_words(question).items():
        for number in _numbers(word):
            weights[number] = max(weight, weights.get(number, 0.0))
    return Terms(tuple(weights), tuple(weights.values()))


def shared_words(question: Terms, passages: Sequence[Terms]) -> list[float]:
    """The BM25 score of each passage, where a word is as rare as it is among these: for stores that count no words."""
    having = Counter(number for passage in passages for number in passage.indices)
    weights = {
        number: weight * math.log(1 + (len(passages) - having[number] + 0.5) / (having[number] + 0.5))
        for number, weight in zip(question.indices, question.weights, strict=True)
    }
    return [
        sum(weights.get(number, 0.0) * weight for number, weight in zip(each.indices, each.weights, strict=True))
        for each in passages
    ]


def _numbers(text: str) -> list[int]:
    """The number of each word that counts, in order."""
    return [_number(word) for word in _WORD.findall(text.lower()) if word not in _STOPWORDS]


@functools.lru_cache(maxsize=_KNOWN_WORDS)
def _number(word: str) -> int:
    hashed = _murmur3(_stemmer.stemWord(word).encode())
    return min(hashed, _BITS + 1 - hashed)  # the amount of what Qdrant takes for a signed number


def _murmur3(data: bytes) -> int:
    """MurmurHash3 of 32 bits with the seed 0."""
    whole = len(data) // 4 * 4
    hashed = 0
    for (block,) in struct.iter_unpack("<I", data[:whole]):
        hashed = (_rotated(hashed ^ _mixed(block), 13) * 5 + 0xE6546B64) & _BITS
    hashed ^= _mixed(int.from_bytes(data[whole:], "little")) ^ len(data)
    hashed = (hashed ^ hashed >> 16) * 0x85EBCA6B & _BITS
    hashed = (hashed ^ hashed >> 13) * 0xC2B2AE35 & _BITS
    return hashed ^ hashed >> 16


def _mixed(block: int) -> int:
    return _rotated(block * 0xCC9E2D51 & _BITS, 15) * 0x1B873593 & _BITS


def _rotated(value: int, bits: int) -> int:
    return (value << bits | value >> (32 - bits)) & _BITS
