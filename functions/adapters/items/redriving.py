"""What a redrive leaves among the items: what joins await, and what a linked request begins with.

Every write here may be made again, and is then the same.
"""

from collections.abc import Sequence
from datetime import datetime

import msgspec

from functions.adapters.items import keys
from functions.adapters.items.writing import STAYS, encoded
from functions.events.decoding import decoder
from functions.events.envelope import Envelope
from functions.ports.bus import Bus
from functions.ports.items import Items
from functions.runtime.redrive import Candidate, Redriven, candidate, leading, redriven
from functions.runtime.workflow import Plan


class Awaited(msgspec.Struct, frozen=True, kw_only=True):
    """A part of a join that a redrive awaits.

    Attributes:
        since: The generation in which the request that carries on began: what earlier ones await will not come.
    """

    generation: int
    index: int
    since: int


class Beginning(msgspec.Struct, frozen=True, kw_only=True):
    """A letter that a linked request begins with, once it is its turn."""

    key: str
    agent: str
    event: bytes


class Plans(msgspec.Struct, frozen=True):
    """The plans that are carried here, by version."""

    by_version: dict[str, Plan]

    def of(self, envelope: Envelope) -> Plan | None:
        """The one that an envelope was made under."""
        return self.by_version.get(envelope.planversion)


def publish(items: Items, bus: Bus, wanted: Sequence[Redriven], *, since: int, now: datetime) -> None:
    """Let every join await all of what is redriven together, then publish these events and their timers."""
    for each in wanted:
        _let_await(items, each, since, now + STAYS)
    bus.publish([each.envelope for each in wanted])
    for timer in (timer for each in wanted for timer in each.timers):
        bus.publish_later(timer)


def _let_await(items: Items, wanted: Redriven, since: int, expires_at: datetime) -> None:
    envelope = wanted.envelope
    for join, index, closer in wanted.awaited[1:]:  # the first is the request, which notes it itself
        note = Awaited(generation=envelope.generation, index=index, since=since)
        place = keys.awaited(closer, envelope, join, envelope.generation, index)
        items.put(place, encoded(note), revision=0, expires_at=expires_at)


def begin(items: Items, bus: Bus, plans: Plans, first: Envelope, now: datetime) -> None:
    """Publish what a linked request begins with, now that it is its turn.

    Raises:
        NotRedrivableError: One of its letters cannot be redriven here any more; nothing was published.
    """
    partition, prefix = keys.begins(first.tenant, first.request)
    found = [decoder(Beginning).decode(item.value) for item in items.query(partition, prefix)]
    letters = [candidate(each.key, each.agent, each.event, plans.of) for each in found]
    wanted = [
        redriven(letter, request=first.request, generation=first.generation, deadline=first.deadline, now=now)
        for letter in (leading(letters) if letters else ())
    ]
    publish(items, bus, wanted, since=first.generation, now=now)


def keep_beginning(  # noqa: PLR0913, PLR0917 - whose it is, what, and how long
    items: Items, tenant: str, request: str, letter: Candidate, event: bytes, until: datetime
) -> None:
    """Keep a letter for the turn of the request that redrives it."""
    kept = Beginning(key=letter.key, agent=letter.node.spec.name, event=event)
    items.put(keys.begins(tenant, request, letter.key), encoded(kept), revision=0, expires_at=until)
