from agent_fakes import Talk

from functions.agents.intake import EARLIER_MESSAGES, intake
from functions.events.answer import UserMessage
from functions.events.research import ResearchRequested


def test_a_message_is_stored_as_written_and_goes_on_with_what_the_user_said_before() -> None:
    talk = Talk(("user", "What is a heap?"), ("assistant", "A tree."))
    requested = intake(UserMessage(text="  Research heaps "), history=talk, conversation=talk)
    assert requested == ResearchRequested(question="Research heaps", earlier=("What is a heap?",))
    assert talk.appended == [("user", "  Research heaps ")]


def test_only_the_last_messages_are_read() -> None:
    talk = Talk(*(("user", f"question {number}") for number in range(50)))
    requested = intake(UserMessage(text="Research heaps"), history=talk, conversation=talk)
    assert len(requested.earlier) == EARLIER_MESSAGES
    assert requested.earlier[-1] == "question 49"
