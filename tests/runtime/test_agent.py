"""What `@agent` reads off a signature, and what it says of one that is no agent's."""

import functools
import re
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Annotated, Any, Optional, Union

import pytest
from hypothesis import given
from hypothesis import strategies as st

from functions.events.event import AgentFailed, All, Event, PartEnded, Where
from functions.ports.conversations import Append, History
from functions.ports.vectors import Search, Upsert
from functions.runtime.agent import AgentSpec, Backoff, Context, Delivery, Grant, SignatureError, agent, spec_of

if TYPE_CHECKING:
    from functions.ports.encoders import Encoder as OnlyForTypeCheckers


class Asked(Event):
    text: str = ""


class Planned(Event):
    text: str = ""


class Found(Event):
    text: str = ""


class Lost(Event):
    text: str = ""


Either = Found | Lost
Documents = Annotated[Search, "documents"]
high = Where(priority="high")


def takes_one(event: Asked) -> Found: ...
def takes_either(event: Asked | Planned) -> Found: ...
def takes_named_union(event: Either) -> Planned: ...
def takes_all(parts: All[Found]) -> Planned: ...
def takes_all_of_two(parts: All[Found | Lost]) -> Planned: ...
def takes_narrowed(event: Annotated[Asked, high]) -> Found: ...
def takes_noted(event: Annotated[Asked, "a note", high]) -> Found: ...
def takes_forward(event: "Asked") -> "Found | None": ...
def takes_typing_union(event: Union[Asked, Planned]) -> Optional[Found]: ...  # noqa: UP007, UP045 - the old spelling
def takes_position_only(event: Asked, /) -> Found: ...


@pytest.mark.parametrize(
    ("function", "consumes", "joins", "where"),
    [
        (takes_one, (Asked,), False, None),
        (takes_either, (Asked, Planned), False, None),
        (takes_named_union, (Found, Lost), False, None),
        (takes_all, (Found,), True, None),
        (takes_all_of_two, (Found, Lost), True, None),
        (takes_narrowed, (Asked,), False, high),
        (takes_noted, (Asked,), False, high),
        (takes_forward, (Asked,), False, None),
        (takes_typing_union, (Asked, Planned), False, None),
        (takes_position_only, (Asked,), False, None),
    ],
)
def test_the_first_parameter_is_what_it_consumes(
    *, function: Callable[..., Any], consumes: tuple[type[Event], ...], joins: bool, where: Where | None
) -> None:
    spec = spec_of(agent()(function))
    assert (spec.consumes, spec.joins, spec.where) == (consumes, joins, where)


def returns_one(event: Asked) -> Found: ...
def returns_choice(event: Asked) -> Found | Lost: ...
def returns_list(event: Asked) -> list[Found]: ...
def returns_list_of_two(event: Asked) -> list[Found | Lost]: ...
def returns_list_or_one(event: Asked) -> list[Found] | Lost: ...
def returns_nothing(event: Asked) -> None: ...
def returns_maybe(event: Asked) -> Found | None: ...
def returns_anything(event: Asked) -> Either | list[Planned] | None: ...


@pytest.mark.parametrize(
    ("function", "emits", "fans_out", "may_end"),
    [
        (returns_one, (Found,), (), False),
        (returns_choice, (Found, Lost), (), False),
        (returns_list, (), (Found,), False),
        (returns_list_of_two, (), (Found, Lost), False),
        (returns_list_or_one, (Lost,), (Found,), False),
        (returns_nothing, (), (), True),
        (returns_maybe, (Found,), (), True),
        (returns_anything, (Found, Lost), (Planned,), True),
    ],
)
def test_the_return_is_what_it_emits(
    *, function: Callable[..., Any], emits: tuple[type[Event], ...], fans_out: tuple[type[Event], ...], may_end: bool
) -> None:
    spec = spec_of(agent()(function))
    assert (spec.emits, spec.fans_out, spec.may_end) == (emits, fans_out, may_end)


