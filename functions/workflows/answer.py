"""Answers a message from the documents: plan, search in parallel, validate, summarize, build the response.

What asks for research goes the way of the `research` workflow, through the same agents.
"""

from functions.agents.action import action
from functions.agents.caller import caller
from functions.agents.citation import citation
from functions.agents.collector import collector
from functions.agents.editor import editor
from functions.agents.orchestrator import orchestrator
from functions.agents.planner import planner
from functions.agents.researcher import researcher
from functions.agents.response_builder import response_builder
from functions.agents.retriever import retriever
from functions.agents.searcher import searcher
from functions.agents.summarizer import summarizer
from functions.agents.synthesizer import synthesizer
from functions.agents.validator import validator
from functions.events.answer import QuestionAsked, ResponseReady, UserMessage
from functions.runtime.workflow import Workflow

answer = Workflow(
    name="answer",
    agents=(
        *(orchestrator, planner, retriever, validator, action, caller, summarizer, response_builder),
        *(researcher, searcher, collector, citation, synthesizer, editor),
    ),
    entry=UserMessage,
    answer=ResponseReady,
    bounds={QuestionAsked: 2},
    resources={
        "documents": "collection",
        "memories": "collection",
        "conversations": "conversations",
        "model": "model",
        "actions": "action",
    },
)
