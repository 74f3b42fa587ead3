"""The events of the `research` workflow: from a request for research to a report with its references."""

from typing import Annotated

import msgspec

from functions.events.answer import Text
from functions.events.common import Passage
from functions.events.event import Event

MAX_SUBQUESTIONS = 6
MAX_QUERIES = 2


class Subquestion(msgspec.Struct, frozen=True, kw_only=True):
    """A part of what is to be found out: a section of the report.

    Attributes:
        heading: For the reader.
        queries: What is searched for.
        subjects: What its sources must be about; empty where whatever the queries find will do.
        least: About how many of the subjects a source must be.
    """

    heading: Text
    queries: Annotated[tuple[Text, ...], msgspec.Meta(min_length=1, max_length=MAX_QUERIES)]
    subjects: tuple[str, ...] = ()
    least: int = 1


Plan = Annotated[tuple[Subquestion, ...], msgspec.Meta(min_length=1, max_length=MAX_SUBQUESTIONS)]


class ResearchRequested(Event):
    """There is something to find out from several sides.

    Attributes:
        question: In the user's words.
        earlier: What the user asked before, oldest first: a follow-up refers to it.
    """

    question: Text
    earlier: tuple[str, ...] = ()


class SubquestionPlanned(Event):
    """One part of a plan; a plan of n sub-questions is n of these.

    Attributes:
        question: The whole, in the user's words.
        plan: Every sub-question, so that a part that is lost can be named by the others.
        number: Which of them this one is, from 0.
        left_out: What was asked for and has no place in the plan.
        model_failures: Why a model was of no use so far, one entry each.
    """

    question: Text
    plan: Plan
    number: int
    left_out: tuple[str, ...] = ()
    model_failures: tuple[str, ...] = ()


class SourcesFound(Event):
    """What one sub-question found, best first."""

    planned: SubquestionPlanned
    passages: tuple[Passage, ...]


class Finding(msgspec.Struct, frozen=True, kw_only=True):
    """A passage, and the number of the sub-question that it is for."""

    passage: Passage
    subquestion: int


class FindingsCollected(Event):
    """What all searches found, each passage once.

    Attributes:
        question: In the user's words; empty where every search failed.
        plan: Its sub-questions; empty where every search failed.
        findings: By sub-question, best first.
        searched: The numbers of the sub-questions that were searched for.
        missing: Why the other searches failed, one entry each.
        refused: The sources that were left out for giving instructions instead of facts.
        left_out: What was asked for and had no place in the plan.
        model_failures: Why a model was of no use so far, one entry each.
    """

    question: str = ""
    plan: tuple[Subquestion, ...] = ()
    findings: tuple[Finding, ...] = ()
    searched: tuple[int, ...] = ()
    missing: tuple[str, ...] = ()
    refused: tuple[str, ...] = ()
    left_out: tuple[str, ...] = ()
    model_failures: tuple[str, ...] = ()

    def without_texts(self) -> "FindingsCollected":
        """The same with the passages' texts left out: for whoever goes on with what was read."""
        findings = (
            msgspec.structs.replace(each, passage=msgspec.structs.replace(each.passage, text=""))
            for each in self.findings
        )
        return msgspec.structs.replace(self, findings=tuple(findings))


class Reference(msgspec.Struct, frozen=True, kw_only=True):
    """The line of a bibliography that stands for a passage."""

    passage: str
    line: str


class SourcesCited(Event):
    """The references of everything that was collected; the passages here are without their texts."""

    collected: FindingsCollected
    references: tuple[Reference, ...]


class Statement(msgspec.Struct, frozen=True, kw_only=True):
    """A sentence of a draft.

    Attributes:
        text: The sentence.
        subquestion: The number of the sub-question that it is for.
        passage: The id of the passage that it is from.
    """

    text: str
    subquestion: int
    passage: str


class DraftWritten(Event):
    """A report that nobody checked yet; the passages here are without their texts.

    Attributes:
        collected: What it was written from.
        statements: Its sentences, in the order in which they are read.
        considered: How many sentences of the sources were looked at.
        model: The name of the model that wrote it; empty where its sentences were taken from the sources.
        model_failures: Why a model was of no use, one entry each.
    """

    collected: FindingsCollected
    statements: tuple[Statement, ...]
    considered: int
    model: str = ""
    model_failures: tuple[str, ...] = ()
