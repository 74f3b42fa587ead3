"""`@agent`: a function's signature, read once into an `AgentSpec`.

`inspect` is left out on purpose: it adds 14 ms to every cold start.
"""

import types
import typing
from collections.abc import Callable, Mapping, Sequence
from datetime import datetime
from typing import Annotated, Any, TypeVar, Union, get_args, get_origin

import msgspec

from functions.errors import TroupeError
from functions.events.event import RESERVED, All, Event, Where
from functions.ports.capability import CAPABILITIES

VARIADIC = 0x04 | 0x08  # co_flags of a function that takes *args or **kwargs
DEFERRED = 0x20 | 0x80 | 0x200  # co_flags of a generator, a coroutine, an asynchronous generator


class SignatureError(TroupeError, TypeError):
    """A function whose signature is no agent's; the message lists everything wrong with it."""


class Backoff(msgspec.Struct, frozen=True, kw_only=True):
    """How long a retry waits: the minimum, doubled at each attempt up to the maximum, jittered downwards.

    Raises:
        ValueError: Not 0 < minimum <= maximum <= 900 (SQS keeps a message hidden for longer, but Service
            Bus and Pub/Sub retry policies are only alike up to 15 minutes).
    """

    minimum_s: float = 1.0
    maximum_s: float = 60.0

    def __post_init__(self) -> None:
        if not 0 < self.minimum_s <= self.maximum_s <= 900:  # noqa: PLR2004 - the docstring has the source
            raise ValueError(
                f"Backoff({self.minimum_s} s to {self.maximum_s} s): give 0 < minimum_s <= maximum_s <= 900"
            )

    def after(self, attempt: int, jitter: float) -> float:
        """Seconds to wait after this attempt failed; `jitter` is from 0 to 1."""
        doublings = min(attempt - 1, 30)  # no float overflows, however often a process died
        full = min(self.minimum_s * 2.0**doublings, self.maximum_s)
        return max(self.minimum_s, full * (1 - jitter / 2))


class Delivery(msgspec.Struct, frozen=True, kw_only=True):
    """The contract of a route, with the same meaning on every target.

    Attributes:
        attempts: How often an event is tried, 1 to 30.
        backoff: How long a retry waits.
        max_age_s: After this many seconds since it was emitted, an event is given up.

    Raises:
        ValueError: A number out of its range.
    """

    attempts: int = 5
    backoff: Backoff = Backoff()
    max_age_s: float = 3600.0

    def __post_init__(self) -> None:
        if not 1 <= self.attempts <= 30:  # noqa: PLR2004 - the contract's own range
            raise ValueError(f"Delivery(attempts={self.attempts}): give 1 to 30")
        if not self.max_age_s > 0:  # NaN is refused too
            raise ValueError(f"Delivery(max_age_s={self.max_age_s}): give more than 0 seconds")


class Context(msgspec.Struct, frozen=True, kw_only=True):
    """What the runtime tells an agent that asks for it by a keyword-only parameter of this type.

    Attributes:
        key: The idempotency key of this delivery, the same at every attempt.
        attempt: 1 at the first try.
        deadline: When the work must be done, in UTC.
        left: For each bounded event, how often it may still be emitted.
    """

    key: str
    attempt: int = 1
    deadline: datetime | None = None
    left: Mapping[str, int] = {}

    def may(self, event: type[Event]) -> bool:
        """Whether the bound of this event allows one more."""
        return self.left.get(event.__name__, 1) > 0


class Grant(msgspec.Struct, frozen=True):
    """One capability that an agent is handed, and under which name its resource is declared."""

    parameter: str
    capability: type
    resource: str
    optional: bool


