"""What stands between the functions and the emulator: it lets through what a role allows, and keeps a record.

The emulator enforces actions and resources; it does not know the condition keys that our policies stand on (leading
keys, an event's source and type). Each function is given an endpoint of its own here, so that a call's caller is known;
whether the call was signed with the session of that function's role is checked by the emulator, which it is passed to
as it came.
"""

import threading
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from http.client import HTTPConnection, HTTPException
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any, ClassVar, Final
from urllib.parse import urlsplit

import msgspec
from emulated.aws_calls import Call, UnknownCallError, asked_by, refusal
from emulated.permissions import Asked, Statement, deciding
from ministack import ACCOUNT

_NOT_PASSED: Final = {"connection", "transfer-encoding", "keep-alive", "content-length", "date", "server"}
_WAIT_S: Final = 120.0
NOT_FOUND: Final = 404
CALLER: Final = {"aws:SecureTransport": ("true",), "aws:PrincipalAccount": (ACCOUNT,)}


class Grant(msgspec.Struct, frozen=True):
    """A statement of a role, by name."""

    role: str
    sid: str


class Seen(msgspec.Struct, frozen=True, kw_only=True):
    """A call of a function.

    Attributes:
        grant: The statement that allowed it; None where none did.
        ended: On `time.perf_counter`.
        status: Of the answer; 0 where it was refused here.
    """

    function: str
    asked: Asked
    grant: Grant | None
    began: float
    ended: float
    status: int = 0


