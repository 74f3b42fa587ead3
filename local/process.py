"""Everything on one machine: the store, the bus, the agents and their capabilities, put together in one place."""

import logging
import os
import threading
from collections.abc import Callable, Mapping
from contextlib import suppress
from datetime import datetime, timedelta
from types import TracebackType
from typing import Self

import msgspec

from functions.adapters.actions.settings import Action
from functions.adapters.local.blobs import BlobsOfDelivery, LocalBlobs
from functions.adapters.local.bus import Bus
from functions.adapters.local.conversations import LocalAppend, LocalConversations, LocalHistory
from functions.adapters.local.due import Entry
from functions.adapters.local.effects import LocalEffects
from functions.adapters.local.erasing import Erasures
from functions.adapters.local.growing import LocalGrowing
from functions.adapters.local.holding import Holding, LocalUpsert
from functions.adapters.local.requests import LocalRequests
from functions.adapters.local.retention import Sweeper
from functions.adapters.local.rights import LocalRights
from functions.adapters.local.spending import LocalSpending
from functions.adapters.local.state import LocalState
from functions.adapters.local.store import Store, StoreError
from functions.adapters.local.watchers import Watchers
from functions.adapters.models.bound import BoundModel, Chat
from functions.adapters.vectors.bound import TenantLookup, TenantRemove, TenantSearch, TenantUpsert, Time
from functions.api.target import Target
from functions.errors import TroupeError
from functions.events.envelope import open_request
from functions.events.event import Event
from functions.ports.actions import ActionNames, Invoke
from functions.ports.conversations import Append, History
from functions.ports.documents import Ingest
from functions.ports.models import LanguageModel
from functions.ports.personal import Reveal
from functions.ports.requests import Limits, RequestView
from functions.ports.vectors import Collection, Lookup, Remove, Search, Upsert
from functions.runtime.agent import Grant
from functions.runtime.arrival import LEASE_MARGIN_S, claim_checked, claimed
from functions.runtime.delivery import ACKNOWLEDGED, Binding, Outcome, Ports, carry_on, deliver
from functions.runtime.topology import topology
from functions.runtime.workflow import Workflow
from local.comparing import kept_on
from local.filling import Filling
from local.points import Points
from local.pool import BROKEN_PORT_DELAY_S, Pool
from local.shelf import Shelf
from local.uploads import TenantIngest, Uploads

WORKERS = 8  # agents mostly wait: for the encoder, the vector store, or a model
PLACES_A_WORKER = 4  # whose end is being written while their worker is at the next one: what a commit gathers
STOP_S = 10.0
LOOK_AROUND_S = 0.1  # how long what another process wrote may go unnoticed

log = logging.getLogger("troupe.process")


class UnknownWorkflowError(TroupeError, LookupError):
    """A workflow that this process does not run."""


