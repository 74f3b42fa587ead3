"""Another version starts on the store while requests are in flight: before, beside and after the one it replaces."""

import random
from collections.abc import Callable
from datetime import timedelta
from pathlib import Path

import msgspec
import pytest
from deployed_workflows import (
    ANOTHER,
    BEFORE,
    COMPATIBLE,
    INCOMPATIBLE,
    SIDE_BRANCH,
    Answered,
    Asked,
    Handled,
    Wondered,
    called,
    deployed,
)
from harness import START, Harness
from redriving import carried_on, redrive, redrive_beside

from functions.adapters.local.blobs import LocalBlobs
from functions.adapters.local.retention import sweep
from functions.adapters.local.state import LocalState
from functions.errors import PermanentError, TroupeError
from functions.events.envelope import decode, type_of
from functions.events.event import AgentFailed
from functions.ports.requests import RequestView
from functions.ports.state import Finish, Task
from functions.runtime.arrival import delivery_key
from functions.runtime.dead_letters import given_up
from functions.runtime.workflow import Workflow

Opens = Callable[..., Harness]
STEPS = 6  # of a request with two parts: split, handle twice, collect twice, say
OLDER = "it began under an older deployment"


@pytest.fixture
def opens(tmp_path: Path, request: pytest.FixtureRequest) -> Opens:
    """Another process on the same store, at the same time by the same clock."""
    opened: list[Harness] = []

    def open_another(*workflows: Workflow, places: int = 0) -> Harness:
        clock = opened[0].clock if opened else None
        opened.append(Harness(tmp_path, *workflows, clock=clock, places=places))
        request.addfinalizer(opened[-1].store.close)
        return opened[-1]

    return open_another


def run_alone(process: Harness) -> None:
    """Deliver what this process has, not what another one has."""
    process.bus.look_around()
    while (entry := process.bus.take_due()) is not None:
        process.deliver(entry)


def settled(process: Harness, request: str = "r1") -> RequestView:
    view = process.view(request)
    assert view.status == "settled"
    assert view.settled is not None
    assert view.settled <= view.deadline
    return view


def answer(process: Harness, request: str = "r1") -> Answered | AgentFailed:
    settlement = settled(process, request).settlement
    assert settlement is not None
    kind = AgentFailed if settlement.type == type_of(AgentFailed) else Answered
    return msgspec.json.decode(settlement.data, type=kind)


def is_told_to_ask_again(process: Harness, request: str = "r1") -> bool:
    found = answer(process, request)
    return isinstance(found, AgentFailed) and found.reason.startswith(OLDER) and found.reason.endswith("ask again")


def left_after(steps: int, workflow: Workflow, opens: Opens) -> Harness:
    """A process that is gone after so many deliveries of a request."""
    old = opens(workflow)
    old.start(Asked(texts=("a", "b")))
    for _ in range(steps):
        old.step()
    old.store.close()
    return old


def calls(*processes: Harness) -> list[str]:
    return [call for process in processes for call in process.script.calls]


# ------------------------------------------------------------------------------------ what may be changed


@pytest.mark.parametrize("steps", range(STEPS))
@pytest.mark.parametrize("change", COMPATIBLE)
@pytest.mark.parametrize("places", [0, 4])
def test_a_compatible_change_loses_nothing_wherever_a_request_stands(
    opens: Opens, change: str, steps: int, places: int
) -> None:
    old = left_after(steps, BEFORE, opens)
    new = opens(COMPATIBLE[change], places=places)
    new.run()
    assert answer(new) == Answered(texts=("A", "B"))
    awaited = [call for call in calls(old, new) if not call.startswith("note")]
    assert sorted(awaited) == ["collect A+B", "handle a", "handle b", "say A+B", "split a+b"], "each agent once"
    assert new.leases() == []
    assert new.letters() == []


@pytest.mark.parametrize("steps", range(STEPS))
@pytest.mark.parametrize("change", COMPATIBLE)
def test_a_compatible_change_can_be_taken_back(opens: Opens, change: str, steps: int) -> None:
    left_after(steps, COMPATIBLE[change], opens)
    back = opens(BEFORE)
    back.run()
    assert answer(back) == Answered(texts=("A", "B"))
    assert {(agent, reason) for agent, reason in back.letters()} <= {("note", "unknown plan")}


