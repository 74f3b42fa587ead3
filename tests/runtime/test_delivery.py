"""What a delivery promises, over the shipped SQLite store, one delivery at a time."""

import math
from collections.abc import Callable, Sequence
from datetime import timedelta
from pathlib import Path

import msgspec
import pytest
from harness import START, Harness
from sample_workflows import (
    BOOK,
    BOOK_ANSWER,
    FANNED,
    FANNED_WITH_SIDE,
    FORKED,
    LOG,
    LOOPED,
    SINGLE,
    Answered,
    Asked,
    BookAsked,
    DraftAsked,
    ListAsked,
    Looked,
    Piece,
    collect,
    handle,
    work,
)

from functions.adapters.local.blobs import LocalBlobs
from functions.adapters.local.conversations import LocalAppend, LocalHistory
from functions.adapters.local.retention import sweep
from functions.adapters.local.rows import DEADLINE
from functions.adapters.local.settling import conversation_scope, workflow_scope
from functions.adapters.local.state import LocalState
from functions.adapters.local.store import Store
from functions.errors import PermanentError
from functions.events.envelope import CLAIM_CHECK_BYTES, Envelope, Frame, decode, digest, encode, open_request, pack
from functions.events.event import AgentFailed, Event
from functions.ports.models import LanguageModel
from functions.ports.state import Begun, Finish, Part, State, Task
from functions.runtime.agent import agent
from functions.runtime.arrival import claim_checked, claimed
from functions.runtime.dead_letters import given_up
from functions.runtime.delivery import Binding
from functions.runtime.workflow import Budget, Workflow

Opens = Callable[..., Harness]


class DownError(Exception):
    """What a dependency raises."""


class ShutdownError(BaseException):
    """The process dies here: nothing catches it."""


def down(times: int) -> list[BaseException | None]:
    return [DownError("the shelf is down")] * times


# ------------------------------------------------------------------------------------ attempts and retries


def test_a_request_is_answered_by_its_agent(process: Opens) -> None:
    troupe = process(SINGLE)
    troupe.start(Asked(text="a"))
    troupe.run()
    assert troupe.settlement() == Answered(texts=("a, attempt 1",))
    assert troupe.bus.depth() == 0


def test_a_failed_attempt_is_retried_and_counted(process: Opens) -> None:
    troupe = process(SINGLE)
    troupe.script.failures["work a"] = down(2)
    troupe.start(Asked(text="a"))
    troupe.run()
    assert troupe.settlement() == Answered(texts=("a, attempt 3",))
    assert troupe.attempts("work") == [3]
    assert troupe.letters() == []


def test_the_last_attempt_ends_as_a_dead_letter_and_an_error_for_the_caller(process: Opens) -> None:
    troupe = process(SINGLE)
    troupe.script.failures["work a"] = down(9)
    troupe.start(Asked(text="a"))
    troupe.run()
    assert troupe.settlement() == AgentFailed(agent="work", reason="DownError: the shelf is down")
    assert troupe.letters() == [("work", "attempts exhausted")]
    assert troupe.attempts("work") == [3]


def test_whoever_looks_can_tell_a_delivery_that_was_retried_from_one_that_was_given_up(process: Opens) -> None:
    troupe = process(SINGLE)
    for request, failures in (("r1", 2), ("r2", 9)):
        troupe.script.failures["work a"] = down(failures)
        troupe.start(Asked(text="a"), request=request)
        troupe.run()
    retried, given_up_on = (troupe.requests.deliveries(each, tenant="default")[0] for each in ("r1", "r2"))
    assert (retried.attempts, retried.error, retried.failed) == (3, "DownError: the shelf is down", False)
    assert (given_up_on.attempts, given_up_on.error, given_up_on.failed) == (3, "DownError: the shelf is down", True)


def test_a_retry_waits_for_its_backoff(process: Opens) -> None:
    troupe = process(SINGLE)
    troupe.script.failures["work a"] = down(2)
    troupe.start(Asked(text="a"))
    waits = []
    for _ in range(2):
        begun = troupe.clock()
        outcome = troupe.step("work")
        assert outcome is not None
        assert outcome.action == "retry"
        assert outcome.due is not None
        assert outcome.error == "DownError: the shelf is down"
        waits.append((outcome.due - begun).total_seconds())
        troupe.run_due()
        assert troupe.attempts("work") == [len(waits)], "delivered before it was due"
        troupe.clock.move_to(outcome.due.timestamp())
    assert waits[0] == pytest.approx(1.0)
    assert 1.0 <= waits[1] <= 2.0


def test_an_event_older_than_its_route_allows_is_given_up(process: Opens) -> None:
    troupe = process(SINGLE)
    troupe.start(Asked(text="a"), deadline_s=3600.0)
    troupe.clock.advance(601)
    troupe.run_due()
    assert troupe.letters() == [("work", "expired")]
    assert troupe.script.calls == []
    assert troupe.settlement() == AgentFailed(agent="work", reason="601 s old, and its route allows 600 s")


def test_a_retry_past_the_deadline_is_not_waited_for(process: Opens) -> None:
    troupe = process(SINGLE)
    troupe.script.failures["work a"] = down(9)
    troupe.start(Asked(text="a"), deadline_s=0.5)
    troupe.run_due()
    assert troupe.letters() == [("work", "deadline")]
    assert troupe.settlement() == AgentFailed(agent="work", reason="DownError: the shelf is down")


def test_attempts_that_died_without_a_word_are_counted(process: Opens) -> None:
    troupe = process(SINGLE)
    troupe.script.failures["work a"] = [ShutdownError()] * 9
    troupe.start(Asked(text="a"))
    for _ in range(3):
        entry = troupe.take("work")
        with pytest.raises(ShutdownError):
            troupe.deliver(entry)
        troupe.clock.advance(16)  # its 10 seconds and the margin of the lease
        troupe.bus.announce([entry])
    troupe.run_due()
    assert troupe.letters() == [("work", "attempts exhausted")]
    assert len(troupe.script.calls) == 3


def test_an_error_that_no_store_could_hold_is_given_up_all_the_same(process: Opens) -> None:
    troupe = process(SINGLE)
    troupe.script.failures["work a"] = [PermanentError("no file \ud800" + "x" * 5000, reason="unreadable")]
    troupe.start(Asked(text="a"))
    troupe.run()
    failed = troupe.settlement()
    assert isinstance(failed, AgentFailed)
    assert failed.reason.startswith("no file ?xxx")
    assert len(failed.reason) == 1000


