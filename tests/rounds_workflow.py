"""A workflow that opens one scope after the other: what is found in one round goes into the next."""

from sample_workflows import CONTRACT, LOG, Answered

from functions.events.event import All, Event
from functions.ports.conversations import Append
from functions.runtime.agent import agent
from functions.runtime.workflow import Workflow

ROUNDS = 3


class Hunt(Event):
    pass


class Look(Event):
    round: int
    place: str
    so_far: tuple[str, ...] = ()


class Seen(Event):
    round: int
    place: str
    so_far: tuple[str, ...]


class Weighed(Event):
    round: int
    so_far: tuple[str, ...]


@agent(delivery=CONTRACT)
def hunt(event: Hunt, *, log: Append) -> list[Look]:
    del event
    log.append("assistant", "hunt")
    return [Look(round=1, place=place) for place in "ab"]


@agent(delivery=CONTRACT)
def look(event: Look, *, log: Append) -> Seen:
    log.append("assistant", f"look {event.round}{event.place}")
    return Seen(round=event.round, place=event.place, so_far=event.so_far)


@agent(delivery=CONTRACT)
def weigh(parts: All[Seen], *, log: Append) -> Weighed:
    number = parts.parts[0].round if parts.parts else ROUNDS
    log.append("assistant", f"weigh {number}")
    found = tuple(f"{part.round}{part.place}" for part in parts)
    return Weighed(round=number, so_far=(*(parts.parts[0].so_far if parts.parts else ()), *found))


@agent(delivery=CONTRACT)
def decide(event: Weighed, *, log: Append) -> list[Look] | Answered:
    log.append("assistant", f"decide {event.round}")
    if event.round == ROUNDS:
        return Answered(texts=event.so_far)
    return [Look(round=event.round + 1, place=place, so_far=event.so_far) for place in "ab"]


HUNTED = Workflow(
    name="hunted",
    agents=(hunt, look, weigh, decide),
    entry=Hunt,
    answer=Answered,
    bounds={Look: 4},
    resources=LOG,
)
HUNTED_ANSWER = Answered(texts=("1a", "1b", "2a", "2b", "3a", "3b"))
HUNTED_STEPS = (
    "hunt",
    *(f"look {number}{place}" for number in (1, 2, 3) for place in "ab"),
    *(f"{step} {number}" for step in ("weigh", "decide") for number in (1, 2, 3)),
)
