"""How long a question takes on the emulated stack, and how much of that the functions are at work themselves.

    .venv/bin/python bench/emulated/run.py [--questions 20]

Outside the emulator is the time in which at least one agent of the request was at work and no call of theirs to AWS was
under way. A delivery's `started` and `finished` say when it was at work, and the gate, which every call
passes, when a call was. What is left is the emulator: its queues, its polling, its items, its own start of a function.
"""

import argparse
import statistics
import sys
import tempfile
import time
from collections.abc import Iterable
from datetime import datetime
from pathlib import Path

TESTS = Path(__file__).parents[2] / "tests"
sys.path[:0] = [str(TESTS.parent), str(TESTS), str(TESTS / "stores")]

from emulated.playing import DOCUMENTS, Played, played  # noqa: E402 - found by the line above
from emulated.program import deploy_here  # noqa: E402

Span = tuple[float, float]


def main() -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--questions", type=int, default=20)
    count = parser.parse_args().questions
    with tempfile.TemporaryDirectory() as folder, played(Path(folder), deploy_here) as stack:
        stack.send(DOCUMENTS)
        for workflow in ("answer", "research"):
            stack.ask(workflow=workflow)  # every function has started once
            asked = [_asked(stack, workflow, number) for number in range(count)]
            whole = sorted(total for total, _ in asked)
            outside = statistics.median(own / total for total, own in asked)
            p95 = whole[min(round(0.95 * count), count - 1)]
            print(
                f"{workflow}: p50 {statistics.median(whole):.2f} s, p95 {p95:.2f} s, "
                f"outside the emulator {outside:.0%}, {count} questions"
            )


def _asked(stack: Played, workflow: str, number: int) -> Span:
    """Seconds from a question to its answer, and those outside the emulator."""
    clock = time.time() - time.perf_counter()
    before = len(stack.gate.seen())
    began = time.time()
    settled = stack.ask(workflow=workflow, conversation=f"{workflow} {number}")
    whole = datetime.fromisoformat(settled["settled"]).timestamp() - began
    agents = {f"troupe-emulated-{each['agent'].replace('_', '-')}" for each in settled["deliveries"]}
    calls = [(each.began + clock, each.ended + clock) for each in stack.gate.seen(before) if each.function in agents]
    at_work = [
        (datetime.fromisoformat(each["started"]).timestamp(), datetime.fromisoformat(each["finished"]).timestamp())
        for each in settled["deliveries"]
        if each["finished"]
    ]
    return whole, _length([*at_work, *calls]) - _length(calls)


def _length(spans: Iterable[Span]) -> float:
    """Seconds that at least one of them covers."""
    covered, end = 0.0, 0.0
    for began, ended in sorted(spans):
        covered += max(ended - max(began, end), 0.0)
        end = max(end, ended)
    return covered


if __name__ == "__main__":
    main()