def test_a_permanent_error_is_a_dead_letter_at_once(process: Opens) -> None:
    troupe = process(SINGLE)
    troupe.script.failures["work a"] = [PermanentError("this page is locked", reason="locked")]
    first = troupe.start(Asked(text="a"), tenant="acme")
    troupe.clock.advance(2)
    troupe.run_due()
    row = troupe.store.read(
        "SELECT agent, reason, error, attempt, age_s, tenant, conversation, request, event, trace FROM dead_letter"
    )[0]
    assert row[:8] == ("work", "locked", "this page is locked", 1, 2.0, "acme", "c1", "r1")
    assert decode(row[8]) == first
    assert "this page is locked" in row[9]
    assert troupe.settlement(tenant="acme") == AgentFailed(agent="work", reason="this page is locked")


# --------------------------------------------------------------------------------------------------- guard


def test_an_event_that_passed_too_many_agents_is_refused(process: Opens) -> None:
    troupe = process(msgspec.structs.replace(LOOPED, max_hops=3))
    troupe.start(DraftAsked(rounds=2))
    troupe.run()
    failed = troupe.settlement()
    assert isinstance(failed, AgentFailed)
    assert failed.reason.startswith("passed through 3 agents, and looped allows 3")
    assert troupe.letters() == [("check", "hops")]


def test_a_join_counts_the_hops_of_the_part_that_came_furthest(process: Opens) -> None:
    troupe = process(msgspec.structs.replace(FANNED, max_hops=9))
    troupe.start(ListAsked(texts=("a", "b")))
    troupe.step("split")
    near, far = troupe.take("handle"), troupe.take("handle")
    raw = encode(msgspec.structs.replace(decode(troupe.raw(far)), hop=8))
    for entry, each in ((near, troupe.raw(near)), (far, raw)):
        troupe.deliver_again(entry, each)
    troupe.run()
    assert troupe.letters() == [("collect", "hops")]


def test_an_agent_is_not_called_after_its_deadline(process: Opens) -> None:
    troupe = process(SINGLE)
    troupe.start(Asked(text="a"), deadline_s=10.0)
    troupe.clock.advance(11)
    troupe.step("work")
    assert troupe.script.calls == []
    assert troupe.letters() == [("work", "deadline")]


SPENDING = Budget(tokens=10, micros=20)
MODEL = {"model": "model"}


@agent()
def think(event: Asked, *, model: LanguageModel) -> Answered:
    del model
    return Answered(texts=(event.text,))


@agent()
def think_or_not(event: Asked, *, model: LanguageModel | None = None) -> Answered:
    del model
    return Answered(texts=(event.text,))


def overspent(troupe: Harness, spent: str) -> None:
    """Runs a request whose budget was passed by this much before its agent."""
    troupe.start(Asked(text="a"))
    troupe.store.write(lambda connection: connection.execute(f"UPDATE request SET {spent}"))  # noqa: S608 - from here
    troupe.run()


@pytest.mark.parametrize("spent", ["tokens = 11", "micros = 21"])
def test_an_agent_that_needs_a_model_is_refused_once_the_budget_is_passed(process: Opens, spent: str) -> None:
    flow = Workflow(name="thinks", agents=(think,), entry=Asked, answer=Answered, resources=MODEL, budget=SPENDING)
    troupe = process(flow)
    overspent(troupe, spent)
    assert troupe.letters() == [("think", "budget")]
    failed = troupe.settlement()
    assert isinstance(failed, AgentFailed)
    assert "raise the workflow's budget" in failed.reason


def test_what_is_spent_to_the_last_token_is_not_passed(process: Opens) -> None:
    flow = Workflow(name="thinks", agents=(think,), entry=Asked, answer=Answered, resources=MODEL, budget=SPENDING)
    troupe = process(flow)
    overspent(troupe, "tokens = 10, micros = 20")
    assert troupe.settlement() == Answered(texts=("a",))


@pytest.mark.parametrize("needless", [think_or_not, work])
def test_an_agent_that_needs_no_model_goes_on_past_the_budget(
    process: Opens, needless: Callable[..., Answered]
) -> None:
    given = LOG if needless is work else MODEL
    flow = Workflow(name="plain", agents=(needless,), entry=Asked, answer=Answered, resources=given, budget=SPENDING)
    troupe = process(flow)
    overspent(troupe, "tokens = 11, micros = 21")
    assert isinstance(troupe.settlement(), Answered)
    assert troupe.letters() == []


@pytest.mark.parametrize("scope", [conversation_scope("default", "c1"), workflow_scope("single")])
def test_the_stop_switch_refuses_deliveries_until_it_is_released(process: Opens, scope: str) -> None:
    troupe = process(SINGLE)
    troupe.requests.stop(scope, "a bad answer is going round")
    troupe.start(Asked(text="a"))
    troupe.run()
    assert troupe.settlement() == AgentFailed(agent="work", reason="stopped: a bad answer is going round")
    assert troupe.letters() == [("work", "stopped")]
    troupe.requests.resume(scope)
    troupe.start(Asked(text="b"), request="r2")
    troupe.run()
    assert troupe.settlement("r2") == Answered(texts=("b, attempt 1",))


def test_the_stop_switch_of_another_conversation_stops_nothing_here(process: Opens) -> None:
    troupe = process(SINGLE)
    troupe.requests.stop(conversation_scope("default", "c2"), "stopped")
    troupe.requests.stop(conversation_scope("acme", "c1"), "stopped")
    troupe.requests.stop(workflow_scope("fanned"), "stopped")
    troupe.start(Asked(text="a"))
    troupe.run()
    assert troupe.settlement() == Answered(texts=("a, attempt 1",))


# ------------------------------------------------------------------------------------- what cannot be read


def test_bytes_that_are_no_envelope_are_parked(process: Opens) -> None:
    troupe = process(SINGLE)
    troupe.start(Asked(text="a"))
    entry = troupe.take("work")
    outcome = troupe.deliver_again(entry, b'{"specversion": "1.0"}')
    assert outcome.action == "acknowledge"
    assert outcome.error.startswith("no CloudEvents envelope")
    assert troupe.letters() == [("work", "malformed envelope")]
    assert troupe.store.read("SELECT event FROM dead_letter") == [(b'{"specversion": "1.0"}',)]
    assert troupe.bus.envelope(entry) is None


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"type": "Answered.v1"}, "which consumes"),
        ({"type": "AgentFailed.v1"}, "which consumes"),
        ({"part": pack((Frame("g", 0, 1, START),) * 2)}, "open scopes"),
    ],
)
def test_an_event_in_the_wrong_place_is_parked_and_reaches_no_agent(
    process: Opens, change: dict[str, str], said: str
) -> None:
    troupe = process(SINGLE)
    envelope = troupe.start(Asked(text="a"))
    outcome = troupe.deliver_again(troupe.take("work"), encode(msgspec.structs.replace(envelope, **change)))
    assert said in outcome.error
    assert troupe.letters() == [("work", "malformed envelope")]
    assert troupe.script.calls == []


