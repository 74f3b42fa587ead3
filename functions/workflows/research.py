"""Reports on a question from several sides: sub-questions searched in parallel, cited and written at once, edited."""

from functions.agents.citation import citation
from functions.agents.collector import collector
from functions.agents.editor import editor
from functions.agents.intake import intake
from functions.agents.researcher import researcher
from functions.agents.searcher import searcher
from functions.agents.synthesizer import synthesizer
from functions.events.answer import ResponseReady, UserMessage
from functions.runtime.workflow import Workflow

research = Workflow(
    name="research",
    agents=(intake, researcher, searcher, collector, citation, synthesizer, editor),
    entry=UserMessage,
    answer=ResponseReady,
    resources={
        "documents": "collection",
        "memories": "collection",
        "conversations": "conversations",
        "model": "model",
    },
    deadline_s=180.0,  # a model writes a whole report; without one it takes less than a second
)
