"""llama-index-workflows, in memory: typed steps, `send_event` for the fan-out, `collect_events` for the join."""

import asyncio
from collections.abc import Sequence

import chain
from workflows import Context, Workflow, step
from workflows.events import Event, StartEvent, StopEvent


class Asked(StartEvent):
    text: str


class Planning(Event):
    text: str


class Query(Event):
    text: str


class Found(Event):
    text: str


class Validated(Event):
    text: str


class Acted(Event):
    text: str


class Summed(Event):
    text: str


class Chain(Workflow):
    @step
    async def orchestrator(self, ev: Asked) -> Planning:
        return Planning(text=chain.orchestrator(ev.text))

    @step
    async def planner(self, ctx: Context, ev: Planning) -> Query | None:
        for query in chain.planner(ev.text):
            ctx.send_event(Query(text=query))
        return None

    @step(num_workers=chain.QUERIES)
    async def retriever(self, ev: Query) -> Found:
        return Found(text=chain.retriever(ev.text))

    @step
    async def validator(self, ctx: Context, ev: Found) -> Validated | None:
        found = ctx.collect_events(ev, [Found] * chain.QUERIES)
        if found is None:
            return None
        return Validated(text=chain.validator([each.text for each in found]))

    @step
    async def action(self, ev: Validated) -> Acted:
        return Acted(text=chain.action(ev.text))

    @step
    async def summarizer(self, ev: Acted) -> Summed:
        return Summed(text=chain.summarizer(ev.text))

    @step
    async def response_builder(self, ev: Summed) -> StopEvent:
        return StopEvent(result=chain.response_builder(ev.text))


def main() -> None:
    arguments = chain.arguments()
    workflow, loop = Chain(timeout=120), asyncio.new_event_loop()

    async def one(question: str) -> str:
        return str(await workflow.run(text=question))

    async def every(questions: Sequence[str]) -> list[str]:
        return list(await asyncio.gather(*(one(question) for question in questions)))

    chain.measure(
        ["llama-index-workflows"],
        lambda question: loop.run_until_complete(one(question)),
        lambda questions: loop.run_until_complete(every(questions)),
        arguments,
    )


if __name__ == "__main__":
    main()
