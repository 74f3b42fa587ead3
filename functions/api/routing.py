"""One call: its place in the table of routes, with its path, query and headers read.

The table is data: `routes` lists it, `api` calls what it names, `openapi` describes it.
"""

from collections.abc import Callable, Mapping, Sequence
from typing import Annotated, Any
from urllib.parse import parse_qsl, unquote_to_bytes

import msgspec

from functions.api.http import HttpRequest, Reply
from functions.api.problems import ProblemError, Wrong, not_allowed, not_found, wrong
from functions.api.target import Target
from functions.events.envelope import MAX_NAME

VISIBLE = r"^[!-~]+$"  # ASCII without spaces and controls

#: Names of conversations, collections, requests and passages.
Name = Annotated[str, msgspec.Meta(min_length=1, max_length=MAX_NAME, pattern=r"^[^\x00-\x1f\x7f-\x9f]+$")]


class Parameter(msgspec.Struct, frozen=True, kw_only=True):
    """A query parameter or a header: never required.

    Attributes:
        type: What it is converted to.
        expected: The same in words, after "expected".
    """

    name: str
    type: Any
    expected: str
    description: str


class Answer(msgspec.Struct, frozen=True, kw_only=True):
    """What a call may give, beside problems."""

    status: int
    description: str
    type: Any = None
    media: str = "application/json"
    headers: tuple[str, ...] = ()


class Call(msgspec.Struct, frozen=True, kw_only=True):
    """A request to a route, with what was read of it.

    Attributes:
        path: The parts of the path that have a name, decoded.
        query: The parameters that were given, converted.
        headers: Of those that the route names, the ones that were given.
        body: Of the route's type; None where it takes none.
    """

    http: HttpRequest
    path: Mapping[str, str]
    query: Mapping[str, Any]
    headers: Mapping[str, str]
    body: Any = None

    @property
    def tenant(self) -> str:
        """Whose call it is."""
        return self.http.tenant


Handler = Callable[[Target, Call], Reply]


class Route(msgspec.Struct, frozen=True, kw_only=True):
    """One row of the API.

    Attributes:
        name: Its `operationId`.
        path: With the named parts in braces.
        body: What a POST brings.
        problems: The statuses of the problems that it may answer with, beside those that every call may.
        open: Whether it needs no API key.
    """

    name: str
    method: str
    path: str
    handler: Handler
    summary: str
    answers: tuple[Answer, ...]
    query: tuple[Parameter, ...] = ()
    headers: tuple[Parameter, ...] = ()
    body: Any = None
    problems: tuple[int, ...] = ()
    open: bool = False


def find(routes: Sequence[Route], method: str, path: str) -> tuple[Route, Mapping[str, str]]:
    """The route of a path as it was sent, and its named parts.

    Raises:
        ProblemError: 404, 405, or 400 where a part cannot be used.
    """
    at = [(route, parts) for route in routes if (parts := _parts(route.path, path)) is not None]
    if not at:
        raise not_found()
    for route, parts in at:
        if route.method == method:
            return route, _names(parts)
    allowed = ", ".join(sorted({route.method for route, _ in at}))
    raise not_allowed(method, allowed)


def _parts(template: str, path: str) -> dict[str, str] | None:
    wanted, given = template.split("/"), path.split("/")
    if len(wanted) != len(given):
        return None
    parts = {}
    for name, part in zip(wanted, given, strict=True):
        if name.startswith("{"):
            parts[name[1:-1]] = part
        elif name != part:
            return None
    return parts


def _names(parts: Mapping[str, str]) -> dict[str, str]:
    names, errors = {}, []
    for name, part in parts.items():
        try:
            names[name] = msgspec.convert(unquote_to_bytes(part).decode(), Name)
        except (UnicodeDecodeError, msgspec.ValidationError):
            detail = f"is no name: expected 1 to {MAX_NAME} characters in UTF-8, no control characters"
            errors.append(Wrong(parameter=name, detail=detail))
    if errors:
        raise wrong(400, "the path", errors)
    return names


def read_query(route: Route, query: str) -> dict[str, Any]:
    """The query parameters of a route.

    Raises:
        ProblemError: 400, with everything that is wrong with them.
    """
    known = {parameter.name: parameter for parameter in route.query}
    try:
        given = parse_qsl(query, keep_blank_values=True, errors="strict", max_num_fields=100)
    except ValueError as error:
        raise ProblemError(400, "the query cannot be read: expected name=value&… in UTF-8") from error
    found: dict[str, Any] = {}
    errors = []
    for name, value in given:
        if name not in known:
            names = ", ".join(known) or "none"
            errors.append(Wrong(parameter=name[:MAX_NAME], detail=f"is no parameter of this call, which has {names}"))
        elif name in found:
            errors.append(Wrong(parameter=name, detail="is given twice"))
        else:
            found[name] = _converted(known[name], value, errors)
    if errors:
        raise wrong(400, "the query", errors)
    return found


def read_headers(route: Route, headers: Mapping[str, str]) -> dict[str, str]:
    """The headers that a route names, those that were given.

    Raises:
        ProblemError: 400, with everything that is wrong with them.
    """
    errors: list[Wrong] = []
    found = {
        parameter.name: _converted(parameter, headers[parameter.name.lower()], errors)
        for parameter in route.headers
        if parameter.name.lower() in headers
    }
    if errors:
        raise wrong(400, "the headers", errors)
    return found


def _converted(parameter: Parameter, value: str, errors: list[Wrong]) -> Any:  # noqa: ANN401 - as the table says
    try:
        return msgspec.convert(value, parameter.type, strict=False)
    except msgspec.ValidationError:
        errors.append(Wrong(parameter=parameter.name, detail=f"expected {parameter.expected}"))
    return None
