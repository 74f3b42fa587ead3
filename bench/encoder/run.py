"""What the default encoder costs, beside sentence-transformers in the same run, one thread each.

    python bench/encoder/run.py [--rounds 5] [--texts 240] [--peer <python>]

In each round everybody starts in a process of its own, in an order that changes, so that a slow moment of the machine
hits all. The first round is not counted: it brings files into memory, and modules' bytecode into a folder that both
environments share. The peer has an environment of its own, made of uv.lock by uv at the first run (torch comes with
it: 5.6 GB); `--peer` names the interpreter of one that is there. On Linux, which tells a process's own peak of memory.
"""

import argparse
import itertools
import json
import os
import shutil
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import msgspec
import numpy as np
from numpy.typing import NDArray
from rich.console import Console
from rich.table import Table
from side import SIDES

from functions.adapters.encoders.minilm import built_encoder
from functions.adapters.encoders.minilm_artefact import PRECISIONS
from functions.documents.python_docs import read_python_docs

ROOT = Path(__file__).parents[2]
TROUPE = ROOT / ".troupe"
PEER_ENVIRONMENT = TROUPE / "bench" / "reference"
PEER = "sentence-transformers"
QUESTIONS = 4  # of so many texts, one is a question to the others
NEAREST = 10


class Figure(msgspec.Struct, frozen=True):
    """What is measured, and what its ratio to the peer is to be."""

    title: str
    unit: str
    goal: str


FIGURES = {
    "cold": Figure("cold start to the first vector", "ms", "<= .035"),
    "memory": Figure("memory after it", "MB", "<= .22"),
    "short": Figure("12 words", "ms", "<= .50"),
    "long": Figure("200 words", "ms", "<= .80"),
    "rate": Figure("batch", "texts/s", ""),
    "busy": Figure("memory after the batch", "MB", ""),
}

Rounds = dict[str, list[dict[str, float]]]


def main() -> None:
    """Measure everybody, round by round, and print the medians of the figures and of their ratios."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--texts", type=int, default=240)
    parser.add_argument("--peer", type=Path)
    given = parser.parse_args()
    for precision in PRECISIONS:
        built_encoder(TROUPE / "encoders", precision=precision)
    with tempfile.TemporaryDirectory() as folder:
        texts = _texts(given.texts)
        (Path(folder) / "texts.json").write_text(json.dumps(texts), "utf-8")
        rounds = _measured(given.rounds, given.peer or _peer_python(), Path(folder))
        vectors = {side: np.load(_vectors_file(Path(folder), side)) for side in SIDES}
    _print(rounds)
    _print_parity(vectors)


def _texts(count: int) -> list[str]:
    """Passages from all over the standard library, since its modules differ in length."""
    passages = list(read_python_docs())
    return [f"{each.name}\n{each.text}" for each in passages[:: max(1, len(passages) // count)][:count]]


def _measured(count: int, peer: Path, folder: Path) -> Rounds:
    orders = itertools.cycle(itertools.permutations(SIDES))
    rounds: Rounds = {side: [] for side in SIDES}
    for at in range(count + 1):
        for side in next(orders):
            found = _one(side, peer if side == PEER else Path(sys.executable), folder)
            if at:
                rounds[side].append(found)
    return rounds


def _one(side: str, python: Path, folder: Path) -> dict[str, float]:
    start = time.perf_counter()
    command = [python, ROOT / "bench/encoder/side.py", side, folder / "texts.json", _vectors_file(folder, side)]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True, env=_environment()) as process:
        if process.stdout is None or process.stdout.readline() != "ready\n":
            raise SystemExit(f"{side} did not start, see above")
        cold = (time.perf_counter() - start) * 1000
        said = process.stdout.read()
    if process.returncode:
        raise SystemExit(f"{side} ended in the middle, see above")
    return {"cold": cold, **json.loads(said)}


def _environment() -> dict[str, str]:
    """One thread, and bytecode kept as it is where a package was installed to be used."""
    kept = {name: value for name, value in os.environ.items() if name != "PYTHONDONTWRITEBYTECODE"}
    one = dict.fromkeys(("OMP_NUM_THREADS", "MKL_NUM_THREADS", "OPENBLAS_NUM_THREADS"), "1")
    own = {"PYTHONPYCACHEPREFIX": str(TROUPE / "bench" / "bytecode"), "PYTHONPATH": str(ROOT)}
    return {**kept, **one, **own, "HF_HUB_OFFLINE": "1"}


def _vectors_file(folder: Path, side: str) -> Path:
    return folder / f"{list(SIDES).index(side)}.npy"


def _peer_python() -> Path:
    """The interpreter of the peer's environment, which is made first where it is not there."""
    uv = shutil.which("uv") or str(ROOT / ".tools" / "bin" / "uv")
    subprocess.run(
        [
            *(uv, "sync", "--frozen", "--quiet", "--no-default-groups", "--no-install-project"),
            *("--group", "reference", "--group", "model", "--python", sys.executable),
        ],
        cwd=ROOT,
        env={**os.environ, "UV_PROJECT_ENVIRONMENT": str(PEER_ENVIRONMENT)},
        check=True,
    )
    return PEER_ENVIRONMENT / "bin" / "python"


def _print(rounds: Rounds) -> None:
    table = Table("what", *SIDES, title="medians; behind them, the median of the rounds' ratios to the peer")
    for key, figure in FIGURES.items():
        cells = [_cell([each[key] for each in rounds[side]], [each[key] for each in rounds[PEER]]) for side in SIDES]
        goal = f" (to reach {figure.goal})" if figure.goal else ""
        table.add_row(f"{figure.title}, {figure.unit}{goal}", *cells)
    Console(width=140).print(table)


def _cell(ours: list[float], theirs: list[float]) -> str:
    ratios = sorted(each / other for each, other in zip(ours, theirs, strict=True))
    middle = statistics.median(ratios)
    return f"{statistics.median(ours):.1f}  {middle:.3f} ({ratios[0]:.3f} to {ratios[-1]:.3f})"


def _print_parity(vectors: dict[str, NDArray[np.float32]]) -> None:
    table = Table("vectors", "cosine, least", "cosine, mean", f"top-{NEAREST} overlap", title=f"beside those of {PEER}")
    for side, found in vectors.items():
        cosines = (found * vectors[PEER]).sum(axis=1)
        overlap = _overlap(found, vectors[PEER])
        table.add_row(side, f"{cosines.min():.6f}", f"{cosines.mean():.6f}", f"{overlap:.3f}")
    Console(width=140).print(table)


def _overlap(one: NDArray[np.float32], other: NDArray[np.float32]) -> float:
    pairs = zip(_nearest(one), _nearest(other), strict=True)
    return statistics.mean(len(set(a) & set(b)) / NEAREST for a, b in pairs)


def _nearest(vectors: NDArray[np.float32]) -> list[list[int]]:
    is_question = np.arange(len(vectors)) % QUESTIONS == 0
    scores = vectors[is_question] @ vectors[~is_question].T
    nearest: list[list[int]] = np.argsort(-scores, axis=1)[:, :NEAREST].tolist()
    return nearest


if __name__ == "__main__":
    main()
