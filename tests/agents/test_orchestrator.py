import pytest
from agent_fakes import Actions, Talk, complete, context

from functions.agents.orchestrator import EARLIER_MESSAGES, orchestrator
from functions.events.answer import (
    ActionNotFound,
    ActionRequested,
    MemoryRequested,
    QuestionAsked,
    SupportLacking,
    UserMessage,
    Validation,
    ValidationComplete,
)
from functions.events.research import ResearchRequested
from functions.ports.actions import ActionResult


def said(text: str, talk: Talk | None = None) -> object:
    talk = talk or Talk()
    return orchestrator(UserMessage(text=text), history=talk, conversation=talk, actions=None, context=context())


def test_a_message_is_stored_as_it_was_written() -> None:
    talk = Talk()
    said("  How are lists sorted? ", talk)
    assert talk.appended == [("user", "  How are lists sorted? ")]


def test_a_question_carries_what_the_user_said_before_and_not_what_was_answered() -> None:
    talk = Talk(("user", "What is a list?"), ("assistant", "A sequence."), ("user", "And a tuple?"))
    asked = said("How is it sorted?", talk)
    assert asked == QuestionAsked(question="How is it sorted?", earlier=("What is a list?", "And a tuple?"))


def test_only_the_last_messages_are_read() -> None:
    talk = Talk(*(("user", f"question {number}") for number in range(50)))
    asked = said("How is it sorted?", talk)
    assert isinstance(asked, QuestionAsked)
    assert asked.earlier == tuple(f"question {number}" for number in range(50 - EARLIER_MESSAGES, 50))


@pytest.mark.parametrize(
    ("text", "fact"),
    [
        ("Remember that my list is called xs.", "my list is called xs."),
        ("remember my list is called xs", "my list is called xs"),
        ("Please remember: my list is called xs", "my list is called xs"),
        ("Keep in mind that I use Python 3.12.", "I use Python 3.12."),
        ("Note: the server is called atlas", "the server is called atlas"),
        ("make a note that tea is at five", "tea is at five"),
        ("Memorise that 7 is my number", "7 is my number"),
        ("Remember that I like tea. I also like cake.", "I like tea. I also like cake."),
        ("Remember this:\n    x = 5\n    y = 6", "this:\n    x = 5\n    y = 6"),
    ],
)
def test_what_is_to_be_remembered_is_kept_in_the_users_words(text: str, fact: str) -> None:
    assert said(text) == MemoryRequested(text=fact)


@pytest.mark.parametrize(
    "text",
    [
        "How do I remember a value between calls?",
        "Remember how lists are sorted?",
        "Note that lists are mutable?",
        "Remember",
        "Notes on sorting",
        "Do you remember my name?",
    ],
)
def test_what_only_looks_like_a_thing_to_remember_is_a_question(text: str) -> None:
    assert said(text) == QuestionAsked(question=text)


def test_one_message_may_tell_and_ask() -> None:
    talk = Talk(("user", "Hello there"))
    told = said("Remember that my list is called xs. How do I sort it? And how do I reverse it?", talk)
    assert told == MemoryRequested(
        text="my list is called xs.",
        question="How do I sort it? And how do I reverse it?",
        earlier=("Hello there",),
    )


def test_what_asks_for_research_goes_that_way_with_what_was_said_before() -> None:
    talk = Talk(("user", "Hello there"))
    requested = said("Compare gzip, bz2 and lzma", talk)
    assert requested == ResearchRequested(question="Compare gzip, bz2 and lzma", earlier=("Hello there",))
    assert talk.appended == [("user", "Compare gzip, bz2 and lzma")]


@pytest.mark.parametrize("text", ["Compare gzip and bz2", "How is a report written?", "What is research?"])
def test_what_only_looks_like_research_is_a_question(text: str) -> None:
    assert said(text) == QuestionAsked(question=text)


def commanded(text: str, *names: str) -> object:
    talk, actions = Talk(), Actions(**dict.fromkeys(names, ActionResult(status=200)))
    return orchestrator(UserMessage(text=text), history=talk, conversation=talk, actions=actions, context=context())


@pytest.mark.parametrize(
    ("text", "name", "rest"),
    [
        ("/notify the deploy is done", "notify", "the deploy is done"),
        (" /notify   two words \n", "notify", "two words"),
        ("/notify", "notify", ""),
        ("/notify\nline one\nline two", "notify", "line one\nline two"),
        ("/open-ticket Remember that tea is at five", "open-ticket", "Remember that tea is at five"),
    ],
)
def test_an_action_is_asked_for_by_its_name_and_gets_the_words_after_it(text: str, name: str, rest: str) -> None:
    assert commanded(text, "notify", "open-ticket") == ActionRequested(action=name, text=rest)


@pytest.mark.parametrize("name", ["notif", "Notify", "notify2", "rm"])
def test_nobody_guesses_an_action_and_the_names_that_exist_are_said(name: str) -> None:
    assert commanded(f"/{name} all", "open-ticket", "notify") == ActionNotFound(
        action=name, known=("notify", "open-ticket")
    )


@pytest.mark.parametrize(
    "text", ["/etc/hosts is what?", "What is /notify for?", "/ notify", "//notify x", "notify all"]
)
def test_what_only_looks_like_an_action_is_a_question(text: str) -> None:
    assert commanded(text, "notify") == QuestionAsked(question=text)


def test_without_declared_actions_a_slash_means_nothing() -> None:
    assert said("/notify what is this?") == QuestionAsked(question="/notify what is this?")


def lacking(**given: object) -> SupportLacking:
    asked = QuestionAsked(question="How are lists sorted?", earlier=("Hello",), remembered="tea at five")
    values = {"asked": asked, "tried": ("how are lists sorted",), "validation": Validation()}
    return SupportLacking(**(values | given))


def test_too_little_support_asks_once_more_with_what_was_tried_and_what_failed() -> None:
    talk = Talk()
    event = lacking(validation=Validation(missing=("the store is away",)))
    again = orchestrator(event, history=talk, conversation=talk, actions=None, context=context(left=1))
    assert again == QuestionAsked(
        question="How are lists sorted?",
        earlier=("Hello",),
        round=2,
        tried=("how are lists sorted",),
        failed=("the store is away",),
        remembered="tea at five",
    )
    assert not talk.appended, "a round is no message"


def test_once_the_bound_is_reached_what_there_is_goes_on_as_insufficient() -> None:
    talk, validation = Talk(), complete().validation
    ended = orchestrator(
        lacking(validation=validation), history=talk, conversation=talk, actions=None, context=context(left=0)
    )
    assert ended == ValidationComplete(
        rounds=1,
        queries=("how are lists sorted",),
        sufficient=False,
        remembered="tea at five",
        validation=validation,
    )
