"""Workflows made from a seed: nested fan-outs, forks, choices, bounded cycles, side branches; `topology` accepts them.

A workflow is grown from its entry: each block takes an event and gives one, so whatever is put together is balanced.
"""

import types
from collections.abc import Callable, Sequence
from contextlib import suppress
from typing import Any, Union

from simulation.schedule import Schedule

from functions.events.envelope import CLAIM_CHECK_BYTES, digest
from functions.events.event import All, Event
from functions.ports.conversations import Append
from functions.ports.models import LanguageModel, ModelError
from functions.runtime.agent import Backoff, Context, Delivery, agent
from functions.runtime.workflow import Budget, Workflow

CONTRACT = Delivery(attempts=5, backoff=Backoff(minimum_s=0.2, maximum_s=2.0), max_age_s=3600.0)
MOST_AGENTS = 12
CALL_TOKENS = 100  # what a model may write in one call
BUDGET = Budget(tokens=300, micros=1_000_000)

Kind = type[Event]
Made = Event | list[Event] | None


def generated(seed: int) -> tuple[Workflow, Sequence[Event], bool]:
    """A workflow, two events that it may be asked with, and whether its agents have a model."""
    grown = _Growth(Schedule(seed, rate=1.0))
    entry, answer = grown.event("Asked"), grown.event("Answered")
    grown.grow(entry, answer, 3)
    workflow = Workflow(
        name="generated",
        agents=tuple(grown.agents),
        entry=entry,
        answer=answer,
        bounds=grown.bounds,
        resources=grown.resources,
        max_hops=200,
        budget=BUDGET,
    )
    return workflow, (entry(text="a"), entry(text="b")), grown.spends


def _event(name: str) -> Kind:
    fields = {"text": str, "weight": str, "round": int}

    def fill(namespace: dict[str, Any]) -> None:
        namespace.update(__annotations__=fields, __module__=__name__, text="", weight="", round=0)

    made: Kind = types.new_class(name, (Event,), {}, fill)  # type: ignore[assignment]  # its metaclass makes events
    return made


