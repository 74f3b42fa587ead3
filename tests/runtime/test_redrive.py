"""Redrives: what was given up goes through its agent again, and the answer is what it would have been."""

import random
from collections.abc import Callable, Sequence
from pathlib import Path

import pytest
from harness import Harness
from memory_target import MemoryTarget
from redriving import Driven, carried_on, find, letters_of, redrive, redrive_beside
from rounds_workflow import HUNTED, HUNTED_ANSWER, HUNTED_STEPS, Hunt
from sample_workflows import (
    BOOK,
    BOOK_ANSWER,
    FANNED,
    FANNED_WITH_SIDE,
    FORKED,
    SINGLE,
    Answered,
    Asked,
    BookAsked,
    ListAsked,
    Looked,
)

from functions.errors import PermanentError
from functions.events.event import AgentFailed, Event
from functions.runtime.workflow import Workflow

Opens = Callable[..., Driven]


def broken(troupe: Driven, *texts: str, times: int = 1) -> None:
    """Let these steps fail for good, so many times."""
    for text in texts:
        troupe.script.failures[text] = [PermanentError(f"{text} is broken")] * times


def drain(troupe: Driven) -> None:
    """Deliver what is due, but for what a test took."""
    while (entry := troupe.take_due()) is not None:
        troupe.deliver(entry)


def test_a_redrive_of_a_settled_request_answers_a_new_one_that_is_linked(opens: Opens) -> None:
    troupe = opens(SINGLE)
    broken(troupe, "work a")
    troupe.start(Asked())
    troupe.run()
    assert isinstance(troupe.settlement(), AgentFailed)
    again = carried_on(redrive(troupe))
    troupe.run()
    assert again != "r1"
    assert troupe.settlement(again) == Answered(texts=("a, attempt 1",))
    assert isinstance(troupe.settlement(), AgentFailed), "the original keeps what it was settled with"
    assert troupe.view(again).origin == "r1"
    assert troupe.view().redriven_as == again


def test_a_redrive_of_an_open_request_answers_that_one(opens: Opens) -> None:
    troupe = opens(FANNED)
    broken(troupe, "handle b")
    troupe.start(ListAsked(texts=("a", "b")))
    troupe.step("split")
    failing = troupe.hold("handle")
    if b'"b"' not in troupe.raw(failing):
        failing, held = troupe.hold("handle"), failing
        troupe.give_back(held)
    troupe.deliver(failing)
    assert carried_on(redrive(troupe)) == "r1"
    troupe.run()
    assert troupe.settlement() == Answered(texts=("A", "B"))


def test_a_redriven_part_joins_those_that_succeeded_before(opens: Opens) -> None:
    troupe = opens(FANNED)
    broken(troupe, "handle b")
    troupe.start(ListAsked(texts=("a", "b", "c")))
    troupe.run()
    calls = len(troupe.script.calls)
    again = carried_on(redrive(troupe))
    troupe.run()
    assert troupe.settlement(again) == Answered(texts=("A", "B", "C"))
    assert troupe.script.calls[calls:] == ["handle b", "collect"]


def test_parts_that_are_redriven_together_share_one_request(opens: Opens) -> None:
    troupe = opens(FANNED)
    broken(troupe, "handle a", "handle b")
    troupe.start(ListAsked(texts=("a", "b", "c")))
    troupe.run()
    again = carried_on(redrive(troupe))
    troupe.run()
    assert troupe.settlement(again) == Answered(texts=("A", "B", "C"))
    assert troupe.script.calls.count("collect") == 2


def test_parts_that_are_redriven_one_after_the_other_count_each_others_success(opens: Opens) -> None:
    troupe = opens(FANNED)
    broken(troupe, "handle a", "handle b")
    troupe.start(ListAsked(texts=("a", "b", "c")))
    troupe.run()
    first, second = find(troupe)
    one = carried_on(letters_of(troupe).redrive([first]))
    troupe.run()
    settled = troupe.settlement(one)
    assert isinstance(settled, Answered)
    assert len(settled.missing) == 1, "what was not redriven is still missing"
    two = carried_on(letters_of(troupe).redrive([second]))
    troupe.run()
    assert troupe.settlement(two) == Answered(texts=("A", "B", "C"))
    assert {troupe.view(each).origin for each in (one, two)} == {"r1"}
    assert troupe.view().redriven_as == two