@pytest.mark.parametrize("steps", range(STEPS))
def test_a_required_field_that_is_taken_away_is_not_missed(opens: Opens, steps: int) -> None:
    left_after(steps, INCOMPATIBLE["a field without a default is added"][0], opens)
    new = opens(BEFORE)
    new.run()
    assert answer(new) == Answered(texts=("A", "B"))


@pytest.mark.parametrize("steps", range(STEPS))
@pytest.mark.parametrize("change", INCOMPATIBLE)
def test_an_incompatible_change_ends_what_it_cannot_finish_with_what_to_do(
    opens: Opens, change: str, steps: int
) -> None:
    workflow, gone = INCOMPATIBLE[change]
    old = left_after(steps, BEFORE, opens)
    new = opens(workflow)
    new.run()
    ahead = {"split", "handle", "collect", "say"} - {call.split()[0] for call in calls(old)}
    in_work = {"handle"} if "handle b" not in calls(old) else set()
    if gone & (ahead | in_work):
        assert is_told_to_ask_again(new)
        assert {reason for _, reason in new.letters()} == {"unknown plan"}
    else:
        assert answer(new) == Answered(texts=("A", "B"))
    assert new.queued() == []
    assert len(calls(old, new)) == len(set(calls(old, new))), "no agent twice"


def test_the_new_version_begins_its_own_requests_under_its_own_plan(opens: Opens) -> None:
    left_after(2, BEFORE, opens)
    new = opens(SIDE_BRANCH)
    new.start(Asked(texts=("c",)), request="r2", conversation="c2")
    new.run()
    assert answer(new, "r2") == Answered(texts=("C",))
    assert [call for call in calls(new) if call.startswith("note")] == ["note C"]


def test_two_deployments_later_a_request_still_finishes_under_its_plan(opens: Opens) -> None:
    left_after(2, BEFORE, opens)
    opens(SIDE_BRANCH).store.close()
    last = opens(deployed(handled=called("Handled", Handled), piece=called("Piece", Handled)), ANOTHER)
    last.run()
    assert answer(last) == Answered(texts=("A", "B"))


def test_a_message_that_has_not_begun_begins_under_the_new_plan(opens: Opens) -> None:
    old = opens(BEFORE)
    old.start(Asked(texts=("a",)))
    old.start(Asked(texts=("b",)), request="r2")
    old.store.close()
    new = opens(INCOMPATIBLE["an agent is renamed"][0])
    new.run()
    assert is_told_to_ask_again(new)
    assert answer(new, "r2") == Answered(texts=("B",))


def test_a_lost_side_branch_is_a_dead_letter_and_no_error_to_anybody(opens: Opens) -> None:
    left_after(4, SIDE_BRANCH, opens)
    new = opens(BEFORE)
    new.run()
    assert answer(new) == Answered(texts=("A", "B"))
    assert set(new.letters()) == {("note", "unknown plan")}


def test_a_timer_that_was_set_before_closes_its_join_after(opens: Opens) -> None:
    old = opens(BEFORE)
    old.start(Asked(texts=("a", "b")))
    old.step("split")
    old.step("handle")
    old.step("collect")
    old.store.write(lambda connection: connection.execute("DELETE FROM queue WHERE agent = 'handle'"))
    old.store.close()
    new = opens(SIDE_BRANCH)
    new.run()
    assert answer(new) == Answered(texts=("A",))


def failed_part(opens: Opens) -> Harness:
    """A process in which one part of a request was given up; the request was answered without it."""
    old = opens(BEFORE)
    old.script.failures["handle a"] = [PermanentError("broken")]
    old.start(Asked(texts=("a", "b")))
    old.run()
    assert answer(old) == Answered(texts=("B",))
    return old


def test_a_letter_of_an_older_plan_is_redriven_where_its_agents_still_do(opens: Opens) -> None:
    old = failed_part(opens)
    old.store.close()
    new = opens(SIDE_BRANCH)
    again = carried_on(redrive_beside(new))
    new.run()
    assert answer(new, again) == Answered(texts=("A", "B"))


def test_a_redrive_that_waited_for_its_turn_ends_with_an_error_where_a_deploy_took_its_agent(opens: Opens) -> None:
    old = failed_part(opens)
    old.start(Asked(texts=("c",)), request="r2")
    again = carried_on(redrive(old))
    assert old.view(again).status == "waiting"
    old.store.close()
    new = opens(INCOMPATIBLE["an agent is renamed"][0])
    new.run()
    assert is_told_to_ask_again(new, "r2")
    told = answer(new, again)
    assert isinstance(told, AgentFailed)
    assert "which is not carried here" in told.reason
    assert new.queued() == []


