from agent_fakes import Shelf

from functions.agents.action import action
from functions.events.answer import ActionCompleted, MemoryRequested, QuestionAsked


def test_a_fact_is_stored_whole_and_searchable() -> None:
    memories = Shelf()
    assert action(MemoryRequested(text="tea is at five"), memories=memories) == ActionCompleted(
        remembered="tea is at five"
    )
    (stored,) = memories.stored.values()
    assert (stored.text, stored.source, stored.name) == ("tea is at five", "memory", "remembered")


def test_the_same_fact_again_changes_nothing_and_another_is_added() -> None:
    memories = Shelf()
    for fact in ("tea is at five", "tea is at five", "tea is at six"):
        action(MemoryRequested(text=fact), memories=memories)
    assert sorted(each.text for each in memories.stored.values()) == ["tea is at five", "tea is at six"]


def test_a_question_in_the_same_message_is_asked_after_the_fact_is_stored() -> None:
    memories = Shelf()
    requested = MemoryRequested(text="tea is at five", question="When is tea?", earlier=("Hello",))
    assert action(requested, memories=memories) == QuestionAsked(
        question="When is tea?", earlier=("Hello",), remembered="tea is at five"
    )
    assert memories.writes == 1