class _Growth:
    """A workflow as it grows."""

    def __init__(self, schedule: Schedule) -> None:
        self._schedule = schedule
        self._events = 0
        self.agents: list[Callable[..., Any]] = []
        self.bounds: dict[Kind, int] = {}
        self.resources: dict[str, str] = {}
        self.spends = schedule.chance("spends") < 0.3

    def event(self, stem: str = "Event") -> Kind:
        self._events += 1
        return _event(f"{stem}{self._events}")

    def _chance(self) -> float:
        return self._schedule.chance("grow", len(self.agents), self._events)

    def grow(self, taken: Kind, given: Kind, depth: int, *, inside: bool = False) -> None:
        """From one event to another, through one block or several."""
        roll = self._chance()
        if depth == 0 or len(self.agents) >= MOST_AGENTS or (roll < 0.15 and self.agents):
            self._step(taken, given, inside=inside)
        elif roll < 0.35:
            between = self.event()
            self.grow(taken, between, depth - 1, inside=inside)
            self.grow(between, given, depth - 1, inside=inside)
        elif roll < 0.6:
            self._fan_out(taken, given, depth)
        elif roll < 0.75:
            self._fork(taken, given, depth)
        elif roll < 0.88:
            self._choice(taken, given, depth)
        else:
            self._cycle(taken, given)

    def _step(self, taken: Kind, given: Kind, *, inside: bool) -> None:
        ends = inside and self._chance() < 0.2

        def work(event: Any, text: str) -> Made:  # noqa: ANN401 - whatever event it takes
            return None if ends and _number(event.text) % 3 == 0 else given(text=text, weight=_weight(event))

        self._agent(taken, Union[given, None] if ends else given, work)  # noqa: UP007 - made at run time
        if self._chance() < 0.2:
            self._aside(taken)

    def _aside(self, taken: Kind) -> None:
        """A side branch of two agents."""
        noted = self.event()
        self._agent(taken, noted, lambda _event, text: noted(text=text))
        self._agent(noted, None, lambda _event, _text: None)

    def _fan_out(self, taken: Kind, given: Kind, depth: int) -> None:
        item, done = self.event(), self.event()

        def split(event: Any, text: str) -> Made:  # noqa: ANN401 - whatever event it takes
            return [item(text=f"{text}.{number}") for number in range(_number(event.text) % 4)]

        self._agent(taken, list[item], split)  # type: ignore[valid-type]  # made at run time
        self.grow(item, done, depth - 1, inside=True)
        self._agent(All[done], given, _join(given))  # type: ignore[valid-type]  # made at run time

    def _fork(self, taken: Kind, given: Kind, depth: int) -> None:
        ends = [self.event() for _ in range(2 + (self._chance() < 0.3))]
        for end in ends:
            first = self.event()
            self._agent(taken, first, lambda _event, text, first=first: first(text=text))
            self.grow(first, end, depth - 2 if depth > 1 else 0, inside=True)
        self._agent(All[Union[tuple(ends)]], given, _join(given))  # type: ignore[misc]  # noqa: UP007 - made at run time

    def _choice(self, taken: Kind, given: Kind, depth: int) -> None:
        one, other, met = self.event(), self.event(), self.event()

        def choose(event: Any, text: str) -> Made:  # noqa: ANN401 - whatever event it takes
            return one(text=text) if _number(event.text) % 2 else other(text=text)

        self._agent(taken, Union[one, other], choose)  # noqa: UP007 - made at run time
        self.grow(one, met, depth - 1)
        self.grow(other, met, 0)
        self._agent(met, given, lambda _event, text: given(text=text))

    def _cycle(self, taken: Kind, given: Kind) -> None:
        tried, weak = self.event(), self.event()
        self.bounds[weak] = 1 + int(self._chance() * 2)

        def look(event: Any, text: str, context: Context) -> Made:  # noqa: ANN401 - whatever event it takes
            again = context.may(weak) and _number(text) % 3
            return weak(text=text, round=event.round + 1) if again else given(text=text)

        self._agent(taken, tried, lambda _event, text: tried(text=text))
        self._agent(tried, Union[weak, given], look)  # noqa: UP007 - made at run time
        self._agent(weak, tried, lambda event, text: tried(text=text, round=event.round))

    def _agent(self, takes: object, gives: object, work: Callable[..., Made]) -> None:
        """An agent that says what it works on in its conversation, or asks a model, or neither."""
        name = f"a{len(self.agents)}"
        roll = self._schedule.chance("agent", name)
        hints: dict[str, Any] = {"event": takes, "return": gives}
        looks = work.__code__.co_argcount - len(work.__defaults__ or ()) == 3

        if looks:
            hints["context"] = Context

            def act(event: Any, *, context: Context) -> Made:  # noqa: ANN401 - whatever event it takes
                return work(event, _text(name, event), context)

        elif self.spends and roll < 0.8:
            hints["model"] = LanguageModel
            self.resources["model"] = "model"

            def act(event: Any, *, model: LanguageModel) -> Made:  # type: ignore[misc]  # noqa: ANN401 - one of four
                with suppress(ModelError):  # whatever it says, the answer stays the same
                    model.write("Say so.", "x" * 40, max_tokens=CALL_TOKENS)
                return work(event, _text(name, event))

        elif roll < 0.5:
            hints["conversations"] = Append
            self.resources["conversations"] = "conversations"

            def act(event: Any, *, conversations: Append) -> Made:  # type: ignore[misc]  # noqa: ANN401 - one of four
                conversations.append("assistant", f"{name} {_text(name, event)}")
                return work(event, _text(name, event))

        else:

            def act(event: Any) -> Made:  # type: ignore[misc]  # noqa: ANN401 - one of four
                return work(event, _text(name, event))

        act.__name__ = name
        act.__annotations__ = hints
        self.agents.append(agent(timeout_s=10, delivery=CONTRACT)(act))


def _join(given: Kind) -> Callable[[Any, str], Made]:
    """What a join makes of its parts: every one of them shows in it."""
    return lambda parts, text: given(text=f"{text}={digest([part.text for part in parts], len(parts.missing))[:6]}")


def _text(name: str, event: Any) -> str:  # noqa: ANN401 - an event, or the parts of a join
    """What an agent says: of everything before it, and short."""
    before = "+".join(part.text for part in event) if isinstance(event, All) else event.text
    return f"{name}:{digest(before)[:8]}"


def _number(text: str) -> int:
    return int(digest(text)[:6], 16)


def _weight(event: Any) -> str:  # noqa: ANN401 - whatever event it takes
    """Now and then more than travels."""
    return "x" * CLAIM_CHECK_BYTES if _number(event.text) % 17 == 0 else ""
