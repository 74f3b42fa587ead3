"""What the API shows of a request."""

from collections.abc import Sequence
from datetime import datetime
from typing import Literal

import msgspec

from functions.api.problems import not_found
from functions.api.target import Target
from functions.events.decoding import decoder
from functions.events.event import AgentFailed
from functions.ports.requests import DeliveryView, RequestView
from functions.runtime.arrival import claimed

_NULL = msgspec.Raw(b"null")


class Request(msgspec.Struct, frozen=True, kw_only=True):
    """How a request stands.

    Attributes:
        tokens: Spent on models so far.
        micros: Spent on models so far, in millionths of a US dollar.
        answer: The workflow's answer event, once there is one; null before, and where there is none.
        error: Why there is none, once that is settled.
        deliveries: What each agent did for it so far, in the order in which it was emitted.
        origin: The request whose dead letters it redrives; empty for one that was asked.
        redriven_as: The newest request that redrives this one; empty where none does.
    """

    request: str
    conversation: str
    workflow: str
    status: Literal["waiting", "running", "settled"]
    accepted: datetime
    deadline: datetime
    settled: datetime | None
    tokens: int
    micros: int
    answer: msgspec.Raw
    error: AgentFailed | None
    deliveries: Sequence[DeliveryView]
    origin: str = ""
    redriven_as: str = ""


def existing(target: Target, request: str, tenant: str) -> RequestView:
    """A request of this tenant.

    Raises:
        ProblemError: 404.
    """
    view = target.requests.view(request, tenant=tenant)
    if view is None:
        raise not_found()
    return view


def shown(target: Target, view: RequestView, tenant: str) -> Request:
    """A request with what was done for it."""
    answer, error = _end(target, view)
    return Request(
        request=view.request,
        conversation=view.conversation,
        workflow=view.workflow,
        status=view.status,
        accepted=view.accepted,
        deadline=view.deadline,
        settled=view.settled,
        tokens=view.tokens,
        micros=view.micros,
        answer=answer,
        error=error,
        deliveries=target.requests.deliveries(view.request, tenant=tenant),
        origin=view.origin,
        redriven_as=view.redriven_as,
    )


def _end(target: Target, view: RequestView) -> tuple[msgspec.Raw, AgentFailed | None]:
    if view.settlement is None:
        return _NULL, None
    settlement = claimed(view.settlement, target.blobs)
    if settlement.name == AgentFailed.__name__:
        return _NULL, decoder(AgentFailed).decode(settlement.data)
    return settlement.data, None
