"""What is delivered twice counts once."""

from datetime import timedelta

import msgspec
from faults import down
from guarantees import guarantee
from harness import Clock
from sample_workflows import (
    FANNED,
    SINGLE,
    Answered,
    Asked,
    ListAsked,
)
from target import Deploys

from functions.errors import PermanentError
from functions.events.envelope import decode, digest
from functions.ports.models import LanguageModel
from functions.ports.state import Finish, Task
from functions.runtime.agent import agent
from functions.runtime.arrival import delivery_key
from functions.runtime.workflow import Workflow

ONCE = guarantee(
    "once", "A redelivered event is only acknowledged: no second effect, no second model call, nothing published again."
)
SAME_IDS = guarantee("same-ids", "Every attempt publishes the same ids.")
BUSY = guarantee("busy", "A busy lease defers the duplicate and counts no attempt.")
TAKEN_OVER = guarantee(
    "taken-over",
    "An expired lease is taken over; the first to finish counts, and what the other writes changes nothing.",
)
GENERATION = guarantee(
    "generation", "A new generation runs again, and its join counts the parts that an earlier one has."
)


@agent()
def ask(event: Asked, *, model: LanguageModel) -> Answered:
    return Answered(texts=(model.write("", event.text, max_tokens=9),))


@ONCE
def test_a_redelivered_event_publishes_nothing_again(deploy: Deploys, clock: Clock) -> None:
    troupe = deploy(FANNED)
    troupe.start(ListAsked(texts=("a", "b")))
    entry = troupe.take("split")
    raw = entry.raw
    troupe.deliver(entry)
    published = troupe.queued()
    clock.advance(3)
    outcome = troupe.deliver(entry, raw)
    assert outcome.action == "acknowledge"
    assert troupe.queued() == published
    assert troupe.script.calls == ["split"]
    troupe.run()
    assert troupe.settlement() == Answered(texts=("A", "B"))


@SAME_IDS
def test_two_attempts_make_the_same_ids(deploy: Deploys) -> None:
    ids = []
    for failures in (0, 2):
        troupe = deploy(FANNED)
        troupe.script.failures["split"] = down(failures)
        troupe.script.failures["collect"] = down(1)
        troupe.start(ListAsked(texts=("a", "b")))
        troupe.run()
        settlement = troupe.view().settlement
        assert settlement is not None
        deliveries = troupe.requests.deliveries("r1", tenant="default")
        ids.append((settlement.id, sorted(view.key for view in deliveries)))
    assert ids[0] == ids[1]


@ONCE
def test_a_duplicate_costs_no_second_model_call(deploy: Deploys) -> None:
    troupe = deploy(Workflow(name="asks", agents=(ask,), entry=Asked, answer=Answered, resources={"model": "model"}))
    troupe.start(Asked(text="a"))
    entry = troupe.take("ask")
    troupe.script.during["model: a"] = lambda: troupe.deliver(entry)
    for _ in range(3):
        troupe.deliver(entry)
    assert troupe.script.calls == ["model: a"]
    assert troupe.settlement() == Answered(texts=("a",))


@BUSY
def test_a_duplicate_of_a_delivery_in_work_is_deferred_and_counts_no_attempt(deploy: Deploys, clock: Clock) -> None:
    troupe = deploy(SINGLE)
    troupe.start(Asked(text="a"))
    entry = troupe.take("work")
    raw = entry.raw
    seen = []
    troupe.script.during["work a"] = lambda: seen.append(troupe.deliver(entry, raw))
    begun = clock()
    troupe.deliver(entry)
    assert seen[0].action == "defer"
    assert seen[0].due == begun + timedelta(seconds=15)  # its 10 seconds and the margin
    assert troupe.attempts("work") == [1]
    assert troupe.script.calls == ["work a"]
    troupe.run()
    assert troupe.settlement() == Answered(texts=("a, attempt 1",))


@TAKEN_OVER
def test_an_expired_lease_is_taken_over_and_the_first_to_finish_wins(deploy: Deploys, clock: Clock) -> None:
    troupe = deploy(SINGLE)
    troupe.start(Asked(text="a"))
    entry = troupe.take("work")
    raw = entry.raw

    def take_over() -> None:
        clock.advance(16)
        troupe.deliver(entry, raw)

    troupe.script.during["work a"] = take_over
    troupe.deliver(entry)
    assert troupe.settlement() == Answered(texts=("a, attempt 2",)), "the stale attempt finished later"
    assert troupe.attempts("work") == [2]
    assert troupe.target.leases() == 0


@TAKEN_OVER
def test_a_stale_attempt_that_fails_does_not_release_the_lease_of_the_next(deploy: Deploys, clock: Clock) -> None:
    troupe = deploy(SINGLE)
    envelope = troupe.start(Asked(text="a"))
    entry = troupe.take("work")
    stale = troupe.target.state(entry)
    task = Task(key=delivery_key(envelope, "work"), agent="work", envelope=envelope, lease_s=15.0)
    assert stale.begin(task).attempt == 1
    clock.advance(16)

    def fail_late() -> None:
        stale.release(task, error="late", due=clock())
        assert troupe.target.leases() == 1

    troupe.script.during["work a"] = fail_late
    troupe.deliver(entry)
    assert troupe.settlement() == Answered(texts=("a, attempt 2",))
    (view,) = troupe.requests.deliveries("r1", tenant="default")
    assert view.error == ""


@TAKEN_OVER
def test_a_stale_attempt_that_finishes_after_the_next_changes_nothing(deploy: Deploys, clock: Clock) -> None:
    troupe = deploy(FANNED)
    envelope = troupe.start(ListAsked(texts=("a",)))
    entry = troupe.take("split")
    stale = troupe.target.state(entry)
    task = Task(key=delivery_key(envelope, "split"), agent="split", envelope=envelope, lease_s=35.0)
    stale.begin(task)
    clock.advance(36)
    troupe.deliver(entry)
    published = troupe.queued()
    answer = msgspec.structs.replace(envelope, type="Answered.v1", data=msgspec.Raw(b'{"texts":["stale"]}'))
    stale.finish(Finish(task=task, outputs=(answer,), settlement=answer))
    assert troupe.queued() == published
    assert troupe.view().status == "running"


@GENERATION
def test_a_new_generation_runs_again_and_its_join_reuses_the_parts_that_succeeded(deploy: Deploys) -> None:
    troupe = deploy(FANNED)
    troupe.script.failures["handle b"] = [PermanentError("b is locked")]
    troupe.start(ListAsked(texts=("a", "b")))
    troupe.run_due()
    assert troupe.settlement() == Answered(texts=("A",), missing=("b is locked",))
    failed = decode(troupe.target.letters()[0].event)
    calls = len(troupe.script.calls)
    troupe.target.publish(msgspec.structs.replace(failed, generation=1, request="r1-again", origin="r1"))
    troupe.step("handle")
    (part,) = (each for each in troupe.queued() if each.source == "handle")
    assert part.id != digest(delivery_key(failed, "handle"), "handle", 0), "the id of generation 0"
    assert part.generation == 1
    troupe.step("collect")
    assert troupe.script.calls[calls:] == ["handle b", "collect"]
    assert len(troupe.letters()) == 1
