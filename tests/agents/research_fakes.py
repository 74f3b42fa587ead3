"""Short ways to write the events of research, and a model that says what it is told to."""

from collections.abc import Sequence
from typing import Any, TypeVar

import msgspec
from agent_fakes import passage

from functions.events.common import Passage
from functions.events.research import (
    DraftWritten,
    Finding,
    FindingsCollected,
    Reference,
    SourcesCited,
    SourcesFound,
    Statement,
    Subquestion,
    SubquestionPlanned,
)
from functions.ports.models import ModelError

S = TypeVar("S", bound=msgspec.Struct)

SORTING = Subquestion(heading="Sorting", queries=("overview of sorting",))
HEAPS = Subquestion(heading="Heaps", queries=("overview of heaps",))
HEAP = passage("A heap is a binary tree.", id="p2", name="heapq", source="python:heapq")
LIST = passage("Lists are sorted in place. The sort is stable.")


class Model:
    """What research asks of the `LanguageModel` port: gives this answer, or fails for this reason.

    Attributes:
        asked: What it was given, one text a call.
    """

    name = "small"

    def __init__(self, answer: object = None, *, failure: str = "") -> None:
        self.asked: list[str] = []
        self._answer = answer
        self._failure = failure

    def decide(self, instructions: str, text: str, shape: type[S], *, max_tokens: int) -> S:
        assert instructions
        assert max_tokens
        self.asked.append(text)
        if self._failure:
            raise ModelError("told to fail", reason=self._failure)
        return msgspec.convert(self._answer, shape)


def planned(number: int = 0, *plan: Subquestion, **given: Any) -> SubquestionPlanned:
    question = given.pop("question", "sorting and heaps")
    return SubquestionPlanned(question=question, plan=plan or (SORTING, HEAPS), number=number, **given)


def sources(number: int, *passages: Passage, plan: Sequence[Subquestion] = (), **given: Any) -> SourcesFound:
    return SourcesFound(planned=planned(number, *plan, **given), passages=passages)


def collected(*findings: tuple[Passage, int], **given: Any) -> FindingsCollected:
    values: dict[str, Any] = {
        "question": "sorting and heaps",
        "plan": (SORTING, HEAPS),
        "findings": tuple(Finding(passage=each, subquestion=number) for each, number in findings),
        "searched": (0, 1),
    }
    return FindingsCollected(**(values | given))


def draft(*statements: tuple[str, int, str], of: FindingsCollected | None = None, **given: Any) -> DraftWritten:
    """Statements as text, sub-question and passage."""
    return DraftWritten(
        collected=(of or collected((LIST, 0), (HEAP, 1))).without_texts(),
        statements=tuple(Statement(text=text, subquestion=part, passage=id_) for text, part, id_ in statements),
        considered=given.pop("considered", len(statements)),
        **given,
    )


def cited(*lines: tuple[str, str], of: FindingsCollected | None = None) -> SourcesCited:
    references = tuple(Reference(passage=passage, line=line) for passage, line in lines)
    return SourcesCited(collected=(of or collected((LIST, 0), (HEAP, 1))).without_texts(), references=references)
