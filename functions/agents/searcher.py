"""Finds the sources of one sub-question."""

from typing import Annotated

from functions.events.common import Passage, shortened
from functions.events.research import SourcesFound, SubquestionPlanned
from functions.ports.vectors import Search
from functions.runtime.agent import Delivery, agent

PASSAGES = 8


@agent(memory_mb=1024, timeout_s=30, delivery=Delivery(attempts=3))
def searcher(
    planned: SubquestionPlanned,
    *,
    documents: Annotated[Search, "documents"],
    memories: Annotated[Search, "memories"],
) -> SourcesFound:
    """Search the documents and what was remembered, and merge what is found by score, each passage once."""
    best: dict[str, Passage] = {}
    for query in planned.plan[planned.number].queries:
        for passage in (*documents.find(query, limit=PASSAGES), *memories.find(query, limit=PASSAGES)):
            if passage.id not in best or passage.score > best[passage.id].score:
                best[passage.id] = passage
    ordered = sorted(best.values(), key=lambda passage: (-passage.score, passage.id))
    return SourcesFound(planned=planned, passages=tuple(map(shortened, ordered)))