def test_parts_that_are_redriven_apart_at_the_same_time_meet_in_one_answer(opens: Opens) -> None:
    troupe = opens(FANNED)
    broken(troupe, "handle a", "handle b")
    troupe.start(ListAsked(texts=("a", "b", "c")))
    troupe.run()
    first, second = find(troupe)
    again = carried_on(letters_of(troupe).redrive([first]))
    assert carried_on(letters_of(troupe).redrive([second])) == again
    troupe.run()
    assert troupe.settlement(again) == Answered(texts=("A", "B", "C"))


def test_a_slow_part_of_before_completes_the_join_that_a_redrive_waits_at(opens: Opens) -> None:
    troupe = opens(FANNED)
    broken(troupe, "handle b")
    troupe.start(ListAsked(texts=("a", "b", "c")))
    troupe.step("split")
    slow = troupe.hold("handle")
    drain(troupe)
    assert troupe.view().status == "running"
    assert carried_on(redrive(troupe)) == "r1"
    drain(troupe)
    assert troupe.view().status == "running", "the slow part is still to come"
    troupe.deliver(slow)
    troupe.run()
    assert troupe.settlement() == Answered(texts=("A", "B", "C"))
    assert troupe.script.calls.count("collect") == 1


def test_the_timer_of_before_does_not_close_the_join_that_a_redrive_waits_at(opens: Opens) -> None:
    troupe = opens(FANNED)
    broken(troupe, "handle b")
    troupe.start(ListAsked(texts=("a", "b", "c")), deadline_s=60.0)
    troupe.step("split")
    slow = troupe.hold("handle")
    drain(troupe)
    troupe.clock.advance(40.0)
    assert carried_on(redrive(troupe)) == "r1"
    redriven = troupe.hold("handle")
    troupe.clock.advance(9.0)  # the first timer was due at 48 s, that of the redrive is due at 56 s
    drain(troupe)
    troupe.deliver(redriven)
    troupe.deliver(slow)
    drain(troupe)
    settled = troupe.settlement()
    assert isinstance(settled, Answered)
    assert settled.texts == ("B", "C")
    assert "the deadline was" in settled.missing[0], "the slow part was waited for, and came too late itself"
    assert troupe.script.calls.count("collect") == 1


def test_a_part_that_a_timer_gave_up_does_not_hold_up_the_next_redrive(opens: Opens) -> None:
    troupe = opens(FANNED)
    broken(troupe, "handle b", "handle c")
    troupe.start(ListAsked(texts=("a", "b", "c")), deadline_s=60.0)
    for agent in ("split", "handle", "handle", "handle"):
        troupe.step(agent)
    first, second = find(troupe)
    letters_of(troupe).redrive([first])
    troupe.hold("handle")  # and never delivers it
    troupe.script.failures["collect"] = [ValueError("busy")]
    troupe.clock.advance(48.0)
    drain(troupe)
    assert troupe.view().status == "running"
    assert carried_on(letters_of(troupe).redrive([second])) == "r1"
    drain(troupe)
    settled = troupe.settlement()
    assert isinstance(settled, Answered), "without moving the clock"
    assert len(settled.texts) == 2


def test_an_answer_of_before_does_not_overtake_the_redrive(opens: Opens) -> None:
    troupe = opens(FANNED)
    broken(troupe, "handle b")
    troupe.start(ListAsked(texts=("a", "b")))
    troupe.step("split")
    for _ in range(2):
        troupe.step("handle")
    troupe.script.during["collect"] = lambda: carried_on(redrive(troupe)) and None
    troupe.run()
    assert troupe.settlement() == Answered(texts=("A", "B"))
    assert troupe.script.calls.count("collect") == 2


def test_a_redrive_that_fails_leaves_a_new_letter_and_the_old_one(opens: Opens) -> None:
    troupe = opens(FANNED)
    broken(troupe, "handle b", times=2)
    troupe.start(ListAsked(texts=("a", "b")))
    troupe.run()
    again = carried_on(redrive(troupe))
    troupe.run()
    assert troupe.settlement(again) == Answered(texts=("A",), missing=("handle b is broken",))
    old, new = find(troupe, redriven=True)
    assert (old.request, old.redriven_as, old.redriven is not None) == ("r1", again, True)
    assert (new.request, new.origin, new.redriven) == (again, "r1", None)
    last = carried_on(redrive(troupe))
    troupe.run()
    assert troupe.settlement(last) == Answered(texts=("A", "B"))
    assert troupe.view().redriven_as == last


