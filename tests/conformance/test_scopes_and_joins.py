"""Fan-outs, forks and their joins; cycles; side branches."""

from datetime import timedelta

import pytest
from faults import down
from guarantees import guarantee
from harness import START, Clock
from sample_workflows import (
    BOOK,
    BOOK_ANSWER,
    FANNED,
    FANNED_WITH_SIDE,
    FORKED,
    Answered,
    BookAsked,
    ListAsked,
    Looked,
)
from target import Deploys

from functions.errors import PermanentError

ANY_ORDER = guarantee(
    "any-order",
    "A join completes with its parts in any order, hands them over by index, and keeps them for its retries.",
)
DUPLICATED = guarantee("duplicated", "A duplicated part counts once.")
FAILED = guarantee("failed", "A failed part counts as missing and the answer can say so; one that ended is left out.")
ZERO = guarantee("zero", "A fan-out of nothing is joined at once.")
TIMER = guarantee(
    "timer", "A part that never comes is missing once the timer closes its join, in time for the deadline."
)
LATE = guarantee("late", "A part that comes after its join was closed changes nothing.")
NESTED = guarantee(
    "nested", "Nested fan-outs, forks, choices and cycles end in one answer, and a lost branch costs only its own part."
)
FORK = guarantee(
    "fork", "The branches of a fork are joined in their order; one that ends or fails is left out or missing."
)
SIDE = guarantee("side", "A side branch runs to its end, after the answer too, and its failure counts nowhere.")


@ANY_ORDER
@pytest.mark.parametrize("order", [(0, 1, 2), (2, 1, 0), (1, 2, 0)])
def test_a_join_completes_in_any_order_and_sorts_its_parts(deploy: Deploys, order: tuple[int, ...]) -> None:
    troupe = deploy(FANNED)
    troupe.start(ListAsked(texts=("a", "b", "c")))
    troupe.step("split")
    parts = [troupe.take("handle") for _ in order]
    for position in order:
        troupe.deliver(parts[position])
    troupe.run()
    assert troupe.settlement() == Answered(texts=("A", "B", "C"))


@DUPLICATED
def test_a_duplicated_part_counts_once(deploy: Deploys) -> None:
    troupe = deploy(FANNED)
    troupe.start(ListAsked(texts=("a", "b")))
    troupe.step("split")
    troupe.step("handle")
    part = troupe.take("collect")
    raw = part.raw
    for _ in range(3):
        assert troupe.deliver(part, raw).action == "acknowledge"
    assert "collect" not in troupe.script.calls
    troupe.run()
    assert troupe.deliver(part, raw).action == "acknowledge"
    assert troupe.script.calls.count("collect") == 1
    assert troupe.settlement() == Answered(texts=("A", "B"))


@FAILED
def test_a_failed_part_is_missing_and_the_answer_says_so(deploy: Deploys) -> None:
    troupe = deploy(FANNED)
    troupe.script.failures["handle b"] = [PermanentError("b is locked", reason="locked")]
    troupe.start(ListAsked(texts=("a", "b", "c")))
    troupe.run()
    assert troupe.settlement() == Answered(texts=("A", "C"), missing=("b is locked",))
    assert troupe.letters() == [("handle", "locked")]


@FAILED
def test_a_part_that_ended_is_neither_there_nor_missing(deploy: Deploys) -> None:
    troupe = deploy(FANNED)
    troupe.start(ListAsked(texts=("skip", "b", "skip")))
    troupe.run()
    assert troupe.settlement() == Answered(texts=("B",))


@ZERO
def test_a_fan_out_of_nothing_is_joined_at_once(deploy: Deploys) -> None:
    troupe = deploy(FANNED)
    troupe.start(ListAsked())
    troupe.run_due()
    assert troupe.settlement() == Answered()


@ZERO
def test_a_nested_fan_out_of_nothing_is_joined(deploy: Deploys) -> None:
    troupe = deploy(BOOK)
    troupe.start(BookAsked(chapters=2, sections=0))
    troupe.run()
    assert troupe.settlement() == Answered()


@TIMER
def test_the_timer_closes_a_join_with_the_parts_that_are_there(deploy: Deploys, clock: Clock) -> None:
    troupe = deploy(FANNED)
    troupe.start(ListAsked(texts=("a", "b")), deadline_s=60.0)
    troupe.step("split")
    troupe.lose("handle")
    troupe.run()
    assert troupe.settlement() == Answered(texts=("B",), missing=("no result in time",))
    assert clock() - START < timedelta(seconds=49), "four fifths of what was left"


@TIMER
def test_the_timer_says_of_every_part_that_it_is_missing_when_none_came(deploy: Deploys) -> None:
    troupe = deploy(FANNED)
    troupe.start(ListAsked(texts=("a", "b")))
    troupe.step("split")
    for _ in range(2):
        troupe.lose("handle")
    troupe.run()
    assert troupe.settlement() == Answered(missing=("no result in time",) * 2)


@TIMER
def test_a_fan_out_of_nothing_is_joined_by_its_timer_where_its_one_event_is_lost(deploy: Deploys) -> None:
    troupe = deploy(FANNED)
    troupe.start(ListAsked())
    troupe.step("split")
    troupe.lose("collect")
    troupe.run()
    assert troupe.settlement() == Answered()


@TIMER
def test_a_lost_branch_of_a_forked_entry_is_closed_by_a_timer(deploy: Deploys) -> None:
    troupe = deploy(FORKED)
    troupe.start(Looked(), deadline_s=60.0)
    troupe.lose("go_left")
    troupe.run()
    assert troupe.settlement() == Answered(texts=("Right",), missing=("no result in time",))


