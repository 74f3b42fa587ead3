"""One chain of seven agents in Troupe and beside it: how long one workflow takes, and how many a second at once.

    python bench/workflow/run.py [--repetitions 5] [--picture docs/bench-workflow.svg]

Each peer runs in an environment of its own under .bench, made by uv at the first run. The peers take turns, so that
whatever else the machine does hits all of them. What each one does is in peers/<name>/run.py, and why in README.md.
"""

import argparse
import json
import os
import shutil
import statistics
import subprocess
import sys
import tempfile
from collections.abc import Mapping, Sequence
from pathlib import Path

import msgspec
from picture import Bar, draw
from rich.console import Console
from rich.table import Table

HERE = Path(__file__).parent
ROOT = HERE.parents[1]
ENVIRONMENTS = ROOT / ".bench"


class Peer(msgspec.Struct, frozen=True):
    """One engine as it is measured: its folder under peers/, and what it is started with."""

    label: str
    folder: str
    on_disk: bool
    options: tuple[str, ...] = ()


class Measured(msgspec.Struct, frozen=True):
    """What one run of a peer printed."""

    versions: Mapping[str, str]
    alone_ms: list[float]
    together_per_s: float


TROUPE = Peer("Troupe", "troupe", on_disk=True)
FLOOR = Peer("floor: sqlite3", "floor", on_disk=True)
FLOOR_GROUPED = Peer("floor: sqlite3, group commit", "floor", on_disk=True, options=("--group-commit",))
LANGGRAPH = Peer("langgraph", "langgraph", on_disk=True)
PEERS = (
    TROUPE,
    FLOOR,
    FLOOR_GROUPED,
    LANGGRAPH,
    Peer("DBOS", "dbos", on_disk=True),
    Peer("llama-index-workflows", "llama_index", on_disk=False),
    Peer("autogen-core", "autogen", on_disk=False),
)
TARGETS = (  # of what, beside whom, at most or at least which ratio
    ("one alone, Troupe / langgraph", "alone", LANGGRAPH, "<=", 0.45),
    ("one alone, Troupe / floor", "alone", FLOOR, "<=", 2.5),
    ("at once, Troupe / langgraph", "together", LANGGRAPH, ">=", 5.0),
    ("at once, Troupe / floor with group commit", "together", FLOOR_GROUPED, ">=", 0.5),
    ("at once, Troupe / llama-index-workflows", "together", PEERS[5], ">=", 1.0),
    ("at once, Troupe / autogen-core", "together", PEERS[6], ">=", 1.0),
)


def main() -> None:
    """Measure, print the table and draw the picture."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--repetitions", type=int, default=5, help="how often each peer has its turn")
    parser.add_argument("--alone", type=int, default=50, help="workflows one after the other, each turn")
    parser.add_argument("--together", type=int, default=200, help="workflows at once, each turn")
    parser.add_argument("--picture", type=Path, default=ROOT / "docs" / "bench-workflow.svg")
    given = parser.parse_args()
    pythons = {peer.folder: _python(peer.folder) for peer in PEERS}
    options = (f"--alone={given.alone}", f"--together={given.together}")
    turns: dict[Peer, list[Measured]] = {peer: [] for peer in PEERS}
    for repetition in range(given.repetitions):
        for peer in _rotated(PEERS, repetition):
            turns[peer].append(_run(pythons[peer.folder], peer, options))
            print(f"{repetition + 1} of {given.repetitions}: {peer.label}", file=sys.stderr)
    console = Console(width=120)
    console.print(_table(turns, given.together))
    console.print(_ratios(turns))
    given.picture.write_text(_picture(turns, given.together), "utf-8")


def _rotated(peers: Sequence[Peer], by: int) -> Sequence[Peer]:
    """Each repetition begins with another peer, so that none always follows the same one."""
    start = by % len(peers)
    return (*peers[start:], *peers[:start])


def _python(folder: str) -> Path:
    """The interpreter of a peer's environment, made where it is missing; one without requirements runs in this one."""
    requirements = HERE / "peers" / folder / "requirements.txt"
    if not requirements.exists():
        return Path(sys.executable)
    environment = ENVIRONMENTS / folder
    python = environment / "bin" / "python"
    made_from = environment / "made-from.txt"
    if not made_from.exists() or made_from.read_text("utf-8") != requirements.read_text("utf-8"):
        _uv("venv", "--clear", "--python", sys.executable, str(environment))
        _uv("pip", "install", "--python", str(python), "--requirement", str(requirements))
        shutil.copy(requirements, made_from)
    return python


