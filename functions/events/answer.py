"""The events of the `answer` workflow: from a user's message to a response with its sources."""

from typing import Annotated, Literal

import msgspec

from functions.events.common import Passage
from functions.events.event import Event

MAX_MESSAGE_CHARACTERS = 20_000
#: Something that can be seen: not only white space, control characters and marks of no width.
READABLE = r"[^\s\u0000-\u001f\u007f-\u009f\u200b-\u200f\u2060-\u2064\ufeff]"
Text = Annotated[str, msgspec.Meta(min_length=1, max_length=MAX_MESSAGE_CHARACTERS, pattern=r"\S")]
MessageText = Annotated[str, msgspec.Meta(min_length=1, max_length=MAX_MESSAGE_CHARACTERS, pattern=READABLE)]


class Evidence(msgspec.Struct, frozen=True, kw_only=True):
    """A sentence of a source that was found to stand there.

    Attributes:
        text: The sentence.
        passage: The passage it stands in, without its text.
        position: Which sentence of the passage it is, from 0.
        support: How much of it its source says, 0 to 1.
        relevance: How much it has to do with the question, 0 to 1.
    """

    text: str
    passage: Passage
    position: int
    support: float
    relevance: float


class Validation(msgspec.Struct, frozen=True, kw_only=True):
    """What became of what was found.

    Attributes:
        evidence: What stands in its source, most relevant first.
        passages: How many passages were read.
        considered: How many sentences were looked at.
        dropped: How many had no support in their source.
        refused: The sources that were left out for giving instructions instead of facts.
        missing: Why searches failed, one entry each.
    """

    evidence: tuple[Evidence, ...] = ()
    passages: int = 0
    considered: int = 0
    dropped: int = 0
    refused: tuple[str, ...] = ()
    missing: tuple[str, ...] = ()


class ModelUse(msgspec.Struct, frozen=True, kw_only=True):
    """Whether a model was asked for something, and whether that came to anything.

    Attributes:
        name: Of the model that was asked; empty where none was.
        failed: Why what it said could not be used, as `ModelError.reason` has it; empty where it could.
    """

    name: str = ""
    failed: str = ""


NO_MODEL = ModelUse()


class UserMessage(Event):
    """A user wrote something."""

    text: MessageText


class QuestionAsked(Event):
    """There is a question to answer.

    Attributes:
        question: In the user's words.
        earlier: What the user asked before, oldest first: a follow-up refers to it.
        round: 1, and one more each time the support was too little.
        tried: The queries of earlier rounds.
        failed: Why searches of earlier rounds failed, one entry each.
        remembered: What the same message asked to be remembered; empty where it asked no such thing.
        planning: Whether a model planned the queries, in any round.
    """

    question: Text
    earlier: tuple[str, ...] = ()
    round: int = 1
    tried: tuple[str, ...] = ()
    failed: tuple[str, ...] = ()
    remembered: str = ""
    planning: ModelUse = NO_MODEL


class MemoryRequested(Event):
    """The user asked to remember something, and may have asked a question with it."""

    text: Text
    question: str = ""
    earlier: tuple[str, ...] = ()


class ActionRequested(Event):
    """The user asked for an action by its name.

    Attributes:
        action: The name.
        text: What the user wrote after it; empty where that is all.
    """

    action: str
    text: str


class ActionNotFound(Event):
    """The user asked for an action that there is none of.

    Attributes:
        action: What the user called it.
        known: The names that there are.
    """

    action: str
    known: tuple[str, ...]


class PlanCreated(Event):
    """A query of a plan; a plan of n queries is n of these."""

    asked: QuestionAsked
    query: Text


class DocsRetrieved(Event):
    """What one query found, best first."""

    asked: QuestionAsked
    query: str
    passages: tuple[Passage, ...]


class SupportLacking(Event):
    """What was found supports too little of an answer."""

    asked: QuestionAsked
    tried: tuple[str, ...]
    validation: Validation


