"""Taking a message: what a user writes becomes a request of a workflow."""

import uuid
from datetime import timedelta
from typing import Literal

import msgspec

from functions.api.http import HttpResponse
from functions.api.problems import ProblemError, Wrong, wrong
from functions.api.routing import Call
from functions.api.target import Target, takes_messages
from functions.events.answer import MessageText
from functions.events.envelope import CLAIM_CHECK_BYTES, Envelope, digest, open_request
from functions.events.event import Event
from functions.ports.requests import QueueFullError, StoreFullError
from functions.runtime.arrival import claim_checked
from functions.runtime.workflow import Plan

RETRY_AFTER_S = 1  # a request takes well under a second; who comes too early is told again
MENDED_AFTER_S = 60  # a full disk waits for a person


class NewMessage(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """What a user writes.

    Attributes:
        workflow: Which workflow is to answer.
        priority: Of two that wait, the more urgent one is worked on first.
    """

    text: MessageText
    workflow: str = "answer"
    priority: Literal["high", "normal", "low"] = "normal"


class Accepted(msgspec.Struct, frozen=True, kw_only=True):
    """A request that was taken, and where it can be followed."""

    request: str
    conversation: str
    workflow: str
    status: str
    events: str


def post_message(target: Target, call: Call) -> HttpResponse:
    """Take a message, durably."""
    message: NewMessage = call.body
    plan = target.plans.get(message.workflow)
    if plan is None or not takes_messages(plan):
        names = ", ".join(sorted(name for name, each in target.plans.items() if takes_messages(each)))
        raise wrong(422, "the body", [Wrong(pointer="/workflow", detail=f"is none of {names}")])
    try:
        event = msgspec.convert({"text": message.text}, plan.workflow.entry)
    except msgspec.ValidationError as error:
        detail = f"does not fit {plan.workflow.entry.__name__}: {error}"
        raise wrong(422, "the body", [Wrong(pointer="/text", detail=detail)]) from error
    return accept(target, call, plan, event, call.path["conversation"], message.priority)


def accept(  # noqa: PLR0913, PLR0917 - each is something that only the caller knows
    target: Target, call: Call, plan: Plan, event: Event, conversation: str, priority: str = "normal"
) -> HttpResponse:
    """Take a request of a workflow; the same one again is answered as it was the first time.

    Raises:
        ProblemError: 422 where the idempotency key stands for another body, 429 where too much is open, 409 where
            it is stopped, 507 where there is no room to keep it.
    """
    now = target.now()
    envelope = open_request(
        event,
        workflow=plan.workflow.name,
        planversion=plan.version,
        conversation=conversation,
        request=_request_id(call, conversation),
        tenant=call.tenant,
        priority=priority,
        correlation=call.http.correlation,
        now=now,
        deadline=now + timedelta(seconds=plan.workflow.deadline_s),
    )
    _refuse_stopped(target, envelope)
    try:
        _refuse_large_where_full(target, envelope)
        envelope = claim_checked(envelope, target.blobs)
        is_new = target.requests.accept(envelope, limits=target.limits)
    except QueueFullError as error:
        raise ProblemError(429, f"{error}: come again", headers={"retry-after": str(RETRY_AFTER_S)}) from error
    except StoreFullError as error:
        detail = f"{error}: free space there, or raise the limit"
        raise ProblemError(507, detail, headers={"retry-after": str(MENDED_AFTER_S)}) from error
    if not is_new:
        _refuse_another_body(target, envelope)
    return _accepted(envelope)


def _request_id(call: Call, conversation: str) -> str:
    key = call.headers.get("Idempotency-Key")
    return digest(call.tenant, conversation, key) if key else uuid.uuid4().hex


def _refuse_stopped(target: Target, envelope: Envelope) -> None:
    """What is stopped takes nothing new; a repeat is answered as it was the first time."""
    stop = target.stops.found(tenant=envelope.tenant, conversation=envelope.conversation, workflow=envelope.workflow)
    if stop is not None and target.requests.first(envelope.request, tenant=envelope.tenant) is None:
        raise ProblemError(409, f"{stop}: nothing is taken until somebody resumes it")


def _refuse_large_where_full(target: Target, envelope: Envelope) -> None:
    """What is too large to travel is stored before it is accepted, so look for room first; a repeat needs none."""
    if len(bytes(envelope.data)) <= CLAIM_CHECK_BYTES:
        return
    if target.requests.first(envelope.request, tenant=envelope.tenant) is not None:
        return
    depth = target.requests.depth(envelope.conversation, tenant=envelope.tenant, most=target.limits.open)
    target.limits.refuse(
        msgspec.structs.replace(
            depth,
            open=depth.open + 1,
            of_tenant=depth.of_tenant + 1,
            of_conversation=depth.of_conversation + 1,
        )
    )


def _refuse_another_body(target: Target, envelope: Envelope) -> None:
    first = target.requests.first(envelope.request, tenant=envelope.tenant)
    if first is not None and _content(first) != _content(envelope):
        raise ProblemError(422, "this Idempotency-Key stands for another body: use a new key for another message")


def _content(envelope: Envelope) -> tuple[str, ...]:
    return (envelope.workflow, envelope.type, envelope.priority, envelope.dataref, bytes(envelope.data).decode())


def _accepted(envelope: Envelope) -> HttpResponse:
    at = f"/requests/{envelope.request}"
    body = Accepted(
        request=envelope.request,
        conversation=envelope.conversation,
        workflow=envelope.workflow,
        status=at,
        events=f"{at}/events",
    )
    headers = {"content-type": "application/json", "location": at}
    return HttpResponse(status=202, headers=headers, body=msgspec.json.encode(body))