def test_a_redriven_letter_is_redriven_again_by_whoever_has_seen_that_it_was(opens: Opens) -> None:
    troupe = opens(SINGLE)
    broken(troupe, "work a")
    troupe.start(Asked())
    troupe.run()
    before = find(troupe)
    one = carried_on(letters_of(troupe).redrive(before))
    (refused,) = letters_of(troupe).redrive(before)
    assert "changed" in refused.refused
    assert find(troupe) == []
    troupe.run()
    two = carried_on(redrive(troupe, redriven=True))
    troupe.run()
    assert two != one
    assert troupe.settlement(two) == Answered(texts=("a, attempt 1",))


def test_attempts_and_age_start_anew(opens: Opens) -> None:
    troupe = opens(SINGLE)
    troupe.script.failures["work a"] = [ValueError("down")] * 4
    troupe.start(Asked())
    troupe.run()
    assert troupe.letters() == [("work", "attempts exhausted")]
    troupe.clock.advance(86_400)  # its route allows ten minutes
    again = carried_on(redrive(troupe))
    troupe.run()
    assert troupe.settlement(again) == Answered(texts=("a, attempt 2",))


def test_a_join_that_gave_up_joins_the_same_parts_again(opens: Opens) -> None:
    troupe = opens(FANNED)
    broken(troupe, "collect")
    troupe.start(ListAsked(texts=("a", "skip", "c")))
    troupe.run()
    again = carried_on(redrive(troupe))
    troupe.run()
    assert troupe.settlement(again) == Answered(texts=("A", "C"))
    assert troupe.script.calls.count("handle a") == 1


def test_a_redriven_event_goes_to_the_agent_that_gave_it_up_alone(opens: Opens) -> None:
    troupe = opens(FANNED_WITH_SIDE)
    broken(troupe, "collect")
    troupe.start(ListAsked(texts=("a", "b")))
    troupe.run()
    calls = len(troupe.script.calls)
    carried_on(redrive(troupe))
    troupe.run()
    assert troupe.script.calls[calls:] == ["collect"]


def test_a_join_of_no_parts_that_gave_up_is_redriven(opens: Opens) -> None:
    troupe = opens(FANNED)
    broken(troupe, "collect")
    troupe.start(ListAsked(texts=()))
    troupe.run()
    again = carried_on(redrive(troupe))
    troupe.run()
    assert troupe.settlement(again) == Answered()


def test_a_join_that_its_timer_closed_and_that_gave_up_is_redriven(opens: Opens) -> None:
    troupe = opens(FANNED)
    broken(troupe, "collect")
    troupe.start(ListAsked(texts=("a", "b")))
    troupe.step("split")
    troupe.hold("handle")  # and never delivers it
    troupe.step("handle")
    drain(troupe)
    troupe.clock.advance(48.0)
    drain(troupe)
    again = carried_on(redrive(troupe))
    drain(troupe)
    settled = troupe.settlement(again)
    assert isinstance(settled, Answered)
    assert (len(settled.texts), settled.missing) == (1, ("no result in time",))


def test_of_a_part_and_its_join_redriven_together_the_part_alone_goes_again(opens: Opens) -> None:
    troupe = opens(FANNED)
    broken(troupe, "handle b", "collect")
    troupe.start(ListAsked(texts=("a", "b")))
    troupe.run()
    redrives = redrive(troupe)
    assert sorted(each.published for each in redrives) == [False, True]
    again = carried_on(redrives)
    troupe.run()
    assert troupe.settlement(again) == Answered(texts=("A", "B"))
    assert find(troupe) == []


@pytest.mark.parametrize("failing", [("go_left",), ("go_right",), ("go_left", "go_right"), ("merge",)])
def test_the_branches_of_a_fork_are_redriven(opens: Opens, failing: tuple[str, ...]) -> None:
    troupe = opens(FORKED)
    broken(troupe, *failing)
    troupe.start(Looked())
    troupe.run()
    again = carried_on(redrive(troupe))
    troupe.run()
    assert troupe.settlement(again) == Answered(texts=("Left", "Right"))


def test_a_side_branch_is_redriven_under_its_own_request(opens: Opens) -> None:
    troupe = opens(FANNED_WITH_SIDE)
    broken(troupe, "keep A")
    troupe.start(ListAsked(texts=("a", "b")))
    troupe.run()
    assert carried_on(redrive(troupe)) == "r1"
    calls = len(troupe.script.calls)
    troupe.run()
    assert troupe.script.calls[calls:] == ["keep A"]
    assert troupe.view().redriven_as == ""
    assert find(troupe) == []


def test_a_side_branch_redriven_while_its_request_is_open_does_not_hold_up_the_answer(opens: Opens) -> None:
    troupe = opens(FANNED_WITH_SIDE)
    broken(troupe, "note A")
    troupe.start(ListAsked(texts=("a",)))
    for agent in ("split", "handle", "note"):
        troupe.step(agent)
    assert carried_on(redrive(troupe)) == "r1"
    troupe.run()
    assert troupe.settlement() == Answered(texts=("A",))
    assert "keep A" in troupe.script.calls


