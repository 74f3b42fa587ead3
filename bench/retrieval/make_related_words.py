"""Writes functions/collections/related_words.txt: the words of Python's documentation and their neighbours.

    python bench/retrieval/make_related_words.py

A line is a word, then up to four others, nearest first, each with the square of the cosine of their vectors.
The words are those that occur in the documentation and are one token of the default encoder. Words with one
stem are no neighbours: BM25 takes them for the same already.
"""

import re
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path

import numpy as np
import Stemmer
from numpy.typing import NDArray

from functions.adapters.encoders.minilm import built_encoder
from functions.adapters.encoders.minilm_artefact import VERSION, VOCABULARY_FILE
from functions.documents.python_docs import read_python_docs
from functions.events.common import Passage

ROOT = Path(__file__).parents[2]
ENCODERS = ROOT / ".troupe" / "encoders"
TARGET = ROOT / "functions" / "collections" / "related_words.txt"

LEAST_LETTERS = 3
LEAST_COSINE = 0.5
NEIGHBOURS = 4


def main() -> None:
    """Read, encode, compare, write."""
    encoder = built_encoder(ENCODERS)
    words = sorted(_words_of(read_python_docs()) & _single_tokens(ENCODERS / VERSION / VOCABULARY_FILE))
    vectors = encoder.encode(words)
    lines = list(_lines(words, vectors @ vectors.T))
    TARGET.write_text("\n".join(lines) + "\n", "utf-8")
    print(f"{len(lines)} of {len(words)} words have neighbours; written to {TARGET.relative_to(ROOT)}")


def _words_of(passages: Iterable[Passage]) -> set[str]:
    parts = (re.sub(r"(?<=[a-z])(?=[A-Z])", " ", passage.text).lower() for passage in passages)
    return {word for part in parts for word in re.findall(r"[a-z]+", part) if len(word) >= LEAST_LETTERS}


def _single_tokens(vocabulary: Path) -> set[str]:
    return set(vocabulary.read_text("utf-8").split("\n"))


def _lines(words: Sequence[str], cosines: NDArray[np.float32]) -> Iterator[str]:
    stems: Sequence[str] = Stemmer.Stemmer("english").stemWords(words)
    for at, word in enumerate(words):
        neighbours = list(_neighbours(words, stems, cosines[at], stems[at]))[:NEIGHBOURS]
        if neighbours:
            yield " ".join([word, *neighbours])


def _neighbours(words: Sequence[str], stems: Sequence[str], cosines: NDArray[np.float32], stem: str) -> Iterator[str]:
    seen = {stem}
    for other in np.argsort(-cosines, kind="stable"):
        if cosines[other] < LEAST_COSINE:
            return
        if stems[other] not in seen:
            seen.add(stems[other])
            yield f"{words[other]} {cosines[other] ** 2:.2f}"


if __name__ == "__main__":
    main()
