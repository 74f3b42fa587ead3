"""The chain that every peer runs: what its seven agents do, and how a peer is measured.

Only the standard library, since it runs in every peer's environment. An agent is a stub: it makes a text of 1 KB.
"""

import argparse
import json
import sqlite3
import sys
import time
from collections.abc import Callable, Sequence
from importlib.metadata import version
from pathlib import Path

PAYLOAD_BYTES = 1024
QUERIES = 3
WARM_UP = 20  # workflows before the first that counts: imports, caches, pages of the file

Run = Callable[[str], str]  # a question to its answer
RunAll = Callable[[Sequence[str]], Sequence[str]]  # questions that are asked at once, to their answers


def padded(text: str) -> str:
    """The text of an event: 1 KB of it."""
    return text.ljust(PAYLOAD_BYTES, ".")


def orchestrator(text: str) -> str:
    """What the question is about."""
    return padded(text.rstrip(".") + " asked")


def planner(text: str) -> list[str]:
    """Three queries, to be searched in parallel."""
    return [padded(f"{text.rstrip('.')}, query {number}") for number in range(QUERIES)]


def retriever(text: str) -> str:
    """What was found for one query."""
    return padded("found for " + text.rstrip("."))


def validator(texts: Sequence[str]) -> str:
    """How many searches came back: the join."""
    return padded(f"{len(set(texts))} of {QUERIES} found")


def action(text: str) -> str:
    """What is done about it."""
    return padded(text.rstrip(".") + ", acted on")


def summarizer(text: str) -> str:
    """The short of it."""
    return padded(text.rstrip(".") + ", summed up")


def response_builder(text: str) -> str:
    """The answer."""
    return padded(text.rstrip(".") + ", answered")


ANSWER = padded("3 of 3 found, acted on, summed up, answered")


def measure(packages: Sequence[str], run: Run, run_all: RunAll, arguments: argparse.Namespace) -> None:
    """Run the chain one after the other, then all at once, and print what it took as one line of JSON."""
    for number in range(WARM_UP):
        _check([run(padded(f"warm {number}"))])
    alone = []
    for number in range(arguments.alone):
        question = padded(f"alone {number}")
        start = time.perf_counter()
        answer = run(question)
        alone.append((time.perf_counter() - start) * 1000)
        _check([answer])
    _check(run_all([padded(f"warm together {number}") for number in range(WARM_UP)]))
    questions = [padded(f"together {number}") for number in range(arguments.together)]
    start = time.perf_counter()
    answers = run_all(questions)
    seconds = time.perf_counter() - start
    _check(answers)
    result = {
        "versions": {package: version(package) for package in packages},
        "alone_ms": alone,
        "together_per_s": len(answers) / seconds,
    }
    sys.stdout.write(json.dumps(result) + "\n")


def _check(answers: Sequence[str]) -> None:
    if wrong := [answer for answer in answers if answer != ANSWER]:
        raise SystemExit(f"{len(wrong)} of {len(answers)} answers are wrong, e.g. {wrong[0][:80]!r}")


def arguments() -> argparse.Namespace:
    """What a peer is started with."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--folder", type=Path, required=True, help="where its files go")
    parser.add_argument("--alone", type=int, default=50, help="workflows one after the other")
    parser.add_argument("--together", type=int, default=200, help="workflows at once")
    parser.add_argument("--group-commit", action="store_true", help="the floor only: writers share commits")
    return parser.parse_args()


def open_sqlite(path: Path) -> sqlite3.Connection:
    """A file as every peer on SQLite has it: a write-ahead log, and every commit on disk before it returns."""
    connection = sqlite3.connect(path, isolation_level=None, check_same_thread=False)
    connection.execute("PRAGMA journal_mode = WAL")
    connection.execute("PRAGMA synchronous = FULL")
    return connection
