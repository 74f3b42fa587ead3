"""The WebSocket: asks and watches in one go. Its messages are JSON, each way; docs/aws-api.md has them.

API Gateway holds the connection; this function only sees its beginning, its messages and, usually, its end.
"""

import logging
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Annotated, Any, Final
from urllib.parse import quote

import msgspec

from functions.api import problems
from functions.api.api import Api
from functions.api.callers import MAX_CORRELATION
from functions.api.events import MAX_NUMBER, SETTLED, place_of
from functions.api.http import HttpRequest, HttpResponse
from functions.api.messages import Accepted
from functions.api.problems import Problem, ProblemError, Wrong, wrong
from functions.api.pushing import Message, Post, push, said
from functions.api.target import Target
from functions.api.views import existing
from functions.entry_points.aws import gateway
from functions.entry_points.aws.authorizer import SUBPROTOCOL, offered
from functions.entry_points.aws.invocation import LambdaContext
from functions.entry_points.aws.services import services
from functions.errors import TroupeError
from functions.events.decoding import decoder
from functions.events.envelope import MAX_NAME
from functions.ports.sockets import Connection, ConnectionGoneError, Sockets, TooManyWatchedError, Watch

LONGEST: Final = timedelta(hours=2, minutes=5)  # API Gateway closes a connection after two hours
_EXPECTED: Final = (
    'expected {"message": {"text": …}, "conversation": …}, {"watch": <request>, "after": <id>} or {"ping": …}'
)

log = logging.getLogger("troupe.socket")


class Said(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """What a client says: one of `message`, `watch` and `ping`.

    Attributes:
        id: Comes back in the answer.
        message: What POST /conversations/{conversation}/messages takes.
        conversation: Of the message.
        key: As the header `Idempotency-Key`.
        watch: A request.
        after: The id of the last event that the client has.
        ping: Anything: keeps the connection from being idle.
    """

    id: str = ""
    message: msgspec.Raw | msgspec.UnsetType = msgspec.UNSET
    conversation: str = ""
    key: str = ""
    watch: Annotated[str, msgspec.Meta(max_length=MAX_NAME)] = ""
    after: str = ""
    ping: msgspec.Raw | msgspec.UnsetType = msgspec.UNSET


@dataclass(frozen=True)
class WebSocketContext:
    """What answers a connection.

    Attributes:
        api: Takes messages.
        target: What the API stands on.
        sockets: The connections.
        post: Sends to one.
        tenant_claim: The claim of a token that names its tenant.
        now: The time, in UTC.
    """

    api: Api
    target: Target
    sockets: Sockets
    post: Post
    tenant_claim: str
    now: Callable[[], datetime]


def handled(event: Mapping[str, Any], at: WebSocketContext) -> dict[str, Any]:
    """What API Gateway is answered; what a client is told goes to its connection."""
    name = event["requestContext"]["connectionId"]
    match event["requestContext"]["routeKey"]:
        case "$connect":
            return _connected(event, name, at)
        case "$disconnect":
            at.sockets.forget(name)
        case _:
            try:
                _answer(event, name, at)
            except ConnectionGoneError:
                at.sockets.forget(name)
    return {"statusCode": 200}


def _connected(event: Mapping[str, Any], name: str, at: WebSocketContext) -> dict[str, Any]:
    try:
        tenant = gateway.tenant_of(event, at.tenant_claim)
    except ProblemError as error:
        return {"statusCode": error.problem.status}
    at.sockets.connect(Connection(name=name, tenant=tenant, until=at.now() + LONGEST))
    if SUBPROTOCOL in offered(gateway.headers_of(event)):
        return {"statusCode": 200, "headers": {"Sec-WebSocket-Protocol": SUBPROTOCOL}}
    return {"statusCode": 200}


def _answer(event: Mapping[str, Any], name: str, at: WebSocketContext) -> None:
    heard = Said()
    try:
        connection = _known(name, at)
        heard = _read(gateway.body_of(event))
        _done(heard, connection, event["requestContext"].get("requestId", ""), at)
    except ConnectionGoneError:
        raise
    except ProblemError as error:
        _tell_problem(name, heard, error.problem, at)
    except TooManyWatchedError as error:
        _tell_problem(name, heard, ProblemError(429, str(error)).problem, at)
    except TroupeError as error:
        log.error("%s: %s", name, error)  # noqa: TRY400 - the message says it all
        _tell_problem(name, heard, problems.unavailable().problem, at)
    except Exception:
        log.exception("%s: a message failed", name)
        _tell_problem(name, heard, problems.internal().problem, at)


def _known(name: str, at: WebSocketContext) -> Connection:
    connection = at.sockets.connection(name)
    if connection is None:
        raise ProblemError(401, "this connection is not known, or too old: connect again")
    return connection


def _read(raw: bytes) -> Said:
    try:
        heard = decoder(Said).decode(raw)
    except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError) as error:
        raise ProblemError(400, f"the message cannot be read ({error}): {_EXPECTED}") from error
    given = [heard.message is not msgspec.UNSET, bool(heard.watch), heard.ping is not msgspec.UNSET]
    if sum(given) != 1:
        raise ProblemError(400, f"the message says {sum(given)} things to do, and each has one: {_EXPECTED}")
    errors = []
    if len(heard.id) > MAX_CORRELATION:
        errors.append(Wrong(pointer="/id", detail=f"has more than {MAX_CORRELATION} characters"))
    if heard.message is not msgspec.UNSET and not heard.conversation:
        errors.append(Wrong(pointer="/conversation", detail="is missing"))
    if errors:
        raise wrong(422, "the message", errors)
    return heard