class ValidationComplete(Event):
    """What was found is checked, and goes into the answer.

    Attributes:
        rounds: How often was searched.
        queries: What was searched for, in every round; without the searches that failed.
        remembered: What the same message asked to be remembered; empty where it asked no such thing.
        sufficient: Whether the evidence has enough to do with the question to answer it.
        question: In the user's words; empty where nothing is to be answered, since too little was found.
        earlier: What the user asked before, oldest first.
        planning: Whether a model planned the queries.
    """

    rounds: int
    queries: tuple[str, ...]
    sufficient: bool
    remembered: str = ""
    validation: Validation
    question: str = ""
    earlier: tuple[str, ...] = ()
    planning: ModelUse = NO_MODEL


class Written(msgspec.Struct, frozen=True, kw_only=True):
    """A sentence that a model wrote.

    Attributes:
        text: The sentence, without its citations.
        cited: What it cites, what supports it most first.
        support: How much of it that says, 0 to 1.
    """

    text: str
    cited: tuple[Evidence, ...]
    support: float


class AnswerReady(Event):
    """The sentences of the answer, in their order, and what they were chosen from.

    Attributes:
        sentences: The sources' own.
        written: What a model wrote from them, to be said in their place; empty where none did.
        unsupported: How many sentences a model wrote that what they cite does not say.
        writing: Whether a model was asked to write it.
    """

    complete: ValidationComplete
    sentences: tuple[Evidence, ...]
    written: tuple[Written, ...] = ()
    unsupported: int = 0
    writing: ModelUse = NO_MODEL


class ActionCompleted(Event):
    """What was asked to be done is done."""

    remembered: str


class ActionAnswered(Event):
    """What a server was asked to do is done.

    Attributes:
        action: The name.
        status: What the server answered, of HTTP; None where a person said that it is done.
        text: Of the answer.
        cut: Whether there was more of it.
    """

    action: str
    status: int | None
    text: str = ""
    cut: bool = False


class Citation(msgspec.Struct, frozen=True, kw_only=True):
    """What a number in the text stands for.

    Attributes:
        number: As it stands in the text.
        passage: The id of the passage.
        name: Of the passage.
        source: Where it was read.
        reference: The line of a bibliography that stands for it; empty where the workflow writes none.
    """

    number: int
    passage: str
    name: str
    source: str
    reference: str = ""


class CitedSentence(msgspec.Struct, frozen=True, kw_only=True):
    """A sentence of the answer, with the number of its source and how much of it that source says.

    Attributes:
        also: The numbers of other sources that it cites.
    """

    text: str
    citation: int
    support: float
    also: tuple[int, ...] = ()


class Making(msgspec.Struct, frozen=True, kw_only=True):
    """How an answer was made.

    Attributes:
        method: `extractive`: sentences chosen from the sources; `model`: written by a model from them; `action`:
            something was done, nothing was asked.
        queries: What was searched for; without the searches that failed.
        rounds: How often a plan was made for it.
        passages: How many passages were read.
        considered: How many of their sentences were looked at.
        dropped: How many had no support in their source.
        model: The name of the model that had a part in it; empty where none had.
        unsupported: How many sentences it wrote that were left out, since what they cite does not say them.
    """

    method: Literal["extractive", "action", "model"]
    queries: tuple[str, ...] = ()
    rounds: int = 0
    passages: int = 0
    considered: int = 0
    dropped: int = 0
    model: str = ""
    unsupported: int = 0


class ResponseReady(Event):
    """What the user gets.

    Attributes:
        text: The answer, with `[1]` after what the first citation says.
        citations: By number, from 1.
        sentences: The parts of the text that have a source.
        notes: What the user should know about it: what failed, what was left out.
        degraded: Whether something failed on the way, so that the answer may lack something.
    """

    text: str
    citations: tuple[Citation, ...] = ()
    sentences: tuple[CitedSentence, ...] = ()
    notes: tuple[str, ...] = ()
    degraded: bool = False
    making: Making
