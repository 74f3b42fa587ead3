"""autogen-core, in memory: an agent a topic on the SingleThreadedAgentRuntime, one source a workflow."""

import asyncio
from collections import defaultdict
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import chain
from autogen_core import (
    MessageContext,
    RoutedAgent,
    SingleThreadedAgentRuntime,
    TopicId,
    TypeSubscription,
    message_handler,
)


@dataclass
class Said:
    text: str


class Relay(RoutedAgent):
    """An agent that takes one text and publishes what it makes of it, to the next agent's topic."""

    def __init__(self, work: Callable[[str], str], to: str) -> None:
        super().__init__(work.__name__)
        self._work = work
        self._to = to

    @message_handler
    async def handle(self, message: Said, ctx: MessageContext) -> None:
        await self.publish_message(Said(self._work(message.text)), TopicId(self._to, self.id.key))


class Planner(RoutedAgent):
    def __init__(self) -> None:
        super().__init__("planner")

    @message_handler
    async def handle(self, message: Said, ctx: MessageContext) -> None:
        for query in chain.planner(message.text):
            await self.publish_message(Said(query), TopicId("retriever", self.id.key))


class Validator(RoutedAgent):
    """One instance a workflow, since the key of its topic is the workflow's: it gathers its three parts."""

    def __init__(self) -> None:
        super().__init__("validator")
        self._found: list[str] = []

    @message_handler
    async def handle(self, message: Said, ctx: MessageContext) -> None:
        self._found.append(message.text)
        if len(self._found) == chain.QUERIES:
            await self.publish_message(Said(chain.validator(self._found)), TopicId("action", self.id.key))


class Builder(RoutedAgent):
    def __init__(self, answers: dict[str, asyncio.Future[str]]) -> None:
        super().__init__("response_builder")
        self._answers = answers

    @message_handler
    async def handle(self, message: Said, ctx: MessageContext) -> None:
        self._answers[self.id.key].set_result(chain.response_builder(message.text))


async def build(answers: dict[str, asyncio.Future[str]]) -> SingleThreadedAgentRuntime:
    runtime = SingleThreadedAgentRuntime()
    await Relay.register(runtime, "orchestrator", lambda: Relay(chain.orchestrator, "planner"))
    await Planner.register(runtime, "planner", Planner)
    await Relay.register(runtime, "retriever", lambda: Relay(chain.retriever, "validator"))
    await Validator.register(runtime, "validator", Validator)
    await Relay.register(runtime, "action", lambda: Relay(chain.action, "summarizer"))
    await Relay.register(runtime, "summarizer", lambda: Relay(chain.summarizer, "response_builder"))
    await Builder.register(runtime, "response_builder", lambda: Builder(answers))
    names = ("orchestrator", "planner", "retriever", "validator", "action", "summarizer", "response_builder")
    for name in names:
        await runtime.add_subscription(TypeSubscription(name, name))
    runtime.start()
    return runtime


def main() -> None:
    arguments = chain.arguments()
    loop = asyncio.new_event_loop()
    answers: dict[str, asyncio.Future[str]] = defaultdict(loop.create_future)
    runtime = loop.run_until_complete(build(answers))

    async def one(question: str) -> str:
        await runtime.publish_message(Said(question), TopicId("orchestrator", question))
        return await answers[question]

    async def every(questions: Sequence[str]) -> list[str]:
        return list(await asyncio.gather(*(one(question) for question in questions)))

    chain.measure(
        ["autogen-core"],
        lambda question: loop.run_until_complete(one(question)),
        lambda questions: loop.run_until_complete(every(questions)),
        arguments,
    )
    loop.run_until_complete(runtime.stop())


if __name__ == "__main__":
    main()