def wants_plain(event: Asked, *, documents: Search) -> None: ...
def wants_named(event: Asked, *, found: Annotated[Search, "documents"]) -> None: ...
def wants_alias(event: Asked, *, found: Documents) -> None: ...
def wants_maybe(event: Asked, *, documents: Search | None) -> None: ...
def wants_maybe_defaulted(event: Asked, *, documents: Search | None = None) -> None: ...
def wants_old_maybe(event: Asked, *, documents: Optional[Search]) -> None: ...  # noqa: UP045 - the old spelling
def wants_named_or_none(event: Asked, *, found: Annotated[Search, "documents"] | None) -> None: ...
def wants_named_maybe(event: Asked, *, found: Annotated[Search | None, "documents"]) -> None: ...
def wants_none_or_named(event: Asked, *, found: None | Annotated[Search, "documents"]) -> None: ...  # noqa: RUF036 - on purpose
def wants_alias_or_none(event: Asked, *, found: Documents | None) -> None: ...
def wants_quoted(event: Asked, *, found: "Annotated[Search, 'documents'] | None") -> None: ...


@pytest.mark.parametrize(
    ("function", "grant"),
    [
        (wants_plain, Grant("documents", Search, "documents", optional=False)),
        (wants_named, Grant("found", Search, "documents", optional=False)),
        (wants_alias, Grant("found", Search, "documents", optional=False)),
        (wants_maybe, Grant("documents", Search, "documents", optional=True)),
        (wants_maybe_defaulted, Grant("documents", Search, "documents", optional=True)),
        (wants_old_maybe, Grant("documents", Search, "documents", optional=True)),
        (wants_named_or_none, Grant("found", Search, "documents", optional=True)),
        (wants_named_maybe, Grant("found", Search, "documents", optional=True)),
        (wants_none_or_named, Grant("found", Search, "documents", optional=True)),
        (wants_alias_or_none, Grant("found", Search, "documents", optional=True)),
        (wants_quoted, Grant("found", Search, "documents", optional=True)),
    ],
)
def test_every_spelling_of_a_capability_is_read(function: Callable[..., Any], grant: Grant) -> None:
    assert spec_of(agent()(function)).grants == (grant,)


def wants_several(
    event: Asked, *, documents: Search, store: Annotated[Upsert, "memories"], context: Context, log: Append | None
) -> None: ...


def test_several_capabilities_and_the_context_keep_their_order() -> None:
    spec = spec_of(agent()(wants_several))
    assert [(grant.parameter, grant.capability, grant.resource) for grant in spec.grants] == [
        ("documents", Search, "documents"),
        ("store", Upsert, "memories"),
        ("log", Append, "log"),
    ]
    assert spec.context == "context"


def with_locals(event: Asked, *, log: History) -> Found:
    found = event.text + "!"
    del log
    return Found(text=found)


def test_an_agent_stays_plainly_callable() -> None:
    decorated = agent(memory_mb=1024, timeout_s=540, delivery=Delivery(attempts=1))(with_locals)
    assert decorated is with_locals
    assert decorated(Asked(text="a"), log=None) == Found(text="a!")
    spec = spec_of(decorated)
    assert isinstance(spec, AgentSpec)
    assert (spec.name, spec.memory_mb, spec.timeout_s, spec.delivery.attempts) == ("with_locals", 1024, 540, 1)
    assert [grant.parameter for grant in spec.grants] == ["log"]


# ---------------------------------------------------------------------------------------- what is no agent


def takes_nothing() -> Found: ...
def takes_two(event: Asked, documents: Search) -> Found: ...
def takes_any_number(*events: Asked) -> Found: ...
def takes_more(event: Asked, *rest: Asked) -> Found: ...
def takes_any_name(event: Asked, **named: Search) -> Found: ...
def takes_unannotated(event, *, documents): ...  # noqa: ANN001, ANN201 - on purpose
def returns_unannotated(event: Asked): ...  # noqa: ANN201 - on purpose
def takes_number(event: int) -> Found: ...
def takes_maybe(event: Asked | None) -> Found: ...
def takes_all_numbers(parts: All[int]) -> Found: ...
def takes_bare_all(parts: All) -> Found: ...
def takes_list(parts: list[Asked]) -> Found: ...
def takes_base(event: Event) -> Found: ...
def takes_failure(event: AgentFailed) -> Found: ...
def returns_number(event: Asked) -> int: ...
def returns_list_of_numbers(event: Asked) -> list[int]: ...
def returns_list_of_maybe(event: Asked) -> list[Found | None]: ...
def returns_sequence(event: Asked) -> Sequence[Found]: ...
def returns_bare_list(event: Asked) -> list: ...
def returns_reserved(event: Asked) -> PartEnded: ...
def returns_two_lists(event: Asked) -> list[Found] | list[Lost]: ...
def returns_twice(event: Asked) -> Found | list[Found]: ...
def wants_number(event: Asked, *, limit: int = 5) -> Found: ...
def wants_either(event: Asked, *, both: Search | Upsert) -> Found: ...
def wants_context_maybe(event: Asked, *, context: Context | None) -> Found: ...
def wants_for_checkers(event: Asked, *, encoder: "OnlyForTypeCheckers") -> Found: ...
def wants_missing_attribute(event: "Asked.Inner") -> Found: ...
async def is_async(event: Asked) -> Found: ...
def is_generator(event: Asked) -> list[Found]:
    yield Found(text=event.text)


