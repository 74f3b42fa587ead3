"""The sweeper ends what nobody else would, and loses nothing of what fell into the nets."""

from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any

import msgspec
import pytest
from aws_events import event
from aws_fakes import Json, Stack
from sample_workflows import Asked, ListAsked

from functions.adapters.aws.nets import Net
from functions.entry_points.aws.sweeper import Round, SweepError, swept
from functions.events.envelope import encode

if TYPE_CHECKING:
    from functions.adapters.aws.client import Aws


class Queues:
    """Dead-letter queues as SQS answers calls about them; what is received is hidden until the next round."""

    def __init__(self) -> None:
        self.messages: dict[str, list[Json]] = {}
        self.hidden: set[str] = set()

    def put(self, queue: str, body: bytes, *, received: int = 6, **attributes: str) -> None:
        """A message that SQS moved there."""
        held = self.messages.setdefault(queue, [])
        held.append(
            {
                "MessageId": f"{queue}-{len(held)}",
                "ReceiptHandle": f"{queue}-{len(held)}",
                "Body": body.decode(),
                "Attributes": {"ApproximateReceiveCount": str(received)},
                "MessageAttributes": {
                    name: {"StringValue": value, "DataType": "String"} for name, value in attributes.items()
                },
            }
        )

    def put_by_rule(self, queue: str, body: bytes) -> None:
        """A message that EventBridge could not deliver."""
        message = event("net_of_a_rule", Body=body.decode(), ReceiptHandle=f"{queue}-rule")
        self.messages.setdefault(queue, []).append(message)

    def left(self) -> int:
        """How many there are."""
        return sum(map(len, self.messages.values()))

    def call(self, _service: object, operation: str, given: Mapping[str, Any]) -> Json:
        """See `Aws.call`."""
        held = self.messages.get(given["QueueUrl"], [])
        if operation == "DeleteMessage":
            held[:] = [each for each in held if each["ReceiptHandle"] != given["ReceiptHandle"]]
            return {}
        assert operation == "ReceiveMessage"
        seen = [each for each in held if each["ReceiptHandle"] not in self.hidden][: given["MaxNumberOfMessages"]]
        self.hidden |= {each["ReceiptHandle"] for each in seen}
        return {"Messages": seen} if seen else {}


class Sweeper:
    """The sweeper over a stack in memory."""

    def __init__(self, stack: Stack) -> None:
        self.stack = stack
        self.queues = Queues()
        self.steps: dict[str, Callable[[], int]] = {"overdue": stack.requests.sweep}
        self.agents = frozenset(name for plan in stack.memory.plans.values() for name in plan.nodes)

    def sweep(self, left_s: float = 60.0) -> dict[str, int]:
        """One round."""
        self.queues.hidden.clear()
        aws: Aws = self.queues  # type: ignore[assignment] - as much as a net calls
        nets = {name: Net(aws, name) for name in (*self.agents, "desk")}
        round_ = Round(
            steps=self.steps, nets=nets, ports=self.stack.memory.ports, agents=self.agents, now=self.stack.clock
        )
        return swept(round_, lambda: left_s)


@pytest.fixture
def sweeper(stack: Stack) -> Sweeper:
    return Sweeper(stack)


def fallen(sweeper: Sweeper, agent: str = "") -> bytes:
    """The bytes of a message that never arrives at its agent again."""
    handed = sweeper.stack.memory.take(agent)
    sweeper.stack.memory.bus.acknowledge(handed)
    return handed.raw


# -------------------------------------------------------------------------------------------------------- nets


def test_a_message_that_crashed_its_function_ends_its_request_with_one_dead_letter(sweeper: Sweeper) -> None:
    sweeper.stack.memory.start(Asked(text="a"))
    sweeper.queues.put("work", fallen(sweeper), received=6)
    assert sweeper.sweep()["net of work"] == 1
    (letter,) = sweeper.stack.letters()
    assert (letter.agent, letter.reason, letter.attempt, letter.request) == ("work", "crashed", 5, "r1")
    assert "received 5 times" in letter.error
    failed = sweeper.stack.memory.settlement()
    assert (type(failed).__name__, sweeper.queues.left()) == ("AgentFailed", 0)


