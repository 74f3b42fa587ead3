"""How a request stands: now, or once it is settled."""

import msgspec

from functions.api.http import Reply, Wait
from functions.api.replies import ok
from functions.api.routing import Call
from functions.api.target import Target
from functions.api.views import existing, shown

MAX_WAIT_S = 30


def get_request(target: Target, call: Call) -> Reply:
    """A request as it stands; where the caller has time and it is not settled, something to wait for."""
    name, seconds = call.path["request"], call.query.get("wait", 0)
    view = existing(target, name, call.tenant)
    if view.status != "settled" and seconds > 0:
        otherwise = msgspec.structs.replace(call.http, query="")
        return Wait(request=name, tenant=call.tenant, seconds=seconds, otherwise=otherwise)
    return ok(shown(target, view, call.tenant))