def with_local_class() -> Callable[..., Any]:
    class Local(Event):
        pass

    def takes_local(event: "Local") -> Found: ...

    return takes_local


@pytest.mark.parametrize(
    ("function", "said"),
    [
        (takes_nothing, "takes one event, then keyword-only capabilities"),
        (takes_two, "takes one event, then keyword-only capabilities: write (event: Event, *, name: Capability)"),
        (takes_any_number, "takes one event"),
        (takes_more, "takes one event"),
        (takes_any_name, "takes one event"),
        (takes_unannotated, "annotate event, documents, return"),
        (returns_unannotated, "annotate return"),
        (takes_number, "the parameter 'event' is int, which is no event: make it a subclass of Event"),
        (takes_maybe, "the parameter 'event' is NoneType, which is no event"),
        (takes_all_numbers, "the parameter 'parts' is int, which is no event"),
        (takes_bare_all, "the parameter 'parts' is All, which is no event"),
        (takes_list, "the parameter 'parts' is list"),
        (takes_base, "Event, which the runtime keeps to itself: use an event of your own"),
        (takes_failure, "AgentFailed, which the runtime keeps to itself"),
        (returns_number, "the return is int, which is no event"),
        (returns_list_of_numbers, "the returned list is int, which is no event"),
        (returns_list_of_maybe, "the returned list is NoneType, which is no event"),
        (returns_sequence, "the return is Sequence, which is no event"),
        (returns_bare_list, "the return is list, which is no event"),
        (returns_reserved, "the return is PartEnded, which the runtime keeps to itself"),
        (returns_two_lists, "two list alternatives are returned"),
        (returns_twice, "Found is returned both alone and in a list: return it in one way"),
        (wants_number, "the parameter 'limit' is int, which is no capability: use one of ActionNames, "),
        (wants_either, "the parameter 'both' is "),
        (wants_context_maybe, "which is no capability: use one of"),
        (wants_for_checkers, "'OnlyForTypeCheckers' is not known when the module is imported"),
        (wants_missing_attribute, "'Inner' is not known when the module is imported: define or import it at the top"),
        (with_local_class(), "'Local' is not known when the module is imported"),
        (is_async, "agents are synchronous: write def"),
        (is_generator, "agents are synchronous: write def, return the events"),
        (functools.partial(takes_one), "is no function: put @agent() on a plain function"),
        (Asked, "Asked is no function"),
    ],
    ids=lambda value: getattr(value, "__name__", None),
)
def test_what_is_wrong_with_a_signature_is_said(function: Callable[..., Any], said: str) -> None:
    with pytest.raises(SignatureError, match=re.escape(said)):
        agent()(function)


def is_all_wrong(event: int, *, limit: int, text: str) -> PartEnded | list[int] | list[str]: ...


def test_everything_wrong_is_said_at_once() -> None:
    with pytest.raises(SignatureError) as raised:
        agent(memory_mb=64, timeout_s=541)(is_all_wrong)
    said = str(raised.value)
    assert said.startswith("is_all_wrong: ")
    for problem in ("'event' is int", "two list", "PartEnded", "'limit'", "'text'", "memory_mb=64", "timeout_s=541"):
        assert problem in said


@pytest.mark.parametrize("memory_mb", [127, 10_241, 0, -1])
def test_a_memory_size_that_a_cloud_has_not_is_refused(memory_mb: int) -> None:
    with pytest.raises(SignatureError, match=f"memory_mb={memory_mb}: give 128 to 10240"):
        agent(memory_mb=memory_mb)(takes_one)


@pytest.mark.parametrize("timeout_s", [0, 541, -1])
def test_a_time_limit_that_a_cloud_has_not_is_refused(timeout_s: int) -> None:
    with pytest.raises(SignatureError, match=f"timeout_s={timeout_s}: give 1 to 540"):
        agent(timeout_s=timeout_s)(takes_one)


