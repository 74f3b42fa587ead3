"""How fast a corpus is read, beside sentence-transformers on the same texts in the same run.

    python bench/reading/run.py

The texts are those that Troupe encodes of a slice of the standard library's passages. They are cut into rounds, and in
each round everybody has the same ones, in an order that changes, so that a slow moment of the machine hits all. The
peer has an environment of its own, made of uv.lock by uv at the first run (torch comes with it: 5.6 GB).
"""

import itertools
import json
import os
import shutil
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Sequence
from pathlib import Path

from rich.console import Console
from rich.table import Table

from functions.adapters.encoders.registry import registered
from functions.adapters.local.store import Store
from functions.collections.ranking import text_to_encode
from functions.documents.python_docs import read_python_docs
from functions.events.common import Passage
from local.shelf import Shelf

ROOT = Path(__file__).parents[2]
TROUPE = ROOT / ".troupe"
PEER_ENVIRONMENT = TROUPE / "bench" / "reference"
ROUNDS = 12
PASSAGES_A_ROUND = 96


def main() -> None:
    """Measure the three, round by round, and print the medians of the rates and of the ratios."""
    python = _peer_python()
    encoders = registered(TROUPE, {})
    encoder = encoders.encoder(encoders.carried[0].version)
    with (
        tempfile.TemporaryDirectory() as folder,
        subprocess.Popen([python, ROOT / "bench/reading/peer.py"], stdin=-1, stdout=-1, text=True) as peer,
    ):
        store = Store(Path(folder))
        shelf = Shelf(store, encoders, encoder)
        collection = shelf.open("reading")
        asked = _asking(peer)
        sides: dict[str, Callable[[Sequence[Passage]], float]] = {
            "sentence-transformers, encoding": asked,
            "Troupe, encoding": lambda part: _seconds(lambda: encoder.encode([text_to_encode(each) for each in part])),
            "Troupe, encoding and storing": lambda part: _seconds(lambda: collection.upsert(part, tenant="bench")),
        }
        rates = _measured(sides)
        shelf.close()
        store.close()
        peer.terminate()
    _print(rates)


def _measured(sides: dict[str, Callable[[Sequence[Passage]], float]]) -> dict[str, list[float]]:
    """Passages a second, by side, a number a round."""
    passages = list(read_python_docs())
    step = len(passages) // (ROUNDS * PASSAGES_A_ROUND)
    spread = passages[:: max(1, step)]  # from all over the library, since its modules differ in length
    orders = itertools.cycle(itertools.permutations(sides))
    rates: dict[str, list[float]] = {name: [] for name in sides}
    for at in range(ROUNDS):
        part = spread[at * PASSAGES_A_ROUND : (at + 1) * PASSAGES_A_ROUND]
        for name in next(orders):
            rates[name].append(len(part) / sides[name](part))
    return rates


def _asking(peer: subprocess.Popen[str]) -> Callable[[Sequence[Passage]], float]:
    if peer.stdin is None or peer.stdout is None:
        raise SystemExit("the peer has no pipes")
    to_peer, from_peer = peer.stdin, peer.stdout
    if not from_peer.readline():
        raise SystemExit("the peer did not start, see above")

    def ask(part: Sequence[Passage]) -> float:
        to_peer.write(json.dumps([text_to_encode(each) for each in part]) + "\n")
        to_peer.flush()
        said = json.loads(from_peer.readline())
        if said["rows"] != len(part):
            raise SystemExit(f"the peer encoded {said['rows']} of {len(part)} texts")
        return float(said["seconds"])

    return ask


def _seconds(work: Callable[[], object]) -> float:
    start = time.perf_counter()
    work()
    return time.perf_counter() - start


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


def _print(rates: dict[str, list[float]]) -> None:
    peer = rates["sentence-transformers, encoding"]
    table = Table("what", "passages a second, p50", "beside sentence-transformers, p50 (lowest to highest round)")
    for name, each in rates.items():
        ratios = sorted(ours / theirs for ours, theirs in zip(each, peer, strict=True))
        table.add_row(
            name,
            f"{statistics.median(each):.0f}",
            f"{statistics.median(ratios):.2f} ({ratios[0]:.2f} to {ratios[-1]:.2f})",
        )
    Console().print(table)


if __name__ == "__main__":
    main()
