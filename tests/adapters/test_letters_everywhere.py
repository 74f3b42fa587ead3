"""The dead letters of every target that can run here: what is refused and why, who sees them."""

from collections.abc import Callable

import pytest
from redriving import Driven, carried_on, find, letters_of, redrive
from sample_workflows import FANNED, SINGLE, Answered, Asked, ListAsked

from functions.errors import PermanentError
from functions.ports.dead_letters import LetterFilter
from functions.ports.stops import Stop, scope_of, workflow_scope

Opens = Callable[..., Driven]


def given_up(troupe: Driven, text: str = "a", **attributes: str) -> None:
    """A request of one agent that was settled with its failure."""
    troupe.script.failures[f"work {text}"] = [PermanentError("broken", reason="broken")]
    troupe.start(Asked(text=text), **attributes)
    troupe.run()


def refusals(troupe: Driven) -> list[str]:
    """Why each open letter cannot be redriven; nothing was published."""
    redrives = redrive(troupe)
    assert troupe.queued() == []
    assert not any(each.published or each.request for each in redrives)
    return [each.refused for each in redrives]


def test_a_letter_of_a_plan_that_is_not_carried_is_refused(opens: Opens) -> None:
    troupe = opens(SINGLE)
    given_up(troupe)
    (refused,) = letters_of(troupe, plans=()).redrive(find(troupe))
    assert "which is not carried here" in refused.refused
    assert find(troupe)[0].redriven is None


def test_a_letter_whose_data_is_gone_is_refused(opens: Opens) -> None:
    troupe = opens(FANNED)
    large = "x" * 60_000
    troupe.script.failures[f"handle {large}"] = [PermanentError("broken")]
    troupe.start(ListAsked(texts=(large,)))
    troupe.run()
    troupe.blobs.remove(troupe.blobs.keys(""))
    assert refusals(troupe) == ["the data of its event is no longer kept: ask again"]


def test_large_data_is_redriven(opens: Opens) -> None:
    troupe = opens(FANNED)
    large = "x" * 60_000
    troupe.script.failures[f"handle {large}"] = [PermanentError("broken")]
    troupe.start(ListAsked(texts=(large,)))
    troupe.run()
    again = carried_on(redrive(troupe))
    troupe.run()
    assert troupe.settlement(again) == Answered(texts=(large.upper(),))


def test_a_letter_of_what_is_stopped_is_refused_until_it_is_resumed(opens: Opens) -> None:
    troupe = opens(SINGLE)
    given_up(troupe)
    scope = scope_of(workflow_scope("single"))
    troupe.stops.stop(Stop(scope=scope, reason="a bad answer is going round", by="", at=troupe.clock()))
    (refused,) = refusals(troupe)
    assert refused.startswith("the workflow single was stopped: a bad answer is going round")
    troupe.stops.resume(scope)
    assert carried_on(redrive(troupe))


def test_an_effect_in_doubt_is_not_repeated(opens: Opens) -> None:
    troupe = opens(SINGLE)
    given_up(troupe)
    given_up(troupe, "b", request="r2")
    letters = letters_of(troupe, in_doubt=lambda tenant, request: (tenant, request) == ("default", "r1"))
    first, second = letters.redrive(find(troupe))
    assert "effect in doubt" in first.refused
    assert second.published


def test_a_letter_that_was_dropped_meanwhile_is_refused(opens: Opens) -> None:
    troupe = opens(SINGLE)
    given_up(troupe)
    seen = find(troupe)
    assert letters_of(troupe).drop(seen) == seen
    assert letters_of(troupe).drop(seen) == []
    (refused,) = letters_of(troupe).redrive(seen)
    assert "changed" in refused.refused


def test_what_a_waiting_request_begins_with_is_not_dropped(opens: Opens) -> None:
    troupe = opens(SINGLE)
    given_up(troupe)
    troupe.start(Asked(text="b"), request="r2")
    again = carried_on(redrive(troupe))
    assert letters_of(troupe).drop(find(troupe, redriven=True)) == []
    troupe.run()
    assert troupe.settlement(again) == Answered(texts=("a, attempt 1",))
    assert len(letters_of(troupe).drop(find(troupe, redriven=True))) == 1


def test_letters_of_a_tenant_are_its_own(opens: Opens) -> None:
    troupe = opens(SINGLE)
    given_up(troupe, tenant="acme")
    given_up(troupe, "b", tenant="zeta")
    (letter,) = find(troupe, tenant="acme")
    assert letter.tenant == "acme"
    assert letters_of(troupe).letter(letter.key, tenant="zeta") is None
    assert letters_of(troupe).letter(letter.key, tenant=None) is not None
    assert len(find(troupe)) == 2
    again = carried_on(letters_of(troupe).redrive([letter]))
    troupe.run()
    assert troupe.settlement(again, "acme") == Answered(texts=("a, attempt 1",))
    assert [each.tenant for each in find(troupe)] == ["zeta"]


@pytest.mark.parametrize("field", ["agent", "reason", "conversation", "request"])
def test_a_filter_names_what_it_means(opens: Opens, field: str) -> None:
    troupe = opens(SINGLE)
    given_up(troupe)
    (letter,) = find(troupe)
    assert find(troupe, **{field: getattr(letter, field)}) == [letter]
    assert find(troupe, **{field: "other"}) == []


def test_ages_are_of_when_it_was_given_up(opens: Opens) -> None:
    troupe = opens(SINGLE)
    given_up(troupe)
    troupe.clock.advance(100.0)
    middle = troupe.clock()
    troupe.clock.advance(100.0)
    given_up(troupe, "b", request="r2")
    found = letters_of(troupe)
    assert [each.request for each in found.find(LetterFilter(before=middle))] == ["r1"]
    assert [each.request for each in found.find(LetterFilter(after=middle))] == ["r2"]
