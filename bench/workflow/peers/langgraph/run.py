"""langgraph: a StateGraph, its fan-out by `Send`, checkpoints by SqliteSaver with `durability="sync"`."""

import operator
import uuid
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Annotated, Any, TypedDict

import chain
from langgraph.checkpoint.sqlite import SqliteSaver
from langgraph.graph import END, START, StateGraph
from langgraph.types import Send

THREADS = 8  # as many as Troupe's workers


class State(TypedDict, total=False):
    text: str
    queries: list[str]
    found: Annotated[list[str], operator.add]


class Query(TypedDict):
    text: str


def fan_out(state: State) -> list[Send]:
    return [Send("retriever", {"text": query}) for query in state["queries"]]


def build(saver: SqliteSaver) -> Any:
    graph = StateGraph(State)
    graph.add_node("orchestrator", lambda state: {"text": chain.orchestrator(state["text"])})
    graph.add_node("planner", lambda state: {"queries": chain.planner(state["text"])})
    graph.add_node("retriever", lambda query: {"found": [chain.retriever(query["text"])]}, input_schema=Query)
    graph.add_node("validator", lambda state: {"text": chain.validator(state["found"])})
    graph.add_node("action", lambda state: {"text": chain.action(state["text"])})
    graph.add_node("summarizer", lambda state: {"text": chain.summarizer(state["text"])})
    graph.add_node("response_builder", lambda state: {"text": chain.response_builder(state["text"])})
    graph.add_edge(START, "orchestrator")
    graph.add_edge("orchestrator", "planner")
    graph.add_conditional_edges("planner", fan_out, ["retriever"])
    graph.add_edge("retriever", "validator")
    graph.add_edge("validator", "action")
    graph.add_edge("action", "summarizer")
    graph.add_edge("summarizer", "response_builder")
    graph.add_edge("response_builder", END)
    return graph.compile(checkpointer=saver)


def main() -> None:
    arguments = chain.arguments()
    saver = SqliteSaver(chain.open_sqlite(arguments.folder / "langgraph.sqlite"))
    graph = build(saver)

    def run(question: str) -> str:
        config = {"configurable": {"thread_id": uuid.uuid4().hex}}
        return str(graph.invoke({"text": question}, config, durability="sync")["text"])

    def run_all(questions: Sequence[str]) -> Sequence[str]:
        with ThreadPoolExecutor(THREADS) as threads:
            return list(threads.map(run, questions))

    chain.measure(["langgraph", "langgraph-checkpoint-sqlite"], run, run_all, arguments)


if __name__ == "__main__":
    main()