def test_a_message_that_was_not_delivered_says_why(sweeper: Sweeper) -> None:
    sweeper.stack.memory.start(Asked(text="a"))
    sweeper.queues.put_by_rule("work", fallen(sweeper))
    sweeper.sweep()
    (letter,) = sweeper.stack.letters()
    assert (letter.reason, letter.attempt) == ("not delivered", 0)
    assert "NO_PERMISSIONS: the queue's policy refuses it" in letter.error
    assert sweeper.stack.memory.view().status == "settled"


def test_a_whole_event_of_eventbridge_is_read_as_well(sweeper: Sweeper) -> None:
    sweeper.stack.memory.start(Asked(text="a"))
    whole = {"version": "0", "detail-type": "Asked.v1", "source": "troupe-dev.single", "detail": msgspec.Raw(b"{}")}
    sweeper.queues.put_by_rule("work", msgspec.json.encode(whole | {"detail": msgspec.Raw(fallen(sweeper))}))
    sweeper.sweep()
    assert [letter.reason for letter in sweeper.stack.letters()] == ["not delivered"]


def test_a_part_that_is_lost_is_missing_in_its_join_and_the_request_is_answered(sweeper: Sweeper) -> None:
    sweeper.stack.memory.start(ListAsked(texts=("a", "b")))
    sweeper.stack.memory.step("split")
    sweeper.queues.put("handle", fallen(sweeper, "handle"))
    sweeper.sweep()
    sweeper.stack.memory.run()
    answered: Any = sweeper.stack.memory.settlement()
    assert (len(answered.texts), len(answered.missing)) == (1, 1)


def test_a_part_that_falls_before_its_join_is_not_lost(sweeper: Sweeper) -> None:
    sweeper.stack.memory.start(ListAsked(texts=("a", "b")))
    sweeper.stack.memory.step("split")
    sweeper.stack.memory.step("handle")
    sweeper.queues.put_by_rule("collect", fallen(sweeper, "collect"))
    assert sweeper.sweep()["net of collect"] == 1
    sweeper.stack.memory.run()
    answered: Any = sweeper.stack.memory.settlement()
    assert (sorted(answered.texts), sweeper.stack.letters()) == (["A", "B"], [])


def test_what_was_done_already_is_only_acknowledged(sweeper: Sweeper) -> None:
    sweeper.stack.memory.start(Asked(text="a"))
    raw = sweeper.stack.memory.take().raw
    sweeper.stack.clock.advance(60)
    sweeper.stack.memory.run()
    sweeper.queues.put("work", raw)
    sweeper.sweep()
    assert (sweeper.stack.letters(), sweeper.queues.left()) == ([], 0)


def test_a_message_that_falls_twice_is_one_dead_letter(sweeper: Sweeper) -> None:
    sweeper.stack.memory.start(Asked(text="a"))
    raw = fallen(sweeper)
    sweeper.queues.put("work", raw)
    sweeper.queues.put("work", raw)
    sweeper.sweep()
    assert (len(sweeper.stack.letters()), sweeper.queues.left()) == (1, 0)


def test_a_message_whose_delivery_somebody_is_at_stays_for_a_later_round(sweeper: Sweeper) -> None:
    sweeper.stack.memory.start(Asked(text="a"))
    handed = sweeper.stack.memory.take()
    sweeper.queues.put("work", handed.raw)
    rounds = list[dict[str, int]]()
    sweeper.stack.memory.script.during["work a"] = lambda: rounds.append(sweeper.sweep())
    sweeper.stack.memory.deliver(handed)
    assert (rounds[0]["net of work"], sweeper.queues.left()) == (0, 1)
    assert sweeper.sweep()["net of work"] == 1
    assert (sweeper.stack.letters(), sweeper.queues.left()) == ([], 0)


