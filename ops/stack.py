"""The ports of a stack on AWS, for a person with credentials of their own: its names follow from the convention."""

import os
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import closing, contextmanager
from datetime import UTC, datetime
from functools import cached_property
from typing import Final

from functions.adapters.aws.blobs import DELIVERIES, S3Blobs
from functions.adapters.aws.bus import EventBridgeBus
from functions.adapters.aws.client import SQS, Aws, AwsError
from functions.adapters.aws.items import DynamoItems
from functions.adapters.aws.person import Person, person
from functions.adapters.items.catalog import ItemCatalog
from functions.adapters.items.conversations import ItemConversations
from functions.adapters.items.dead_letters import ItemDeadLetters
from functions.adapters.items.effects import ItemEffects
from functions.adapters.items.requests import ItemRequests
from functions.adapters.items.rights import ItemRights
from functions.adapters.items.stops import ItemStops
from functions.entry_points.aws.plans import PREFIX, crews
from functions.entry_points.aws.services import KEEP_LETTERS
from functions.errors import TroupeError
from functions.ports.rights import Export, Holdings
from functions.runtime.topology import topology
from functions.workflows.catalog import WORKFLOWS
from infra.naming import Names
from ops.delivering import Delivering, is_never_repeated
from ops.usage import UsageError

#: The vector stores that a stack may have: those of `infra.settings`, which a test holds this to.
PRODUCTS: Final = ("qdrant", "pinecone", "weaviate")
_NOT_THERE: Final = frozenset({"ResourceNotFoundException", "NoSuchBucket"})
_REFUSED: Final = frozenset({"AccessDenied", "AccessDeniedException"})


class Stack:
    """See `Opened`.

    Args:
        names: Of the stack.
        person: Who opens it.
        aws: With the credentials of that person.
    """

    def __init__(self, names: Names, person: Person, aws: Aws) -> None:
        self._prefix = names.prefix
        self.plans = topology(*WORKFLOWS.values())
        self._agents = sorted({agent for plan in self.plans.values() for agent in plan.nodes})
        self._items = DynamoItems(aws, names.prefix, self.now)
        self.blobs = S3Blobs(aws, names.of(person.account), DELIVERIES)
        self._bus = EventBridgeBus(
            aws,
            name=names.prefix,
            source=names.prefix,
            queues={name: f"{aws.endpoint(SQS)}/{person.account}/{names.of(name)}" for name in self._agents},
            now=self.now,
        )
        self.stops = ItemStops(self._items)
        self.conversations = ItemConversations(self._items, self.now)
        plans = S3Blobs(aws, names.of(person.account), PREFIX)
        held = ItemRights(
            self._items,
            self.blobs,
            _Elsewhere(),
            lambda: crews(self.plans, plans),
            self.now,
            services=KEEP_LETTERS,
        )
        self.rights = StackRights(held)

    @staticmethod
    def now() -> datetime:
        """See `Opened.now`."""
        return datetime.now(UTC)

    @cached_property
    def letters(self) -> ItemDeadLetters:
        """See `Opened.letters`."""
        requests = ItemRequests(self._items, self._bus, self.plans, self.now)
        return ItemDeadLetters(
            self._items,
            self.blobs,
            self._bus,
            requests,
            self.plans,
            self.now,
            services=KEEP_LETTERS,
            in_doubt=self._in_doubt,
        )

    @property
    def catalogs(self) -> Sequence[ItemCatalog]:
        """Of its collections: one for each vector store that a stack may have, most of them empty."""
        return [ItemCatalog(self._items, f"{product}:{self._prefix}", self.now) for product in PRODUCTS]

    def effects(self, tenant: str) -> ItemEffects:
        """See `Opened.effects`."""
        return ItemEffects(self._items, self.now, tenant=tenant)

    def delivering(self) -> Delivering:
        """See `Opened.delivering`."""
        return Delivering(at_work=(self._prefix,), says=f"The agents of {self._prefix} are handed them now.")

    def finish(self) -> str:
        """See `Opened.finish`."""
        return (
            f"the keeper of {self._prefix} removes what is in collections within minutes, and looks once more after "
            "ten."
        )

    def _in_doubt(self, tenant: str, request: str) -> bool:
        return is_never_repeated(self.effects(tenant).in_doubt(request))


class _ElsewhereError(TroupeError):
    """Vectors are reached by the stack's functions alone: what is begun here, its keeper goes on with."""


class _Elsewhere:
    """The points of a stack, as its state sees them from here."""

    def erase(self, collection: str, ids: Iterable[str], *, tenant: str) -> None:
        """Leave it to the keeper."""
        raise _ElsewhereError(f"{len(list(ids))} points of {collection} and {tenant} are left to the keeper")


class StackRights:
    """The `Rights` port of a stack: an erasure is begun here, and finished by the stack where vectors are in it."""

    def __init__(self, rights: ItemRights) -> None:
        self._rights = rights
        self.conversations = rights.conversations
        self.holdings = rights.holdings

    def export(self, conversation: str, *, tenant: str) -> Export | None:
        """See `Rights.export`."""
        return self._rights.export(conversation, tenant=tenant)

    def erase(self, conversation: str, *, tenant: str) -> Holdings | None:
        """See `Rights.erase`."""
        held = self._rights.holdings(conversation, tenant=tenant)
        try:
            return self._rights.erase(conversation, tenant=tenant)
        except _ElsewhereError:
            return held


@contextmanager
def opened_stack(name: str, environment: Mapping[str, str] = os.environ) -> Iterator[Stack]:
    """The stack of this name, e.g. `troupe-dev`, in the account and region of whoever asks.

    Raises:
        UsageError: That is no name of a stack.
        TroupeError: It is not there, or this person may not do that.
    """
    names = _names(name)
    found = person(environment)
    with closing(Aws(found.environment)) as aws:
        try:
            yield Stack(names, found, aws)
        except AwsError as error:
            raise _told(error, name, found) from error


def _names(name: str) -> Names:
    project, _, stack = name.partition("-")
    if not project or not stack:
        raise UsageError(
            f"{name!r} is no name of a stack: write project and stack as its table is called, e.g. troupe-dev"
        )
    return Names(project, stack)


def _told(error: AwsError, name: str, person: Person) -> TroupeError:
    where = f"the account {person.account} in {person.region}"
    if error.code in _NOT_THERE:
        return TroupeError(
            f"{where} has no stack {name} ({error}): name another one, or another AWS_PROFILE or AWS_REGION"
        )
    if error.code in _REFUSED:
        return TroupeError(
            f"you may not do this to {name} in {where} ({error}): `troupe explain operator --aws` prints what a role "
            "needs"
        )
    return TroupeError(f"{name} in {where}: {error}")
