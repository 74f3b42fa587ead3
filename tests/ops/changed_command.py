"""`troupe run` as the next version has it: with one more agent beside those that answer."""

import runpy
from pathlib import Path

import msgspec

from functions.events.answer import UserMessage
from functions.runtime.agent import agent
from functions.workflows.catalog import WORKFLOWS


@agent()
def watcher(event: UserMessage) -> None:
    """Watch what is asked."""


answer = WORKFLOWS["answer"]
WORKFLOWS["answer"] = msgspec.structs.replace(answer, agents=(*answer.agents, watcher))
runpy.run_path(str(Path(__file__).with_name("serving_command.py")))
