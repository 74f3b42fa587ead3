"""Finds the passages that answer one query of the plan."""

from typing import Annotated

from functions.events.answer import DocsRetrieved, PlanCreated
from functions.events.common import shortened
from functions.ports.vectors import Search
from functions.runtime.agent import Delivery, agent

PASSAGES = 5


@agent(memory_mb=1024, timeout_s=30, delivery=Delivery(attempts=3))
def retriever(
    plan: PlanCreated,
    *,
    documents: Annotated[Search, "documents"],
    memories: Annotated[Search, "memories"],
) -> DocsRetrieved:
    """Search the documents and what was remembered, and merge both by score."""
    found = [*documents.find(plan.query, limit=PASSAGES), *memories.find(plan.query, limit=PASSAGES)]
    best = sorted(found, key=lambda passage: -passage.score)[:PASSAGES]
    return DocsRetrieved(asked=plan.asked, query=plan.query, passages=tuple(map(shortened, best)))