@pytest.mark.parametrize("data", [b'{"text":5}', b"null", b"[]"])
def test_data_that_breaks_its_contract_is_given_up_at_once(process: Opens, data: bytes) -> None:
    troupe = process(SINGLE)
    envelope = troupe.opened(Asked(text="a"))
    troupe.requests.accept(msgspec.structs.replace(envelope, data=msgspec.Raw(data)))
    troupe.run()
    assert troupe.letters() == [("work", "malformed data")]
    assert troupe.script.calls == []
    assert isinstance(troupe.settlement(), AgentFailed)


def test_data_of_a_newer_producer_is_read_without_the_fields_that_are_not_known_here(process: Opens) -> None:
    troupe = process(SINGLE)
    envelope = troupe.opened(Asked(text="a"))
    troupe.requests.accept(msgspec.structs.replace(envelope, data=msgspec.Raw(b'{"text":"b","colour":1}')))
    troupe.run()
    assert troupe.settlement() == Answered(texts=("b, attempt 1",))


@pytest.mark.parametrize("change", [{"planversion": "0123456789ab"}, {"type": "Asked.v2"}])
def test_an_event_of_an_unknown_plan_or_version_is_retried_then_settled_with_ask_again(
    process: Opens, change: dict[str, str]
) -> None:
    troupe = process(SINGLE)
    envelope = troupe.opened(Asked(text="a"))
    troupe.requests.accept(msgspec.structs.replace(envelope, target="work", **change))
    assert troupe.step("work").action == "retry"
    troupe.run()
    assert troupe.attempts("work") == [5]
    assert troupe.letters() == [("work", "unknown plan")]
    failed = troupe.settlement()
    assert isinstance(failed, AgentFailed)
    assert failed.reason.endswith("ask again")
    assert troupe.script.calls == []


def test_a_request_finishes_under_the_plan_that_arrives_with_the_deploy(process: Opens) -> None:
    old = process(msgspec.structs.replace(SINGLE, name="other"))
    new = Harness(old.folder.parent / "aside", SINGLE)
    envelope = new.opened(Asked(text="a"))
    new.store.close()
    old.requests.accept(msgspec.structs.replace(envelope, target="work"))
    assert old.step("work").action == "retry"
    deployed = old.restarted(SINGLE)
    deployed.run()
    assert deployed.settlement() == Answered(texts=("a, attempt 2",))
    deployed.store.close()


# ---------------------------------------------------------------------------------------------------- once


def test_a_redelivered_event_publishes_nothing_again(process: Opens) -> None:
    troupe = process(FANNED)
    troupe.start(ListAsked(texts=("a", "b")))
    entry = troupe.take("split")
    raw = troupe.raw(entry)
    troupe.deliver(entry)
    published = troupe.queued()
    troupe.clock.advance(3)
    outcome = troupe.deliver_again(entry, raw)
    assert outcome.action == "acknowledge"
    assert troupe.queued() == published
    assert troupe.script.calls == ["split"]
    troupe.run()
    assert troupe.settlement() == Answered(texts=("A", "B"))


def test_two_attempts_make_the_same_ids(tmp_path: Path) -> None:
    ids = []
    for failures in (0, 2):
        troupe = Harness(tmp_path / str(failures), FANNED)
        troupe.script.failures["split"] = down(failures)
        troupe.start(ListAsked(texts=("a", "b")))
        while troupe.attempts("split") != [failures + 1]:
            troupe.clock.move_to(troupe.next_due() or 0)
            troupe.step()
        ids.append([envelope.id for envelope in troupe.queued()])
        troupe.store.close()
    assert ids[0] == ids[1]
    assert len(set(ids[0])) == 3  # two parts and their timer


def test_a_duplicate_of_a_delivery_in_work_is_deferred_and_counts_no_attempt(process: Opens) -> None:
    troupe = process(SINGLE)
    troupe.start(Asked(text="a"))
    entry = troupe.take("work")
    raw = troupe.raw(entry)
    seen = []
    troupe.script.during["work a"] = lambda: seen.append(troupe.deliver_again(entry, raw))
    begun = troupe.clock()
    troupe.deliver(entry)
    assert seen[0].action == "defer"
    assert seen[0].due == begun + timedelta(seconds=15)  # its 10 seconds and the margin
    assert troupe.attempts("work") == [1]
    assert troupe.script.calls == ["work a"]
    troupe.run()
    assert troupe.settlement() == Answered(texts=("a, attempt 1",))


def test_an_expired_lease_is_taken_over_and_the_first_to_finish_wins(process: Opens) -> None:
    troupe = process(SINGLE)
    troupe.start(Asked(text="a"))
    entry = troupe.take("work")
    raw = troupe.raw(entry)

    def take_over() -> None:
        troupe.clock.advance(16)
        troupe.deliver_again(entry, raw)

    troupe.script.during["work a"] = take_over
    troupe.deliver(entry)
    assert troupe.settlement() == Answered(texts=("a, attempt 2",)), "the stale attempt finished later"
    assert troupe.attempts("work") == [2]
    assert troupe.leases() == []


def test_a_stale_attempt_that_gives_up_does_not_end_what_another_works_on(process: Opens) -> None:
    troupe = process(SINGLE)
    troupe.start(Asked(text="a"))
    entry = troupe.take("work")
    raw = troupe.raw(entry)

    def take_over_and_be_overtaken() -> None:
        troupe.clock.advance(16)
        troupe.script.during["work a"] = let_the_stale_one_give_up
        troupe.deliver_again(entry, raw)

    def let_the_stale_one_give_up() -> None:
        stale = troupe.ports(entry.receipt).state
        assert isinstance(stale, LocalState)
        stale._attempt = 1
        envelope = decode(raw)
        task = Task(key=digest(envelope.id, "work", 0), agent="work", envelope=envelope, lease_s=15.0)
        error = PermanentError("too late")
        stale.finish(Finish(task=task, letter=given_up(task, "permanent error", error, 1, troupe.clock())))
        assert troupe.letters() == []

    troupe.script.during["work a"] = take_over_and_be_overtaken
    troupe.deliver(entry)
    assert troupe.settlement() == Answered(texts=("a, attempt 2",))
    assert troupe.letters() == []


def test_a_duplicate_waits_for_the_backoff_of_the_attempt_before(process: Opens) -> None:
    troupe = process(SINGLE)
    troupe.script.failures["work a"] = down(1)
    troupe.start(Asked(text="a"))
    entry = troupe.take("work")
    raw = troupe.raw(entry)
    retry = troupe.deliver(entry)
    assert retry is not None
    assert retry.action == "retry"
    duplicate = troupe.deliver_again(entry, raw)
    assert (duplicate.action, duplicate.due) == ("defer", retry.due)
    assert troupe.attempts("work") == [1]


