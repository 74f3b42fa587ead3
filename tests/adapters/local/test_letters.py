"""The dead letters in the store: what is refused and why, who sees them, how long they are kept."""

from collections.abc import Callable

import pytest
from harness import Harness
from redriving import carried_on, find, letters_of, redrive
from sample_workflows import FANNED, SINGLE, Answered, Asked, ListAsked

from functions.adapters.local.blobs import LocalBlobs
from functions.adapters.local.dead_letters import LocalDeadLetters
from functions.adapters.local.retention import sweep
from functions.adapters.local.rights import LocalRights
from functions.adapters.local.rows import Routes
from functions.errors import PermanentError
from functions.ports.dead_letters import LetterFilter
from functions.ports.stops import workflow_scope

DAY_S = 86_400

Opens = Callable[..., Harness]


def given_up(troupe: Harness, text: str = "a", **attributes: str) -> None:
    """A request of one agent that was settled with its failure."""
    troupe.script.failures[f"work {text}"] = [PermanentError("broken", reason="broken")]
    troupe.start(Asked(text=text), **attributes)
    troupe.run()


def refusals(troupe: Harness) -> list[str]:
    """Why each open letter cannot be redriven; nothing was published."""
    redrives = redrive(troupe)
    assert troupe.queued() == []
    assert not any(each.published or each.request for each in redrives)
    return [each.refused for each in redrives]


def test_a_letter_of_a_plan_that_is_not_carried_is_refused(process: Opens) -> None:
    troupe = process(SINGLE)
    given_up(troupe)
    letters = LocalDeadLetters(troupe.store, Routes([]), troupe.blobs, troupe.clock)
    (refused,) = letters.redrive(find(troupe))
    assert "which is not carried here" in refused.refused
    assert find(troupe)[0].redriven is None


def test_a_letter_whose_data_is_gone_is_refused(process: Opens) -> None:
    troupe = process(FANNED)
    large = "x" * 60_000
    troupe.script.failures[f"handle {large}"] = [PermanentError("broken")]
    troupe.start(ListAsked(texts=(large,)))
    troupe.run()
    for blob in (troupe.folder / "blobs").iterdir():
        blob.unlink()
    assert refusals(troupe) == ["the data of its event is no longer kept: ask again"]


def test_large_data_is_redriven(process: Opens) -> None:
    troupe = process(FANNED)
    large = "x" * 60_000
    troupe.script.failures[f"handle {large}"] = [PermanentError("broken")]
    troupe.start(ListAsked(texts=(large,)))
    troupe.run()
    again = carried_on(redrive(troupe))
    troupe.run()
    assert troupe.settlement(again) == Answered(texts=(large.upper(),))


def test_large_data_that_is_erased_during_its_redrive_does_not_come_back(
    process: Opens, monkeypatch: pytest.MonkeyPatch
) -> None:
    troupe = process(FANNED)
    large = "x" * 60_000
    troupe.script.failures[f"handle {large}"] = [PermanentError("broken")]
    troupe.start(ListAsked(texts=(large,)))
    troupe.run()
    views, get = find(troupe), LocalBlobs.get

    def erased_after(blobs: LocalBlobs, key: str) -> bytes:
        data = get(blobs, key)
        LocalRights(troupe.store, blobs, troupe.clock).erase("c1", tenant="default")
        return data

    monkeypatch.setattr(LocalBlobs, "get", erased_after)
    (refused,) = letters_of(troupe).redrive(views)
    assert "it changed since" in refused.refused
    assert list((troupe.folder / "blobs").iterdir()) == []


def test_a_letter_whose_request_is_gone_is_refused(process: Opens) -> None:
    troupe = process(SINGLE)
    given_up(troupe)
    troupe.store.write(lambda connection: connection.execute("DELETE FROM request"))
    assert refusals(troupe) == ["the request it belongs to is no longer kept: ask again"]