def twice(function: Callable[..., Any]) -> Callable[..., Any]:
    @functools.wraps(function)
    def wrapped(*arguments: object, **named: object) -> object:
        return function(*arguments, **named)

    return wrapped


def test_a_decorator_above_agent_hides_the_spec_and_the_error_says_so() -> None:
    with pytest.raises(SignatureError, match=r"returns_one is no agent: .* no other decorator above that"):
        spec_of(twice(agent()(returns_one)))


def test_a_decorator_below_agent_hides_the_signature_and_is_refused() -> None:
    with pytest.raises(SignatureError, match="returns_one: takes one event"):
        agent()(twice(returns_one))


def test_a_function_without_agent_has_no_spec() -> None:
    with pytest.raises(SignatureError, match="twice is no agent: put @agent"):
        spec_of(twice)


# -------------------------------------------------------------------------------- the contract of a route


@pytest.mark.parametrize("attempts", [0, 31, -1])
def test_attempts_are_one_to_thirty(attempts: int) -> None:
    with pytest.raises(ValueError, match="give 1 to 30"):
        Delivery(attempts=attempts)


@pytest.mark.parametrize("max_age_s", [0, -1.0, float("nan")])
def test_a_maximum_age_is_above_zero(max_age_s: float) -> None:
    with pytest.raises(ValueError, match="give more than 0 seconds"):
        Delivery(max_age_s=max_age_s)


@pytest.mark.parametrize(
    ("minimum", "maximum"), [(0, 1), (2, 1), (1, 901), (-1, 1), (float("nan"), 1), (1, float("nan"))]
)
def test_a_backoff_keeps_its_range(minimum: float, maximum: float) -> None:
    with pytest.raises(ValueError, match="give 0 < minimum_s <= maximum_s <= 900"):
        Backoff(minimum_s=minimum, maximum_s=maximum)


ranges = st.tuples(st.floats(0.001, 900), st.floats(0.001, 900)).map(
    lambda ends: Backoff(minimum_s=min(ends), maximum_s=max(ends))
)


@given(ranges, st.integers(1, 100_000), st.floats(0, 1))
def test_a_backoff_stays_in_its_range_whatever_the_jitter(backoff: Backoff, attempt: int, jitter: float) -> None:
    assert backoff.minimum_s <= backoff.after(attempt, jitter) <= backoff.maximum_s


@given(ranges, st.integers(1, 40))
def test_a_backoff_doubles_up_to_its_maximum(backoff: Backoff, attempt: int) -> None:
    assert backoff.after(1, 0.0) == backoff.minimum_s
    assert backoff.after(attempt + 1, 0.0) == min(2 * backoff.after(attempt, 0.0), backoff.maximum_s)


@given(ranges, st.integers(1, 40), st.floats(0, 1))
def test_jitter_takes_at_most_half(backoff: Backoff, attempt: int, jitter: float) -> None:
    assert backoff.after(attempt, 0.0) / 2 <= backoff.after(attempt, jitter) <= backoff.after(attempt, 0.0)


def test_a_route_that_narrows_nothing_is_refused() -> None:
    with pytest.raises(ValueError, match="narrows nothing: give priority= or tenant="):
        Where()


def test_a_priority_that_does_not_exist_is_refused() -> None:
    with pytest.raises(ValueError, match="use one of high, normal, low"):
        Where(priority="urgent")


@pytest.mark.parametrize(
    ("where", "accepted"),
    [
        (Where(priority="high"), {("high", "acme"), ("high", "globex")}),
        (Where(tenant="acme"), {("high", "acme"), ("low", "acme")}),
        (Where(priority="low", tenant="acme"), {("low", "acme")}),
    ],
)
def test_where_accepts_what_it_names(where: Where, accepted: set[tuple[str, str]]) -> None:
    every = {(priority, tenant) for priority in ("high", "low") for tenant in ("acme", "globex")}
    assert {each for each in every if where.accepts(priority=each[0], tenant=each[1])} == accepted


def test_the_context_knows_what_may_still_be_emitted() -> None:
    context = Context(key="k", left={"Found": 1, "Lost": 0})
    assert (context.may(Found), context.may(Lost), context.may(Planned)) == (True, False, True)


def test_a_join_is_iterated_in_order() -> None:
    parts = All([Found(text="a"), Found(text="b")], [AgentFailed(agent="x", reason="y")])
    assert [part.text for part in parts] == ["a", "b"]
    assert (len(parts), len(parts.missing)) == (2, 1)
