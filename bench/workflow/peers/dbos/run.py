"""DBOS on SQLite: a workflow of steps, the three searches gathered in parallel as its documentation shows."""

import asyncio
from collections.abc import Sequence

import chain
from dbos import DBOS, DBOSConfig


@DBOS.step()
async def orchestrator(text: str) -> str:
    return chain.orchestrator(text)


@DBOS.step()
async def planner(text: str) -> list[str]:
    return chain.planner(text)


@DBOS.step()
async def retriever(text: str) -> str:
    return chain.retriever(text)


@DBOS.step()
async def validator(texts: list[str]) -> str:
    return chain.validator(texts)


@DBOS.step()
async def action(text: str) -> str:
    return chain.action(text)


@DBOS.step()
async def summarizer(text: str) -> str:
    return chain.summarizer(text)


@DBOS.step()
async def response_builder(text: str) -> str:
    return chain.response_builder(text)


@DBOS.workflow()
async def answer(question: str) -> str:
    queries = await planner(await orchestrator(question))
    found = await asyncio.gather(*(retriever(query) for query in queries))
    return await response_builder(await summarizer(await action(await validator(list(found)))))


async def answers(questions: Sequence[str]) -> list[str]:
    handles = [await DBOS.start_workflow_async(answer, question) for question in questions]
    return list(await asyncio.gather(*(handle.get_result() for handle in handles)))


def main() -> None:
    arguments = chain.arguments()
    path = arguments.folder / "dbos.sqlite"
    chain.open_sqlite(path).close()  # the file stays in WAL mode; synchronous=FULL is the default of a connection
    config: DBOSConfig = {
        "name": "chain",
        "system_database_url": f"sqlite:///{path}",
        "log_level": "ERROR",
        "run_admin_server": False,
    }
    DBOS(config=config)
    DBOS.launch()
    loop = asyncio.new_event_loop()
    chain.measure(
        ["dbos"],
        lambda question: loop.run_until_complete(answer(question)),
        lambda questions: loop.run_until_complete(answers(questions)),
        arguments,
    )
    DBOS.destroy()


if __name__ == "__main__":
    main()