class AgentSpec(msgspec.Struct, frozen=True, kw_only=True):
    """Everything a signature says.

    Attributes:
        name: The function's name.
        consumes: The events of the first parameter.
        joins: Whether the first parameter is `All[...]`.
        where: What narrows its route, if anything.
        emits: The events returned alone.
        fans_out: The events returned in a list.
        may_end: Whether it may return None.
        grants: Its capabilities.
        context: The parameter that takes the `Context`, if there is one.
        call: The function itself.
    """

    name: str
    consumes: tuple[type[Event], ...]
    joins: bool
    where: Where | None
    emits: tuple[type[Event], ...]
    fans_out: tuple[type[Event], ...]
    may_end: bool
    grants: tuple[Grant, ...]
    context: str | None
    memory_mb: int
    timeout_s: int
    delivery: Delivery
    call: Callable[..., Any]


F = TypeVar("F", bound=Callable[..., Event | Sequence[Event] | None])


def agent(
    *,
    memory_mb: int = 512,
    timeout_s: int = 30,
    delivery: Delivery = Delivery(),  # noqa: B008 - frozen
) -> Callable[[F], F]:
    """Declare a function an agent; it stays plainly callable.

    Args:
        memory_mb: The memory of its function on a cloud, 128 to 10,240.
        timeout_s: How long one attempt may take, 1 to 540 seconds.
        delivery: The contract of its routes.

    Raises:
        SignatureError: The signature is no agent's, or a number is out of its range.
    """

    def mark(function: F) -> F:
        spec = _read(function, memory_mb, timeout_s, delivery)
        function.__agent__ = spec  # type: ignore[attr-defined]
        return function

    return mark


def spec_of(function: Callable[..., Any]) -> AgentSpec:
    """The spec that `@agent` left on a function.

    Raises:
        SignatureError: There is none: it is no agent, or another decorator hides it.
    """
    found = getattr(function, "__agent__", None)
    if not isinstance(found, AgentSpec) or found.call is not function:
        name = getattr(function, "__name__", repr(function))
        raise SignatureError(f"{name} is no agent: put @agent() on it, and no other decorator above that")
    return found


def _read(function: Callable[..., Any], memory_mb: int, timeout_s: int, delivery: Delivery) -> AgentSpec:
    _refuse_other_callables(function)
    name, problems = function.__name__, list[str]()
    hints = _hints(function)
    first, rest = _parameters(function, hints)
    consumes, joins, where = _consumed(hints[first], f"the parameter {first!r}", problems)
    emits, fans_out, may_end = _emitted(hints["return"], problems)
    context = next((parameter for parameter in rest if hints[parameter] is Context), None)
    grants = tuple(
        grant for parameter in rest if parameter != context and (grant := _grant(parameter, hints[parameter], problems))
    )
    if not 128 <= memory_mb <= 10_240:  # noqa: PLR2004 - Lambda's range, the narrowest of the three clouds
        problems.append(f"memory_mb={memory_mb}: give 128 to 10240")
    if not 1 <= timeout_s <= 540:  # noqa: PLR2004 - the longest that every cloud allows an event's handler
        problems.append(f"timeout_s={timeout_s}: give 1 to 540")
    if problems:
        raise SignatureError(f"{name}: " + "; ".join(problems))
    return AgentSpec(
        name=name,
        consumes=consumes,
        joins=joins,
        where=where,
        emits=emits,
        fans_out=fans_out,
        may_end=may_end,
        grants=grants,
        context=context,
        memory_mb=memory_mb,
        timeout_s=timeout_s,
        delivery=delivery,
        call=function,
    )


def _refuse_other_callables(function: Callable[..., Any]) -> None:
    if not isinstance(function, types.FunctionType):
        raise SignatureError(f"{_text(function)} is no function: put @agent() on a plain function")
    if function.__code__.co_flags & DEFERRED:
        raise SignatureError(
            f"{function.__name__}: is async or a generator, and agents are synchronous: write def, return the events"
        )


def _hints(function: Callable[..., Any]) -> dict[str, Any]:
    try:
        return typing.get_type_hints(function, include_extras=True)
    except (NameError, AttributeError) as error:
        raise SignatureError(
            f"{function.__name__}: the annotation {error.name!r} is not known when the module is imported: "
            "define or import it at the top of the module, not under TYPE_CHECKING and not inside a function"
        ) from error


