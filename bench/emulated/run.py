"""How long a question takes on the emulated stack, and which part of that is the functions' and which the emulator's.

    .venv/bin/python bench/emulated/run.py [--questions 20]

A question takes from before its POST to the settlement that the request says. Each moment of that is counted once:

- **calls**: some call of an agent of the request to AWS is under way: the gate, which every call passes, notes when
- **agents**: none is, and some agent is at work: a delivery's `started` and `finished`, which the request says
- **between**: neither: the API, the emulator's queues and polling, and what its runtime does around a delivery

Questions come one after another, each in a conversation of its own, after one that starts every function.
"""

import argparse
import math
import statistics
import sys
import tempfile
import time
from collections.abc import Iterable, Sequence
from datetime import datetime
from pathlib import Path
from typing import NamedTuple

TESTS = Path(__file__).parents[2] / "tests"
sys.path[:0] = [str(TESTS.parent), str(TESTS), str(TESTS / "stores")]

from emulated.exercises import physical  # noqa: E402 - found by the line above
from emulated.playing import DOCUMENTS, Played, played  # noqa: E402 - found by the line above
from emulated.program import deploy_here  # noqa: E402

Span = tuple[float, float]
PARTS = ("agents", "calls", "between")


class Asked(NamedTuple):
    """Seconds of a question, and of its parts."""

    whole: float
    parts: tuple[float, ...]


def main() -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--questions", type=int, default=20)
    count = parser.parse_args().questions
    with tempfile.TemporaryDirectory() as folder, played(Path(folder), deploy_here) as stack:
        stack.send(DOCUMENTS)
        print(f"| workflow | questions | p50 | p95 | slowest | {' | '.join(PARTS)} |")
        print("|---" * (5 + len(PARTS)) + "|")
        for workflow in ("research", "answer"):
            stack.ask(workflow=workflow)  # every function has started once
            print(_row(workflow, [_asked(stack, workflow, number) for number in range(count)]), flush=True)


def _row(workflow: str, asked: Sequence[Asked]) -> str:
    whole = sorted(each.whole for each in asked)
    p95 = whole[math.ceil(0.95 * len(whole)) - 1]
    shares = [sum(part) / sum(whole) for part in zip(*(each.parts for each in asked), strict=True)]
    seconds = " | ".join(f"{each:.2f} s" for each in (statistics.median(whole), p95, whole[-1]))
    return f"| {workflow} | {len(whole)} | {seconds} | {' | '.join(f'{each:.0%}' for each in shares)} |"


def _asked(stack: Played, workflow: str, number: int) -> Asked:
    """Ask one question."""
    before, began = len(stack.gate.seen()), time.time()
    clock = began - time.perf_counter()
    settled = stack.ask(workflow=workflow, conversation=f"{workflow}-{number}")
    if settled["error"] or not settled["answer"]["citations"]:
        raise SystemExit(f"no answer to measure: {settled}")
    ended = _at(settled["settled"])
    agents = {physical(each["agent"]) for each in settled["deliveries"]}
    calls = [(each.began + clock, each.ended + clock) for each in stack.gate.seen(before) if each.function in agents]
    at_work = [(_at(each["started"]), _at(each["finished"])) for each in settled["deliveries"] if each["finished"]]
    calling, busy = (_length(_within(spans, began, ended)) for spans in (calls, [*calls, *at_work]))
    return Asked(ended - began, (busy - calling, calling, ended - began - busy))


def _at(said: str) -> float:
    return datetime.fromisoformat(said).timestamp()


def _within(spans: Iterable[Span], began: float, ended: float) -> list[Span]:
    """What of them is between two moments: an agent still ends its delivery once the request is settled."""
    return [(max(start, began), min(end, ended)) for start, end in spans if start < ended and end > began]


def _length(spans: Iterable[Span]) -> float:
    """Seconds that at least one of them covers."""
    covered, end = 0.0, 0.0
    for began, ended in sorted(spans):
        covered += max(ended - max(began, end), 0.0)
        end = max(end, ended)
    return covered


if __name__ == "__main__":
    main()
