"""Answers a message from the documents: plan, search in parallel, validate, summarize, build the response."""

from functions.agents.action import action
from functions.agents.orchestrator import orchestrator
from functions.agents.planner import planner
from functions.agents.response_builder import response_builder
from functions.agents.retriever import retriever
from functions.agents.summarizer import summarizer
from functions.agents.validator import validator
from functions.events.answer import QuestionAsked, ResponseReady, UserMessage
from functions.runtime.workflow import Workflow

answer = Workflow(
    name="answer",
    agents=(orchestrator, planner, retriever, validator, action, summarizer, response_builder),
    entry=UserMessage,
    answer=ResponseReady,
    bounds={QuestionAsked: 2},
    resources={
        "documents": "collection",
        "memories": "collection",
        "conversations": "conversations",
        "model": "model",
    },
)
