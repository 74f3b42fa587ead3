"""The events of a workflow, and what a signature may say about them: `All` and `Where`."""

from collections.abc import Iterator, Sequence
from typing import Any, ClassVar, Generic, TypeVar, dataclass_transform

import msgspec

PRIORITIES = ("high", "normal", "low")


@dataclass_transform(kw_only_default=True, frozen_default=True, field_specifiers=(msgspec.field,))
class EventType(msgspec.StructMeta):
    """Makes every event frozen, keyword-only, final and versioned.

    msgspec does not inherit `kw_only`, and `StructMeta` refuses a keyword of ours, hence a metaclass.
    """

    def __new__(  # noqa: D102, PYI034 - a metaclass makes a class, not a Self
        cls,
        name: str,
        bases: tuple[type, ...],
        namespace: dict[str, Any],
        /,
        version: int = 1,
        **options: Any,
    ) -> "EventType":
        if any(isinstance(base, EventType) and base.__name__ != "Event" for base in bases):
            raise TypeError(f"{name} inherits from another event: routes go by the exact type, so events are final")
        made = super().__new__(cls, name, bases, namespace, **{"frozen": True, "kw_only": True} | options)
        if "version" in made.__struct_fields__:
            raise TypeError(f"{name} has a field named version, which is its own: write class {name}(Event, version=2)")
        type.__setattr__(made, "version", version)
        return made


@dataclass_transform(kw_only_default=True, frozen_default=True, field_specifiers=(msgspec.field,))
class Event(msgspec.Struct, metaclass=EventType):
    """Something that happened, named in the past tense: `class PlanCreated(Event, version=2)`."""

    version: ClassVar[int]


def fields_of(event: type[Event]) -> tuple[str, ...]:
    """The names of its fields in JSON."""
    return tuple(sorted(event.__struct_encode_fields__))


def required_of(event: type[Event]) -> tuple[str, ...]:
    """The names in JSON of the fields without a default: what an event of another deployment must have to be read."""
    fields, defaults = event.__struct_encode_fields__, event.__struct_defaults__
    given = dict(zip(reversed(fields), reversed(defaults), strict=False))
    return tuple(sorted(field for field in fields if given.get(field, msgspec.NODEFAULT) is msgspec.NODEFAULT))


class AgentFailed(Event):
    """An agent gave up on an event: a part of a fan-out that is missing, or a request that ends in an error.

    Attributes:
        agent: Who gave up.
        reason: Why, for the person who asked; the dead letter holds the details.
    """

    agent: str
    reason: str


class PartEnded(Event):
    """A part of a fan-out that ended without an event; with a total of 0, a fan-out without parts."""


class ScopeExpired(Event):
    """The timer of a fan-out ran out: its join goes on with the parts that are there."""


#: What the runtime itself emits: no agent may return or consume these.
RESERVED: tuple[type[Event], ...] = (Event, AgentFailed, PartEnded, ScopeExpired)

E_co = TypeVar("E_co", bound=Event, covariant=True)


class All(Generic[E_co]):
    """Every part of a fan-out, in the order in which it was opened: what a join consumes.

    Attributes:
        parts: The events that arrived.
        missing: Why the other parts did not.
    """

    __slots__ = ("missing", "parts")

    def __init__(self, parts: Sequence[E_co] = (), missing: Sequence[AgentFailed] = ()) -> None:
        self.parts = tuple(parts)
        self.missing = tuple(missing)

    def __iter__(self) -> Iterator[E_co]:
        return iter(self.parts)

    def __len__(self) -> int:
        return len(self.parts)


class Where(msgspec.Struct, frozen=True, kw_only=True):
    """Narrows a route by attributes of the envelope: `Annotated[UserMessage, Where(priority="high")]`.

    Raises:
        ValueError: Nothing is narrowed, or the priority does not exist.
    """

    priority: str | None = None
    tenant: str | None = None

    def __post_init__(self) -> None:
        if self.priority is None and self.tenant is None:
            raise ValueError("Where() narrows nothing: give priority= or tenant=")
        if self.priority not in (None, *PRIORITIES):
            raise ValueError(f"Where(priority={self.priority!r}): use one of {', '.join(PRIORITIES)}")

    def accepts(self, *, priority: str, tenant: str) -> bool:
        """Whether an envelope with these attributes takes the route."""
        return self.priority in (None, priority) and self.tenant in (None, tenant)
