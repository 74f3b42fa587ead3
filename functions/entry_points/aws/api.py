"""The HTTP API behind API Gateway: the same calls as on one machine, each answered whole."""

import logging
import os
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, Final

import msgspec

from functions.api import problems
from functions.api.api import Api
from functions.api.bodies import MAX_BODY_BYTES, too_large
from functions.api.callers import correlation
from functions.api.headers import headers_of
from functions.api.http import HttpResponse
from functions.api.problems import ProblemError
from functions.api.whole import whole
from functions.entry_points.aws import gateway
from functions.entry_points.aws.invocation import LambdaContext
from functions.entry_points.aws.services import services
from functions.errors import TroupeError

BASE_PATH: Final = "TROUPE_BASE_PATH"  # what a custom domain maps to this API
MARGIN_S: Final = 2.0  # of the function's time, for the answer itself
LONGEST_S: Final = 27.0  # API Gateway waits for 30
_TOO_LARGE: Final = ProblemError(500, "the answer has more than the 6 MB that one call can bring: ask for less")

log = logging.getLogger("troupe.api")


@dataclass(frozen=True)
class Gateway:
    """How the API is reached.

    Attributes:
        api: What answers.
        tenant_claim: The claim of a token that names its tenant.
        base_path: What a custom domain maps to this API; empty for none.
    """

    api: Api
    tenant_claim: str
    base_path: str = ""


def answered(event: Mapping[str, Any], at: Gateway, remaining_s: Callable[[], float]) -> dict[str, Any]:
    """What API Gateway is answered.

    Args:
        event: Of an HTTP API, with payload 2.0.
        at: How the API is reached.
        remaining_s: Seconds that the function has left.
    """
    method, known = event["requestContext"]["http"]["method"], event["requestContext"]["requestId"]
    try:
        known = correlation({"x-request-id": known} | gateway.headers_of(event))
        response = _response(event, at, known, min(remaining_s() - MARGIN_S, LONGEST_S))
    except ProblemError as error:
        response = problems.response(error)
    except TroupeError as error:
        log.error("%s: %s", known, error)  # noqa: TRY400 - the message says it all
        response = problems.response(problems.unavailable())
    except Exception:
        log.exception("%s: a call failed", known)
        response = problems.response(problems.internal())
    answer = _answer(response, known, method)
    if gateway.size_of(answer) > gateway.MOST_ANSWERED:
        answer = _answer(problems.response(_TOO_LARGE), known, method)
    return answer


def _answer(response: HttpResponse, known: str, method: str) -> dict[str, Any]:
    named = msgspec.structs.replace(response, headers=headers_of(response.headers, known))
    return gateway.answer_of(named, method=method)


def _response(event: Mapping[str, Any], at: Gateway, known: str, left_s: float) -> HttpResponse:
    request = gateway.request_of(event, base_path=at.base_path, tenant="", correlation=known)
    if not at.api.is_open(request):
        request = msgspec.structs.replace(request, tenant=gateway.tenant_of(event, at.tenant_claim))
    if len(request.body) > MAX_BODY_BYTES:
        raise too_large()
    return whole(at.api, request, left_s=left_s)


def handler(event: Mapping[str, Any], context: LambdaContext) -> dict[str, Any]:
    """What Lambda calls."""
    found = services().begun(context)
    at = Gateway(found.api, found.stack.deployed.tenant_claim, os.environ.get(BASE_PATH, ""))
    return answered(event, at, found.left_s)
