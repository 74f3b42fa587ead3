"""What one seed runs: a workflow, its requests, the target, and how much goes wrong."""

from collections.abc import Sequence
from typing import Literal

import msgspec
from sample_workflows import (
    BOOK,
    FANNED,
    FANNED_WITH_SIDE,
    FORKED,
    LOOPED,
    BookAsked,
    DraftAsked,
    ListAsked,
    Looked,
)
from simulation.schedule import Schedule
from simulation.topologies import generated

from functions.events.answer import UserMessage
from functions.events.event import Event
from functions.events.ingest import DocumentsReceived, SentDocument
from functions.runtime.workflow import Workflow
from functions.workflows.answer import answer
from functions.workflows.ingest import ingest
from functions.workflows.research import research

PATIENT_S = 1_000_000.0  # no retry, lease or delay of a run comes near it
HURRIED_S = 90.0


class Asking(msgspec.Struct, frozen=True, kw_only=True):
    """One request, and when it comes."""

    request: str
    conversation: str
    event: Event
    after_s: float = 0.0


class Scenario(msgspec.Struct, frozen=True, kw_only=True):
    """What is run.

    Attributes:
        name: Of the workflow, for whoever reads a summary.
        target: `sqlite`, `ahead` (SQLite, the next step begun with the end of the one before) or `memory`.
        deadline_s: Of every request.
        losing: Whether messages may be lost for good.
        rate: Of faults.
        spends: Whether agents have a model, whose budget they may use up.
        refuses: How likely an agent gives up, whatever it is asked.
        overruns: How likely the next deadline passes while an agent is at work.
    """

    name: str
    workflow: Workflow
    askings: tuple[Asking, ...]
    target: Literal["sqlite", "ahead", "memory"]
    deadline_s: float
    losing: bool
    rate: float
    spends: bool = False
    refuses: float = 0.003
    overruns: float = 0.0

    @property
    def patient(self) -> bool:
        """Whether no deadline ends anything: then only a dead letter excuses another answer than the calm one."""
        return self.deadline_s == PATIENT_S and not self.losing and not self.spends


def scenario(seed: int) -> Scenario:
    """What a seed runs."""
    schedule = Schedule(seed, rate=1.0)
    name, workflow, events, spends = _workflow(seed, schedule)
    kind = schedule.chance("kind")
    return Scenario(
        name=name,
        workflow=msgspec.structs.replace(workflow, deadline_s=PATIENT_S),  # of what is redriven
        askings=_askings(events, schedule),
        target=_one_of(("sqlite", "ahead", "memory"), schedule.chance("target")),  # type: ignore[arg-type]
        deadline_s=HURRIED_S if 0.55 < kind < 0.8 else PATIENT_S,
        losing=kind > 0.7,
        rate=_one_of((0.3, 1.0, 1.0, 2.5), schedule.chance("rate")),  # type: ignore[arg-type]
        spends=spends,
    )


def _workflow(seed: int, schedule: Schedule) -> tuple[str, Workflow, Sequence[Event], bool]:
    roll = schedule.chance("workflow")
    if roll < 0.6:
        workflow, events, spends = generated(seed)
        return ("generated, with a model" if spends else "generated"), workflow, events, spends
    named: tuple[tuple[Workflow, Sequence[Event]], ...] = (
        (BOOK, (BookAsked(), BookAsked(chapters=1, sections=1))),
        (FANNED, (ListAsked(texts=("a", "skip", "b")), ListAsked())),
        (FANNED_WITH_SIDE, (ListAsked(texts=("a", "b")), ListAsked(texts=("skip", "c")))),
        (FORKED, (Looked(), Looked(text="right only"))),
        (LOOPED, (DraftAsked(rounds=2), DraftAsked(rounds=0))),
        (answer, (UserMessage(text="How does gzip compress?"), UserMessage(text="Remember that bz2 is slow."))),
        (research, (UserMessage(text="Compare gzip, bz2 and lzma"),)),
        (ingest, (DocumentsReceived(documents=(SentDocument(name="a.txt", text="Some text."),)),)),
    )
    workflow, events = named[int((roll - 0.6) / 0.4 * len(named))]
    return workflow.name, workflow, events, False


def _askings(events: Sequence[Event], schedule: Schedule) -> tuple[Asking, ...]:
    """One to three requests, some in the same conversation, some later."""
    count = 1 + int(schedule.chance("requests") * 3)
    return tuple(
        Asking(
            request=f"r{number}",
            conversation="c1" if schedule.chance("conversation", number) < 0.6 else "c2",
            event=events[number % len(events)],
            after_s=round(schedule.chance("after", number) * 3.0, 1),
        )
        for number in range(count)
    )


def _one_of(choices: Sequence[object], roll: float) -> object:
    return choices[int(roll * len(choices))]
