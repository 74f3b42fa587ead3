"""Troupe: the shipped process on the shipped store; the agents are the stubs of the chain."""

from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor

import chain
import msgspec

from functions.adapters.local.store import Store
from functions.events.event import All, Event
from functions.ports.requests import RequestView
from functions.runtime.agent import agent
from functions.runtime.workflow import Workflow
from local.process import LocalProcess

CALLERS = 8  # who ask at once, each waiting until its request is on disk


class Asked(Event):
    """The question."""

    text: str


class Oriented(Event):
    """What it is about."""

    text: str


class QueryPlanned(Event):
    """One of three."""

    text: str


class Found(Event):
    """For one query."""

    text: str


class Validated(Event):
    """All that was found."""

    text: str


class Acted(Event):
    """What was done."""

    text: str


class Summed(Event):
    """The short of it."""

    text: str


class Answered(Event):
    """The answer."""

    text: str


@agent()
def orchestrator(event: Asked) -> Oriented:
    """See chain.py, as all of them."""
    return Oriented(text=chain.orchestrator(event.text))


@agent()
def planner(event: Oriented) -> list[QueryPlanned]:
    """Three queries."""
    return [QueryPlanned(text=query) for query in chain.planner(event.text)]


@agent()
def retriever(event: QueryPlanned) -> Found:
    """One query."""
    return Found(text=chain.retriever(event.text))


@agent()
def validator(found: All[Found]) -> Validated:
    """The join."""
    return Validated(text=chain.validator([each.text for each in found]))


@agent()
def action(event: Validated) -> Acted:
    """One step."""
    return Acted(text=chain.action(event.text))


@agent()
def summarizer(event: Acted) -> Summed:
    """One step."""
    return Summed(text=chain.summarizer(event.text))


@agent()
def response_builder(event: Summed) -> Answered:
    """The last one."""
    return Answered(text=chain.response_builder(event.text))


AGENTS = (orchestrator, planner, retriever, validator, action, summarizer, response_builder)
WORKFLOW = Workflow(name="chain", agents=AGENTS, entry=Asked, answer=Answered)


def answer_of(view: RequestView | None) -> str:
    if view is None or view.settlement is None:
        raise SystemExit(f"not answered: {view}")
    return msgspec.json.decode(view.settlement.data, type=Answered).text


def main() -> None:
    """Measure."""
    arguments = chain.arguments()
    store = Store(arguments.folder)
    with LocalProcess(store, {"chain": WORKFLOW}, {}) as process, ThreadPoolExecutor(CALLERS) as callers:

        def ask(question: str) -> str:
            name = question.rstrip(".")
            process.submit("chain", Asked(text=question), conversation=name, request=name)
            return name

        def run(question: str) -> str:
            return answer_of(process.wait(ask(question), timeout_s=60))

        def run_all(questions: Sequence[str]) -> Sequence[str]:
            return [answer_of(process.wait(name, timeout_s=60)) for name in callers.map(ask, questions)]

        chain.measure([], run, run_all, arguments)
    store.close()


if __name__ == "__main__":
    main()
