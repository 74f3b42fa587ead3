"""What the commands that look after a store stand on: the ports of this machine's, or those of a stack."""

from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from datetime import datetime
from typing import Protocol

from functions.ports.blobs import Blobs
from functions.ports.conversations import Conversations
from functions.ports.dead_letters import DeadLetters
from functions.ports.effects import Effects
from functions.ports.rights import Rights
from functions.ports.stops import Stops
from functions.runtime.workflow import Plan
from ops.delivering import Delivering


class Opened(Protocol):
    """The ports, each made when it is asked for."""

    @property
    def now(self) -> Callable[[], datetime]:
        """The time of all who use the store, in UTC."""
        ...

    @property
    def plans(self) -> Mapping[str, Plan]:
        """Those of this version, by the workflow's name."""
        ...

    @property
    def blobs(self) -> Blobs:
        """What is too large for an event."""
        ...

    @property
    def letters(self) -> DeadLetters:
        """What agents gave up."""
        ...

    @property
    def stops(self) -> Stops:
        """The stop switch."""
        ...

    @property
    def rights(self) -> Rights:
        """What is held about conversations."""
        ...

    @property
    def conversations(self) -> Conversations:
        """What was said."""
        ...

    def effects(self, tenant: str) -> Effects:
        """What servers outside were asked to do for a tenant."""
        ...

    def delivering(self) -> Delivering:
        """Who delivers what is redriven here."""
        ...

    def finish(self) -> str:
        """See that what was erased is gone everywhere; who does what is left, empty where nothing is."""
        ...


@contextmanager
def opened(stack: str) -> Iterator[Opened]:
    """The stack of this name; without one, the store of this machine.

    Raises:
        TroupeError: It is not there, or this person may not use it.
    """
    if stack:
        from ops.stack import opened_stack

        with opened_stack(stack) as there:
            yield there
    else:
        from ops.beside import opened_store
        from ops.here import Here

        with opened_store() as store:
            yield Here(store)
