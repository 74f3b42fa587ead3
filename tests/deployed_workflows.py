"""One workflow as it was, and as one deployment after it has changed it; each agent says its name to its log."""

from collections.abc import Callable, Sequence
from typing import Any

import msgspec

from functions.events.event import All, Event, required_of
from functions.ports.conversations import Append
from functions.runtime.agent import Backoff, Delivery, agent
from functions.runtime.workflow import Workflow

CONTRACT = Delivery(attempts=3, backoff=Backoff(minimum_s=1.0, maximum_s=4.0), max_age_s=600.0)
Agent = Callable[..., Any]


class Asked(Event):
    texts: tuple[str, ...] = ()


class Piece(Event):
    text: str


class Handled(Event):
    text: str


class Joined(Event):
    texts: tuple[str, ...]


class Answered(Event):
    texts: tuple[str, ...] = ()
    missing: tuple[str, ...] = ()


def deployed(  # noqa: PLR0913 - an event or agent each
    *,
    asked: type = Asked,
    piece: type = Piece,
    handled: type = Handled,
    joined: type = Joined,
    answered: type = Answered,
    instead: Sequence[Agent] = (),
    without: Sequence[str] = (),
    beside: Sequence[Agent] = (),
) -> Workflow:
    """The workflow with these events; with other agents of the same names, without some, or with more."""

    @agent(timeout_s=10, delivery=CONTRACT)
    def split(event: asked, *, log: Append) -> list[piece]:
        log.append("assistant", f"split {'+'.join(event.texts)}")
        return [piece(text=text) for text in event.texts]

    @agent(timeout_s=10, delivery=CONTRACT)
    def handle(event: piece, *, log: Append) -> handled:
        log.append("assistant", f"handle {event.text}")
        return handled(**dict.fromkeys(required_of(handled), event.text.upper()))

    @agent(timeout_s=10, delivery=CONTRACT)
    def collect(parts: All[handled], *, log: Append) -> joined:
        log.append("assistant", f"collect {'+'.join(part.text for part in parts)}")
        return joined(texts=tuple(part.text for part in parts))

    @agent(timeout_s=10, delivery=CONTRACT)
    def say(event: joined, *, log: Append) -> answered:
        log.append("assistant", f"say {'+'.join(event.texts)}")
        return answered(texts=event.texts)

    others = {each.__name__: each for each in instead}
    agents = [others.get(each.__name__, each) for each in (split, handle, collect, say)]
    kept = [each for each in agents if each.__name__ not in without]
    return Workflow(
        name="deployed", agents=(*kept, *beside), entry=asked, answer=answered, resources={"log": "conversations"}
    )


def called(name: str, base: type, **options: Any) -> type:
    """An event of this name: another class, as another deployment has it."""
    return type(Event)(name, (Event,), _body(base), **options)


def with_field(base: type, field: str, *default: Any) -> type:
    """The same event with one more text, with a default where one is given."""
    body = _body(base)
    body["__annotations__"][field] = str
    return type(Event)(base.__name__, (Event,), body | dict.fromkeys([field] * len(default), *default))


def _body(base: type) -> dict[str, Any]:
    names, defaults = base.__struct_fields__, base.__struct_defaults__
    given = dict(zip(reversed(names), reversed(defaults), strict=False))
    set_ones = {name: default for name, default in given.items() if default is not msgspec.NODEFAULT}
    return {"__module__": __name__, "__annotations__": dict(base.__annotations__)} | set_ones


BEFORE = deployed()


# --------------------------------------------------------------------------------------- one change each


def _side_branch(event_type: type) -> Agent:
    @agent(timeout_s=10, delivery=CONTRACT)
    def note(event: event_type, *, log: Append) -> None:
        log.append("assistant", f"note {event.text}")

    return note


def _renamed() -> Workflow:
    @agent(timeout_s=10, delivery=CONTRACT)
    def treat(event: Piece, *, log: Append) -> Handled:
        log.append("assistant", f"treat {event.text}")
        return Handled(text=event.text.upper())

    return deployed(without=["handle"], beside=[treat])


class Checked(Event):
    text: str


