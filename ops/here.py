"""The ports of this machine's store, beside whoever is at work on it."""

import os
import time
from collections.abc import Callable
from datetime import datetime
from functools import cached_property
from typing import TYPE_CHECKING

from functions.adapters.local.blobs import LocalBlobs
from functions.adapters.local.conversations import LocalConversations
from functions.adapters.local.dead_letters import LocalDeadLetters
from functions.adapters.local.effects import LocalEffects
from functions.adapters.local.rights import LocalRights
from functions.adapters.local.stops import LocalStops
from functions.errors import TroupeError
from functions.runtime.topology import topology
from functions.workflows.catalog import WORKFLOWS
from ops.delivering import Delivering, is_never_repeated

if TYPE_CHECKING:
    from functions.adapters.local.store import Store

FILES_S = 60.0  # that the process in the folder may take to remove what was erased from its files
PAUSE_S = 0.1


class Here:
    """See `Opened`."""

    def __init__(self, store: "Store") -> None:
        self._store = store
        self.plans = topology(*WORKFLOWS.values())
        self.blobs = LocalBlobs(store.folder / "blobs")
        self.stops = LocalStops(store)
        self.rights = LocalRights(store, self.blobs, store.clock)
        self.conversations = LocalConversations(store, store.clock)

    @property
    def now(self) -> Callable[[], datetime]:
        """See `Opened.now`."""
        return self._store.clock

    @cached_property
    def letters(self) -> LocalDeadLetters:
        """See `Opened.letters`."""
        from functions.adapters.local.rows import Routes
        from functions.adapters.local.sharing import learn_plans

        routes = Routes(self.plans.values())
        learn_plans(self._store, routes, routes.versions)
        return LocalDeadLetters(self._store, routes, self.blobs, self.now, in_doubt=self._in_doubt)

    def effects(self, tenant: str) -> LocalEffects:
        """See `Opened.effects`."""
        return LocalEffects(self._store, self.now, tenant=tenant)

    def delivering(self) -> Delivering:
        """See `Opened.delivering`."""
        from functions.adapters.local.sharing import at_work

        found = at_work(self._store)
        if found:
            return Delivering(at_work=found, says=f"Process {found[0]} is at work on this store and delivers them now.")
        return Delivering(
            at_work=(), says="No process is at work on this store: they are delivered at the next start of one."
        )

    def finish(self) -> str:
        """See `Opened.finish`."""
        finish(self._store)
        return ""

    def _in_doubt(self, tenant: str, request: str) -> bool:
        return is_never_repeated(self.effects(tenant).in_doubt(request))


def finish(store: "Store") -> None:
    """See that what was erased is in no file any more: by whoever has the collections, else by this process."""
    from functions.adapters.local.erasing import pending
    from functions.adapters.local.members import LockedError, locked

    until, holder = time.monotonic() + FILES_S, ""
    while pending(store):
        if time.monotonic() > until:
            raise TroupeError(
                f"it is erased, but still in files of {store.folder}, where {_who(holder)}: "
                "see its log, then say this again"
            )
        try:
            with locked(store.folder / "workspace.lock"):
                holder = ""
                _finish_here(store)
        except LockedError as error:
            holder = str(error)
        time.sleep(PAUSE_S)


def _who(holder: str) -> str:
    return f"process {holder} is at work" if holder else "another process reads"


def _finish_here(store: "Store") -> None:
    from functions.adapters.local.erasing import Erasures
    from functions.adapters.local.holding import Holding
    from functions.adapters.vectors.settings import vector_settings
    from local.points import Points

    points = Points(store, (), vectors=vector_settings(os.environ))
    Erasures(store, LocalBlobs(store.folder / "blobs"), Holding(store, store.clock), points).finish()
