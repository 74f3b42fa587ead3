"""Reads documents that a user sent, as a request like any other: tried again, and never half forgotten."""

from functions.agents.ingester import ingester
from functions.events.ingest import DocumentsIngested, DocumentsReceived
from functions.runtime.workflow import Workflow

ingest = Workflow(
    name="ingest",
    agents=(ingester,),
    entry=DocumentsReceived,
    answer=DocumentsIngested,
    resources={"documents": "collection"},
    deadline_s=900.0,
)
