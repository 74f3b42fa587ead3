"""Personal rights: everything that is held about a conversation, handed over or erased."""

import msgspec

from functions.api.http import HttpResponse, Reply
from functions.api.problems import not_found
from functions.api.replies import JSON, ok
from functions.api.routing import Call
from functions.api.target import Target


def get_export(target: Target, call: Call) -> Reply:
    """Everything that is held about a conversation."""
    export = target.rights.export(call.path["conversation"], tenant=call.tenant)
    if export is None:
        raise not_found()
    return ok(export)


def delete_conversation(target: Target, call: Call) -> Reply:
    """Erase a conversation, durably; what is left in files follows."""
    erased = target.rights.erase(call.path["conversation"], tenant=call.tenant)
    if erased is None:
        raise not_found()
    return HttpResponse(status=202, headers={"content-type": JSON}, body=msgspec.json.encode(erased))
