"""The vectors and the questions of bench/vectors, made once and kept in .troupe/bench.

Up to 100,000 points are real embeddings: every passage of the standard library's documentation, then perturbations of
those texts (sentences dropped, their order changed, words exchanged for others of the library), by the encoder that
ships. Beyond that, a point lies between a real one and one of its ten nearest neighbours: interpolated, and
clustered as the real ones are; its words are those of the real one. Questions are texts of their own: those of
bench/retrieval, and perturbations that no point was made of.
"""

import hashlib
import random
import re
from collections.abc import Iterator, Sequence
from pathlib import Path

import msgspec
import numpy as np
from numpy.typing import NDArray

from functions.adapters.encoders.minilm import built_encoder
from functions.adapters.encoders.minilm_artefact import VERSION
from functions.collections.words import terms_of_passage
from functions.documents.python_docs import read_python_docs
from functions.events.common import Passage
from functions.ports.vector_stores import Terms

ROOT = Path(__file__).parents[2]
TROUPE = ROOT / ".troupe"
KEPT = TROUPE / "bench" / "vectors"
REAL = 100_000
QUESTIONS = 1_000
MOST_WORDS = 32
EXCHANGED = 0.15  # of the words of a perturbed text
NEIGHBOURS = 10
TENANT = "t"  # one has all points: the most that a search can have to look at
SOURCES = 20  # each has a twentieth of the points
SEED = 6
_TEXTS_A_FILE = 2_500
_ROWS_AT_A_TIME = 10_000

Vectors = NDArray[np.float32]


class Prepared(msgspec.Struct, frozen=True):
    """The files of one run.

    Attributes:
        points: An array of unit vectors.
        questions: Another one.
        words: Of the real points' texts, as `Words` reads them.
        asked: The questions' texts, as JSON.
    """

    points: str
    questions: str
    words: str
    asked: str


class Words:
    """The terms of every point's text, in three arrays: where those of a text begin, their numbers, their weights."""

    def __init__(self, file: str) -> None:
        with np.load(file) as arrays:
            self._starts, self._indices, self._weights = arrays["starts"], arrays["indices"], arrays["weights"]

    def of(self, row: int) -> Terms:
        """Of the point of this number; beyond the real ones, of the one that it was made of."""
        text = row % (len(self._starts) - 1)
        part = slice(self._starts[text], self._starts[text + 1])
        return Terms(tuple(self._indices[part].tolist()), tuple(self._weights[part].tolist()))