def test_a_linked_request_waits_for_its_turn_in_its_conversation(opens: Opens) -> None:
    troupe = opens(SINGLE, FANNED)
    broken(troupe, "handle a", "handle b")
    troupe.start(ListAsked(texts=("a", "b", "c")))
    troupe.run()
    troupe.start(Asked(), request="r2")
    again = carried_on(redrive(troupe))
    assert troupe.view(again).status == "waiting"
    troupe.start(Asked(), request="r3")
    troupe.step("work")
    assert (troupe.view(again).status, troupe.view("r3").status) == ("running", "waiting")
    troupe.run()
    assert troupe.settlement(again) == Answered(texts=("A", "B", "C"))
    assert troupe.settlement("r3") == Answered(texts=("a, attempt 1",))


def test_letters_join_a_linked_request_that_still_waits(opens: Opens) -> None:
    troupe = opens(SINGLE, FANNED)
    broken(troupe, "handle a", "handle b", "collect")
    troupe.start(ListAsked(texts=("a", "b", "c")))
    troupe.run()
    troupe.start(Asked(), request="r2")
    again = {carried_on(letters_of(troupe).redrive([each])) for each in reversed(find(troupe))}
    assert len(again) == 1
    troupe.run()
    assert troupe.settlement(*again) == Answered(texts=("A", "B", "C"))
    assert troupe.script.calls.count("collect") == 2


def test_a_redrive_by_a_command_beside_the_process_is_taken_by_the_process(process: Callable[..., Harness]) -> None:
    troupe = process(FANNED)
    broken(troupe, "handle a", "handle b")
    troupe.start(ListAsked(texts=("a", "b", "c")))
    troupe.run()
    again = carried_on(redrive_beside(troupe))
    troupe.run()
    assert troupe.settlement(again) == Answered(texts=("A", "B", "C"))


def test_a_redriven_part_that_never_comes_is_missing_once_the_timer_closes(opens: Opens) -> None:
    troupe = opens(FANNED)
    broken(troupe, "handle b")
    troupe.start(ListAsked(texts=("a", "b")))
    troupe.run()
    again = carried_on(redrive(troupe))
    troupe.hold("handle")  # and never delivers it
    troupe.clock.advance(48.0)
    drain(troupe)
    assert troupe.settlement(again) == Answered(texts=("A",), missing=("handle b is broken",))


def test_a_redrive_after_one_that_never_came_back_does_not_wait_for_it(opens: Opens) -> None:
    troupe = opens(FANNED)
    broken(troupe, "handle a", "handle b")
    troupe.start(ListAsked(texts=("a", "b")))
    troupe.run()
    first, second = find(troupe)
    letters_of(troupe).redrive([first])
    troupe.hold("handle")  # and never delivers it
    troupe.clock.advance(61.0)
    drain(troupe)
    again = carried_on(letters_of(troupe).redrive([second]))
    drain(troupe)
    assert isinstance(troupe.settlement(again), Answered), "without moving the clock"


def test_a_request_whose_deadline_nobody_kept_is_settled_before_a_new_one_carries_on(opens: Opens) -> None:
    troupe = opens(FANNED)
    broken(troupe, "handle a", "handle b")
    troupe.start(ListAsked(texts=("a", "b")))
    troupe.run()
    first, second = find(troupe)
    late = carried_on(letters_of(troupe).redrive([first]))
    troupe.clock.advance(61.0)
    again = carried_on(letters_of(troupe).redrive([second]))
    assert again != late
    drain(troupe)
    assert isinstance(troupe.settlement(late), AgentFailed)
    settled = troupe.settlement(again)
    assert isinstance(settled, Answered), "without moving the clock"
    assert len(settled.texts) == 1


def test_a_fix_that_comes_with_a_new_process_answers_what_was_given_up(process: Callable[..., Harness]) -> None:
    troupe = process(BOOK)
    broken(troupe, "write 0.0 0", "close_chapter", "spell 1.1", "source 1.1")
    troupe.start(BookAsked(), deadline_s=600.0)
    troupe.run()
    fixed = troupe.restarted()
    try:
        while find(fixed):
            again = carried_on(redrive(fixed))
            fixed.run()
        assert fixed.settlement(again) == BOOK_ANSWER
    finally:
        fixed.store.close()


