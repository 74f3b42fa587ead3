"""Decides what happens next: act, remember, search, search once more, go on with what there is, or research."""

import re
from collections.abc import Sequence
from typing import Annotated

from functions.events.answer import (
    ActionNotFound,
    ActionRequested,
    MemoryRequested,
    QuestionAsked,
    SupportLacking,
    UserMessage,
    ValidationComplete,
)
from functions.events.research import ResearchRequested
from functions.ports.actions import ActionNames
from functions.ports.conversations import Append, History
from functions.runtime.agent import Context, agent
from functions.runtime.briefs import wants_research
from functions.runtime.text import sentences

EARLIER_MESSAGES = 6
_REMEMBER = re.compile(
    r"\s*(?:please\s+)?(?:remember|memori[sz]e|keep in mind|note(?: down)?|make a note)\b(?:\s+that\b|\s*[:,])?\s*",
    re.IGNORECASE,
)
_ACTION = re.compile(r"\s*/([A-Za-z][A-Za-z0-9_-]*)(?:\s+(.*))?", re.DOTALL)


@agent(memory_mb=256, timeout_s=10)
def orchestrator(
    event: UserMessage | SupportLacking,
    *,
    history: Annotated[History, "conversations"],
    conversation: Annotated[Append, "conversations"],
    actions: Annotated[ActionNames, "actions"] | None,
    context: Context,
) -> MemoryRequested | QuestionAsked | ValidationComplete | ResearchRequested | ActionRequested | ActionNotFound:
    """Store the message, read the history, choose the path, bound the rounds."""
    if isinstance(event, SupportLacking):
        return _next_round(event, context)
    earlier = tuple(said.text for said in history.history(limit=EARLIER_MESSAGES) if said.role == "user")
    conversation.append("user", event.text)
    if actions is not None and (command := _ACTION.fullmatch(event.text)):
        return _action(command[1], (command[2] or "").strip(), actions.names())
    to_remember, question = _asked(event.text)
    if to_remember:
        return MemoryRequested(text=to_remember, question=question, earlier=earlier)
    if wants_research(question):
        return ResearchRequested(question=question, earlier=earlier)
    return QuestionAsked(question=question, earlier=earlier)


def _next_round(event: SupportLacking, context: Context) -> QuestionAsked | ValidationComplete:
    if context.may(QuestionAsked):
        return QuestionAsked(
            question=event.asked.question,
            earlier=event.asked.earlier,
            round=event.asked.round + 1,
            tried=event.tried,
            failed=event.validation.missing,
            remembered=event.asked.remembered,
            planning=event.asked.planning,
        )
    return ValidationComplete(
        rounds=event.asked.round,
        queries=event.tried,
        sufficient=False,
        remembered=event.asked.remembered,
        validation=event.validation,
        planning=event.asked.planning,
    )


def _action(name: str, text: str, known: Sequence[str]) -> ActionRequested | ActionNotFound:
    """Nobody guesses which action was meant."""
    if name in known:
        return ActionRequested(action=name, text=text)
    return ActionNotFound(action=name, known=tuple(known))


def _asked(text: str) -> tuple[str, str]:
    """What is to be remembered, and what is asked: one of them may be empty, not both."""
    prefix = _REMEMBER.match(text)
    if not prefix:
        return "", text.strip()
    told = text[prefix.end() :].strip()
    said = sentences(told)
    questions = [sentence for sentence in said if sentence.endswith("?")]
    if not questions:
        return (told, "") if told else ("", text.strip())
    facts = [sentence for sentence in said if not sentence.endswith("?")]
    return (" ".join(facts), " ".join(questions)) if facts else ("", text.strip())
