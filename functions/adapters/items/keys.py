"""Where things lie among the items. What a cloud's role may touch is decided by how a partition begins.

`<agent>#…` is that agent's own, `request#…` belongs to all of them, `conversation#…`, `collection#…`, `document#…`,
`effect#…` and `vault#…` to those with such a capability. No agent is called like one of these (runtime/topology.py).
"""

from typing import Final

from functions.events.envelope import Envelope, digest, unpack
from functions.ports.items import Place
from functions.ports.state import Part, Task

REQUEST, CONVERSATION, LETTERS = "request", "conversation", "letters"
SOCKET: Final = "socket"  # connections, and which request they watch
COLLECTION: Final = "collection"  # which versions a collection has, who uses collections
DOCUMENT: Final = "document"  # what was read into a collection
EFFECT: Final = "effect"  # what servers outside were asked to do
VAULT: Final = "vault"  # originals of personal data
PASSAGE, TOKEN = "passage", "token"
HOLDS, SOURCE = "holds", "source"
OPEN = "open"  # the group of the requests that are open, by their deadline
WATCHED = "watched"  # the group of what connections watch, by the deadline of the request
ERASING = "erasing"  # the group of the erasures that are not finished


def joined(*names: str) -> str:
    """One string of several; two different lists never give the same one."""
    return "#".join(name.replace("%", "%25").replace("#", "%23") for name in names)


def parted(key: str) -> list[str]:
    """The strings that `joined` made one of."""
    return [name.replace("%23", "#").replace("%25", "%") for name in key.split("#")]


def deliveries(agent: str, tenant: str, request: str) -> str:
    """The partition of an agent's deliveries for a request."""
    return joined(agent, tenant, request)


def of_task(task: Task) -> str:
    """The partition of a delivery."""
    return deliveries(task.agent, task.envelope.tenant, task.envelope.request)


def record(task: Task) -> Place:
    """Who works on a delivery, and whether it is done."""
    return of_task(task), joined("record", task.key)


def outputs(task: Task) -> Place:
    """What a delivery ended with."""
    return of_task(task), joined("outputs", task.key)


def join(part: Part, *names: str) -> Place:
    """Something about a join, in a partition of the agent that joins: the same one for every redrive of a request.

    What closed it and what redrives await begin with `mark`: both are read at once.
    """
    return _join(part.agent, part.envelope, part.join, *names)


def awaited(agent: str, envelope: Envelope, join_key: str, generation: int, index: int) -> Place:
    """A part that the redrive with this envelope awaits at a join."""
    return _join(agent, envelope, join_key, "mark", "awaited", f"{generation:07}", f"{index:05}")


def _join(agent: str, envelope: Envelope, join_key: str, *names: str) -> Place:
    root = unpack(envelope.part)[0].group
    return joined(agent, envelope.tenant, root), joined("join", join_key, *names)


def letters(agent: str) -> str:
    """The partition of what an agent gave up."""
    return joined(agent, LETTERS)


def request(tenant: str, name: str) -> Place:
    """A request as it stands."""
    return joined(REQUEST, tenant, "request", name), "request"


def erased(tenant: str, name: str) -> Place:
    """That a request was erased: what still works on it leaves nothing behind."""
    return joined(REQUEST, tenant, "request", name), "erased"


def conversations(tenant: str) -> str:
    """The partition of the names of a tenant's conversations: a key each."""
    return joined(REQUEST, tenant, "conversations")


def of_conversation(tenant: str, name: str, request_: str = "") -> Place:
    """That a request is of a conversation; without one, how the keys of all of them begin."""
    return holding(tenant, name), joined("request", request_)


def erasing(tenant: str, name: str) -> Place:
    """An erasure of a conversation that is not finished."""
    return holding(tenant, name), "erasing"


def first(tenant: str, name: str) -> Place:
    """The envelope that a request began with."""
    return joined(REQUEST, tenant, "request", name), "first"


def begun(tenant: str, name: str) -> Place:
    """The envelope that a request's first agents were sent, once it was its turn."""
    return joined(REQUEST, tenant, "request", name), "begun"


