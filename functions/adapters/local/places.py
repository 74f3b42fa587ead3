"""Where something may be held about a conversation: every table of the store is listed here, one way or the other."""

from typing import NamedTuple

from functions.adapters.local.stops import conversation_scope


class Place(NamedTuple):
    """A table with rows of conversations.

    Attributes:
        name: What a person calls its rows.
        rows: The condition on the rows of one conversation, see `whose`.
    """

    table: str
    name: str
    rows: str


_OF_CONVERSATION = "tenant = :tenant AND conversation = :conversation"
_OF_REQUESTS = f"(tenant, request) IN (SELECT tenant, request FROM request WHERE {_OF_CONVERSATION})"  # noqa: S608
_IN_ENVELOPE = (
    "CASE WHEN json_valid(CAST(envelope AS TEXT)) THEN"
    " coalesce(json_extract(CAST(envelope AS TEXT), '$.tenant'), 'default') = :tenant"
    " AND json_extract(CAST(envelope AS TEXT), '$.conversation') = :conversation END"
)

#: What ends with a request, with the key of a row beside the columns `tenant` and `request`.
OF_A_REQUEST = {
    "delivery": "key",
    "part": "joining, generation, position",
    "joined": "joining, generation",
    "awaited": "joining, generation, position",
    "written": "changed",
    "effect": "key",
}

#: What is erased with a conversation, in this order: rows that others are found by come last.
PLACES = (
    Place("message", "messages", _OF_CONVERSATION),
    Place("held", "memories", _OF_CONVERSATION),
    Place("dead_letter", "dead letters", _OF_CONVERSATION),
    Place("effect", "effects", _OF_CONVERSATION),
    Place("pace", "pace", _OF_CONVERSATION),
    Place("stopped", "stops", "scope = :scope"),
    Place("queue", "events", _IN_ENVELOPE),
    Place("delivery", "deliveries", _OF_REQUESTS),
    Place("part", "parts", _OF_REQUESTS),
    Place("joined", "joins", _OF_REQUESTS),
    Place("awaited", "awaited parts", _OF_REQUESTS),
    Place("written", "written texts", _OF_REQUESTS),
    Place("request", "requests", _OF_CONVERSATION),
)

#: Those that name their conversation, so that all of them can be listed.
NAMED_PLACES = tuple(place for place in PLACES if place.rows == _OF_CONVERSATION)

#: What is held about no conversation, and why.
OTHERS = {
    "process": "the processes at work",
    "carrier": "the encoders that the processes at work carry",
    "plan": "the plans of the workflows",
    "home": "what the home is called in a service that others use too",
    "document": "what was read into a collection: it is the collection's, whoever sent it",
    "erasing": "what is yet to be removed: ids and digests, until then",
    "collection": "which versions the collections have",
    "filling": "how far their versions are filled",
    "original": "personal data that was taken out of texts, encrypted, by tenant",
    "token_key": "which key makes the tokens that take its place",
}


def whose(conversation: str, tenant: str) -> dict[str, str]:
    """The parameters of the conditions."""
    scope = conversation_scope(tenant, conversation)
    return {"tenant": tenant, "conversation": conversation, "scope": scope}