BOOK_STEPS = (
    *("plan_book", "plan_chapter 0", "plan_chapter 1", "close_section", "close_chapter", "bind_book"),
    *(f"write {chapter}.{section} 0" for chapter in "01" for section in "01"),
    *(f"write {chapter}.1 {number}" for chapter in "01" for number in "12"),
    *(f"{step} {chapter}.{section}" for step in ("spell", "source") for chapter in "01" for section in "01"),
)


@pytest.mark.parametrize("target", ["sqlite", "memory"])
@pytest.mark.parametrize("seed", range(30))
@pytest.mark.parametrize(
    ("workflow", "entry", "steps", "answer"),
    [(BOOK, BookAsked(), BOOK_STEPS, BOOK_ANSWER), (HUNTED, Hunt(), HUNTED_STEPS, HUNTED_ANSWER)],
    ids=["nested", "rounds"],
)
def test_once_all_letters_are_redriven_after_a_fix_the_answer_is_the_calm_one(  # noqa: PLR0913, PLR0917
    tmp_path: Path, target: str, seed: int, workflow: Workflow, entry: Event, steps: Sequence[str], answer: Answered
) -> None:
    chance = random.Random(seed)  # noqa: S311 - a seed, so that a failure comes again
    places = chance.choice((0, 4))
    troupe = MemoryTarget(workflow) if target == "memory" else Harness(tmp_path, workflow, places=places)
    try:
        for step in chance.sample(steps, chance.randint(1, 6)):
            broken(troupe, step, times=chance.randint(1, 3))
        troupe.start(entry, deadline_s=600.0)
        _run_some(troupe, chance)
        for _ in range(chance.randint(0, 6)):
            _redrive_some(troupe, chance)
            _run_some(troupe, chance)
        troupe.script.failures.clear()  # the fix
        troupe.run()
        while open_letters := find(troupe):
            assert not any(each.refused for each in letters_of(troupe).redrive(open_letters))
            troupe.run()
        last = troupe.view().redriven_as or "r1"
        assert troupe.settlement(last) == answer
        assert troupe.leases() == []
    finally:
        troupe.close()


def test_what_failed_behind_a_join_is_done_again_by_the_part_that_failed_before_it(opens: Opens) -> None:
    troupe = opens(HUNTED)
    broken(troupe, "look 1a", "look 2b")
    troupe.start(Hunt())
    troupe.run()
    assert troupe.settlement() == Answered(texts=("1b", "2a", "3a", "3b"))
    redrives = redrive(troupe)
    assert sorted(each.published for each in redrives) == [False, True]
    again = carried_on(redrives)
    troupe.run()
    assert troupe.settlement(again) == HUNTED_ANSWER


def test_what_an_earlier_redrive_did_again_needs_no_redrive_of_its_own(opens: Opens) -> None:
    troupe = opens(HUNTED)
    broken(troupe, "look 1a", "look 2b")
    troupe.start(Hunt())
    troupe.run()
    earlier, later = find(troupe)
    again = carried_on(letters_of(troupe).redrive([earlier]))
    troupe.run()
    assert troupe.settlement(again) == HUNTED_ANSWER
    (done,) = letters_of(troupe).redrive([later])
    assert (done.request, done.published) == (again, False)
    assert troupe.queued() == []


def test_a_part_that_fails_again_behind_a_repeated_join_goes_before_what_failed_in_the_first_way(
    opens: Opens,
) -> None:
    troupe = opens(HUNTED)
    broken(troupe, "look 1a")
    broken(troupe, "look 2b", times=2)
    troupe.start(Hunt())
    troupe.run()
    troupe.run()
    earlier, later = find(troupe)
    letters_of(troupe).redrive([earlier])
    troupe.run()
    newer = next(each for each in find(troupe) if each.key != later.key)
    redrives = {each.key: each.published for each in letters_of(troupe).redrive([later, newer])}
    assert redrives == {later.key: False, newer.key: True}
    troupe.run()
    assert troupe.settlement(troupe.view().redriven_as) == HUNTED_ANSWER


def _run_some(troupe: Driven, chance: random.Random) -> None:
    if chance.random() < 0.4:
        troupe.run()
        return
    for _ in range(chance.randint(0, 40)):
        entry = troupe.take_due()
        if entry is None:
            return
        troupe.deliver(entry)


def _redrive_some(troupe: Driven, chance: random.Random) -> None:
    letters = find(troupe)
    chosen = chance.sample(letters, chance.randint(0, len(letters)))
    if chance.random() < 0.5:
        letters_of(troupe).redrive(chosen)
        return
    for each in chosen:
        letters_of(troupe).redrive([each])
