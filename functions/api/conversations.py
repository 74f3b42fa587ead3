"""What was said in a conversation."""

from collections.abc import Sequence

import msgspec

from functions.api.http import Reply
from functions.api.replies import ok
from functions.api.routing import Call
from functions.api.target import Target
from functions.ports.conversations import Message

MAX_MESSAGES = 200
USUAL_MESSAGES = 50


class History(msgspec.Struct, frozen=True, kw_only=True):
    """What was said, oldest first."""

    conversation: str
    messages: Sequence[Message]


def get_messages(target: Target, call: Call) -> Reply:
    """The last messages of a conversation; none where nothing was said."""
    conversation = call.path["conversation"]
    limit = call.query.get("limit", USUAL_MESSAGES)
    messages = target.conversations.messages(conversation, tenant=call.tenant, limit=limit)
    return ok(History(conversation=conversation, messages=messages))
