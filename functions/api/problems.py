"""Errors as problems of RFC 9457, with everything that is wrong in one list."""

from collections.abc import Mapping, Sequence

import msgspec

from functions.api.http import HttpResponse
from functions.errors import TroupeError

PROBLEM_JSON = "application/problem+json"
MAX_ERRORS = 50  # that one problem lists: who has more wrong has seen enough to mend it

TITLES = {
    400: "Bad Request",
    401: "Unauthorized",
    404: "Not Found",
    405: "Method Not Allowed",
    406: "Not Acceptable",
    408: "Request Timeout",
    413: "Content Too Large",
    415: "Unsupported Media Type",
    421: "Misdirected Request",
    422: "Unprocessable Content",
    429: "Too Many Requests",
    500: "Internal Server Error",
    503: "Service Unavailable",
    507: "Insufficient Storage",
}


class Wrong(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """One thing that is wrong: of the body at a JSON pointer, or of a parameter.

    Attributes:
        pointer: Into the body; the whole of it is the empty string.
        parameter: The name of a query parameter, a header or a part of the path.
        detail: What is wrong and what was expected, in one sentence.
    """

    detail: str
    pointer: str | msgspec.UnsetType = msgspec.UNSET
    parameter: str | msgspec.UnsetType = msgspec.UNSET


class Problem(msgspec.Struct, frozen=True, kw_only=True):
    """An error, as it is sent."""

    type: str = "about:blank"
    title: str
    status: int
    detail: str
    errors: tuple[Wrong, ...] = ()


class ProblemError(TroupeError):
    """What a handler raises to answer with a problem."""

    def __init__(
        self, status: int, detail: str, *, errors: Sequence[Wrong] = (), headers: Mapping[str, str] | None = None
    ) -> None:
        super().__init__(detail)
        self.problem = Problem(title=TITLES[status], status=status, detail=detail, errors=tuple(errors))
        self.headers = dict(headers or {})


def response(error: ProblemError) -> HttpResponse:
    """A problem as a response."""
    return HttpResponse(
        status=error.problem.status,
        headers={"content-type": PROBLEM_JSON, **error.headers},
        body=msgspec.json.encode(error.problem),
    )


def wrong(status: int, of: str, errors: Sequence[Wrong]) -> ProblemError:
    """The problem of everything that is wrong with something, e.g. `the body`."""
    counted = "1 thing is" if len(errors) == 1 else f"{len(errors)} things are"
    listed = f", and {MAX_ERRORS} are listed" if len(errors) > MAX_ERRORS else ""
    return ProblemError(status, f"{counted} wrong with {of}{listed}", errors=errors[:MAX_ERRORS])


def not_found() -> ProblemError:
    """There is no such thing, or it is somebody else's: the answer is the same, so that it tells neither."""
    return ProblemError(404, "there is nothing here")


def not_allowed(method: str, allowed: str) -> ProblemError:
    """This can be called, but not so."""
    return ProblemError(405, f"{method} cannot be done here: use {allowed}", headers={"allow": allowed})


def unavailable() -> ProblemError:
    """The store cannot be used."""
    return ProblemError(
        503, "the store cannot be used: come again, and see the server's log", headers={"retry-after": "5"}
    )


def internal() -> ProblemError:
    """Something that should not happen."""
    return ProblemError(500, "something went wrong here: the server's log has it, under this X-Request-ID")