class Gate:
    """The roles of a stack, and who called what.

    Args:
        emulator: Its URL.
    """

    def __init__(self, emulator: str) -> None:
        self._emulator = emulator
        self._lock = threading.Lock()
        self._policies: dict[str, dict[str, list[Statement]]] = {}
        self._doors: dict[str, ThreadingHTTPServer] = {}
        self._guards: dict[str, list[Statement]] = {}
        self._withheld: set[Grant] = set()
        self._seen: list[Seen] = []
        self.strange: list[str] = []

    def allow(self, role: str, policy: str, statements: Sequence[Statement]) -> None:
        """Give a role a policy, in the place of the one of this name; none takes it away."""
        with self._lock:
            self._policies.setdefault(role, {})[policy] = list(statements)

    def guard(self, resource: str, statements: Sequence[Statement]) -> None:
        """What a resource's own policy denies, whoever asks."""
        self._guards[resource] = [each for each in statements if not each.allows]

    def grants(self, role: str) -> list[tuple[Grant, Statement]]:
        """What a role has been given."""
        return [
            (Grant(role, statement.sid), statement)
            for policy in self._policies.get(role, {}).values()
            for statement in policy
        ]

    @property
    def roles(self) -> list[str]:
        """Those that have a policy."""
        return sorted(role for role, policies in self._policies.items() if any(policies.values()))

    def decide(self, role: str, asked: Asked) -> Grant | None:
        """The statement that lets a role do this."""
        with self._lock:
            held = [(grant, each) for grant, each in self.grants(role) if grant not in self._withheld]
        # On AWS every call here would come by TLS; on this machine none does.
        known = msgspec.structs.replace(asked, context={**CALLER, **asked.context})
        denying = [each for at, policy in self._guards.items() if asked.resource.startswith(at) for each in policy]
        found = deciding([*(statement for _, statement in held), *denying], known)
        return next((grant for grant, statement in held if statement is found), None)

    def record(self, function: str, role: str, asked: Asked) -> bool:
        """What AWS itself does in a function's name, e.g. when it reads the queue; whether the role allows it."""
        grant, now = self.decide(role, asked), time.perf_counter()
        self._note(Seen(function=function, asked=asked, grant=grant, began=now, ended=now))
        return grant is not None

    @contextmanager
    def without(self, grant: Grant) -> Iterator[None]:
        """As if a role did not have this statement."""
        self._withheld.add(grant)
        try:
            yield
        finally:
            self._withheld.discard(grant)

    def seen(self, since: int = 0) -> list[Seen]:
        """The calls, from the one of this number on."""
        with self._lock:
            return self._seen[since:]

    def refused(self, since: int = 0) -> list[Seen]:
        """Those that no statement allowed."""
        return [each for each in self.seen(since) if each.grant is None]

    def endpoint(self, function: str, role: str) -> str:
        """Where this function finds AWS."""
        if function not in self._doors:
            door = ThreadingHTTPServer(("127.0.0.1", 0), _Door)
            door.daemon_threads = True
            door.gate, door.function, door.role = self, function, role  # type: ignore[attr-defined]  # for its handler
            threading.Thread(target=door.serve_forever, kwargs={"poll_interval": 0.05}, daemon=True).start()
            self._doors[function] = door
        return f"http://127.0.0.1:{self._doors[function].server_port}"

    def close(self) -> None:
        """Let nobody through any more."""
        for door in self._doors.values():
            door.shutdown()
            door.server_close()

    def answered(self, function: str, role: str, call: Call) -> tuple[int, Mapping[str, str], bytes]:
        """The answer to a call of a function."""
        began = time.perf_counter()
        try:
            wanted = asked_by(call)
        except UnknownCallError as error:
            self.strange.append(f"{function}: {error}")
            return 501, {}, str(error).encode()
        decided = [(asked, self.decide(role, asked)) for asked in wanted]
        refused = [asked for asked, grant in decided if grant is None]
        if refused:
            status, headers, body = refusal(call, function, refused)
        else:
            status, headers, body = self._passed_on(call)
        if status == NOT_FOUND and self._may_not_know(role, wanted):
            status, headers, body = refusal(call, function, wanted)
        for asked, grant in decided:
            ended = time.perf_counter()
            note = Seen(function=function, asked=asked, grant=grant, began=began, ended=ended, status=status)
            self._note(note if not refused or grant is None else msgspec.structs.replace(note, status=0))
        return status, headers, body

    def _may_not_know(self, role: str, wanted: Sequence[Asked]) -> bool:
        """Whether S3 says of a missing object that it may not be read, to whoever may not list the bucket."""
        objects = [each for each in wanted if each.action == "s3:GetObject"]
        buckets = {each.resource.partition("/")[0] for each in objects}
        return any(self.decide(role, Asked(action="s3:ListBucket", resource=each)) is None for each in buckets)

    def _passed_on(self, call: Call) -> tuple[int, Mapping[str, str], bytes]:
        parts = urlsplit(self._emulator)
        connection = HTTPConnection(parts.hostname or "", parts.port, timeout=_WAIT_S)
        try:
            connection.request(call.method, call.target, call.body, dict(call.headers))
            answer = connection.getresponse()
            return answer.status, {name.lower(): value for name, value in answer.getheaders()}, answer.read()
        finally:
            connection.close()

    def _note(self, seen: Seen) -> None:
        with self._lock:
            self._seen.append(seen)


class _Door(BaseHTTPRequestHandler):
    protocol_version: ClassVar[str] = "HTTP/1.1"

    def _answer(self) -> None:
        size = int(self.headers.get("content-length") or 0)
        call = Call(
            method=self.command,
            target=self.path,
            headers={name.lower(): value for name, value in self.headers.items()},
            body=self.rfile.read(size),
        )
        at: Any = self.server
        try:
            status, headers, body = at.gate.answered(at.function, at.role, call)
        except (OSError, HTTPException):  # the emulator is gone, or the function is
            self.close_connection = True
            return
        self.send_response_only(status)
        for name, value in headers.items():
            if name not in _NOT_PASSED:
                self.send_header(name, value)
        self.send_header("content-length", str(len(body)))
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(body)

    do_GET = do_POST = do_PUT = do_DELETE = do_HEAD = _answer  # noqa: N815 - http.server's names

    def log_message(self, *_: object) -> None:
        """Nothing: a refused call is in the record."""