def test_a_request_that_waited_while_its_plan_went_away_is_told_to_ask_again(process: Opens) -> None:
    troupe = process(SINGLE)
    troupe.start(Asked(text="a"))
    gone = troupe.opened(Asked(text="b"), request="r2", planversion="gone")
    troupe.requests.accept(msgspec.structs.replace(gone, type="Wondered.v1"))
    troupe.run()
    failed = troupe.settlement("r2")
    assert isinstance(failed, AgentFailed)
    assert "ask again" in failed.reason


def test_an_agent_that_exits_is_tried_again_like_one_that_raises(process: Opens) -> None:
    troupe = process(SINGLE)
    troupe.script.failures["work a"] = [SystemExit(3), None]
    troupe.start(Asked(text="a"))
    outcome = troupe.step("work")
    assert outcome is not None
    assert outcome.action == "retry"
    assert "sys.exit(3)" in outcome.error
    troupe.run()
    assert troupe.settlement() == Answered(texts=("a, attempt 2",))


def test_a_deadline_that_cannot_be_read_becomes_a_dead_letter_and_stops_no_other(process: Opens) -> None:
    troupe = process(SINGLE)
    troupe.start(Asked(text="a"), deadline_s=5)
    troupe.take("work")  # by a worker that never comes back
    garbage = "INSERT INTO queue (envelope_id, generation, agent, priority, due, envelope) VALUES (?, 0, ?, ?, 0, ?)"
    troupe.store.write(lambda connection: connection.execute(garbage, ("x", DEADLINE, "urgent", b"garbage")))
    again = troupe.restarted()
    again.clock.advance(6)
    again.run_due()
    assert isinstance(again.settlement(), AgentFailed)
    assert again.letters() == [(DEADLINE, "malformed envelope")]
    again.store.close()


def test_a_port_that_fails_gives_the_lease_back(process: Opens) -> None:
    troupe = process(SINGLE)
    envelope = troupe.start(Asked(text="a"))
    state = troupe.ports(troupe.take("work").receipt).state
    assert isinstance(state, LocalState)
    task = Task(key=digest(envelope.id, "work", 0), agent="work", envelope=envelope, lease_s=15.0)
    assert state.begin(task).status == "leased"
    state.abandon()
    assert state.begin(task).status == "leased"


def test_a_stale_attempt_that_fails_does_not_release_the_lease_of_the_next(process: Opens) -> None:
    troupe = process(SINGLE)
    envelope = troupe.start(Asked(text="a"))
    entry = troupe.take("work")
    stale = troupe.ports(entry.receipt).state
    task = Task(key=digest(envelope.id, "work", 0), agent="work", envelope=envelope, lease_s=15.0)
    assert stale.begin(task).attempt == 1
    troupe.clock.advance(16)

    def fail_late() -> None:
        stale.release(task, error="late", due=troupe.clock())
        assert troupe.leases() == [("work", task.key)]

    troupe.script.during["work a"] = fail_late
    troupe.deliver(entry)
    assert troupe.settlement() == Answered(texts=("a, attempt 2",))
    (view,) = troupe.requests.deliveries("r1", tenant="default")
    assert view.error == ""


def test_a_stale_attempt_that_finishes_after_the_next_changes_nothing(process: Opens) -> None:
    troupe = process(FANNED)
    envelope = troupe.start(ListAsked(texts=("a",)))
    entry = troupe.take("split")
    stale = troupe.ports(entry.receipt).state
    task = Task(key=digest(envelope.id, "split", 0), agent="split", envelope=envelope, lease_s=35.0)
    stale.begin(task)
    troupe.clock.advance(36)
    troupe.deliver(entry)
    published = troupe.queued()
    answer = msgspec.structs.replace(envelope, type="Answered.v1", data=msgspec.Raw(b'{"texts":["stale"]}'))
    stale.finish(Finish(task=task, outputs=(answer,), settlement=answer))
    assert troupe.queued() == published
    assert troupe.view().status == "running"


# --------------------------------------------------------------------------------------------------- joins


@pytest.mark.parametrize("order", [(0, 1, 2), (2, 1, 0), (1, 2, 0)])
def test_a_join_completes_in_any_order_and_sorts_its_parts(process: Opens, order: tuple[int, ...]) -> None:
    troupe = process(FANNED)
    troupe.start(ListAsked(texts=("a", "b", "c")))
    troupe.step("split")
    parts = [troupe.take("handle") for _ in order]
    for position in order:
        troupe.deliver(parts[position])
    troupe.run()
    assert troupe.settlement() == Answered(texts=("A", "B", "C"))


def test_a_duplicated_part_counts_once(process: Opens) -> None:
    troupe = process(FANNED)
    troupe.start(ListAsked(texts=("a", "b")))
    troupe.step("split")
    troupe.step("handle")
    part = troupe.take("collect")
    raw = troupe.raw(part)
    for _ in range(3):
        assert troupe.deliver_again(part, raw).action == "acknowledge"
    assert "collect" not in troupe.script.calls
    troupe.run()
    assert troupe.deliver_again(part, raw).action == "acknowledge"
    assert troupe.script.calls.count("collect") == 1
    assert troupe.settlement() == Answered(texts=("A", "B"))


def test_a_failed_part_is_missing_and_the_answer_says_so(process: Opens) -> None:
    troupe = process(FANNED)
    troupe.script.failures["handle b"] = [PermanentError("b is locked", reason="locked")]
    troupe.start(ListAsked(texts=("a", "b", "c")))
    troupe.run()
    assert troupe.settlement() == Answered(texts=("A", "C"), missing=("b is locked",))
    assert troupe.letters() == [("handle", "locked")]


def test_a_part_that_ended_is_neither_there_nor_missing(process: Opens) -> None:
    troupe = process(FANNED)
    troupe.start(ListAsked(texts=("skip", "b", "skip")))
    troupe.run()
    assert troupe.settlement() == Answered(texts=("B",))


def test_a_fan_out_of_nothing_is_joined_at_once(process: Opens) -> None:
    troupe = process(FANNED)
    troupe.start(ListAsked())
    troupe.run_due()
    assert troupe.settlement() == Answered()
    assert troupe.bus.depth() == 0


def test_the_timer_closes_a_join_with_the_parts_that_are_there(process: Opens) -> None:
    troupe = process(FANNED)
    troupe.start(ListAsked(texts=("a", "b")), deadline_s=60.0)
    troupe.step("split")
    lost = troupe.take("handle")
    troupe.store.write(lambda connection: connection.execute("DELETE FROM queue WHERE receipt = ?", (lost.receipt,)))
    troupe.run()
    assert troupe.settlement() == Answered(texts=("B",), missing=("no result in time",))
    assert troupe.clock() - START < timedelta(seconds=49), "four fifths of what was left"