@LATE
def test_a_part_that_comes_after_the_timer_changes_nothing(deploy: Deploys, clock: Clock) -> None:
    troupe = deploy(FANNED)
    troupe.start(ListAsked(texts=("a", "b")), deadline_s=60.0)
    troupe.step("split")
    troupe.step("handle")
    troupe.step("handle")
    on_time, late = troupe.take("collect"), troupe.take("collect")
    raw = late.raw
    troupe.deliver(on_time)
    clock.advance(49)
    troupe.step("collect")  # the timer
    settled = troupe.view()
    assert troupe.settlement() == Answered(texts=("A",), missing=("no result in time",))
    assert troupe.deliver(late, raw).action == "acknowledge"
    assert troupe.view() == settled
    assert troupe.script.calls.count("collect") == 1
    assert troupe.queued() == []


@LATE
def test_a_part_that_comes_between_two_attempts_of_a_closed_join_changes_nothing(deploy: Deploys, clock: Clock) -> None:
    troupe = deploy(FANNED)
    troupe.script.failures["collect"] = down(1)
    troupe.start(ListAsked(texts=("a", "b")), deadline_s=60.0)
    troupe.step("split")
    troupe.step("handle")
    troupe.step("handle")
    on_time, late = troupe.take("collect"), troupe.take("collect")
    troupe.deliver(on_time)
    clock.advance(49)
    troupe.step("collect")  # the timer, and an attempt that fails
    troupe.deliver(late)
    troupe.run()
    assert troupe.settlement() == Answered(texts=("A",), missing=("no result in time",))


@ANY_ORDER
def test_a_join_that_fails_is_retried_with_the_same_parts(deploy: Deploys) -> None:
    troupe = deploy(FANNED)
    troupe.script.failures["collect"] = down(2)
    troupe.start(ListAsked(texts=("a", "b")))
    troupe.run()
    assert troupe.settlement() == Answered(texts=("A", "B"))
    assert troupe.attempts("collect") == [3]
    assert troupe.script.calls.count("handle a") == 1


@NESTED
def test_nested_fan_outs_forks_choices_and_cycles_end_in_one_answer(deploy: Deploys) -> None:
    troupe = deploy(BOOK)
    troupe.start(BookAsked(chapters=2, sections=2))
    troupe.run()
    assert troupe.settlement() == BOOK_ANSWER
    assert troupe.letters() == []


@NESTED
def test_a_lost_branch_of_a_nested_fan_out_degrades_only_its_own_part(deploy: Deploys) -> None:
    troupe = deploy(BOOK)
    for text, count in (("plan_chapter 0", 1), ("spell 1.0", 1), ("close_section", 0)):
        troupe.script.failures[text] = [PermanentError("lost")] * count
    troupe.start(BookAsked(chapters=2, sections=2))
    troupe.run()
    assert troupe.settlement() == Answered(texts=("?", "Sp1.1+So1.1"), missing=("?",))


@NESTED
def test_after_its_join_a_request_has_its_whole_deadline_again(deploy: Deploys) -> None:
    troupe = deploy(BOOK)
    troupe.start(BookAsked(), deadline_s=60.0)
    troupe.run()
    view = troupe.view()
    assert view.settlement is not None
    assert view.settlement.deadline == view.deadline == START + timedelta(seconds=60)


@FORK
def test_both_branches_of_a_fork_are_joined_in_their_order(deploy: Deploys) -> None:
    troupe = deploy(FORKED)
    troupe.start(Looked())
    right = troupe.take("go_right")
    troupe.deliver(right)
    troupe.run()
    assert troupe.settlement() == Answered(texts=("Left", "Right"))


@FORK
def test_a_branch_of_a_fork_that_ends_is_left_out(deploy: Deploys) -> None:
    troupe = deploy(FORKED)
    troupe.start(Looked(text="right only"))
    troupe.run()
    assert troupe.settlement() == Answered(texts=("Right",))


@FORK
def test_a_branch_of_a_fork_that_fails_is_missing(deploy: Deploys) -> None:
    troupe = deploy(FORKED)
    troupe.script.failures["go_left"] = [PermanentError("no left here")]
    troupe.start(Looked())
    troupe.run()
    assert troupe.settlement() == Answered(texts=("Right",), missing=("no left here",))


@SIDE
def test_a_side_branch_runs_to_its_end(deploy: Deploys) -> None:
    troupe = deploy(FANNED_WITH_SIDE)
    troupe.start(ListAsked(texts=("a", "b")))
    troupe.run()
    assert {call for call in troupe.script.calls if call.startswith("keep")} == {"keep A", "keep B"}
    assert troupe.settlement() == Answered(texts=("A", "B"))
    assert troupe.queued() == []


@SIDE
def test_a_failure_of_a_side_branch_counts_nowhere(deploy: Deploys) -> None:
    troupe = deploy(FANNED_WITH_SIDE)
    troupe.script.failures["note A"] = [PermanentError("no ink")]
    troupe.script.failures["keep B"] = [PermanentError("no shelf")]
    troupe.start(ListAsked(texts=("a", "b")))
    troupe.run()
    assert troupe.settlement() == Answered(texts=("A", "B"))
    assert sorted(troupe.letters()) == [("keep", "permanent error"), ("note", "permanent error")]


@SIDE
def test_a_side_branch_goes_on_after_the_answer_and_past_the_deadline(deploy: Deploys, clock: Clock) -> None:
    troupe = deploy(FANNED_WITH_SIDE)
    troupe.script.failures["note A"] = down(1)
    troupe.start(ListAsked(texts=("a",)), deadline_s=10.0)
    for name in ("split", "handle", "collect"):
        troupe.step(name)
    assert troupe.view().status == "settled"
    clock.advance(20)
    troupe.run()
    assert troupe.script.calls[-3:] == ["note A", "note A", "keep A"]
    assert troupe.letters() == []
