"""Everything that a stack is asked to do, good and bad, so that each permission is either needed or not."""

import json
import time
from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta
from typing import Any
from urllib.parse import quote

import msgspec
from emulated.deployment import PREFIX
from emulated.playing import DOCUMENTS, TENANT, Played

from functions.events.answer import UserMessage
from functions.events.envelope import Envelope, encode, open_request, type_of
from functions.ports.blobs import prefix_of
from functions.runtime.topology import topology
from functions.runtime.workflow import Plan
from functions.workflows.catalog import WORKFLOWS

PLANS = topology(*WORKFLOWS.values())
#: Longer than an event may be and travel itself.
LONG = " ".join(f"The river number {number} is {number} miles long." for number in range(3000))
WAITS_S = 90.0


def everything(stack: Played) -> dict[str, str]:
    """All of it, in the order in which a stack would see it; what went wrong, by exercise."""
    failed = dict[str, str]()
    for exercise in EXERCISES:
        try:
            exercise(stack)
        except Exception as error:  # noqa: BLE001 - whatever a stack does that may not do what it is asked
            failed[exercise.__name__] = f"{type(error).__name__}: {error}"
    return failed


def documents_come_in_by_both_doors(stack: Played) -> None:
    assert stack.send(DOCUMENTS)["answer"]
    assert stack.send({"rivers.txt": LONG})["answer"]
    stack.put("volcanoes.md", "# Volcanoes\n\nA volcano erupts when magma rises through the crust.\n")
    stack.put("volcanoes.exe", "no document")
    poll(lambda: cited(stack.ask("When does a volcano erupt?")) == ["Volcanoes"])
    stack.send({"rivers.txt": ""})  # an empty text removes a document


def questions_are_asked_by_both_doors(stack: Played) -> None:
    for workflow in ("answer", "research"):
        assert stack.ask(workflow=workflow)["answer"]
        assert stack.watch(workflow=workflow)[-1]["event"] == "settled"


def questions_of_a_conversation_wait_for_one_another(stack: Played) -> None:
    for workflow in ("answer", "research"):
        first = stack.begin(workflow=workflow, conversation="waiting")
        second = stack.begin(workflow=workflow, conversation="waiting")
        assert stack.settled(first)["answer"]
        assert stack.settled(second)["answer"]


def what_is_held_is_looked_at_and_erased(stack: Played) -> None:
    asked = stack.ask(workflow="answer", conversation="erased")
    passage = asked["answer"]["citations"][0]["passage"]
    for path in (
        "/conversations/erased/messages",
        "/conversations/erased/export",
        f"/collections/documents/passages/{quote(passage, safe='')}",
    ):
        answered = stack.call("GET", path)
        assert answered.status == 200, (path, answered)
    answered = stack.call("DELETE", "/conversations/erased")
    assert answered.status == 202, answered


def a_connection_that_is_gone_is_forgotten(stack: Played) -> None:
    with stack.connected() as socket:
        socket.send(json.dumps({"message": {"text": "What are tides?"}, "conversation": "gone"}))
        request = json.loads(socket.recv(timeout=WAITS_S))["request"]
    stack.settled(request)


def events_come_that_no_agent_can_handle(stack: Played) -> None:
    """Made under a plan that nobody has; with data that is not there; with data that is none of its type."""
    for agent, plan in agents():
        first = an_event(agent, plan)
        large = json.dumps({"no": LONG[:8000]}).encode()
        missing = f"{prefix_of(TENANT, first.conversation)}nothing"
        give(stack, agent, msgspec.structs.replace(first, id=f"{agent} plan", planversion="0123456789ab"))
        give(stack, agent, msgspec.structs.replace(first, id=f"{agent} none", dataref=missing))
        give(stack, agent, msgspec.structs.replace(first, id=f"{agent} type", data=msgspec.Raw(large)))
    for agent, _ in agents():
        poll(lambda agent=agent: "sqs:ChangeMessageVisibility" in actions_of(stack, agent))  # type: ignore[misc]
        stack.deployment.client("sqs").purge_queue(QueueUrl=queue_of(stack, agent))


