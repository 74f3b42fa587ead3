"""Every workflow of this project, by name."""

from functions.runtime.workflow import Workflow
from functions.workflows.answer import answer
from functions.workflows.ingest import ingest

WORKFLOWS: dict[str, Workflow] = {workflow.name: workflow for workflow in (answer, ingest)}
