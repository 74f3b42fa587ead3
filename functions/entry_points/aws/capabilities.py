"""The capabilities of an agent on AWS: each bound to the tenant, the key and the time of one delivery.

Nobody sees a text on AWS while it is written: what is pushed to whoever waits are events.
"""

import time
from collections.abc import Callable, Mapping
from functools import cached_property
from typing import TYPE_CHECKING, Final

from functions.adapters.items.conversations import ItemTalk
from functions.adapters.items.stops import ItemStops
from functions.adapters.items.writing import STAYS
from functions.adapters.vectors.bound import TenantLookup, TenantRemove, TenantSearch, TenantUpsert, Time
from functions.entry_points.aws.stack import Stack
from functions.events.ingest import DocumentOutcome, SentDocument
from functions.ports.actions import ActionNames, Invoke
from functions.ports.conversations import Append, History
from functions.ports.documents import Ingest
from functions.ports.ledger import Ledger
from functions.ports.models import LanguageModel
from functions.ports.personal import Reveal
from functions.ports.stops import Stop
from functions.ports.vectors import Lookup, Remove, Search, Upsert
from functions.runtime.agent import Grant
from functions.runtime.delivery import Binding

if TYPE_CHECKING:
    from functions.documents.reader_process import ReaderProcess

ACTION_SECRETS: Final = "TROUPE_ACTION_SECRETS"  # one secret: a JSON object of those that actions name
DOCUMENT_S: Final = 10.0  # one document may take to parse
STOP_SEEN_S: Final = 2.0  # how long a stop may go unnoticed while a model writes


class Capabilities:
    """Makes what the signature of an agent asks for.

    Attributes:
        bound: How each is made, of its resource and the delivery.
    """

    def __init__(self, stack: Stack) -> None:
        self._stack = stack
        self.bound: Mapping[type, Callable[[str, Binding], object]] = {
            Search: lambda resource, binding: TenantSearch(
                stack.collection(resource), binding.tenant, self._time(binding)
            ),
            Lookup: lambda resource, binding: TenantLookup(
                stack.collection(resource), binding.tenant, self._time(binding)
            ),
            Remove: lambda resource, binding: TenantRemove(
                stack.collection(resource), binding.tenant, self._time(binding)
            ),
            Upsert: self._upsert,
            Ingest: self._ingest,
            Reveal: lambda _, binding: self._reveal(binding),
            Append: lambda _, binding: ItemTalk(stack.items, stack.now, binding),
            History: lambda _, binding: ItemTalk(stack.items, stack.now, binding),
            LanguageModel: lambda _, binding: self._model(binding),
            ActionNames: lambda _, __: self._action_names(),
            Invoke: lambda _, binding: self._invoke(binding),
        }

    def bind(self, grant: Grant, binding: Binding) -> object:
        """What an agent is handed; None where this stack leaves it out."""
        return self.bound[grant.capability](grant.resource, binding)

    def _time(self, binding: Binding) -> Time:
        return Time(binding.until, self._stack.now)

    def _upsert(self, resource: str, binding: Binding) -> Upsert:
        from functions.adapters.items.holding import ItemUpsert  # noqa: PLC0415 - not for all

        stack, collection = self._stack, self._stack.collection(resource)
        return ItemUpsert(
            stack.items,
            TenantUpsert(collection, binding.tenant, self._time(binding)),
            collection=collection,
            binding=binding,
            now=stack.now,
            tokenizer=stack.tokenizer,
        )

    def _ingest(self, resource: str, binding: Binding) -> Ingest:
        from functions.adapters.items.uploads import ItemIngest, uploads  # noqa: PLC0415 - not for all
        from functions.documents.uploads import ingest  # noqa: PLC0415 - slow, and not for all

        stack, collection = self._stack, self._stack.collection(resource)

        def bring(sent: SentDocument, ledger: Ledger) -> DocumentOutcome:
            (outcome,) = ingest([sent], collection, ledger, self._parser, tenant=binding.tenant)
            return outcome

        partition = uploads(resource, collection.key, binding.tenant)
        return ItemIngest(stack.items, partition, bring, binding=binding, now=stack.now)

    def _reveal(self, binding: Binding) -> Reveal | None:
        if self._stack.tokenizer is None:
            return None
        from functions.personal.tokenizer import TenantReveal  # noqa: PLC0415 - slow, and not for all

        return TenantReveal(self._stack.tokenizer, binding.tenant)

    def _model(self, binding: Binding) -> LanguageModel | None:
        if self._stack.chat is None:
            return None
        from functions.adapters.items.spending import ItemSpending  # noqa: PLC0415 - not for all
        from functions.adapters.models.bound import BoundModel  # noqa: PLC0415 - not for all

        stack = self._stack
        spending = ItemSpending(
            stack.items, tenant=binding.tenant, request=binding.request, expires_at=stack.now() + STAYS
        )
        return BoundModel(
            self._stack.chat,
            spending=spending,
            growing=Unseen(),
            budget=binding.budget,
            until=binding.until,
            now=stack.now,
            stopped=Stopped(ItemStops(stack.items), binding).now,
        )

    def _action_names(self) -> ActionNames | None:
        """Of whoever may ask for an action, not of whoever does it: secrets are not for both."""
        if not self._action_list:
            return None
        from functions.adapters.actions.bound import ActionList  # noqa: PLC0415 - slow, and not for all

        return ActionList(self._action_list)

    def _invoke(self, binding: Binding) -> Invoke | None:
        if not self._action_list:
            return None
        from functions.adapters.actions.bound import BoundActions  # noqa: PLC0415 - slow, and not for all
        from functions.adapters.actions.settings import FILE, action_settings  # noqa: PLC0415 - not for all
        from functions.adapters.aws.secrets import TableSettings  # noqa: PLC0415 - not for all
        from functions.adapters.items.effects import ItemEffects  # noqa: PLC0415 - not for all

        stack = self._stack
        environment = TableSettings(stack.settings, ACTION_SECRETS, {FILE: stack.settings[FILE]})
        return BoundActions(
            action_settings(environment),
            effects=ItemEffects(stack.items, stack.now, tenant=binding.tenant),
            binding=binding,
            environment=environment,
            now=stack.now,
        )

    @cached_property
    def _action_list(self) -> list[str]:
        from functions.adapters.actions.settings import action_names  # noqa: PLC0415 - not for all

        return action_names(self._stack.settings)

    @cached_property
    def _parser(self) -> "ReaderProcess":
        """It ends with the function's own process."""
        from functions.documents.reader_process import ReaderProcess  # noqa: PLC0415 - not for all

        return ReaderProcess(max_seconds=DOCUMENT_S)


class Unseen:
    """The `Growing` port where nobody watches."""

    def grow(self, text: str) -> None:
        """See `Growing.grow`."""

    def end(self) -> None:
        """See `Growing.end`."""


class Stopped:
    """Whether somebody stopped the work of a delivery, looked up now and then."""

    def __init__(self, stops: ItemStops, binding: Binding, elapsed: Callable[[], float] = time.monotonic) -> None:
        self._stops = stops
        self._binding = binding
        self._elapsed = elapsed
        self._seen: Stop | None = None
        self._seen_at = float("-inf")

    def now(self) -> Stop | None:
        """The stop that holds; it may be `STOP_SEEN_S` old."""
        if self._elapsed() - self._seen_at >= STOP_SEEN_S:
            binding = self._binding
            self._seen = self._stops.found(
                tenant=binding.tenant, conversation=binding.conversation, workflow=binding.workflow
            )
            self._seen_at = self._elapsed()
        return self._seen