def prepared(count: int) -> Prepared:
    """The first `count` points, and the questions; those of a greater count begin with those of a smaller one."""
    texts = _texts(REAL + QUESTIONS)
    digest = _digest([VERSION, *texts])
    name = f"{digest}-{count}"
    points, questions = KEPT / f"points-{name}.npy", KEPT / f"questions-{name}.npy"
    words, asked = KEPT / f"words-{digest}.npz", KEPT / f"asked-{digest}.json"
    if not points.exists():
        whole = -(-min(count, REAL) // _TEXTS_A_FILE) * _TEXTS_A_FILE  # so that runs of any size share what is kept
        real = _encoded(texts[:whole], "points")[: min(count, REAL)]
        _interpolate(real, count, points)
    apart = _questions(texts)
    asked.write_bytes(msgspec.json.encode(apart))
    if not questions.exists():
        np.save(questions, _encoded(apart, "questions"))
    if not words.exists():
        _save_words(texts[:REAL], words)
    return Prepared(str(points), str(questions), str(words), str(asked))


def source_of(row: int) -> str:
    """Where a point is from: by its number, so that every source has some of everything."""
    return f"s{row % SOURCES}"


def _questions(texts: Sequence[str]) -> list[str]:
    asked = [msgspec.json.decode(line)["question"] for line in _question_lines()]
    apart = [*asked, *texts[REAL:]][:QUESTIONS]
    random.Random(SEED).shuffle(apart)  # noqa: S311 - the same in every run
    return apart


def _save_words(texts: Sequence[str], file: Path) -> None:
    print(f"taking the words of {len(texts):,} texts (once)", flush=True)
    terms = [terms_of_passage(Passage(id="", name="", source="", text=text)) for text in texts]
    draft = file.with_suffix(".draft.npz")
    np.savez(
        draft,
        starts=np.cumsum([0, *(len(each.indices) for each in terms)]),
        indices=np.array([index for each in terms for index in each.indices], np.uint32),
        weights=np.array([weight for each in terms for weight in each.weights], np.float32),
    )
    draft.rename(file)


def _question_lines() -> Sequence[bytes]:
    return (ROOT / "bench" / "retrieval" / "questions.jsonl").read_bytes().splitlines()


def _texts(count: int) -> list[str]:
    """Every passage, then perturbations, each text once."""
    passages = [passage.text for passage in read_python_docs()]
    texts = dict.fromkeys(passages)
    perturbed = _perturbed(passages)
    while len(texts) < count:
        texts[next(perturbed)] = None
    return list(texts)[:count]


def _perturbed(passages: Sequence[str]) -> Iterator[str]:
    chance = random.Random(SEED)  # noqa: S311 - the same in every run
    words = [word for text in passages for word in text.split()]
    while True:
        sentences = re.split(r"(?<=[.!?])\s+|\n\n+", chance.choice(passages).strip())
        kept = chance.sample(sentences, chance.randint(1, min(3, len(sentences))))
        start = chance.randrange(max(1, len(" ".join(kept).split()) - MOST_WORDS + 1))
        part = " ".join(kept).split()[start : start + MOST_WORDS]
        yield " ".join(chance.choice(words) if chance.random() < EXCHANGED else word for word in part)


def _encoded(texts: Sequence[str], what: str) -> Vectors:
    """Their vectors; a part that was encoded before is read."""
    if not texts:
        return np.empty((0, 384), np.float32)
    starts = range(0, len(texts), _TEXTS_A_FILE)
    return np.concatenate([_part(texts[start : start + _TEXTS_A_FILE], f"{what} from {start:,}") for start in starts])


def _part(texts: Sequence[str], what: str) -> Vectors:
    file = KEPT / f"{_digest([VERSION, *texts])}.npy"
    if not file.exists():
        KEPT.mkdir(parents=True, exist_ok=True)
        print(f"encoding {len(texts):,} {what} (once)", flush=True)
        draft = file.with_suffix(".draft.npy")
        np.save(draft, built_encoder(TROUPE / "encoders").encode(texts))
        draft.rename(file)
    vectors: Vectors = np.load(file)
    return vectors


def _digest(texts: Sequence[str]) -> str:
    return hashlib.sha256("\0".join(texts).encode()).hexdigest()[:16]


def _interpolate(real: Vectors, count: int, file: Path) -> None:
    """The real ones, then rows between each and a neighbour of it, a round of all of them after another."""
    draft = file.with_suffix(".draft")
    made = np.lib.format.open_memmap(draft, "w+", np.float32, (count, real.shape[1]))
    made[: len(real)] = real
    near = _neighbours(real) if count > len(real) else np.empty((0, 0), np.int64)
    rng = np.random.default_rng(SEED)
    for start in range(len(real), count, _ROWS_AT_A_TIME):
        rows = np.arange(start, min(start + _ROWS_AT_A_TIME, count)) % len(real)
        others = near[rows, rng.integers(0, near.shape[1], len(rows))]
        part = rng.uniform(0.2, 0.8, (len(rows), 1)).astype(np.float32)
        mixed = real[rows] * part + real[others] * (1 - part)
        made[start : start + len(rows)] = mixed / np.linalg.norm(mixed, axis=1, keepdims=True)
    made.flush()
    draft.rename(file)


def _neighbours(real: Vectors) -> NDArray[np.int64]:
    """The numbers of each row's ten nearest others."""
    print(f"looking for the neighbours of {len(real):,} points (once)", flush=True)
    near = np.empty((len(real), NEIGHBOURS), np.int64)
    for start in range(0, len(real), 1_000):
        cosines = real[start : start + 1_000] @ real.T
        cosines[np.arange(len(cosines)), np.arange(start, start + len(cosines))] = -1  # itself
        near[start : start + len(cosines)] = np.argpartition(cosines, -NEIGHBOURS, axis=1)[:, -NEIGHBOURS:]
    return near