def test_a_timer_that_is_not_due_stays_until_it_is(sweeper: Sweeper) -> None:
    sweeper.stack.memory.start(ListAsked(texts=("a", "b")))
    sweeper.stack.memory.step("split")
    (timer,) = [each for each in sweeper.stack.memory.queued() if each.name == "ScopeExpired"]
    due = sweeper.stack.clock().timestamp() + 30
    sweeper.queues.put("collect", encode(timer), due=str(due))
    sweeper.sweep()
    assert sweeper.queues.left() == 1
    sweeper.stack.memory.run_due()
    assert sweeper.stack.memory.view().status == "settled"
    sweeper.stack.clock.advance(31)
    sweeper.sweep()
    assert (sweeper.queues.left(), sweeper.stack.letters()) == (0, [])


def test_a_message_whose_time_cannot_be_read_holds_up_no_other_one(sweeper: Sweeper) -> None:
    sweeper.queues.put("work", b"{", due="1e300")
    sweeper.queues.put("work", b"[")
    assert sweeper.sweep()["net of work"] == 2
    assert (len(sweeper.stack.letters()), sweeper.queues.left()) == (2, 0)


@pytest.mark.parametrize("body", [b"{", b"{}", b'{"detail": 1, "detail-type": "x"}'])
def test_bytes_that_are_no_envelope_become_a_dead_letter(sweeper: Sweeper, body: bytes) -> None:
    sweeper.queues.put("work", body)
    sweeper.sweep()
    assert ([each.agent for each in sweeper.stack.letters()], sweeper.queues.left()) == (["work"], 0)


def test_an_event_of_a_plan_that_nobody_has_ends_its_request(sweeper: Sweeper) -> None:
    first = sweeper.stack.memory.start(Asked(text="a"))
    fallen(sweeper)
    sweeper.queues.put("work", encode(msgspec.structs.replace(first, planversion="gone")))
    sweeper.sweep()
    assert [each.reason for each in sweeper.stack.letters()] == ["unknown plan"]
    assert sweeper.stack.memory.view().status == "settled"


def test_a_services_message_becomes_a_dead_letter_of_that_service(sweeper: Sweeper) -> None:
    sweeper.queues.put("desk", b"{}", received=4)
    sweeper.sweep()
    assert [(each.agent, each.reason, each.attempt) for each in sweeper.stack.letters()] == [("desk", "crashed", 3)]


def test_a_message_whose_letter_could_not_be_kept_is_not_deleted(
    sweeper: Sweeper, monkeypatch: pytest.MonkeyPatch
) -> None:
    sweeper.stack.memory.start(Asked(text="a"))
    sweeper.queues.put("work", fallen(sweeper))

    def broken(*_: object, **__: object) -> bool:
        raise OSError("the table is away")

    with monkeypatch.context() as patched:
        patched.setattr(sweeper.stack.items, "put", broken)
        with pytest.raises(SweepError, match="net of work: OSError"):
            sweeper.sweep()
    assert sweeper.queues.left() == 1
    sweeper.sweep()
    assert (len(sweeper.stack.letters()), sweeper.queues.left()) == (1, 0)


def test_nothing_is_begun_that_the_functions_time_does_not_suffice_for(sweeper: Sweeper) -> None:
    sweeper.queues.put("work", b"{}")
    sweeper.sweep(left_s=5.0)
    assert sweeper.queues.left() == 1


# ------------------------------------------------------------------------------------------------------- steps


def test_overdue_requests_are_settled(sweeper: Sweeper) -> None:
    sweeper.stack.memory.start(Asked(text="a"))
    sweeper.stack.clock.advance(3_600)
    assert sweeper.sweep()["overdue"] == 1
    assert sweeper.stack.memory.view().status == "settled"


def test_one_step_that_fails_leaves_the_others_to_be_done(sweeper: Sweeper) -> None:
    def broken() -> int:
        raise OSError("no route to host")

    sweeper.steps = {"erasures": broken, **sweeper.steps}
    sweeper.queues.put("work", b"{")
    with pytest.raises(SweepError, match="steps failed: erasures: OSError: no route to host"):
        sweeper.sweep()
    assert (len(sweeper.stack.letters()), sweeper.queues.left()) == (1, 0)