def test_a_letter_of_an_event_that_its_agent_does_not_take_is_refused(process: Opens) -> None:
    troupe = process(FANNED)
    troupe.script.failures["split"] = [PermanentError("broken")]
    troupe.start(ListAsked(texts=("a",)))
    troupe.run()
    troupe.store.write(lambda connection: connection.execute("UPDATE dead_letter SET agent = 'handle'"))
    (refused,) = refusals(troupe)
    assert "its agent cannot take its event" in refused


def test_a_letter_of_what_is_stopped_is_refused_until_it_is_resumed(process: Opens) -> None:
    troupe = process(SINGLE)
    given_up(troupe)
    troupe.requests.stop(workflow_scope("single"), "a bad answer is going round")
    (refused,) = refusals(troupe)
    assert refused.startswith("the workflow single was stopped: a bad answer is going round")
    troupe.requests.resume(workflow_scope("single"))
    assert carried_on(redrive(troupe))


def test_an_effect_in_doubt_is_not_repeated(process: Opens) -> None:
    troupe = process(SINGLE)
    given_up(troupe)
    given_up(troupe, "b", request="r2")
    letters = LocalDeadLetters(
        troupe.store,
        troupe.bus.routes,
        troupe.blobs,
        troupe.clock,
        announce=troupe.bus.announce,
        in_doubt=lambda tenant, request: (tenant, request) == ("default", "r1"),
    )
    first, second = letters.redrive(find(troupe))
    assert "effect in doubt" in first.refused
    assert second.published


def test_a_letter_that_was_dropped_meanwhile_is_refused(process: Opens) -> None:
    troupe = process(SINGLE)
    given_up(troupe)
    seen = find(troupe)
    assert letters_of(troupe).drop(seen) == seen
    assert letters_of(troupe).drop(seen) == []
    (refused,) = letters_of(troupe).redrive(seen)
    assert "changed" in refused.refused


def test_what_a_waiting_request_begins_with_is_not_dropped(process: Opens) -> None:
    troupe = process(SINGLE)
    given_up(troupe)
    troupe.start(Asked(text="b"), request="r2")
    again = carried_on(redrive(troupe))
    assert letters_of(troupe).drop(find(troupe, redriven=True)) == []
    troupe.run()
    assert troupe.settlement(again) == Answered(texts=("a, attempt 1",))
    assert len(letters_of(troupe).drop(find(troupe, redriven=True))) == 1


def test_letters_of_a_tenant_are_its_own(process: Opens) -> None:
    troupe = process(SINGLE)
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
def test_a_filter_names_what_it_means(process: Opens, field: str) -> None:
    troupe = process(SINGLE)
    given_up(troupe)
    (letter,) = find(troupe)
    assert find(troupe, **{field: getattr(letter, field)}) == [letter]
    assert find(troupe, **{field: "other"}) == []


def test_ages_are_of_when_it_was_given_up(process: Opens) -> None:
    troupe = process(SINGLE)
    given_up(troupe)
    troupe.clock.advance(100.0)
    middle = troupe.clock()
    troupe.clock.advance(100.0)
    given_up(troupe, "b", request="r2")
    found = letters_of(troupe)
    assert [each.request for each in found.find(LetterFilter(before=middle))] == ["r1"]
    assert [each.request for each in found.find(LetterFilter(after=middle))] == ["r2"]


def test_a_request_is_kept_as_long_as_what_redrives_it(process: Opens) -> None:
    troupe = process(FANNED)
    troupe.script.failures["handle b"] = [PermanentError("broken")]
    troupe.start(ListAsked(texts=("a", "b")))
    troupe.run()
    troupe.clock.advance(20 * DAY_S)
    carried_on(redrive(troupe))
    troupe.run()
    troupe.clock.advance(20 * DAY_S)
    sweep(troupe.store, troupe.blobs, troupe.clock())
    assert troupe.store.read("SELECT count(*) FROM request") == [(2,)]
    assert troupe.store.read("SELECT count(*) FROM awaited") != [(0,)]
    troupe.clock.advance(11 * DAY_S)
    sweep(troupe.store, troupe.blobs, troupe.clock())
    for table in ("request", "dead_letter", "part", "joined", "awaited"):
        assert troupe.store.read(f"SELECT count(*) FROM {table}") == [(0,)], table  # noqa: S608 - named above