def _done(heard: Said, connection: Connection, correlation: str, at: WebSocketContext) -> None:
    if heard.watch:
        _watch(heard.watch, heard.after, connection, at)
    elif isinstance(heard.message, msgspec.Raw):
        response = _asked(heard, heard.message, connection, correlation, at)
        if response.status != 202:  # noqa: PLR2004 - accepted
            _tell(connection.name, Message(event="problem", to=heard.id, data=msgspec.Raw(response.body)), at)
            return
        request = decoder(Accepted).decode(response.body).request
        accepted = Message(event="accepted", to=heard.id, request=request, data=msgspec.Raw(response.body))
        _tell(connection.name, accepted, at)
        _watch(request, "", connection, at)
    else:
        _tell(connection.name, Message(event="pong", to=heard.id, data=msgspec.Raw(b"null")), at)


def _asked(
    heard: Said, message: msgspec.Raw, connection: Connection, correlation: str, at: WebSocketContext
) -> HttpResponse:
    reply = at.api.handle(
        HttpRequest(
            method="POST",
            path=f"/conversations/{quote(heard.conversation, safe='')}/messages",
            headers={"content-type": "application/json", **({"idempotency-key": heard.key} if heard.key else {})},
            body=bytes(message),
            tenant=connection.tenant,
            correlation=correlation,
        )
    )
    return reply if isinstance(reply, HttpResponse) else problems.response(problems.internal())


def _watch(request: str, after: str, connection: Connection, at: WebSocketContext) -> None:
    """First it is written down, then told what happened so far: so nothing falls between the two."""
    view = existing(at.target, request, connection.tenant)
    place = place_of(after, request)
    number = MAX_NUMBER if place == SETTLED else int(place)
    watch = Watch(connection=connection, request=request, deadline=view.deadline, after=number)
    at.sockets.watch(watch)
    push(at.target, at.sockets, at.post, watch)


def _tell_problem(name: str, heard: Said, problem: Problem, at: WebSocketContext) -> None:
    _tell(name, Message(event="problem", to=heard.id, data=msgspec.Raw(msgspec.json.encode(problem))), at)


def _tell(name: str, message: Message, at: WebSocketContext) -> None:
    at.post(name, said(message))


def handler(event: Mapping[str, Any], context: LambdaContext) -> dict[str, Any]:
    """What Lambda calls."""
    found = services().begun(context)
    at = WebSocketContext(
        api=found.api,
        target=found.target,
        sockets=found.sockets,
        post=found.connections.post,
        tenant_claim=found.stack.deployed.tenant_claim,
        now=found.stack.now,
    )
    return handled(event, at)