# --------------------------------------------------------------------------------- both versions at work


def test_what_one_version_hands_over_takes_nothing_from_what_the_other_is_at_work_on(opens: Opens) -> None:
    left_after(1, BEFORE, opens)
    new = opens(INCOMPATIBLE["an agent is renamed"][0])
    text = "json_extract(CAST(envelope AS TEXT), '$.data.text')"
    half = f"UPDATE queue SET holder = '' WHERE agent = 'handle' AND {text} = 'b'"  # noqa: S608
    new.store.write(lambda connection: connection.execute(half))
    old = opens(BEFORE)
    old.script.during["handle b"] = new.bus.look_around
    run_alone(old)
    run_alone(new)
    run_alone(old)
    assert answer(old) == Answered(texts=("A", "B"))


def test_what_was_handed_over_before_it_was_begun_is_for_the_other_version_alone(opens: Opens) -> None:
    left_after(1, BEFORE, opens)
    new = opens(INCOMPATIBLE["an agent is renamed"][0])
    entry = new.take("handle")
    raw = new.raw(entry)
    old = opens(BEFORE)
    new.bus.look_around()
    new.deliver_again(entry, raw)
    old.bus.look_around()
    old.run()
    assert answer(old) == Answered(texts=("A", "B"))
    assert old.attempts("handle") == [1, 1]


def test_a_version_that_gives_up_what_it_just_handed_over_takes_nothing_back(opens: Opens) -> None:
    left_after(1, BEFORE, opens)
    new = opens(INCOMPATIBLE["an agent is renamed"][0])
    entry = new.take("handle")
    state = LocalState(new.bus, entry.receipt)
    envelope = decode(new.raw(entry))
    task = Task(key=delivery_key(envelope, "handle"), agent="handle", envelope=envelope, lease_s=5.0)
    attempt = state.begin(task).attempt
    old = opens(BEFORE)
    new.bus.look_around()
    letter = given_up(task, "unknown plan", TroupeError("gone"), attempt, new.clock())
    state.finish(Finish(task=task, letter=letter))
    old.bus.look_around()
    old.run()
    assert answer(old) == Answered(texts=("A", "B"))
    assert old.letters() == []


@pytest.mark.parametrize("change", [*COMPATIBLE, *INCOMPATIBLE])
def test_while_the_old_version_lives_it_finishes_what_it_took_and_the_new_one_what_comes(
    opens: Opens, change: str
) -> None:
    workflow = COMPATIBLE.get(change) or INCOMPATIBLE[change][0]
    old = opens(BEFORE)
    old.start(Asked(texts=("a", "b")))
    new = opens(workflow)
    event = new.plans.popitem()[1].workflow.entry(texts=("c",))
    new.plans = dict(new.bus.routes.current)
    new.start(event, request="r2", conversation="c2")
    for _ in range(20):
        run_alone(new)
        run_alone(old)
    assert answer(old) == Answered(texts=("A", "B"))
    assert calls(new), "the new one did the new one"
    assert not [call for call in calls(old) if "c" in call.split()[-1].lower().split("+")]
    view = settled(new, "r2")
    assert view.settlement is not None
    assert view.settlement.name == "Answered"


def test_the_messages_of_one_conversation_go_on_in_order_from_version_to_version(opens: Opens) -> None:
    old, new = opens(BEFORE), opens(SIDE_BRANCH)
    old.start(Asked(texts=("a",)), request="r1")
    new.start(Asked(texts=("b",)), request="r2")
    old.start(Asked(texts=("c",)), request="r3")
    for _ in range(20):
        run_alone(new)
        run_alone(old)
    assert [answer(new, request) for request in ("r1", "r2", "r3")] == [
        Answered(texts=("A",)),
        Answered(texts=("B",)),
        Answered(texts=("C",)),
    ]
    assert [each for each in calls(old) if each.startswith("say")] == ["say A", "say C"]
    assert "note B" in calls(new)