class LocalProcess:
    """A process that takes requests and runs every agent, alone on its store or beside others.

    Args:
        store: Opened by the caller, who also closes it.
        workflows: What to run.
        collections: By the resource name that the workflows declare.
        shelf: What they stand on; without one, no version of theirs is filled here.
        chat: The language model; without one, agents go the way without.
        actions: What may be asked of servers outside, by name; without any, nothing.
        workers: How many deliveries are worked on at a time.
        now: The time, in UTC; by default that of all processes on the store.

    Raises:
        TopologyError: A workflow cannot run as written.
        TroupeError: A workflow declares a collection that is not given.
    """

    def __init__(  # noqa: PLR0913 - the one place where a process is put together
        self,
        store: Store,
        workflows: Mapping[str, Workflow],
        collections: Mapping[str, Collection],
        *,
        shelf: Shelf | None = None,
        chat: Chat | None = None,
        actions: Mapping[str, Action] | None = None,
        workers: int = WORKERS,
        now: Callable[[], datetime] | None = None,
    ) -> None:
        now = now or store.clock
        self.plans = topology(*workflows.values())
        _refuse_missing(workflows, collections)
        self._collections = collections
        self._chat = chat
        self._actions = actions or {}
        self._now = now
        self._store = store
        self._blobs = LocalBlobs(store.folder / "blobs")
        self._bus = Bus(store, self.plans.values(), now, workers * PLACES_A_WORKER)
        self.requests = LocalRequests(self._bus)
        self._pool = Pool(self._bus, self._deliver, self._lease_s, workers)
        self._deadlines = threading.Thread(target=self._expire_overdue, name="deadlines", daemon=True)
        self._others = threading.Thread(target=self._look_around, name="others", daemon=True)
        self._sweeper = Sweeper(store, self._blobs, now, expiring=[each.expire for each in collections.values()])
        self._stopping = threading.Event()
        self._held: dict[int, LocalState] = {}  # by receipt: whose lease is still to be given back
        self._uploads = Uploads(store)
        self._holding = Holding(store, now, None if shelf is None else shelf.personal)
        points = Points(store, collections.values(), shelf)
        self._filling = None if shelf is None else Filling(kept_on(shelf, now), store.folder)
        self._erasures = Erasures(store, self._blobs, self._holding, points)
        self._erasing = threading.Thread(target=self._finish_erasures, name="erasures", daemon=True)
        self._capabilities: Mapping[type, Callable[[str, Binding], object]] = {
            Search: lambda resource, binding: TenantSearch(
                self._collections[resource], binding.tenant, Time(binding.until, now)
            ),
            Upsert: lambda resource, binding: self._upsert(self._collections[resource], binding),
            Remove: lambda resource, binding: TenantRemove(
                self._collections[resource], binding.tenant, Time(binding.until, now)
            ),
            Lookup: lambda resource, binding: TenantLookup(
                self._collections[resource], binding.tenant, Time(binding.until, now)
            ),
            Ingest: lambda resource, binding: TenantIngest(
                self._uploads, self._collections[resource], binding.tenant, Time(binding.until, now)
            ),
            Reveal: lambda _, binding: None if shelf is None else shelf.reveal(binding.tenant),
            Append: lambda _, binding: LocalAppend(store, now, binding),
            History: lambda _, binding: LocalHistory(store, now, binding),
            LanguageModel: lambda _, binding: self._model(binding),
            ActionNames: lambda _, __: self._action_names(),
            Invoke: lambda _, binding: self._invoke(binding),
        }

    def __enter__(self) -> Self:
        self._sweeper.start()
        self._pool.start()
        self._deadlines.start()
        self._others.start()
        self._erasing.start()
        if self._filling is not None:
            self._filling.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._filling is not None:
            self._filling.stop()
        self._sweeper.stop()
        if not self._pool.stop(STOP_S):
            log.warning("an agent was still at work after %g s: its delivery is tried again at the next start", STOP_S)
        self._stopping.set()
        self._others.join()
        self._erasing.join()
        self._deadlines.join()
        self._uploads.close()

    def submit(self, workflow: str, event: Event, *, conversation: str, request: str, tenant: str = "default") -> None:
        """Take a request, durably; the same request again is no second one.

        Raises:
            UnknownWorkflowError: No workflow has this name.
        """
        if workflow not in self.plans:
            names = ", ".join(sorted(self.plans))
            raise UnknownWorkflowError(f"there is no workflow {workflow!r}: use one of {names}")
        plan, now = self.plans[workflow], self._now()
        envelope = open_request(
            event,
            workflow=workflow,
            planversion=plan.version,
            conversation=conversation,
            request=request,
            tenant=tenant,
            now=now,
            deadline=now + timedelta(seconds=plan.workflow.deadline_s),
        )
        self.requests.accept(claim_checked(envelope, self._blobs))

    def wait(self, request: str, *, tenant: str = "default", timeout_s: float) -> RequestView | None:
        """The request once it is settled, or as it stands after so many seconds."""
        view = self.requests.wait(request, tenant=tenant, timeout_s=timeout_s)
        if view is None or view.settlement is None:
            return view
        return msgspec.structs.replace(view, settlement=claimed(view.settlement, self._blobs))

    @property
    def watchers(self) -> Watchers:
        """Who waits for a change of a request of this process."""
        return self._bus.watchers

    def target(self, *, limits: Limits, secured: bool) -> Target:
        """What the HTTP API needs of this process."""
        return Target(
            plans=self.plans,
            requests=self.requests,
            conversations=LocalConversations(self._store, self._now),
            rights=LocalRights(self._store, self._blobs, self._now, self._bus.watchers.announce_all),
            collections=self._collections,
            blobs=self._blobs,
            stops=self._bus.stops,
            now=self._now,
            limits=limits,
            secured=secured,
        )

    def _deliver(self, entry: Entry) -> Outcome | None:
        state = LocalState(
            self._bus, entry.receipt, entry, lambda failed, error: self._interrupted(state, failed, error)
        )
        blobs = BlobsOfDelivery(self._blobs, state.is_there)
        ports = Ports(plans=self._bus.routes.plans, state=state, blobs=blobs, bind=self._bind, now=self._now)
        self._give_back(entry.receipt)
        try:
            outcome = self._outcome(entry, state, ports)
        except Exception:
            self._held[entry.receipt] = state
            self._give_back(entry.receipt)
            raise
        return None if state.ends_later else outcome

    def _outcome(self, entry: Entry, state: LocalState, ports: Ports) -> Outcome:
        if entry.started is not None:
            return carry_on(state.take_over(entry.started), ports)
        raw = entry.raw or self._bus.envelope(entry)
        return ACKNOWLEDGED if raw is None else deliver(entry.agent, raw, ports)

    def _interrupted(self, state: LocalState, entry: Entry, error: BaseException) -> None:
        """The end of a delivery could not be written."""
        self._held[entry.receipt] = state
        with suppress(StoreError):  # then before it is tried again
            self._give_back(entry.receipt)
        self._bus.announce([self._pool.later(entry, error)])

    def _give_back(self, receipt: int) -> None:
        """The lease of a try whose port failed, which is kept here for as long as the store cannot be written."""
        if receipt in self._held:
            self._held[receipt].abandon()
            self._held.pop(receipt, None)

    def _expire_overdue(self) -> None:
        while (entry := self._bus.take_deadline()) is not None:
            try:
                raw = self._bus.envelope(entry)
                if raw is not None:
                    self.requests.expire(raw, entry.receipt)
            except Exception:
                log.exception("a request is past its deadline and could not be settled, which is tried again")
                self._bus.announce([entry._replace(due=self._now().timestamp() + BROKEN_PORT_DELAY_S)])

    def _look_around(self) -> None:
        while not self._stopping.wait(LOOK_AROUND_S):
            try:
                self._bus.look_around()
            except Exception:
                log.exception("what other processes did could not be looked at, which is tried again")

    def _finish_erasures(self) -> None:
        pause = LOOK_AROUND_S
        while not self._stopping.wait(pause):
            pause = BROKEN_PORT_DELAY_S
            try:
                if self._erasures.finish():
                    pause = LOOK_AROUND_S
            except TroupeError as error:
                log.error("what was erased is still in a file, which is tried again: %s", error)  # noqa: TRY400 - it says it all
            except Exception:
                log.exception("what was erased is still in a file, which is tried again")

    def _bind(self, grant: Grant, binding: Binding) -> object:
        return self._capabilities[grant.capability](grant.resource, binding)

    def _upsert(self, collection: Collection, binding: Binding) -> LocalUpsert:
        upsert = TenantUpsert(collection, binding.tenant, Time(binding.until, self._now))
        return LocalUpsert(self._holding, upsert, collection.key, binding)

    def _model(self, binding: Binding) -> BoundModel | None:
        if self._chat is None:
            return None
        request, tenant = binding.request, binding.tenant
        return BoundModel(
            self._chat,
            spending=LocalSpending(self._store, tenant=tenant, request=request),
            growing=LocalGrowing(
                self._bus, tenant=tenant, request=request, agent=binding.agent, attempt=binding.attempt
            ),
            budget=binding.budget,
            until=binding.until,
            now=self._now,
            stopped=lambda: self._bus.stops.known(
                tenant=tenant, conversation=binding.conversation, workflow=binding.workflow
            ),
        )

    def _action_names(self) -> ActionNames | None:
        if not self._actions:
            return None
        from functions.adapters.actions.bound import ActionList  # noqa: PLC0415 - slow, and not for all

        return ActionList(self._actions)

    def _invoke(self, binding: Binding) -> Invoke | None:
        if not self._actions:
            return None
        from functions.adapters.actions.bound import BoundActions  # noqa: PLC0415 - slow, and not for all

        effects = LocalEffects(self._store, self._now, tenant=binding.tenant)
        return BoundActions(self._actions, effects=effects, binding=binding, environment=os.environ, now=self._now)

    def _lease_s(self, agent: str) -> float:
        specs = [plan.nodes[agent].spec for plan in self.plans.values() if agent in plan.nodes]
        return max((spec.timeout_s for spec in specs), default=0) + LEASE_MARGIN_S


def _refuse_missing(workflows: Mapping[str, Workflow], collections: Mapping[str, Collection]) -> None:
    wanted = {
        resource
        for workflow in workflows.values()
        for resource, kind in workflow.resources.items()
        if kind == "collection"
    }
    if missing := sorted(wanted - collections.keys()):
        raise TroupeError(f"no collection is given for {', '.join(missing)}: open one for each name that is declared")