def settlement(tenant: str, name: str, envelope_id: str) -> Place:
    """An envelope that a request may have ended with; the request says which one it was."""
    return joined(REQUEST, tenant, "request", name), joined("settlement", envelope_id)


def redrives(tenant: str, origin: str) -> Place:
    """What was redriven of a request that somebody asked."""
    return joined(REQUEST, tenant, "request", origin), "redrives"


def begins(tenant: str, name: str, letter: str = "") -> Place:
    """A letter that a request begins with which redrives another one; without one, how their keys begin."""
    return joined(REQUEST, tenant, "request", name), joined("begins", letter)


def ledger(tenant: str, name: str) -> Place:
    """What a request has spent: a counter."""
    return joined(REQUEST, tenant, "request", name), "ledger"


def waiting(tenant: str, conversation: str) -> Place:
    """The open requests of a conversation, the oldest first."""
    return joined(REQUEST, tenant, CONVERSATION, conversation), "waiting"


def pace(tenant: str, conversation: str, minute: int) -> Place:
    """How many deliveries of a conversation began in a minute: a counter."""
    return joined(REQUEST, tenant, CONVERSATION, conversation), f"pace#{minute}"


def stop(scope: str) -> Place:
    """A stop that holds for a scope."""
    return joined(REQUEST, "", "stops"), scope


def conversation(tenant: str, name: str) -> str:
    """The partition of what was said in a conversation."""
    return joined(CONVERSATION, tenant, name)


def connection(name: str) -> Place:
    """An open connection; what it watches lies beside it."""
    return joined(SOCKET, "connection", name), "connection"


def watcher(tenant: str, request: str, name: str) -> Place:
    """A connection that watches a request."""
    return joined(SOCKET, "request", tenant, request), name


def holding(tenant: str, conversation: str) -> str:
    """The partition of what a conversation has outside of its requests and messages: `holds#…` and `effect#…`."""
    return joined(REQUEST, tenant, CONVERSATION, conversation)


def hold(tenant: str, conversation: str, collection: str, passage: str) -> Place:
    """That a conversation stored a passage; `HOLDS` begins the keys of all of them."""
    return holding(tenant, conversation), joined(HOLDS, collection, digest(passage))


def holders(tenant: str, collection: str, passage: str) -> str:
    """The partition of the conversations that stored a passage: a key each."""
    return joined(REQUEST, tenant, PASSAGE, collection, digest(passage))


def token_holders(tenant: str, token: str) -> str:
    """The partition of the conversations that stored a passage with this token: a key each."""
    return joined(REQUEST, tenant, TOKEN, token)


def asked(tenant: str, conversation: str, effect: str) -> Place:
    """That a conversation asked for an effect; `EFFECT` begins the keys of all of them."""
    return holding(tenant, conversation), joined(EFFECT, effect)


def effect(tenant: str, key: str) -> Place:
    """What a server outside was asked to do."""
    return joined(EFFECT, tenant), key


def original(tenant: str, token: str) -> Place:
    """What a token stands for, encrypted."""
    return joined(VAULT, tenant, token), "original"


def entry(place: str, name: str) -> Place:
    """Which versions a collection has in a vector store."""
    return joined(COLLECTION, name), joined("entry", place)


def filling(place: str, name: str, number: int) -> Place:
    """How far a version of a collection was filled."""
    return joined(COLLECTION, name), joined("filling", place, str(number))


def names(place: str) -> str:
    """The partition of the names of all collections in a vector store."""
    return joined(COLLECTION, "", "names", place)


def carriers() -> str:
    """The partition of those who use collections now."""
    return joined(COLLECTION, "", "carriers")


def documents(collection: str, *corpus: str) -> str:
    """The partition of what was read into a collection from a corpus."""
    return joined(DOCUMENT, collection, *corpus)


def document(partition: str, source: str) -> Place:
    """What is known of a document; `SOURCE` begins the keys of all of them."""
    return partition, joined(SOURCE, digest(source))


def reading(partition: str, source: str) -> Place:
    """Who reads a document now."""
    return partition, joined("reading", digest(source))
