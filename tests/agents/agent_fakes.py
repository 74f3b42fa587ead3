"""What agents are handed here: small capabilities in memory, and short ways to write events."""

from collections.abc import Iterable, Sequence
from datetime import UTC, datetime
from typing import Any

import msgspec

from functions.events.answer import DocsRetrieved, Evidence, QuestionAsked, Validation, ValidationComplete
from functions.events.common import Passage
from functions.events.event import AgentFailed, All
from functions.ports.actions import ActionResult
from functions.ports.conversations import Message
from functions.runtime.agent import Context


class Talk:
    """A conversation: what was said in it before, and what is appended now."""

    def __init__(self, *said: tuple[str, str]) -> None:
        self.said = list(said)
        self.appended: list[tuple[str, str]] = []

    def append(self, role: str, text: str) -> None:
        self.appended.append((role, text))

    def history(self, *, limit: int = 20) -> Sequence[Message]:
        return [Message(role=role, text=text, at=datetime.now(UTC)) for role, text in self.said[-limit:]]


class Shelf:
    """A collection of one tenant: finds what it is told to, reads and stores by id."""

    def __init__(self, *passages: Passage) -> None:
        self.stored = {passage.id: passage for passage in passages}
        self.asked: list[tuple[str, int]] = []
        self.writes = 0

    def find(self, text: str, *, limit: int = 5) -> Sequence[Passage]:
        self.asked.append((text, limit))
        return sorted(self.stored.values(), key=lambda passage: -passage.score)[:limit]

    def read(self, ids: Iterable[str]) -> Sequence[Passage]:
        return [self.stored[each] for each in ids if each in self.stored]

    def upsert(self, passages: Sequence[Passage]) -> None:
        self.writes += 1
        self.stored |= {passage.id: passage for passage in passages}


def passage(text: str = "Lists are sorted in place.", **given: Any) -> Passage:
    values: dict[str, Any] = {"id": "p1", "name": "list.sort", "source": "python:builtins", "text": text, "score": 0.8}
    return Passage(**(values | given))


def found(*passages: Passage, query: str = "how are lists sorted", **asked: Any) -> DocsRetrieved:
    return DocsRetrieved(asked=QuestionAsked(**({"question": query} | asked)), query=query, passages=passages)


def joined(*parts: DocsRetrieved, failed: Iterable[str] = ()) -> All[DocsRetrieved]:
    return All(parts, [AgentFailed(agent="retriever", reason=reason) for reason in failed])


def evidence(text: str = "Lists are sorted in place.", **given: Any) -> Evidence:
    values: dict[str, Any] = {
        "text": text,
        "passage": passage(""),
        "position": 0,
        "support": 1.0,
        "relevance": 0.8,
    }
    return Evidence(**(values | given))


def complete(*kept: Evidence, **given: Any) -> ValidationComplete:
    validation = Validation(evidence=kept, passages=1, considered=len(kept), **given.pop("validation", {}))
    values: dict[str, Any] = {"rounds": 1, "queries": ("how are lists sorted",), "sufficient": bool(kept)}
    return ValidationComplete(**(values | given), validation=validation)


def context(left: int = 1) -> Context:
    return Context(key="key", left={"QuestionAsked": left})


class Actions:
    """The actions of a stack: answers each with what a test says, and keeps what was asked.

    Attributes:
        invoked: The names and texts.
    """

    def __init__(self, **answers: ActionResult) -> None:
        self.answers = answers
        self.invoked: list[tuple[str, str]] = []

    def names(self) -> Sequence[str]:
        return sorted(self.answers)

    def invoke(self, action: str, text: str) -> ActionResult:
        self.invoked.append((action, text))
        return self.answers[action]


class Model:
    """A language model that says what it is told to; an error is raised, anything else is written or decided.

    Attributes:
        told: What it was asked: instructions and text, in turn.
    """

    name = "small"

    def __init__(self, *says: Any) -> None:
        self.says = list(says)
        self.told: list[tuple[str, str]] = []

    def write(self, instructions: str, text: str, *, max_tokens: int) -> str:
        del max_tokens
        return str(self._next(instructions, text))

    def decide(self, instructions: str, text: str, shape: type[Any], *, max_tokens: int) -> Any:  # noqa: ANN401 - a double
        del max_tokens
        return msgspec.convert(self._next(instructions, text), shape)

    def _next(self, instructions: str, text: str) -> Any:  # noqa: ANN401 - what the test gave
        self.told.append((instructions, text))
        said = self.says.pop(0)
        if isinstance(said, Exception):
            raise said
        return said
