"""How long an answer takes, how soon a second start is ready, and what importing the runtime costs.

    python bench/answering/run.py [--home FOLDER]

Uses the corpus that `make run` has read, with the questions of bench/retrieval. Milliseconds are of this machine
and only say whether a bound is met; the import is given as a ratio to bare Python in the same run.
"""

import argparse
import os
import statistics
import subprocess
import sys
import time
import uuid
from collections.abc import Callable, Sequence
from datetime import datetime
from pathlib import Path

import msgspec
from rich.console import Console
from rich.table import Table

from functions.events.answer import UserMessage
from local.workspace import workspace

ROOT = Path(__file__).parents[2]
QUESTIONS = ROOT / "bench" / "retrieval" / "questions.jsonl"
STARTS = 7
IMPORTS = 15
EVERY_AGENT = "import functions.workflows.catalog, functions.runtime.delivery, functions.runtime.topology"


class Question(msgspec.Struct):
    """A question of bench/retrieval."""

    question: str


def main() -> None:
    """Measure and print one table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--home", type=Path, default=ROOT / ".troupe", help="where the corpus was read")
    home = parser.parse_args().home.resolve()
    table = Table("what", "p50", "p95", "bound")
    answers = answer_times(home)
    table.add_row(f"question to answer, {len(answers)} questions, ms", *_quantiles(answers), "p50 200, p95 500")
    table.add_row(f"second start to the question accepted, {STARTS} starts, ms", *_quantiles(starts(home)), "1000")
    bare = _timed(IMPORTS, lambda: _python("pass"))
    runtime = _timed(IMPORTS, lambda: _python(EVERY_AGENT))
    net = [ours - theirs for ours, theirs in zip(runtime, bare, strict=True)]
    table.add_row(f"import of the runtime and all agents, {IMPORTS} runs, net ms", *_quantiles(net), "100")
    ratio = statistics.median(runtime) / statistics.median(bare)
    table.add_row("the same, as a ratio to bare Python", f"{ratio:.1f}", "", "")
    Console().print(table)


def answer_times(home: Path) -> list[float]:
    """Milliseconds from a question's acceptance to its settlement, one question after the other."""
    questions = _questions()
    times = []
    with workspace(home, None) as opened:
        opened.read_documents(lambda _done, _total: None)
        with opened.process() as process:
            for question in questions:
                request = uuid.uuid4().hex
                message = UserMessage(text=question.question)
                process.submit("answer", message, conversation=request, request=request)
                view = process.wait(request, timeout_s=60)
                if view is None or view.settled is None:
                    raise SystemExit(f"not answered: {question.question}")
                times.append((view.settled - view.accepted).total_seconds() * 1000)
    return times


def starts(home: Path) -> list[float]:
    """Milliseconds from the start of `troupe ask` until it has accepted the question."""
    times = []
    for _ in range(STARTS):
        start = time.time()
        done = subprocess.run(
            [Path(sys.executable).parent / "troupe", "ask", "What does heapq.nlargest do?", "--json"],
            env={**os.environ, "TROUPE_HOME": str(home)},
            capture_output=True,
            check=True,
        )
        accepted = datetime.fromisoformat(msgspec.json.decode(done.stdout)["accepted"])
        times.append((accepted.timestamp() - start) * 1000)
    return times


def _questions() -> list[Question]:
    return [msgspec.json.decode(line, type=Question) for line in QUESTIONS.read_text("utf-8").splitlines()]


def _python(code: str) -> None:
    """Runs code in a new interpreter, which keeps the bytecode of what it imports, as Python does by itself."""
    environment = {name: value for name, value in os.environ.items() if name != "PYTHONDONTWRITEBYTECODE"}
    subprocess.run([sys.executable, "-c", code], check=True, cwd=ROOT, env=environment)


def _timed(runs: int, run: Callable[[], None]) -> list[float]:
    run()  # the first one warms the disk's cache
    times = []
    for _ in range(runs):
        start = time.perf_counter()
        run()
        times.append((time.perf_counter() - start) * 1000)
    return times


def _quantiles(times: Sequence[float]) -> tuple[str, str]:
    ordered = sorted(times)
    return (
        f"{statistics.median(ordered):.0f}",
        f"{ordered[min(len(ordered) - 1, int(len(ordered) * 0.95))]:.0f}",
    )


if __name__ == "__main__":
    main()
