"""The keeper of collections: each deploy has it make those that the stack declares, each hour remove what expired.

It finishes erasures that were cut off, too, since passages may be among what is erased. It never drops a collection,
and changes none that is there: where a stack declares another version or encoder than the name stands for, the answer
says what to do.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Literal, Protocol

import msgspec

from functions.collections.opening import current_of, ensured
from functions.entry_points.aws.environment import Declared
from functions.entry_points.aws.invocation import LambdaContext
from functions.entry_points.aws.services import services
from functions.errors import TroupeError
from functions.ports.catalog import Catalog, Entry
from functions.ports.vector_stores import VectorStore


class Expiring(Protocol):
    """A collection, as far as it expires."""

    def expire(self) -> int:
        """See `Collection.expire`."""
        ...


class Found(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """What a deploy is told of a collection.

    Attributes:
        state: `made` now, `there` already, `differs` from what is declared, or `failed`.
        says: What to do, where something is to be done.
    """

    state: Literal["made", "there", "differs", "failed"]
    says: str = ""


@dataclass(frozen=True)
class Shelf:
    """Where collections are.

    Attributes:
        declared: By name.
        catalog: Their entries.
        store: Their points.
        opened: A collection by its name.
        erase: Goes on with the erasures that are not finished; how many there were.
        now: The time, in UTC.
    """

    declared: Mapping[str, Declared]
    catalog: Catalog
    store: VectorStore
    opened: Callable[[str], Expiring]
    erase: Callable[[], int]
    now: Callable[[], datetime]


def kept(event: Mapping[str, Any], shelf: Shelf) -> dict[str, Any]:
    """What was done: `ensure` makes what is missing, `erase` goes on with erasures, `expire` removes what expired.

    Raises:
        TroupeError: The event asks for something else; or not everything could be erased, or what expired be removed.
    """
    match event.get("do"):
        case "ensure":
            found = {name: _ensured(name, declared, shelf) for name, declared in shelf.declared.items()}
            return {"collections": msgspec.to_builtins(found)}
        case "erase":
            return {"erased": shelf.erase()}
        case "expire":
            return {"expired": _expired(shelf)}
        case other:
            raise TroupeError(
                f'the keeper was asked for {other!r}: expected {{"do": …}} with "ensure", "erase" or "expire"'
            )


def _ensured(name: str, declared: Declared, shelf: Shelf) -> Found:
    try:
        before = shelf.catalog.read(name)
        entry = ensured(
            name,
            catalog=shelf.catalog,
            store=shelf.store,
            encoder=_Model(version=declared.encoder, dimension=declared.dimension),
            now=shelf.now,
            ttl_s=declared.ttl_s,
            number=declared.version,
        )
    except TroupeError as error:
        return Found(state="failed", says=str(error))
    if before is None:
        return Found(state="made")
    says = _difference(name, declared, entry)
    return Found(state="differs", says=says) if says else Found(state="there")


def _difference(name: str, declared: Declared, entry: Entry) -> str:
    current = current_of(entry)
    is_, wants = current.layout, declared
    if (is_.encoder, is_.dimension) != (wants.encoder, wants.dimension):
        return (
            f"{name} stands for version {current.number} of the encoder {is_.encoder} with {is_.dimension} dimensions, "
            f"and the stack declares {wants.encoder} with {wants.dimension}: nothing was changed; `troupe collections "
            f"migrate {name} --encoder …` makes a version of it, or declare what is there"
        )
    if current.number != wants.version:
        return (
            f"{name} stands for version {current.number}, and the stack declares {wants.version}: nothing was changed; "
            f"`troupe collections switch {name} {wants.version}` where that is whole, or declare {current.number}"
        )
    if entry.ttl_s != wants.ttl_s:
        return (
            f"{name} keeps a passage for {_lasting(entry.ttl_s)}, and the stack declares {_lasting(wants.ttl_s)}: what "
            "is there stays as it was made; declare that"
        )
    return ""


def _lasting(ttl_s: float | None) -> str:
    return "ever" if ttl_s is None else f"{ttl_s:,.0f} s"


def _expired(shelf: Shelf) -> dict[str, int]:
    counts, problems = dict[str, int](), list[str]()
    for entry in shelf.catalog.entries():
        try:
            counts[entry.name] = shelf.opened(entry.name).expire()
        except TroupeError as error:
            problems.append(f"{entry.name}: {error}")
    if problems:
        raise TroupeError(f"what expired could not be removed everywhere: {'; '.join(problems)}")
    return counts


class _Model(msgspec.Struct, frozen=True, kw_only=True):
    """An encoder as a stack declares it; see `Model`."""

    version: str
    dimension: int


def handler(event: Mapping[str, Any], context: LambdaContext) -> dict[str, Any]:
    """What Lambda calls."""
    found = services().begun(context)
    stack = found.stack
    shelf = Shelf(
        declared=stack.deployed.collections,
        catalog=stack.catalog,
        store=stack.vectors,
        opened=stack.collection,
        erase=lambda: found.rights.unfinished(),  # noqa: PLW0108 - made of what the others never need
        now=stack.now,
    )
    return kept(event, shelf)
