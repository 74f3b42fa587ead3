"""Small workflows, one for each shape that a graph may have. Each agent says its name and text to its log."""

from functions.events.event import All, Event
from functions.ports.conversations import Append
from functions.runtime.agent import Backoff, Context, Delivery, agent
from functions.runtime.workflow import Workflow

CONTRACT = Delivery(attempts=3, backoff=Backoff(minimum_s=1.0, maximum_s=4.0), max_age_s=600.0)
LOG = {"log": "conversations"}


class Answered(Event):
    texts: tuple[str, ...] = ()
    missing: tuple[str, ...] = ()


# ------------------------------------------------------------------------------------------------ one agent


class Asked(Event):
    text: str = "a"


@agent(timeout_s=10, delivery=CONTRACT)
def work(event: Asked, *, log: Append, context: Context) -> Answered:
    log.append("assistant", f"work {event.text}")
    return Answered(texts=(f"{event.text}, attempt {context.attempt}",))


SINGLE = Workflow(name="single", agents=(work,), entry=Asked, answer=Answered, resources=LOG)


# -------------------------------------------------------------------------------------- fan-out, side branch


class ListAsked(Event):
    texts: tuple[str, ...] = ()


class Piece(Event):
    text: str


class Handled(Event):
    text: str


class Noted(Event):
    text: str


@agent(delivery=CONTRACT)
def split(event: ListAsked, *, log: Append) -> list[Piece]:
    log.append("assistant", "split")
    return [Piece(text=text) for text in event.texts]


@agent(delivery=CONTRACT)
def handle(event: Piece, *, log: Append) -> Handled | None:
    log.append("assistant", f"handle {event.text}")
    return None if event.text == "skip" else Handled(text=event.text.upper())


@agent(delivery=CONTRACT)
def note(event: Handled, *, log: Append) -> Noted:
    log.append("assistant", f"note {event.text}")
    return Noted(text=event.text)


@agent(delivery=CONTRACT)
def keep(event: Noted, *, log: Append) -> None:
    log.append("assistant", f"keep {event.text}")


@agent(delivery=CONTRACT)
def collect(parts: All[Handled], *, log: Append) -> Answered:
    log.append("assistant", "collect")
    return Answered(texts=tuple(part.text for part in parts), missing=tuple(each.reason for each in parts.missing))


FANNED = Workflow(name="fanned", agents=(split, handle, collect), entry=ListAsked, answer=Answered, resources=LOG)
FANNED_WITH_SIDE = Workflow(
    name="fanned_side",
    agents=(split, handle, collect, note, keep),
    entry=ListAsked,
    answer=Answered,
    resources=LOG,
)


# ------------------------------------------------------------------------------------------------------ fork


class Looked(Event):
    text: str = "a"


class Left(Event):
    text: str


class Right(Event):
    text: str


@agent(delivery=CONTRACT)
def go_left(event: Looked, *, log: Append) -> Left | None:
    log.append("assistant", "go_left")
    return None if event.text == "right only" else Left(text=event.text)


@agent(delivery=CONTRACT)
def go_right(event: Looked, *, log: Append) -> Right:
    log.append("assistant", "go_right")
    return Right(text=event.text)


@agent(delivery=CONTRACT)
def merge(parts: All[Left | Right], *, log: Append) -> Answered:
    log.append("assistant", "merge")
    return Answered(
        texts=tuple(type(part).__name__ for part in parts), missing=tuple(each.reason for each in parts.missing)
    )


FORKED = Workflow(name="forked", agents=(go_left, go_right, merge), entry=Looked, answer=Answered, resources=LOG)


# ----------------------------------------------------------------------------------------------------- cycle


class DraftAsked(Event):
    rounds: int


class Drafted(Event):
    left: int
    round: int = 1


class Rejected(Event):
    left: int
    round: int


@agent(delivery=CONTRACT)
def draft(event: DraftAsked) -> Drafted:
    return Drafted(left=event.rounds)


@agent(delivery=CONTRACT)
def check(event: Drafted, *, context: Context) -> Rejected | Answered:
    if event.left and (event.left > 100 or context.may(Rejected)):
        return Rejected(left=event.left - 1, round=event.round)
    return Answered(texts=(f"round {event.round}",))