def test_the_timer_says_of_every_part_that_it_is_missing_when_none_came(process: Opens) -> None:
    troupe = process(FANNED)
    troupe.start(ListAsked(texts=("a", "b")))
    troupe.step("split")
    troupe.store.write(lambda connection: connection.execute("DELETE FROM queue WHERE agent = 'handle'"))
    troupe.run()
    assert troupe.settlement() == Answered(missing=("no result in time",) * 2)


def test_a_part_that_comes_after_the_timer_changes_nothing(process: Opens) -> None:
    troupe = process(FANNED)
    troupe.start(ListAsked(texts=("a", "b")), deadline_s=60.0)
    troupe.step("split")
    troupe.step("handle")
    troupe.step("handle")
    on_time, late = troupe.take("collect"), troupe.take("collect")
    raw = troupe.raw(late)
    troupe.deliver(on_time)
    troupe.clock.advance(49)
    troupe.step("collect")  # the timer
    settled = troupe.view()
    assert troupe.settlement() == Answered(texts=("A",), missing=("no result in time",))
    assert troupe.deliver_again(late, raw).action == "acknowledge"
    assert troupe.view() == settled
    assert troupe.script.calls.count("collect") == 1
    assert troupe.bus.depth() == 0


def test_a_part_that_comes_between_two_attempts_of_a_closed_join_changes_nothing(process: Opens) -> None:
    troupe = process(FANNED)
    troupe.script.failures["collect"] = down(1)
    troupe.start(ListAsked(texts=("a", "b")), deadline_s=60.0)
    troupe.step("split")
    troupe.step("handle")
    troupe.step("handle")
    on_time, late = troupe.take("collect"), troupe.take("collect")
    troupe.deliver(on_time)
    troupe.clock.advance(49)
    troupe.step("collect")  # the timer, and an attempt that fails
    troupe.deliver(late)
    troupe.run()
    assert troupe.settlement() == Answered(texts=("A",), missing=("no result in time",))


def test_a_join_sorts_the_parts_of_a_store_that_does_not(process: Opens) -> None:
    troupe = process(FANNED)
    troupe.start(ListAsked(texts=("a", "b", "c")))
    troupe.step("split")
    for _ in range(3):
        troupe.step("handle")
    for _ in range(3):
        troupe.deliver(troupe.take("collect"), _Reversing)
    assert troupe.settlement() == Answered(texts=("A", "B", "C"))


class _Reversing:
    """A state store that returns parts as they come."""

    def __init__(self, state: State) -> None:
        self._state = state

    def __getattr__(self, name: str) -> object:
        return getattr(self._state, name)

    def gather(self, part: Part) -> Sequence[Envelope] | None:
        found = self._state.gather(part)
        return found and list(reversed(found))


def test_after_its_join_a_request_has_its_whole_deadline_again(process: Opens) -> None:
    troupe = process(BOOK)
    troupe.start(BookAsked(), deadline_s=60.0)
    troupe.run()
    view = troupe.view()
    assert view.settlement is not None
    assert view.settlement.deadline == view.deadline == START + timedelta(seconds=60)


def test_an_answer_after_the_deadline_does_not_replace_the_error(process: Opens) -> None:
    troupe = process(SINGLE)
    troupe.start(Asked(text="a"), deadline_s=5.0)

    def pass_the_deadline() -> None:
        troupe.clock.advance(6)
        troupe.step("runtime")

    troupe.script.during["work a"] = pass_the_deadline
    troupe.step("work")
    failed = troupe.settlement()
    assert isinstance(failed, AgentFailed)
    assert failed.reason.startswith("no answer before the deadline")
    assert troupe.bus.depth() == 0


def test_outputs_that_a_dead_attempt_stored_are_published_and_its_agent_is_not_called(process: Opens) -> None:
    troupe = process(SINGLE)
    first = troupe.start(Asked(text="a"))
    entry = troupe.take("work")
    stored = msgspec.structs.replace(
        first, id="o", source="work", type="Answered.v1", data=msgspec.Raw(b'{"texts":["stored"]}')
    )
    troupe.deliver(entry, lambda state: _Remembering(state, stored))
    assert troupe.settlement() == Answered(texts=("stored",))
    assert troupe.script.calls == []


class _Remembering:
    """A state store that found outputs of an earlier attempt, as a cloud's may; locally one commit does both."""

    def __init__(self, state: State, stored: Envelope) -> None:
        self._state = state
        self._stored = stored

    def __getattr__(self, name: str) -> object:
        return getattr(self._state, name)

    def begin(self, task: Task) -> Begun:
        return msgspec.structs.replace(self._state.begin(task), outputs=(self._stored,))


def test_a_redelivered_event_of_an_unknown_plan_is_acknowledged_once_it_was_settled(process: Opens) -> None:
    troupe = process(SINGLE)
    envelope = troupe.opened(Asked(text="a"))
    troupe.requests.accept(msgspec.structs.replace(envelope, target="work", planversion="0123456789ab"))
    entry = troupe.take("work")
    raw = troupe.raw(entry)
    troupe.deliver(entry)
    troupe.run()
    assert troupe.deliver_again(entry, raw).action == "acknowledge"
    assert troupe.letters() == [("work", "unknown plan")]


def test_the_timer_of_a_completed_join_is_removed(process: Opens) -> None:
    troupe = process(FANNED)
    troupe.start(ListAsked(texts=("a",)))
    troupe.run_due()
    assert troupe.bus.depth() == 0


def test_a_join_that_fails_is_retried_with_the_same_parts(process: Opens) -> None:
    troupe = process(FANNED)
    troupe.script.failures["collect"] = down(2)
    troupe.start(ListAsked(texts=("a", "b")))
    troupe.run()
    assert troupe.settlement() == Answered(texts=("A", "B"))
    assert troupe.attempts("collect") == [3]
    assert troupe.script.calls.count("handle a") == 1


def test_nested_fan_outs_forks_choices_and_cycles_end_in_one_answer(process: Opens) -> None:
    troupe = process(BOOK)
    troupe.start(BookAsked(chapters=2, sections=2))
    troupe.run()
    assert troupe.settlement() == BOOK_ANSWER
    assert troupe.letters() == []


def test_a_lost_branch_of_a_nested_fan_out_degrades_only_its_own_part(process: Opens) -> None:
    troupe = process(BOOK)
    for text, count in (("plan_chapter 0", 1), ("spell 1.0", 1), ("close_section", 0)):
        troupe.script.failures[text] = [PermanentError("lost")] * count
    troupe.start(BookAsked(chapters=2, sections=2))
    troupe.run()
    assert troupe.settlement() == Answered(texts=("?", "Sp1.1+So1.1"), missing=("?",))


