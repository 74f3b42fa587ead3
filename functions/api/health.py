"""Whether requests can be taken."""

from typing import Literal

import msgspec

from functions.api.http import Reply
from functions.api.replies import ok
from functions.api.routing import Call
from functions.api.target import Target


class Health(msgspec.Struct, frozen=True, kw_only=True):
    """That they can."""

    status: Literal["ok"] = "ok"


def get_health(target: Target, call: Call) -> Reply:
    """Look into the store: what goes wrong there is answered with 503."""
    target.requests.depth("", tenant=call.tenant, most=0)
    return ok(Health())