@agent(delivery=CONTRACT)
def revise(event: Rejected) -> Drafted:
    return Drafted(left=event.left, round=event.round + 1)


LOOPED = Workflow(name="looped", agents=(draft, check, revise), entry=DraftAsked, answer=Answered, bounds={Rejected: 2})


# ----------------------------------------------------------- everything: nested, forked, chosen, looped, aside


class BookAsked(Event):
    chapters: int = 2
    sections: int = 2


class Chapter(Event):
    number: int
    sections: int


class Section(Event):
    name: str
    round: int = 0


class Weak(Event):
    name: str
    round: int


class Written(Event):
    name: str


class Spelled(Event):
    name: str


class Sourced(Event):
    name: str


class SectionDone(Event):
    name: str


class ChapterDone(Event):
    names: tuple[str, ...]
    missing: int = 0


class Kept(Event):
    name: str


BOOK_CONTRACT = Delivery(attempts=6, backoff=Backoff(minimum_s=0.1, maximum_s=1.0), max_age_s=600.0)


@agent(delivery=BOOK_CONTRACT)
def plan_book(event: BookAsked, *, log: Append) -> list[Chapter]:
    log.append("assistant", "plan_book")
    return [Chapter(number=number, sections=event.sections) for number in range(event.chapters)]


@agent(delivery=BOOK_CONTRACT)
def plan_chapter(event: Chapter, *, log: Append) -> list[Section]:
    log.append("assistant", f"plan_chapter {event.number}")
    return [Section(name=f"{event.number}.{number}") for number in range(event.sections)]


@agent(delivery=BOOK_CONTRACT)
def write(event: Section | Weak, *, log: Append, context: Context) -> Weak | Written:
    log.append("assistant", f"write {event.name} {event.round}")
    if event.name.endswith("1") and context.may(Weak):
        return Weak(name=event.name, round=event.round + 1)
    return Written(name=event.name)


@agent(delivery=BOOK_CONTRACT)
def spell(event: Written, *, log: Append) -> Spelled:
    log.append("assistant", f"spell {event.name}")
    return Spelled(name=event.name)


@agent(delivery=BOOK_CONTRACT)
def source(event: Written, *, log: Append) -> Sourced | None:
    log.append("assistant", f"source {event.name}")
    return None if event.name.endswith("0") else Sourced(name=event.name)


@agent(delivery=BOOK_CONTRACT)
def file_away(event: Written, *, log: Append) -> Kept:
    log.append("assistant", f"file_away {event.name}")
    return Kept(name=event.name)


@agent(delivery=BOOK_CONTRACT)
def shelve(event: Kept, *, log: Append) -> None:
    log.append("assistant", f"shelve {event.name}")


@agent(delivery=BOOK_CONTRACT)
def close_section(parts: All[Spelled | Sourced], *, log: Append) -> SectionDone:
    log.append("assistant", "close_section")
    found = "+".join(f"{type(part).__name__[:2]}{part.name}" for part in parts)
    return SectionDone(name=found + "?" * len(parts.missing))


@agent(delivery=BOOK_CONTRACT)
def close_chapter(parts: All[SectionDone], *, log: Append) -> ChapterDone:
    log.append("assistant", "close_chapter")
    return ChapterDone(names=tuple(part.name for part in parts), missing=len(parts.missing))


@agent(delivery=BOOK_CONTRACT)
def bind_book(parts: All[ChapterDone], *, log: Append) -> Answered:
    log.append("assistant", "bind_book")
    missing = sum(part.missing for part in parts) + len(parts.missing)
    return Answered(texts=tuple(name for part in parts for name in part.names), missing=("?",) * missing)


BOOK = Workflow(
    name="book",
    agents=(
        plan_book,
        plan_chapter,
        write,
        spell,
        source,
        file_away,
        shelve,
        close_section,
        close_chapter,
        bind_book,
    ),
    entry=BookAsked,
    answer=Answered,
    bounds={Weak: 2},
    resources=LOG,
    deadline_s=600.0,
)
BOOK_ANSWER = Answered(texts=("Sp0.0", "Sp0.1+So0.1", "Sp1.0", "Sp1.1+So1.1"))  # of two chapters of two sections