def test_a_nested_fan_out_of_nothing_is_joined(process: Opens) -> None:
    troupe = process(BOOK)
    troupe.start(BookAsked(chapters=2, sections=0))
    troupe.run()
    assert troupe.settlement() == Answered()


def test_both_branches_of_a_fork_are_joined_in_their_order(process: Opens) -> None:
    troupe = process(FORKED)
    troupe.start(Looked())
    right = troupe.take("go_right")
    troupe.deliver(right)
    troupe.run()
    assert troupe.settlement() == Answered(texts=("Left", "Right"))


def test_a_branch_of_a_fork_that_ends_is_left_out(process: Opens) -> None:
    troupe = process(FORKED)
    troupe.start(Looked(text="right only"))
    troupe.run()
    assert troupe.settlement() == Answered(texts=("Right",))


def test_a_branch_of_a_fork_that_fails_is_missing(process: Opens) -> None:
    troupe = process(FORKED)
    troupe.script.failures["go_left"] = [PermanentError("no left here")]
    troupe.start(Looked())
    troupe.run()
    assert troupe.settlement() == Answered(texts=("Right",), missing=("no left here",))


def test_a_lost_branch_of_a_forked_entry_is_closed_by_a_timer(process: Opens) -> None:
    troupe = process(FORKED)
    troupe.start(Looked(), deadline_s=60.0)
    troupe.store.write(lambda connection: connection.execute("DELETE FROM queue WHERE agent = 'go_left'"))
    troupe.run()
    assert troupe.settlement() == Answered(texts=("Right",), missing=("no result in time",))


def test_a_bounded_cycle_ends_at_its_bound(process: Opens) -> None:
    troupe = process(LOOPED)
    troupe.start(DraftAsked(rounds=9))
    troupe.run()
    assert troupe.settlement() == Answered(texts=("round 3",))


def test_an_agent_that_passes_its_bound_is_given_up(process: Opens) -> None:
    troupe = process(LOOPED)
    troupe.start(DraftAsked(rounds=1000))
    troupe.run()
    assert troupe.settlement() == AgentFailed(
        agent="check", reason="check emitted Rejected once more than its bound allows"
    )
    assert troupe.letters() == [("check", "bound")]


# ------------------------------------------------------------------------------------------- side branches


def test_a_side_branch_runs_to_its_end(process: Opens) -> None:
    troupe = process(FANNED_WITH_SIDE)
    troupe.start(ListAsked(texts=("a", "b")))
    troupe.run()
    assert {call for call in troupe.script.calls if call.startswith("keep")} == {"keep A", "keep B"}
    assert troupe.settlement() == Answered(texts=("A", "B"))
    assert troupe.bus.depth() == 0


def test_a_failure_of_a_side_branch_counts_nowhere(process: Opens) -> None:
    troupe = process(FANNED_WITH_SIDE)
    troupe.script.failures["note A"] = [PermanentError("no ink")]
    troupe.script.failures["keep B"] = [PermanentError("no shelf")]
    troupe.start(ListAsked(texts=("a", "b")))
    troupe.run()
    assert troupe.settlement() == Answered(texts=("A", "B"))
    assert sorted(troupe.letters()) == [("keep", "permanent error"), ("note", "permanent error")]


def test_a_side_branch_goes_on_after_the_answer_and_past_the_deadline(process: Opens) -> None:
    troupe = process(FANNED_WITH_SIDE)
    troupe.script.failures["note A"] = down(1)
    troupe.start(ListAsked(texts=("a",)), deadline_s=10.0)
    for name in ("split", "handle", "collect"):
        troupe.step(name)
    assert troupe.view().status == "settled"
    troupe.clock.advance(20)
    troupe.run()
    assert troupe.script.calls[-3:] == ["note A", "note A", "keep A"]
    assert troupe.letters() == []


def test_the_stop_switch_stops_side_branches_too(process: Opens) -> None:
    troupe = process(FANNED_WITH_SIDE)
    troupe.start(ListAsked(texts=("a",)))
    for name in ("split", "handle", "collect"):
        troupe.step(name)
    troupe.requests.stop(workflow_scope("fanned_side"), "leaking")
    troupe.run()
    assert troupe.letters() == [("note", "stopped")]


def test_what_is_left_of_a_settled_request_is_superseded(process: Opens) -> None:
    troupe = process(FANNED_WITH_SIDE)
    troupe.start(ListAsked(texts=("a", "b")), deadline_s=60.0)
    troupe.step("split")
    troupe.step("handle")
    troupe.clock.advance(61)
    troupe.run()
    failed = troupe.settlement()
    assert isinstance(failed, AgentFailed)
    assert failed.reason.startswith("no answer before the deadline")
    assert troupe.script.calls == ["split", "handle a", "note A", "keep A"]
    views = troupe.requests.deliveries("r1", tenant="default")
    late = [view for view in views if view.agent == "handle" and view.error]
    assert [view.error for view in late] == ["superseded: the request was settled"]
    assert troupe.letters() == []
    assert troupe.bus.depth() == 0


# ----------------------------------------------------------------------------------------------- outputs


class OddAsked(Event):
    kind: str


class Weighed(Event):
    weight: float
    names: tuple[str, ...] = ()


class Other(Event):
    text: str = ""


class Endless(Event):
    inner: object = None


ODD: dict[str, Callable[[], object]] = {
    "nan": lambda: Weighed(weight=math.nan),
    "text for a number": lambda: Weighed(weight="heavy"),
    "number in a text": lambda: Weighed(weight=1.0, names=(1,)),
    "what JSON has not": lambda: Weighed(weight=object()),
    "surrogate": lambda: Weighed(weight=1.0, names=("\ud800",)),
    "another event": Other,
    "a list": lambda: [Weighed(weight=1.0)],
    "nothing": lambda: None,
    "a number": lambda: 5,
    "a text": lambda: "weighed",
    "a class": lambda: Weighed,
}
ODD_LISTS: dict[str, Callable[[], object]] = {
    "one wrong item": lambda: [Piece(text="a"), Other()],
    "None in it": lambda: [Piece(text="a"), None],
    "an event": lambda: Piece(text="a"),
    "a generator": lambda: (Piece(text=text) for text in "ab"),
    "a text": lambda: "ab",
    "a number": lambda: 7,
    "a wrong field": lambda: [Piece(text=5)],
}


@agent()
def weigh(event: OddAsked) -> Weighed:
    return ODD[event.kind]()


@agent()
def split_oddly(event: OddAsked) -> list[Piece]:
    return ODD_LISTS[event.kind]()


WEIGHING = Workflow(name="weighing", agents=(weigh,), entry=OddAsked, answer=Weighed)
SPLITTING = Workflow(
    name="splitting", agents=(split_oddly, handle, collect), entry=OddAsked, answer=Answered, resources=LOG
)


