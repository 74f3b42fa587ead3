"""What the guarantees cost: the seven agents of bench/workflow with all of them, with fewer, and with none.

    python bench/guarantees/run.py [--repetitions 5] [--alone 50] [--together 200]

Every variant runs in a process of its own and calls the same agents. They take turns, so that whatever else the
machine does hits all of them, and ratios are taken turn by turn. An event is what an agent emits: eleven a workflow.
"""

import argparse
import json
import statistics
import subprocess
import sys
import tempfile
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

import msgspec
from rich.console import Console
from rich.table import Table

WORKFLOW = Path(__file__).parents[1] / "workflow"
ROOT = WORKFLOW.parents[1]
EVENTS = 11  # of one workflow: what its nine deliveries emit


class Variant(msgspec.Struct, frozen=True):
    """One way to run the chain, and what holds of it."""

    label: str
    keeps: str
    command: tuple[str, ...]


OURS = str(Path(__file__).parent / "variants" / "variant.py")
SHIPPED = Variant("shipped", "everything", (OURS, "shipped"))
VARIANTS = (
    SHIPPED,
    Variant("shipped, synchronous = OFF", "everything, unless the power fails", (OURS, "unsynced")),
    Variant(
        "a table of events, group commit",
        "events are on disk; no leases, attempts, records, ids",
        (str(WORKFLOW / "peers" / "floor" / "run.py"), "--group-commit"),
    ),
    Variant("the agents called in order", "nothing", (OURS, "plain")),
)


class Measured(msgspec.Struct, frozen=True):
    """What one turn of a variant printed."""

    alone_ms: list[float]
    together_per_s: float


def main() -> None:
    """Measure, and print the table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--repetitions", type=int, default=5, help="how often each variant has its turn")
    parser.add_argument("--alone", type=int, default=50, help="workflows one after the other, each turn")
    parser.add_argument("--together", type=int, default=200, help="workflows at once, each turn")
    given = parser.parse_args()
    turns: dict[Variant, list[Measured]] = {variant: [] for variant in VARIANTS}
    for repetition in range(given.repetitions):
        for variant in _rotated(repetition):
            turns[variant].append(_turn(variant, given.alone, given.together))
            print(f"{repetition + 1} of {given.repetitions}: {variant.label}", file=sys.stderr)
    Console(width=160).print(_table(turns))


def _rotated(by: int) -> Sequence[Variant]:
    """Each repetition begins with another variant, so that none always follows the same one."""
    start = by % len(VARIANTS)
    return (*VARIANTS[start:], *VARIANTS[:start])


def _turn(variant: Variant, alone: int, together: int) -> Measured:
    paths = ":".join(map(str, (WORKFLOW / "peers" / "troupe", WORKFLOW, ROOT)))
    with tempfile.TemporaryDirectory(dir=ROOT, prefix=".bench-guarantees-") as folder:
        command = [sys.executable, *variant.command, f"--folder={folder}", f"--alone={alone}", f"--together={together}"]
        done = subprocess.run(
            command, env={"PYTHONPATH": paths, "PATH": "/usr/bin:/bin"}, capture_output=True, text=True, check=False
        )
    if done.returncode:
        raise SystemExit(f"{variant.label} failed:\n{done.stderr}")
    return msgspec.convert(json.loads(done.stdout.splitlines()[-1]), Measured)


def _table(turns: Mapping[Variant, Sequence[Measured]]) -> Table:
    table = Table(
        "", "what holds", "one alone, p50 ms", "p95 ms", "events/s at once", "alone, times", "at once, of shipped"
    )
    for variant, measured in turns.items():
        alone = sorted(each for turn in measured for each in turn.alone_ms)
        table.add_row(
            variant.label,
            variant.keeps,
            f"{statistics.median(alone):.2f}",
            f"{alone[int(len(alone) * 0.95)]:.2f}",
            f"{EVENTS * statistics.median(turn.together_per_s for turn in measured):,.0f}",
            _ratio(turns, variant, lambda turn: statistics.median(turn.alone_ms), "{:.3f}"),
            _ratio(turns, variant, lambda turn: turn.together_per_s, "{:.2f}"),
        )
    return table


def _ratio(
    turns: Mapping[Variant, Sequence[Measured]], variant: Variant, figure: Callable[[Measured], float], shape: str
) -> str:
    """To the shipped one: the median over the turns, and from the least to the most."""
    pairs = zip(turns[variant], turns[SHIPPED], strict=True)
    ratios = sorted(figure(mine) / figure(shipped) for mine, shipped in pairs)
    median, least, most = (shape.format(each) for each in (statistics.median(ratios), ratios[0], ratios[-1]))
    return f"{median} ({least} to {most})"


if __name__ == "__main__":
    main()
