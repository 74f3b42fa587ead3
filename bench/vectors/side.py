"""One side of bench/vectors, in a process of its own: fills it, measures it, and prints what it measured as JSON.

Between any two questions, the same product of matrices is timed: what the machine does to both at that moment cancels
out in their ratio.
"""

import itertools
import os
import sys
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing, contextmanager
from pathlib import Path

import data
import msgspec
import numpy as np
from numpy.typing import NDArray
from sides import DIMENSION, SIDES, Question, Search, Side, ways

from functions.collections.words import terms_of_question

POINTS_A_WRITE = 1_000
REFERENCE_ROWS = 2_000
SOURCE = "s3"
UNBUILT = 30  # questions that are asked before there is an index
LOAD_THREADS, PAUSE_S = 2, 0.1


class Asked(msgspec.Struct, frozen=True):
    """One way to search: how long each took beside the reference then, and how many of the true ten were found."""

    seconds: list[float]
    reference: list[float]
    recall: float


class Way(msgspec.Struct, frozen=True):
    """One way to search a side: before its index, of all, of one source; and while points come.

    `searchable` and `searches_meanwhile` are in seconds, one number a point and a search: while two threads search ten
    times a second each, and `saturated` while they search without a pause.
    """

    unbuilt: Asked
    plain: Asked
    narrowed: Asked
    searchable: list[float]
    searches_meanwhile: list[float]
    saturated: list[float]


class Measured(msgspec.Struct, frozen=True, kw_only=True):
    """What one side did. Rates are points a second, sizes bytes; the ways by name."""

    rate: float
    build_seconds: float
    ways: dict[str, Way]
    memory: int
    disk: int


class Truth(msgspec.Struct, frozen=True):
    """The rows that are nearest to each question, of all and of one source: an exact search over the same points."""

    plain: list[list[int]]
    filtered: list[list[int]]


class Turn(msgspec.Struct, frozen=True):
    """What a side is told: its files, how many questions it is asked, and how many points come under load."""

    name: str
    files: data.Prepared
    truth: str
    new: int
    folder: str


def main() -> None:
    """The turn comes as JSON, in the only argument."""
    turn = msgspec.json.decode(sys.argv[1], type=Turn)
    vectors, words = np.load(turn.files.points), data.Words(turn.files.words)
    texts = msgspec.json.decode(Path(turn.files.asked).read_bytes(), type=list[str])
    questions = [
        Question(vector, terms_of_question(text))
        for vector, text in zip(np.load(turn.files.questions), texts, strict=True)
    ]
    truth = msgspec.json.decode(Path(turn.truth).read_bytes(), type=Truth)
    folder = Path(turn.folder) / "side"
    folder.mkdir()
    before = _memory()
    with closing(SIDES[turn.name](folder, words)) as side:
        rate = _filled(side, vectors)
        unbuilt = {name: _asked(search, questions[:UNBUILT], None, truth.plain) for name, search in ways(side).items()}
        build_seconds = _seconds(side.build)
        asked = questions[: len(truth.plain)]
        built = {
            name: (_asked(search, asked, None, truth.plain), _asked(search, asked, SOURCE, truth.filtered))
            for name, search in ways(side).items()
        }
        memory = _memory() - before
        firsts = itertools.count(len(vectors), turn.new)
        under_load = {
            name: (
                *_searchable(side, search, next(firsts), turn.new, questions, PAUSE_S),
                _searchable(side, search, next(firsts), turn.new, questions, 0.0)[0],
            )
            for name, search in ways(side).items()
        }
        disk = sum(path.stat().st_blocks * 512 for path in folder.rglob("*"))
    measured = Measured(
        rate=rate,
        build_seconds=build_seconds,
        ways={name: Way(unbuilt[name], *built[name], *under_load[name]) for name in built},
        memory=memory,
        disk=disk,
    )
    print(msgspec.json.encode(measured).decode())


def _filled(side: Side, vectors: NDArray[np.float32]) -> float:
    started = time.perf_counter()
    for start in range(0, len(vectors), POINTS_A_WRITE):
        side.add(start, np.asarray(vectors[start : start + POINTS_A_WRITE]))
        if start % 100_000 == 0:
            print(f"{start:,} of {len(vectors):,} stored", file=sys.stderr, flush=True)
    return len(vectors) / (time.perf_counter() - started)


def _asked(search: Search, questions: Sequence[Question], source: str | None, truth: Sequence[Sequence[int]]) -> Asked:
    """Ask one after another; the first few are asked before, so that what is read once is read."""
    fixed = np.ones((REFERENCE_ROWS, DIMENSION), np.float32)
    for each in questions[:10]:
        search(each, source)
    seconds, reference, hits = [], [], 0
    for question, expected in zip(questions, truth, strict=False):
        reference.append(_seconds(lambda question=question: fixed @ question.vector))  # type: ignore[misc]
        started = time.perf_counter()
        found = search(question, source)
        seconds.append(time.perf_counter() - started)
        hits += len(set(found) & set(expected))
    return Asked(seconds, reference, hits / (10 * len(seconds)))


def _searchable(  # noqa: PLR0913, PLR0917 - a side, a way to search it, and the load
    side: Side, search: Search, first: int, new: int, questions: Sequence[Question], pause_s: float
) -> tuple[list[float], list[float]]:
    """While others search: from before a point is stored until a search finds it; and what their searches took."""
    rng = np.random.default_rng(first)
    waited: list[float] = []
    with _load(search, questions, pause_s) as meanwhile:
        for row in range(first, first + new):
            near = questions[row % len(questions)]
            vector = near.vector + 0.05 * rng.standard_normal(DIMENSION).astype(np.float32)
            vector /= np.linalg.norm(vector)
            started = time.perf_counter()
            side.add(row, vector[None])
            while row not in search(Question(vector, near.terms), data.source_of(row)):
                pass
            waited.append(time.perf_counter() - started)
    return waited, meanwhile


@contextmanager
def _load(search: Search, questions: Sequence[Question], pause_s: float) -> Iterator[list[float]]:
    """Threads that search, half of them a source, until the end; each begins one search in so long a time at most."""
    ended, took = threading.Event(), list[float]()

    def go_on(number: int) -> None:
        for question in itertools.cycle(questions[number::LOAD_THREADS]):
            if ended.is_set():
                return
            took.append(_seconds(lambda question=question: search(question, SOURCE if number else None)))  # type: ignore[misc]
            ended.wait(max(pause_s - took[-1], 0.0))

    with ThreadPoolExecutor(LOAD_THREADS) as threads:
        searching = [threads.submit(go_on, number) for number in range(LOAD_THREADS)]
        try:
            yield took
        finally:
            ended.set()
            for each in searching:
                each.result()


def _seconds(work: Callable[[], object]) -> float:
    started = time.perf_counter()
    work()
    return time.perf_counter() - started


def _memory() -> int:
    """What this process and those that it began have in memory; of files that they map, the pages that are there."""
    children = [pid for file in Path("/proc/self/task").glob("*/children") for pid in file.read_text("ascii").split()]
    pages = [int(Path(f"/proc/{pid}/statm").read_text("ascii").split()[1]) for pid in ("self", *children)]
    return sum(pages) * os.sysconf("SC_PAGE_SIZE")


if __name__ == "__main__":
    main()