@pytest.mark.parametrize(
    ("workflow", "kind"),
    [*((WEIGHING, kind) for kind in ODD), *((SPLITTING, kind) for kind in ODD_LISTS)],
    ids=lambda value: value if isinstance(value, str) else value.name,
)
def test_a_wrong_output_is_given_up_at_once_and_never_published(process: Opens, workflow: Workflow, kind: str) -> None:
    troupe = process(workflow)
    troupe.start(OddAsked(kind=kind))
    troupe.run_due()
    assert [reason for _, reason in troupe.letters()] == ["wrong output"]
    failed = troupe.settlement()
    assert isinstance(failed, AgentFailed)
    assert "returned" in failed.reason
    assert troupe.bus.depth() == 0


# ------------------------------------------------------------------------------------------ large and later


def test_large_data_travels_as_a_claim_check_and_arrives_whole(process: Opens) -> None:
    troupe = process(FANNED_WITH_SIDE)
    large = "x" * (CLAIM_CHECK_BYTES + 1)
    troupe.start(ListAsked(texts=(large, "b")))
    while (due := troupe.next_due()) is not None:
        assert all(len(encode(each)) < CLAIM_CHECK_BYTES for each in troupe.queued() if each.source != "entry")
        parts = troupe.store.read("SELECT envelope FROM part")
        assert all(len(raw) < CLAIM_CHECK_BYTES for (raw,) in parts)
        troupe.clock.move_to(due)
        entry = troupe.bus.take_due()
        assert entry is not None
        troupe.deliver(entry)
    assert troupe.settlement() == Answered(texts=(large.upper(), "B"))
    assert troupe.view().settlement.dataref


def test_a_large_part_of_another_producer_is_kept_outside_the_join(process: Opens) -> None:
    troupe = process(FANNED)
    troupe.start(ListAsked(texts=("a", "b")))
    troupe.step("split")
    troupe.step("handle")
    part = troupe.take("collect")
    large = encode(
        msgspec.structs.replace(decode(troupe.raw(part)), data=msgspec.Raw(b'{"text":"%s"}' % (b"x" * 50_000)))
    )
    troupe.deliver_again(part, large)
    assert len(troupe.store.read("SELECT envelope FROM part")[0][0]) < 2000
    troupe.run()
    assert troupe.settlement() == Answered(texts=("x" * 50_000, "B"))


def test_a_stale_attempt_cannot_change_large_data_that_was_published(tmp_path: Path) -> None:
    blobs = LocalBlobs(tmp_path)
    first, second = (
        claim_checked(_blank(data=msgspec.Raw(b'"%s"' % (letter * CLAIM_CHECK_BYTES))), blobs)
        for letter in (b"a", b"b")
    )
    assert first.id == second.id
    assert claimed(first, blobs).data != claimed(second, blobs).data


def test_data_that_is_gone_from_the_blob_store_ends_as_a_dead_letter(process: Opens) -> None:
    troupe = process(SINGLE)
    envelope = troupe.opened(Asked(text="a"))
    troupe.requests.accept(msgspec.structs.replace(envelope, data=msgspec.Raw(b"null"), dataref="gone"))
    troupe.run()
    assert troupe.letters() == [("work", "attempts exhausted")]
    assert troupe.settlement() == AgentFailed(agent="work", reason="KeyError: 'gone'")


def _blank(**changes: object) -> Envelope:
    blank = open_request(
        Asked(), workflow="w", planversion="p", conversation="c", request="r", now=START, deadline=START
    )
    return msgspec.structs.replace(blank, **changes)


def test_a_new_generation_runs_again_and_its_join_reuses_the_parts_that_succeeded(process: Opens) -> None:
    troupe = process(FANNED)
    troupe.script.failures["handle b"] = [PermanentError("b is locked")]
    troupe.start(ListAsked(texts=("a", "b")))
    troupe.run()
    assert troupe.settlement() == Answered(texts=("A",), missing=("b is locked",))
    failed = decode(troupe.store.read("SELECT event FROM dead_letter")[0][0])
    calls = len(troupe.script.calls)
    troupe.publish(msgspec.structs.replace(failed, generation=1, request="r1-again"))
    assert [each.id for each in troupe.queued()] == [failed.id]
    troupe.step("handle")
    (part,) = troupe.queued()
    assert part.id != digest(digest(failed.id, "handle", 0), "handle", 0), "the id of generation 0"
    assert part.generation == 1
    troupe.step("collect")
    assert troupe.script.calls[calls:] == ["handle b", "collect"]
    assert len(troupe.letters()) == 1


# ------------------------------------------------------------------------ conversations, tenants, deadlines


def test_messages_of_one_conversation_run_one_at_a_time_in_order(process: Opens) -> None:
    troupe = process(SINGLE)
    for number in range(3):
        troupe.start(Asked(text=f"{number}"), request=f"r{number}")
    troupe.start(Asked(text="other"), request="r9", conversation="c2")
    assert [troupe.view(f"r{number}").status for number in (0, 1, 2, 9)] == [
        "running",
        "waiting",
        "waiting",
        "running",
    ]
    troupe.run()
    calls = troupe.script.calls
    assert [call for call in calls if call != "work other"] == ["work 0", "work 1", "work 2"]
    assert calls.index("work other") < 2, "another conversation does not wait"


def test_the_next_message_starts_after_one_that_failed_or_is_overdue(process: Opens) -> None:
    troupe = process(SINGLE)
    troupe.script.failures["work a"] = [PermanentError("no")]
    troupe.start(Asked(text="a"), request="r1")
    lost = troupe.start(Asked(text="b"), request="r2")
    troupe.start(Asked(text="c"), request="r3", deadline_s=120.0)
    troupe.step("work")
    troupe.store.write(lambda connection: connection.execute("DELETE FROM queue WHERE envelope_id = ?", (lost.id,)))
    troupe.run()
    assert [type(troupe.settlement(each)) for each in ("r1", "r2", "r3")] == [AgentFailed, AgentFailed, Answered]


def test_the_same_request_again_is_no_second_one(process: Opens) -> None:
    troupe = process(SINGLE)
    envelope = troupe.start(Asked(text="a"))
    assert not troupe.requests.accept(envelope)
    troupe.run()
    assert not troupe.requests.accept(envelope)
    assert troupe.bus.depth() == 0
    assert troupe.script.calls == ["work a"]


