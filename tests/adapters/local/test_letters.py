"""The dead letters in the store: what is refused and why, who sees them, how long they are kept."""

from collections.abc import Callable

import pytest
from harness import Harness
from redriving import carried_on, find, letters_of, redrive
from sample_workflows import FANNED, SINGLE, Asked, ListAsked

from functions.adapters.local.blobs import LocalBlobs
from functions.adapters.local.retention import sweep
from functions.adapters.local.rights import LocalRights
from functions.errors import PermanentError

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
