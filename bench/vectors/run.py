"""Vector stores side by side: how soon a point is found, how long a search takes and what it finds, memory and disk.

    python bench/vectors/run.py [--points 100000] [--sides ours,faiss-hnsw] [--questions 1000] [--new 200]

Needs the dependency groups `model` and `stores`. 2,000 points are a look whether everything works: minutes, most of
them for encoding at the first run. 100,000 are real embeddings: at the first run 30 minutes for encoding them on two
cores, then 15. 1,000,000 are those and points between neighbours: 90 minutes on two cores, up to 8 GB of memory and
20 GB of disk, which are free again at the end. What was encoded stays in .troupe/bench/vectors.

Ours is asked in two ways: as a collection asks, with the question's words and a tenant's filter, for 100 candidates of
each kind; and for the ten nearest vectors alone, as every other side is. Narrowed, all look in one source of 20, and
whoever looks for vectors alone also for what is not expired.

A side has a process of its own, one at a time. The machine is not equally fast all the time, so that between any two
searches the same product of matrices (2,000 x 384) is timed: `beside` is the median of their ratio.
"""

import argparse
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Mapping, Sequence
from pathlib import Path

import data
import msgspec
import numpy as np
from numpy.typing import NDArray
from rich.console import Console
from rich.table import Table
from side import SOURCE, Asked, Measured, Truth, Turn
from sides import SIDES

HERE = Path(__file__).parent
TOO_SLOW = {"qdrant-local": 100_000}  # above so many points, only where it is asked for by name
EXPECTED = "searchable p99 <= 50 ms under load; search p99 <= 150 ms, filters included; recall@10 >= .95"


def main() -> None:
    """Measure the sides one after another, and print a table of each kind."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--points", type=int, default=2_000, help="how many; 100,000 of them at most are real")
    parser.add_argument("--sides", default="", help=f"by comma, of {', '.join(SIDES)}; all that are fast enough")
    parser.add_argument("--questions", type=int, default=data.QUESTIONS, help="how many searches of each kind")
    parser.add_argument("--new", type=int, default=200, help="how many points are stored while others search")
    given = parser.parse_args()
    names = (
        given.sides.split(",")
        if given.sides
        else [each for each in SIDES if given.points <= TOO_SLOW.get(each, given.points)]
    )
    unknown = set(names) - set(SIDES)
    if unknown:
        parser.error(f"no such side: {', '.join(sorted(unknown))}; there are {', '.join(SIDES)}")
    files = data.prepared(given.points)
    truth = _truth(files, given.questions)
    turns = {name: _turn(name, files, truth, given.new) for name in names}
    _print({name: each for name, each in turns.items() if each is not None}, given.points)
    failed = [name for name, each in turns.items() if each is None]
    if failed:
        raise SystemExit(f"failed, see above: {', '.join(failed)}")


def _truth(files: data.Prepared, asked: int) -> Path:
    """The rows that an exact search finds, found once for these points and questions."""
    file = Path(files.points).with_suffix(f".{asked}.json")
    if not file.exists():
        vectors, questions = np.load(files.points, mmap_mode="r"), np.load(files.questions)[:asked]
        truth = Truth(_nearest(questions, vectors, 0, 1), _nearest(questions, vectors, int(SOURCE[1:]), data.SOURCES))
        file.write_bytes(msgspec.json.encode(truth))
    return file


def _nearest(questions: NDArray[np.float32], vectors: NDArray[np.float32], first: int, step: int) -> list[list[int]]:
    """Of every `step`th row from the first on, the ten nearest to each question."""
    rows = np.arange(first, len(vectors), step)
    best, found = np.full((len(questions), 0), 0, np.float32), np.zeros((len(questions), 0), np.int64)
    for part in np.array_split(rows, -(-len(rows) // 50_000)):
        cosines = np.hstack([best, questions @ np.asarray(vectors[part]).T])
        numbers = np.hstack([found, np.broadcast_to(part, (len(questions), len(part)))])
        top = np.argpartition(cosines, -10, axis=1)[:, -10:]
        best, found = np.take_along_axis(cosines, top, 1), np.take_along_axis(numbers, top, 1)
    return [[int(each) for each in row] for row in found]


def _turn(name: str, files: data.Prepared, truth: Path, new: int) -> Measured | None:
    print(f"{name}: begun at {time.strftime('%H:%M:%S')}", file=sys.stderr, flush=True)
    with tempfile.TemporaryDirectory(dir=data.KEPT, prefix=".turn-") as folder:
        turn = Turn(name, files, str(truth), new, folder)
        done = subprocess.run(
            [sys.executable, str(HERE / "side.py"), msgspec.json.encode(turn).decode()],
            env={"PYTHONPATH": f"{HERE}:{data.ROOT}", "PATH": "/usr/bin:/bin", "HOME": folder},
            stdout=subprocess.PIPE,
            check=False,
        )
    if done.returncode:
        return None
    return msgspec.json.decode(done.stdout.splitlines()[-1], type=Measured)


def _print(measured: Mapping[str, Measured], points: int) -> None:
    real = min(points, data.REAL)
    print(f"{points:,} points: {real:,} real embeddings, {points - real:,} between a real one and a neighbour of it")
    console = Console(width=150)
    console.print(_searches(measured))
    console.print(_writes(measured))
    print(f"expected of ours: {EXPECTED}")


def _searches(measured: Mapping[str, Measured]) -> Table:
    table = Table("search, 10 of all", "p50 ms", "p99 ms", "beside", "recall@10", title="searches, one at a time")
    for name, each in measured.items():
        for how, way in each.ways.items():
            table.add_row(f"{name}{how}, before its index", *_asked(way.unbuilt))
            table.add_row(f"{name}{how}", *_asked(way.plain))
            narrowed = f"{name}{how}, narrowed to one source of {data.SOURCES}"
            table.add_row(narrowed, *_asked(way.narrowed), end_section=True)
    return table


def _asked(asked: Asked) -> Sequence[str]:
    ratios = [ours / reference for ours, reference in zip(asked.seconds, asked.reference, strict=True)]
    return (*_ms(asked.seconds), f"{statistics.median(ratios):.2f}", f"{asked.recall:.3f}")


def _writes(measured: Mapping[str, Measured]) -> Table:
    title = (
        "searchable: from before a point is stored until a search finds it, while two threads search ten times a "
        "second each; saturated: while they search without a pause"
    )
    table = Table(
        "",
        "searchable p50 ms",
        "p99 ms",
        "searches then p50 ms",
        "p99 ms",
        "saturated p50 ms",
        "p99 ms",
        "stored/s",
        "index s",
        "MB",
        "MB on disk",
        title=title,
    )
    for name, each in measured.items():
        of_side = (
            f"{each.rate:,.0f}",
            f"{each.build_seconds:.1f}",
            f"{each.memory / 1e6:,.0f}",
            f"{each.disk / 1e6:,.0f}",
        )
        for how, way in each.ways.items():
            table.add_row(
                f"{name}{how}", *_ms(way.searchable), *_ms(way.searches_meanwhile), *_ms(way.saturated), *of_side
            )
            of_side = ("", "", "", "")
    return table


def _ms(seconds: Sequence[float]) -> tuple[str, str]:
    ordered = sorted(seconds)
    return f"{statistics.median(ordered) * 1e3:.2f}", f"{ordered[int(len(ordered) * 0.99)] * 1e3:.2f}"


if __name__ == "__main__":
    main()