def _another_join() -> Workflow:
    """Parts are checked before they are joined."""

    @agent(timeout_s=10, delivery=CONTRACT)
    def check(event: Handled, *, log: Append) -> Checked:
        log.append("assistant", f"check {event.text}")
        return Checked(text=event.text)

    @agent(timeout_s=10, delivery=CONTRACT)
    def collect(parts: All[Checked], *, log: Append) -> Joined:
        log.append("assistant", "collect checked")
        return Joined(texts=tuple(part.text for part in parts))

    return deployed(instead=[collect], beside=[check])


class Polished(Event):
    texts: tuple[str, ...]


def _one_more_step() -> Workflow:
    """What was joined is polished before it is said."""

    @agent(timeout_s=10, delivery=CONTRACT)
    def polish(event: Joined, *, log: Append) -> Polished:
        log.append("assistant", "polish")
        return Polished(texts=event.texts)

    @agent(timeout_s=10, delivery=CONTRACT)
    def say(event: Polished, *, log: Append) -> Answered:
        log.append("assistant", f"say {'+'.join(event.texts)}")
        return Answered(texts=event.texts)

    return deployed(instead=[say], beside=[polish])


def _one_more_way_out() -> Workflow:
    """An agent may emit something that its plan had no place for."""

    @agent(timeout_s=10, delivery=CONTRACT)
    def handle(event: Piece, *, log: Append) -> Handled | Checked:
        log.append("assistant", f"handle {event.text}")
        return Handled(text=event.text.upper())

    @agent(timeout_s=10, delivery=CONTRACT)
    def collect(parts: All[Handled | Checked], *, log: Append) -> Joined:
        log.append("assistant", f"collect {'+'.join(part.text for part in parts)}")
        return Joined(texts=tuple(part.text for part in parts))

    return deployed(instead=[handle, collect])


def _another_agent_inside() -> Workflow:
    """The code of an agent, its docstring, its limits and its contract."""

    @agent(timeout_s=20, memory_mb=1024, delivery=Delivery(attempts=4))
    def handle(event: Piece, *, log: Append) -> Handled:
        """Handle it in another way."""
        log.append("assistant", f"handle {event.text}")
        return Handled(text=event.text.upper())

    return deployed(instead=[handle])


class Wondered(Event):
    texts: tuple[str, ...] = ()


@agent(timeout_s=10, delivery=CONTRACT)
def wonder(event: Wondered, *, log: Append) -> Answered:
    log.append("assistant", "wonder")
    return Answered(texts=event.texts)


ANOTHER = Workflow(
    name="another", agents=(wonder,), entry=Wondered, answer=Answered, resources={"log": "conversations"}
)

SIDE_BRANCH = deployed(beside=[_side_branch(Handled)])

#: What a deployment may change so that every request that is under way still gets its answer.
COMPATIBLE = {
    "an agent's code, memory, time limit or contract": _another_agent_inside(),
    "a field with a default is added": deployed(piece=with_field(Piece, "tone", "plain")),
    "an optional field of an answer is added": deployed(answered=with_field(Answered, "tone", "plain")),
    "a side branch is added": SIDE_BRANCH,
}

#: What it may change so that some requests end with an error: by the agents at which they do.
INCOMPATIBLE = {
    "a field without a default is added": (deployed(handled=with_field(Handled, "tone")), {"collect"}),
    "an event's version is raised": (deployed(handled=called("Handled", Handled, version=2)), {"handle", "collect"}),
    "the version of the entry is raised": (deployed(asked=called("Asked", Asked, version=2)), {"split"}),
    "an agent is renamed": (_renamed(), {"handle"}),
    "the join waits for something else": (_another_join(), {"collect"}),
    "a step is added on the way to the answer": (_one_more_step(), {"say"}),
    "an agent may emit one more event": (_one_more_way_out(), {"handle"}),
    "the answer's version is raised": (
        deployed(answered=called("Answered", Answered, version=2)),
        {"split", "handle", "collect", "say"},
    ),
    "the workflow is removed": (ANOTHER, {"split", "handle", "collect", "say"}),
}
