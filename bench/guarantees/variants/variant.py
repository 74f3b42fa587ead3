"""One variant in this process; its agents are those of bench/workflow/peers/troupe."""

import argparse
import sys
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor

import chain
import run as agents

from functions.adapters.local.store import Store
from functions.events.event import All
from local.process import LocalProcess

THREADS = 8


def shipped(options: argparse.Namespace) -> None:
    """The shipped process on the shipped store."""
    _measure(Store(options.folder), options)


def unsynced(options: argparse.Namespace) -> None:
    """The same, but no commit waits for the disk."""
    store = Store(options.folder)
    store._writer.execute("PRAGMA synchronous = OFF")  # noqa: SLF001 - the store offers no way to be careless
    _measure(store, options)


def plain(options: argparse.Namespace) -> None:
    """The agents called in order, the three searches in threads."""
    with ThreadPoolExecutor(THREADS) as searches, ThreadPoolExecutor(THREADS) as workflows:

        def run(question: str) -> str:
            planned = agents.planner(agents.orchestrator(agents.Asked(text=question)))
            found = list(searches.map(agents.retriever, planned))
            ready = agents.summarizer(agents.action(agents.validator(All(found, []))))
            return agents.response_builder(ready).text

        chain.measure([], run, lambda questions: list(workflows.map(run, questions)), options)


def _measure(store: Store, options: argparse.Namespace) -> None:
    with (
        LocalProcess(store, {"chain": agents.WORKFLOW}, {}, workers=THREADS) as process,
        ThreadPoolExecutor(THREADS) as callers,
    ):

        def ask(question: str) -> str:
            asked = question.rstrip(".")
            process.submit("chain", agents.Asked(text=question), conversation=asked, request=asked)
            return asked

        def run(question: str) -> str:
            return agents.answer_of(process.wait(ask(question), timeout_s=60))

        def run_all(questions: Sequence[str]) -> Sequence[str]:
            return [agents.answer_of(process.wait(asked, timeout_s=60)) for asked in callers.map(ask, questions)]

        chain.measure([], run, run_all, options)
    store.close()


VARIANTS = {"shipped": shipped, "unsynced": unsynced, "plain": plain}

if __name__ == "__main__":
    VARIANTS[sys.argv.pop(1)](chain.arguments())