def _uv(*arguments: str) -> None:
    uv = shutil.which("uv")
    if uv is None:
        raise SystemExit(
            "uv is not on PATH, and makes the environments of the peers: install it, or run `make lock` once"
        )
    subprocess.run([uv, "--quiet", *arguments], check=True, env=os.environ | {"UV_PYTHON_DOWNLOADS": "never"})


def _run(python: Path, peer: Peer, options: Sequence[str]) -> Measured:
    """One turn of a peer, in a process and a folder of its own, on the disk that this project lies on."""
    ENVIRONMENTS.mkdir(exist_ok=True)
    with tempfile.TemporaryDirectory(dir=ENVIRONMENTS, prefix="run-") as folder:
        command = [str(python), str(HERE / "peers" / peer.folder / "run.py"), "--folder", folder]
        paths = os.pathsep.join((str(HERE), str(ROOT)))
        said = subprocess.run(
            [*command, *options, *peer.options],
            check=True,
            stdout=subprocess.PIPE,
            text=True,
            env=os.environ | {"PYTHONPATH": paths},
        ).stdout
    return msgspec.convert(json.loads(said.splitlines()[-1]), Measured)


def _alone(turns: Sequence[Measured]) -> float:
    return statistics.median(ms for turn in turns for ms in turn.alone_ms)


def _together(turns: Sequence[Measured]) -> float:
    return statistics.median(turn.together_per_s for turn in turns)


def _ratio(measure: str, turns: Mapping[Peer, Sequence[Measured]], other: Peer) -> tuple[float, list[float]]:
    """Troupe over another peer, turn by turn, and the median of that: what drifts, drifts for both."""
    each = [
        statistics.median(ours.alone_ms) / statistics.median(theirs.alone_ms)
        if measure == "alone"
        else ours.together_per_s / theirs.together_per_s
        for ours, theirs in zip(turns[TROUPE], turns[other], strict=True)
    ]
    return statistics.median(each), each


def _table(turns: Mapping[Peer, Sequence[Measured]], together: int) -> Table:
    table = Table("engine", "version", "on disk", "one alone, p50 ms", "p95 ms", f"{together} at once, workflows/s")
    for peer, measured in turns.items():
        alone = sorted(ms for turn in measured for ms in turn.alone_ms)
        table.add_row(
            peer.label,
            ", ".join(measured[0].versions.values()),
            "every event" if peer.on_disk else "nothing",
            f"{_alone(measured):.1f}",
            f"{alone[int(len(alone) * 0.95)]:.1f}",
            f"{_together(measured):.0f}",
        )
    return table


def _ratios(turns: Mapping[Peer, Sequence[Measured]]) -> Table:
    table = Table("ratio, median over the turns", "ratio", "least to most", "asked for", "")
    for label, measure, other, sign, bound in TARGETS:
        ratio, each = _ratio(measure, turns, other)
        met = ratio <= bound if sign == "<=" else ratio >= bound
        spread = f"{min(each):.2f} to {max(each):.2f}"
        table.add_row(label, f"{ratio:.2f}", spread, f"{sign} {bound}", "met" if met else "missed")
    return table


def _picture(turns: Mapping[Peer, Sequence[Measured]], together: int) -> str:
    alone = [Bar(peer.label, _alone(each), f"{_alone(each):.1f} ms", peer.on_disk) for peer, each in turns.items()]
    at_once = [
        Bar(peer.label, _together(each), f"{_together(each):.0f}/s", peer.on_disk) for peer, each in turns.items()
    ]
    return draw(
        {
            "One workflow alone, p50 (less is better)": alone,
            f"{together} workflows at once, per second (more is better)": at_once,
        }
    )


if __name__ == "__main__":
    main()