def _parameters(function: Callable[..., Any], hints: Mapping[str, Any]) -> tuple[str, tuple[str, ...]]:
    """The event's parameter, and the keyword-only ones."""
    code = function.__code__
    if code.co_argcount != 1 or code.co_flags & VARIADIC:
        raise SignatureError(
            f"{function.__name__}: takes one event, then keyword-only capabilities: "
            "write (event: Event, *, name: Capability)"
        )
    first, *rest = code.co_varnames[: 1 + code.co_kwonlyargcount]
    if missing := [name for name in (first, *rest, "return") if name not in hints]:
        raise SignatureError(f"{function.__name__}: annotate {', '.join(missing)}")
    return first, tuple(rest)


def _consumed(hint: object, place: str, problems: list[str]) -> tuple[tuple[type[Event], ...], bool, Where | None]:
    where = None
    if get_origin(hint) is Annotated:
        hint, *notes = get_args(hint)
        where = next((each for each in notes if isinstance(each, Where)), None)
    hint = _plain(hint)
    joins = get_origin(hint) is All
    return _events(get_args(hint)[0] if joins else hint, place, problems), joins, where


def _emitted(hint: object, problems: list[str]) -> tuple[tuple[type[Event], ...], tuple[type[Event], ...], bool]:
    alternatives = _members(hint)
    lists = [each for each in alternatives if get_origin(each) is list]
    if len(lists) > 1:
        problems.append(
            "two list alternatives are returned, and an empty list would not tell which: write one list[A | B]"
        )
    alone = [each for each in alternatives if get_origin(each) is not list and each is not types.NoneType]
    emits = tuple(event for each in alone for event in _events(each, "the return", problems))
    fans_out = _events(get_args(lists[0])[0], "the returned list", problems) if lists else ()
    if twice := set(emits) & set(fans_out):
        names = ", ".join(sorted(event.__name__ for event in twice))
        problems.append(f"{names} is returned both alone and in a list: return it in one way")
    return emits, fans_out, types.NoneType in alternatives


def _events(hint: object, place: str, problems: list[str]) -> tuple[type[Event], ...]:
    found = _members(hint)
    for each in found:
        if not (isinstance(each, type) and issubclass(each, Event)):
            problems.append(f"{place} is {_text(each)}, which is no event: make it a subclass of Event")
        elif each in RESERVED:
            problems.append(f"{place} is {each.__name__}, which the runtime keeps to itself: use an event of your own")
    return tuple(dict.fromkeys(each for each in found if isinstance(each, type) and issubclass(each, Event)))


def _grant(parameter: str, hint: object, problems: list[str]) -> Grant | None:
    """`X`, `X | None`, `Annotated[X, "name"] | None` and `Annotated[X | None, "name"]` alike."""
    resource, kinds = parameter, list(_members(hint))
    for position, kind in enumerate(kinds):
        if get_origin(kind) is Annotated:
            annotated, *notes = get_args(kind)
            resource = next((each for each in notes if isinstance(each, str)), parameter)
            kinds[position : position + 1] = _members(annotated)
    named = [kind for kind in kinds if kind is not types.NoneType]
    if len(named) != 1 or named[0] not in CAPABILITIES:
        problems.append(
            f"the parameter {parameter!r} is {_text(hint)}, which is no capability: use one of "
            f"{', '.join(sorted(each.__name__ for each in CAPABILITIES))}, or Context"
        )
        return None
    return Grant(parameter, named[0], resource, len(named) < len(kinds))


def _members(hint: object) -> tuple[Any, ...]:
    hint = _plain(hint)
    if get_origin(hint) not in (Union, types.UnionType):
        return (hint,)
    return tuple(member for each in get_args(hint) for member in _members(each))


def _plain(hint: object) -> object:
    """A `type` alias (Python 3.12) unwrapped."""
    while hasattr(hint, "__value__"):
        hint = hint.__value__
    return hint


def _text(hint: object) -> str:
    return getattr(hint, "__name__", None) or str(hint)
