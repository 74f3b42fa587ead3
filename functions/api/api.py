"""The API of one target: from a request to a reply."""

from collections.abc import Mapping
from functools import cached_property
from typing import Any

from functions.api.bodies import read_body
from functions.api.events import follow
from functions.api.http import Chunk, HttpRequest, HttpResponse, Reply, Stream
from functions.api.openapi import body_schema, document
from functions.api.problems import PROBLEM_JSON, ProblemError, response
from functions.api.replies import ok
from functions.api.routes import ROUTES
from functions.api.routing import Answer, Call, Route, find, read_headers, read_query
from functions.api.target import Target


class Api:
    """Plain functions behind one table; a server calls `handle`, then does what the reply says.

    Args:
        target: The ports that the handlers use.
    """

    def __init__(self, target: Target) -> None:
        self._target = target
        self._routes = (
            *ROUTES,
            Route(
                name="getOpenapi",
                method="GET",
                path="/openapi.json",
                handler=lambda _target, _call: ok(self.openapi),
                summary="This document",
                answers=(Answer(status=200, description="OpenAPI 3.1.", type=dict[str, Any]),),
            ),
        )

    @cached_property
    def openapi(self) -> Mapping[str, Any]:
        """The OpenAPI document."""
        return document(self._target, self._routes)

    def is_open(self, request: HttpRequest) -> bool:
        """Whether this call needs no API key."""
        return any(route.open and route.path == request.path for route in self._routes)

    def handle(self, request: HttpRequest) -> Reply:
        """The reply to a request; what is wrong with it is a response too. Never waits for what is not done yet."""
        try:
            return self._handled(request)
        except ProblemError as error:
            return response(error)

    def follow(self, stream: Stream) -> Chunk:
        """What a stream sends next."""
        return follow(self._target, stream)

    def _handled(self, request: HttpRequest) -> Reply:
        head = request.method == "HEAD"  # a GET of which the server sends no body
        route, path = find(self._routes, "GET" if head else request.method, request.path)
        _refuse_unacceptable(route, request.headers.get("accept", ""))
        call = Call(
            http=request,
            path=path,
            query=read_query(route, request.query),
            headers=read_headers(route, request.headers),
            body=self._body(route, request),
        )
        reply = route.handler(self._target, call)
        if head and isinstance(reply, Stream):
            return HttpResponse(status=200, headers={"content-type": "text/event-stream"})
        return reply

    def _body(self, route: Route, request: HttpRequest) -> Any:  # noqa: ANN401 - of the type that the route names
        if route.body is None:
            return None
        schema = body_schema(self.openapi, route)
        return read_body(request.body, request.headers.get("content-type", ""), route.body, schema)


def _refuse_unacceptable(route: Route, accept: str) -> None:
    """Where the caller names what it takes, and nothing of it is what this call gives."""
    if not accept.strip():
        return
    given = next(answer.media for answer in route.answers if answer.type is not None)
    taken = {part.partition(";")[0].strip().lower() for part in accept.split(",") if not _is_refused(part)}
    if not taken & {given, f"{given.partition('/')[0]}/*", "*/*"}:
        raise ProblemError(406, f"this call gives {given} (and errors as {PROBLEM_JSON}), which Accept does not name")


def _is_refused(part: str) -> bool:
    """Whether the weight of a media type is 0."""
    parameters = [each.strip() for each in part.split(";")[1:]]
    return any(each.partition("=")[0] == "q" and set(each.partition("=")[2]) <= set("0.") for each in parameters)
