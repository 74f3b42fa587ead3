"""What a process is asked here, and a clock."""

import threading
import uuid
from datetime import UTC, datetime, timedelta

import msgspec

from functions.events.answer import ResponseReady, UserMessage
from functions.events.event import AgentFailed
from functions.ports.requests import RequestView
from local.process import LocalProcess

PATIENCE_S = 60.0  # how long a test waits for what must happen; nothing waits so long unless it is broken


class Clock:
    """The time, which only tests move; safe to read from any thread."""

    def __init__(self) -> None:
        self._time = datetime(2026, 1, 5, 9, 0, tzinfo=UTC)
        self._lock = threading.Lock()

    def __call__(self) -> datetime:
        with self._lock:
            return self._time

    def advance(self, seconds: float) -> None:
        with self._lock:
            self._time += timedelta(seconds=seconds)


def settled(process: LocalProcess, request: str, *, tenant: str = "default") -> RequestView:
    """The request, once it is settled."""
    view = process.wait(request, tenant=tenant, timeout_s=PATIENCE_S)
    assert view is not None
    assert view.status == "settled", f"{request} is {view.status}"
    return view


def answer_to(process: LocalProcess, request: str, *, tenant: str = "default") -> ResponseReady:
    """The answer of a request."""
    settlement = settled(process, request, tenant=tenant).settlement
    assert settlement is not None
    assert settlement.name == "ResponseReady", msgspec.json.decode(settlement.data, type=AgentFailed)
    return msgspec.json.decode(settlement.data, type=ResponseReady)


def asked(
    process: LocalProcess, text: str, *, conversation: str = "c1", tenant: str = "default", request: str = ""
) -> ResponseReady:
    """The answer to a message."""
    name = request or uuid.uuid4().hex
    process.submit("answer", UserMessage(text=text), conversation=conversation, request=name, tenant=tenant)
    return answer_to(process, name, tenant=tenant)


def wait_for(event: threading.Event) -> None:
    """Wait until something has happened."""
    assert event.wait(PATIENCE_S), "it never happened"