def test_a_message_for_a_version_that_just_came_is_left_to_it(opens: Opens) -> None:
    """Though the old one, which ends the message before, has not looked around since."""
    old = opens(BEFORE)
    old.start(Asked(texts=("a",)))
    new = opens(ANOTHER)
    new.start(Wondered(texts=("b",)), request="r2")
    while (entry := old.bus.take_due()) is not None:
        old.deliver(entry)
    assert answer(old) == Answered(texts=("A",))
    assert old.view("r2").status == "waiting"
    run_alone(new)
    assert answer(new, "r2") == Answered(texts=("b",))


def test_a_version_that_leaves_hands_over_what_is_not_in_work_at_once(opens: Opens) -> None:
    old, new = opens(BEFORE, places=1), opens(SIDE_BRANCH)
    for number in range(3):
        old.start(Asked(texts=("a",)), request=f"r{number}", conversation=f"c{number}")

    def leave() -> None:
        old.bus.stop()
        run_alone(new)
        kept = old.store.read("SELECT receipt FROM queue WHERE holder = ?", (old.store.member.id,))
        assert kept == [(entry.receipt,)], "what is in work"

    entry = old.take("split")
    old.script.during["split a"] = leave
    old.deliver(entry)
    assert calls(old) == ["split a"]
    run_alone(new)
    assert [answer(new, f"r{number}") for number in range(3)] == [Answered(texts=("A",))] * 3
    assert calls(new).count("split a") == 2


def test_what_a_leaving_version_accepts_is_begun_by_the_other(opens: Opens) -> None:
    old, new = opens(BEFORE), opens(SIDE_BRANCH)
    old.bus.stop()
    old.start(Asked(texts=("a",)))
    run_alone(old)
    assert calls(old) == []
    run_alone(new)
    assert answer(new) == Answered(texts=("A",))


def test_who_waits_at_a_leaving_version_is_told_of_what_the_other_finishes(opens: Opens) -> None:
    old, new = opens(BEFORE), opens(SIDE_BRANCH)
    old.start(Asked(texts=("a",)))
    old.bus.stop()
    woken: list[int] = []
    with old.bus.settlements.watching("r1", tenant="default", wake=lambda: woken.append(1)):
        run_alone(new)
        old.bus.look_around()
    assert woken
    assert answer(old) == Answered(texts=("A",))
    assert old.store.read("SELECT count(*) FROM queue WHERE holder = ?", (old.store.member.id,)) == [(0,)]


def test_a_version_that_leaves_and_is_killed_leaves_its_leases_too(opens: Opens) -> None:
    old, new = opens(BEFORE, places=1), opens(SIDE_BRANCH)
    old.start(Asked(texts=("a",)))
    old.script.during["split a"] = lambda: (_ for _ in ()).throw(KeyboardInterrupt)
    with pytest.raises(KeyboardInterrupt):
        old.step("split")
    old.bus.stop()
    run_alone(new)
    old.store.close()
    run_alone(new)
    assert new.leases() == []
    assert answer(new) == Answered(texts=("A",))


def test_what_one_version_cannot_deliver_goes_to_the_one_that_can_as_soon_as_it_comes(opens: Opens) -> None:
    left_after(2, BEFORE, opens)
    new = opens(INCOMPATIBLE["the join waits for something else"][0])
    run_alone(new)
    assert new.attempts("collect") == [1, 1], "of each part"
    assert new.view().status == "running"
    back = opens(BEFORE)
    new.clock.advance(5)  # the retry is due at both
    run_alone(new)
    run_alone(back)
    run_alone(new)
    run_alone(back)
    assert answer(back) == Answered(texts=("A", "B"))
    assert back.attempts("collect") == [1], "tries that could not work do not count"


def test_what_one_version_emits_and_cannot_deliver_goes_to_the_one_that_can(opens: Opens) -> None:
    left_after(1, BEFORE, opens)
    new = opens(INCOMPATIBLE["the join waits for something else"][0])
    back = opens(BEFORE)
    run_alone(new)
    assert [call.split()[0] for call in calls(new)] == ["handle", "handle"]
    run_alone(back)
    assert answer(back) == Answered(texts=("A", "B"))
    assert back.attempts("collect") == [1]


def test_an_old_version_finishes_for_a_new_one_that_died_what_it_can(opens: Opens) -> None:
    old, new = opens(BEFORE), opens(SIDE_BRANCH)
    new.start(Asked(texts=("a",)))
    new.step("split")
    new.store.close()
    run_alone(old)
    assert answer(old) == Answered(texts=("A",))


# ---------------------------------------------------------------------------------------------- the races


