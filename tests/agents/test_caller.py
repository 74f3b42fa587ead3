import pytest
from agent_fakes import Actions

from functions.agents.caller import caller
from functions.errors import PermanentError
from functions.events.answer import ActionAnswered, ActionRequested
from functions.ports.actions import ActionResult


def test_the_users_words_are_sent_as_they_are_and_the_answer_comes_back() -> None:
    actions = Actions(notify=ActionResult(status=201, text="noted", cut=True))
    answered = caller(ActionRequested(action="notify", text="the deploy is done"), actions=actions)
    assert answered == ActionAnswered(action="notify", status=201, text="noted", cut=True)
    assert actions.invoked == [("notify", "the deploy is done")]


def test_an_action_that_is_no_longer_declared_ends_in_an_error_that_says_so() -> None:
    with pytest.raises(PermanentError, match="declares no action 'notify'") as raised:
        caller(ActionRequested(action="notify", text=""), actions=None)
    assert raised.value.reason == "unknown action"