def test_a_tenant_sees_no_request_of_another(process: Opens) -> None:
    troupe = process(SINGLE)
    troupe.start(Asked(text="a"), tenant="acme")
    troupe.start(Asked(text="b"), tenant="globex")
    troupe.run()
    assert troupe.settlement(tenant="acme") == Answered(texts=("a, attempt 1",))
    assert troupe.settlement(tenant="globex") == Answered(texts=("b, attempt 1",))
    assert troupe.requests.view("r1", tenant="default") is None
    assert troupe.requests.deliveries("r1", tenant="default") == []
    assert len(troupe.requests.deliveries("r1", tenant="acme")) == 1


def test_conversations_of_two_tenants_do_not_wait_for_each_other(process: Opens) -> None:
    troupe = process(SINGLE)
    troupe.start(Asked(text="a"), tenant="acme", request="r1")
    troupe.start(Asked(text="b"), tenant="globex", request="r2")
    assert [troupe.view("r1", "acme").status, troupe.view("r2", "globex").status] == ["running", "running"]


def test_an_overdue_request_is_settled_with_an_error_even_where_it_still_waits(process: Opens) -> None:
    troupe = process(SINGLE)
    troupe.start(Asked(text="a"), request="r1", deadline_s=120.0)
    troupe.start(Asked(text="b"), request="r2", deadline_s=30.0)
    troupe.clock.advance(31)
    troupe.step("runtime")
    failed = troupe.settlement("r2")
    assert isinstance(failed, AgentFailed)
    assert "ask again" in failed.reason
    assert troupe.view("r1").status == "running"
    troupe.run()
    assert troupe.settlement("r1") == Answered(texts=("a, attempt 1",))
    assert troupe.script.calls == ["work a"]


def test_a_settled_request_leaves_no_deadline_behind(process: Opens) -> None:
    troupe = process(SINGLE)
    troupe.start(Asked(text="a"))
    troupe.run_due()
    assert troupe.bus.depth() == 0
    assert troupe.clock() == START


def test_a_high_priority_is_delivered_first(process: Opens) -> None:
    troupe = process(SINGLE)
    for priority in ("low", "normal", "high"):
        troupe.start(Asked(text=priority), request=priority, conversation=priority, priority=priority)
    troupe.run()
    assert troupe.script.calls == ["work high", "work normal", "work low"]


def test_a_restart_picks_up_what_was_in_flight(process: Opens) -> None:
    troupe = process(FANNED)
    troupe.start(ListAsked(texts=("a", "b")))
    troupe.step("split")
    troupe.step("handle")
    troupe.step("collect")
    again = troupe.restarted()
    again.run()
    assert again.settlement() == Answered(texts=("A", "B"))
    assert again.script.calls == ["handle b", "collect"]
    again.store.close()


def test_the_leases_of_a_dead_process_are_void_and_its_attempts_count(process: Opens) -> None:
    troupe = process(SINGLE)
    troupe.script.failures["work a"] = [ShutdownError()]
    troupe.start(Asked(text="a"))
    with pytest.raises(ShutdownError):
        troupe.step("work")
    assert len(troupe.leases()) == 1
    again = troupe.restarted()
    again.run_due()
    assert again.settlement() == Answered(texts=("a, attempt 2",))
    assert again.clock() == START, "nobody waited for the lease to end"
    again.store.close()


# --------------------------------------------------------------------------------------------- conversations


def test_a_repeated_delivery_says_nothing_twice(process: Opens) -> None:
    troupe = process(SINGLE)
    for _ in range(2):
        log = _log(troupe, "k1")
        log.append("user", "hello")
        log.append("assistant", "good day")
        log.append("assistant", "and welcome")
    assert _said(troupe) == ["hello", "good day", "and welcome"]


def test_history_is_the_last_messages_oldest_first_of_this_conversation(process: Opens) -> None:
    troupe = process(SINGLE)
    for number in range(5):
        _log(troupe, f"k{number}").append("user", f"{number}")
    _log(troupe, "k9", tenant="acme").append("user", "of another tenant")
    _log(troupe, "k9", conversation="c2").append("user", "of another conversation")
    assert _said(troupe, limit=3) == ["2", "3", "4"]
    assert _said(troupe) == ["0", "1", "2", "3", "4"]


def test_a_retry_does_not_read_what_its_own_delivery_appended(process: Opens) -> None:
    troupe = process(SINGLE)
    _log(troupe, "k1").append("user", "earlier")
    _log(troupe, "k2").append("user", "mine")
    assert _said(troupe, key="k2") == ["earlier"]
    assert _said(troupe, key="k3") == ["earlier", "mine"]


def test_a_message_is_gone_after_thirty_days(process: Opens) -> None:
    troupe = process(SINGLE)
    _log(troupe, "k1").append("user", "old")
    troupe.clock.advance(86_400)
    _log(troupe, "k2").append("user", "new")
    troupe.clock.advance(29 * 86_400 + 1)
    assert _said(troupe) == ["new"]
    assert sweep(troupe.store, troupe.blobs, troupe.clock()) == 1
    assert troupe.store.read("SELECT text FROM message") == [("new",)]


def _log(troupe: Harness, key: str, tenant: str = "default", conversation: str = "c1") -> LocalAppend:
    return LocalAppend(troupe.store, troupe.clock, _binding(troupe, key, tenant, conversation))


def _binding(troupe: Harness, key: str, tenant: str, conversation: str) -> Binding:
    return Binding(
        tenant=tenant,
        conversation=conversation,
        request="r1",
        key=key,
        agent="work",
        attempt=1,
        until=troupe.clock(),
        budget=Budget(),
    )


def _said(troupe: Harness, limit: int = 20, key: str = "reader") -> list[str]:
    history = LocalHistory(troupe.store, troupe.clock, _binding(troupe, key, "default", "c1"))
    return [message.text for message in history.history(limit=limit)]


# ------------------------------------------------------------------------------------------------- commits


def test_a_delivery_costs_two_commits_and_the_part_that_completes_a_join_three(
    process: Opens, monkeypatch: pytest.MonkeyPatch
) -> None:
    troupe = process(FANNED_WITH_SIDE)
    commits = []
    original = Store._commit

    def counted(store: Store, batch: object) -> None:
        commits.append(1)
        original(store, batch)

    monkeypatch.setattr(Store, "_commit", counted)
    troupe.script.failures["note A"] = down(1)
    troupe.start(ListAsked(texts=("a", "b")))
    costs: dict[str, list[int]] = {}
    while (due := troupe.next_due()) is not None:
        troupe.clock.move_to(due)
        entry = troupe.bus.take_due()
        assert entry is not None
        commits.clear()
        troupe.deliver(entry)
        costs.setdefault(entry.agent, []).append(len(commits))
    assert costs["collect"] == [1, 3]
    assert costs["note"] == [2, 2, 2], "a failed attempt costs the same"
    assert {name: max(each) for name, each in costs.items() if name != "collect"} == dict.fromkeys(
        ("split", "handle", "note", "keep"), 2
    )