def test_a_process_that_comes_while_another_takes_over_keeps_its_rows(
    opens: Opens, monkeypatch: pytest.MonkeyPatch
) -> None:
    gone, left = opens(BEFORE), opens(BEFORE)
    gone.start(Asked(texts=("a",)))
    gone.store.close()
    came: list[Harness] = []
    write = left.store.write

    def meanwhile(operation: Callable[..., object]) -> object:
        if not came:
            came.append(opens(SIDE_BRANCH))
            came[0].start(Asked(texts=("b",)), request="r2", conversation="c2")
        return write(operation)

    monkeypatch.setattr(left.store, "write", meanwhile)
    run_alone(left)
    assert came
    assert [call for call in calls(left) if "b" in call] == []
    run_alone(came[0])
    assert answer(came[0], "r2") == Answered(texts=("B",))
    assert answer(left) == Answered(texts=("A",))
    assert len(left.store.read("SELECT id FROM process")) == 2


def test_changes_go_on_growing_in_the_process_that_takes_over_though_the_clock_was_set_back(opens: Opens) -> None:
    old = opens(BEFORE)
    now, old.bus.now = old.bus.now, lambda: START + timedelta(days=1)
    old.bus.next_change()
    old.bus.now = now
    old.start(Asked(texts=("a",)))
    old.step("split")
    seen = old.requests.changes("r1", tenant="default")[-1].number
    old.store.close()
    new = opens(BEFORE)
    run_alone(new)
    later = [each.number for each in new.requests.changes("r1", tenant="default", after=seen)]
    assert len(later) == 3, "the three agents after it"
    assert min(later) > seen


def test_the_plans_of_thirty_days_are_kept_and_those_that_are_needed(tmp_path: Path, opens: Opens) -> None:
    old = opens(BEFORE)
    old.start(Asked(texts=("a",)))
    old.store.close()
    opens(ANOTHER).store.close()
    old.clock.time = START + timedelta(days=31)
    new = opens(SIDE_BRANCH)
    sweep(new.store, LocalBlobs(tmp_path / "blobs"), new.clock())
    kept = {name for (name,) in new.store.read("SELECT version FROM plan")}
    assert kept == {plan.version for plan in (*old.plans.values(), *new.plans.values())}


# ----------------------------------------------------------------------------------------------- by chance


@pytest.mark.parametrize("seed", range(40))
def test_whatever_comes_goes_and_dies_in_whatever_order_every_request_is_settled_once(opens: Opens, seed: int) -> None:
    """Processes of two versions come, leave and are killed between any two deliveries."""
    chance = random.Random(seed)  # noqa: S311 - a test that can be run again
    other = chance.choice([SIDE_BRANCH, *(workflow for workflow, _ in INCOMPATIBLE.values())])
    is_compatible = other is SIDE_BRANCH
    alive = [opens(BEFORE, places=chance.choice([0, 4]))]
    everyone = list(alive)
    asked: list[str] = []
    for _ in range(60):
        process = chance.choice(alive)
        match chance.choice(["ask", "deliver", "deliver", "deliver", "look", "come", "leave", "kill"]):
            case "ask" if len(asked) < 12 and "deployed" in process.plans:
                asked.append(f"r{len(asked)}")
                event = process.plans["deployed"].workflow.entry(texts=("a", "b"))
                process.start(event, request=asked[-1], conversation=f"c{chance.randrange(3)}", deadline_s=600.0)
            case "deliver" if (entry := process.bus.take_due()) is not None:
                process.deliver(entry)
            case "look":
                process.bus.look_around()
            case "come" if len(alive) < 3:
                alive.append(opens(chance.choice([BEFORE, other]), places=chance.choice([0, 4])))
                everyone.append(alive[-1])
            case "leave" | "kill" as how if len(alive) > 1:
                if how == "leave":
                    process.bus.stop()
                process.store.close()
                alive.remove(process)
    for process in alive:
        process.store.close()
    last = opens(other)
    last.run()
    for request in asked:
        found = settled(last, request).settlement
        assert found is not None
        assert found.name == "Answered" or (not is_compatible and is_told_to_ask_again(last, request))
    assert last.queued() == []
    assert last.leases() == []
    assert last.store.read("SELECT count(*) FROM process") == [(1,)]
    effects = [key for process in everyone for key in process.script.effects]
    assert len(effects) == len(set(effects)), "an effect twice"