def services_are_told_what_is_none_of_theirs(stack: Played) -> None:
    """From another stack's bus."""
    for service in ("desk", "pusher", "uploads"):
        stack.deployment.client("sqs").send_message(QueueUrl=queue_of(stack, service), MessageBody="no envelope")
        poll(lambda service=service: "dynamodb:PutItem" in actions_of(stack, service))  # type: ignore[misc]


def what_fell_into_the_nets_is_swept_up(stack: Played) -> None:
    """A message as EventBridge leaves it there, and one that a crash does."""
    for agent, plan in agents():
        event = an_event(agent, plan)
        fallen = msgspec.structs.replace(event, id=f"{agent} fallen", request=f"{agent}-fallen")
        give(stack, agent, fallen, net=True)
    invoke(stack, "sweeper", {})


def overdue_requests_and_old_passages_are_looked_for(stack: Played) -> None:
    invoke(stack, "sweeper", {})
    invoke(stack, "keeper", {"do": "expire"})
    invoke(stack, "keeper", {"do": "ensure"})


EXERCISES: tuple[Callable[[Played], None], ...] = (
    documents_come_in_by_both_doors,
    questions_are_asked_by_both_doors,
    questions_of_a_conversation_wait_for_one_another,
    what_is_held_is_looked_at_and_erased,
    a_connection_that_is_gone_is_forgotten,
    events_come_that_no_agent_can_handle,
    services_are_told_what_is_none_of_theirs,
    what_fell_into_the_nets_is_swept_up,
    overdue_requests_and_old_passages_are_looked_for,
)


def agents() -> Iterator[tuple[str, Plan]]:
    """Every agent, with the first workflow that has it."""
    seen = set[str]()
    for plan in PLANS.values():
        for agent in plan.nodes:
            if agent not in seen:
                seen.add(agent)
                yield agent, plan


def an_event(agent: str, plan: Plan) -> Envelope:
    """An event of a type that an agent consumes, in a request that nobody asked."""
    now = datetime.now(UTC)
    entry = open_request(
        UserMessage(text="nobody asked this"),
        workflow=plan.workflow.name,
        planversion=plan.version,
        conversation=f"broken-{agent}",
        request=f"broken-{agent}",
        tenant=TENANT,
        now=now,
        deadline=now + timedelta(minutes=2),
    )
    consumed = plan.nodes[agent].spec.consumes[0]
    return msgspec.structs.replace(entry, type=type_of(consumed), target=agent)


def give(stack: Played, agent: str, envelope: Envelope, *, net: bool = False) -> None:
    """Put an event into an agent's queue, or into the net below it."""
    stack.deployment.client("sqs").send_message(
        QueueUrl=queue_of(stack, agent, "-dead" if net else ""), MessageBody=encode(envelope).decode()
    )


def queue_of(stack: Played, function: str, more: str = "") -> str:
    url: str = stack.deployment.client("sqs").get_queue_url(QueueName=f"{physical(function)}{more}")["QueueUrl"]
    return url


def physical(function: str) -> str:
    """A function's name on AWS, which is also its role's."""
    return f"{PREFIX}-{function.replace('_', '-')}"


def invoke(stack: Played, function: str, event: object) -> dict[str, Any]:
    """As its schedule does."""
    answered = stack.deployment.client("lambda").invoke(
        FunctionName=physical(function), Qualifier="live", Payload=json.dumps(event).encode()
    )
    said: dict[str, Any] = json.loads(answered["Payload"].read())
    assert "FunctionError" not in answered, said
    return said


def cited(settled: dict[str, Any]) -> list[str]:
    """The names of the documents that an answer cites."""
    return sorted({each["name"] for each in settled["answer"]["citations"]})


def actions_of(stack: Played, function: str) -> set[str]:
    """What a function did so far."""
    return {each.asked.action for each in stack.gate.seen() if each.function == physical(function)}


def poll(holds: Callable[[], bool]) -> None:
    """Wait for what another process does."""
    until = time.monotonic() + WAITS_S
    while not holds():
        assert time.monotonic() < until, "what was waited for did not happen"
        time.sleep(0.1)
