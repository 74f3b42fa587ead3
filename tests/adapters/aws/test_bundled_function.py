"""What is in a function's bundle is enough: unzipped beside a bare interpreter, its handler runs."""

import json
import os
import subprocess
import sys
import zipfile
from collections.abc import Mapping
from contextlib import closing
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from aws_stack import make_bucket, make_bus, make_queue, make_table, received
from ministack import Emulator

from functions.entry_points.aws.environment import DEPLOYED, Deployed, said
from functions.events.answer import QuestionAsked, UserMessage
from functions.events.envelope import decode, encode, open_request
from functions.runtime.topology import topology
from functions.workflows.catalog import WORKFLOWS
from infra.bundle import bundles, host_target
from infra.bundling.bundles import Bundle, Bundles
from infra.settings import ModelSettings, Settings

PLANS = topology(*WORKFLOWS.values())
ROOT = Path(__file__).parents[3]

#: Reads an event from standard input, and prints what Lambda is answered.
INVOKE = """
import json, sys
sys.path[:0] = json.loads(sys.argv[1])
from functions.entry_points.aws import agent
class Context:
    def get_remaining_time_in_millis(self): return 30_000
print(json.dumps(agent.handler(json.load(sys.stdin), Context())))
"""
ENCODE = """
import json, sys
sys.path[:0] = json.loads(sys.argv[1])
from functions.entry_points.aws import agent
encoders = agent.function()._stack.encoders
print(json.dumps(len(encoders.encoder(encoders.carried[0].version).encode(["some words"])[0])))
"""
IMPORT = """
import importlib, json, sys
sys.path[:0] = json.loads(sys.argv[1])
for module in json.load(sys.stdin):
    importlib.import_module(module)
print(json.dumps(sorted({name.partition(".")[0] for name in sys.modules})))
"""

#: What an agent's capabilities import late, by the agent.
LATE = {
    "orchestrator": ["functions.adapters.actions.bound"],
    "caller": ["functions.adapters.actions.http", "httpx"],
    "planner": ["functions.adapters.models.openai_compatible"],
    "editor": [
        "functions.collections.collection",
        "functions.adapters.vectors.qdrant",
        "functions.adapters.items.catalog",
    ],
    "ingester": ["functions.documents.uploads", "bs4", "charset_normalizer", "markdown_it", "pypdf"],
    "response_builder": ["functions.personal.tokenizer", "functions.adapters.items.vault"],
}


@pytest.fixture(scope="module")
def found() -> Bundles:
    """For this machine, kept from one run to the next like those of a deploy."""
    settings = Settings(
        personal_data="vault", model=ModelSettings(kind="openai", id="some", url="https://model.invalid/v1")
    )
    return bundles(list(PLANS.values()), settings, host_target())


def unzipped(bundle: Bundle, folder: Path) -> list[str]:
    """What Lambda puts on sys.path."""
    for at, zipped in enumerate((bundle.code, *bundle.layers)):
        with zipfile.ZipFile(zipped.file) as opened:
            opened.extractall(folder / str(at))
    return [str(folder / "0"), str(folder / "1" / "python")]


def run(script: str, path: list[str], environment: Mapping[str, str], given: object) -> object:
    """In an interpreter that has its standard library and the bundle, and nothing else."""
    python = Path(sys.base_prefix) / "bin" / Path(sys.executable).name
    done = subprocess.run(  # noqa: S603 - this Python
        [python, "-I", "-S", "-B", "-c", script, json.dumps(path)],
        input=json.dumps(given),
        capture_output=True,
        text=True,
        check=False,
        env={"PATH": os.environ["PATH"], **environment},
        timeout=120,
        cwd=path[0],
    )
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout)


def deployed(agent: str, name: str, queue: str) -> Deployed:
    return Deployed(
        function=agent,
        source=name,
        workflows=("answer",),
        bus=name,
        table=name,
        bucket=name,
        queues_at=queue.removesuffix(agent),
    )


def test_a_bundled_function_delivers_an_event(emulator: Emulator, unique: str, found: Bundles, tmp_path: Path) -> None:
    queue, heard = make_queue(emulator, f"{unique}-orchestrator"), make_queue(emulator, f"{unique}-heard")
    make_table(emulator, unique)
    make_bucket(emulator, unique)
    make_bus(emulator, unique, heard, {"source": [{"prefix": f"{unique}."}]})
    environment = {**emulator.environment, DEPLOYED: said(deployed("orchestrator", unique, queue))}
    path = unzipped(found.agents["orchestrator"], tmp_path)
    assert run(INVOKE, path, environment, {"Records": [_record(emulator, queue)]}) == {"batchItemFailures": []}
    (message,) = received(emulator, heard, 1)
    assert decode(message["Body"].encode()).name == QuestionAsked.__name__


def _record(emulator: Emulator, queue: str) -> dict[str, Any]:
    now = datetime.now(UTC)
    envelope = open_request(
        UserMessage(text="How does a generator end?"),
        workflow="answer",
        planversion=PLANS["answer"].version,
        conversation="c",
        request="r",
        tenant="t",
        now=now,
        deadline=now + timedelta(minutes=5),
    )
    with closing(emulator.client("sqs")) as sqs:
        sqs.send_message(QueueUrl=queue, MessageBody=encode(envelope).decode())
        (message,) = sqs.receive_message(QueueUrl=queue, WaitTimeSeconds=5, VisibilityTimeout=600)["Messages"]
    return {
        "messageId": message["MessageId"],
        "receiptHandle": message["ReceiptHandle"],
        "body": message["Body"],
        "attributes": {"ApproximateReceiveCount": "1"},
        "messageAttributes": {},
        "eventSource": "aws:sqs",
    }


def test_a_bundled_function_that_searches_makes_vectors_from_its_layer(found: Bundles, tmp_path: Path) -> None:
    keys = {"AWS_REGION": "eu-central-1", "AWS_ACCESS_KEY_ID": "none", "AWS_SECRET_ACCESS_KEY": "none"}
    environment = {**keys, DEPLOYED: said(deployed("retriever", "some", "http://127.0.0.1:9/queue"))}
    assert run(ENCODE, unzipped(found.agents["retriever"], tmp_path), environment, None) == 384


@pytest.mark.parametrize("agent", LATE)
def test_what_a_function_imports_late_is_in_its_bundle(agent: str, found: Bundles, tmp_path: Path) -> None:
    loaded = run(
        IMPORT, unzipped(found.agents[agent], tmp_path), {}, ["functions.entry_points.aws.agent", *LATE[agent]]
    )
    assert isinstance(loaded, list)
    assert not {"boto3", "infra", "local", "ops", "tests"} & set(loaded)
