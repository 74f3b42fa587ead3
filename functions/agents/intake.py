"""Takes a request for research in: stores the message and reads what was said before."""

from typing import Annotated

from functions.events.answer import UserMessage
from functions.events.research import ResearchRequested
from functions.ports.conversations import Append, History
from functions.runtime.agent import agent

EARLIER_MESSAGES = 6


@agent(memory_mb=256, timeout_s=10)
def intake(
    message: UserMessage,
    *,
    history: Annotated[History, "conversations"],
    conversation: Annotated[Append, "conversations"],
) -> ResearchRequested:
    """Store the message, and go on with it and what the user said before."""
    earlier = tuple(said.text for said in history.history(limit=EARLIER_MESSAGES) if said.role == "user")
    conversation.append("user", message.text)
    return ResearchRequested(question=message.text.strip(), earlier=earlier)
