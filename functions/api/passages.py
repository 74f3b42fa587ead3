"""Passages that citations name."""

from functions.api.http import Reply
from functions.api.problems import not_found
from functions.api.replies import ok
from functions.api.routing import Call
from functions.api.target import Target


def get_passage(target: Target, call: Call) -> Reply:
    """A passage of a collection, as it is stored."""
    collection = target.collections.get(call.path["collection"])
    found = collection.read([call.path["passage"]], tenant=call.tenant) if collection else ()
    if not found:
        raise not_found()
    return ok(found[0])
