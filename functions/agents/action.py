"""Does what was asked to be done: remembers a fact, so that the next search finds it."""

from typing import Annotated

from functions.events.answer import ActionCompleted, MemoryRequested, QuestionAsked
from functions.events.common import Passage
from functions.events.envelope import digest
from functions.ports.vectors import Upsert
from functions.runtime.agent import agent


@agent(memory_mb=1024, timeout_s=30)
def action(requested: MemoryRequested, *, memories: Annotated[Upsert, "memories"]) -> ActionCompleted | QuestionAsked:
    """Store the fact under an id of its own words, so that a repeat changes nothing."""
    fact = requested.text
    memories.upsert([Passage(id=f"memory-{digest(fact)}", name="remembered", source="memory", text=fact)])
    if requested.question:
        return QuestionAsked(question=requested.question, earlier=requested.earlier, remembered=fact)
    return ActionCompleted(remembered=fact)
