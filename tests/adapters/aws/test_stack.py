"""How a function is put together: plans with what the stack changes, capabilities, settings, and what that loads."""

import datetime as dt
import json
import subprocess
import sys
from collections.abc import Mapping
from contextlib import closing
from pathlib import Path
from typing import Any

import msgspec
import pytest
from rest_server import Answer, serving

from functions.adapters.aws.client import SQS, AwsError
from functions.collections.entries import UnknownCollectionError
from functions.entry_points.aws.agent import AgentFunction
from functions.entry_points.aws.capabilities import Capabilities
from functions.entry_points.aws.environment import DEPLOYED, ENCODER_FOLDER, Contract, Deployed, deployed, said
from functions.entry_points.aws.plans import UNKNOWN_S, Plans, current_plans
from functions.entry_points.aws.services import Services
from functions.entry_points.aws.stack import Stack, _encoder_home
from functions.errors import TroupeError
from functions.ports.capability import CAPABILITIES
from functions.runtime.agent import Backoff, spec_of
from functions.runtime.plans import frozen
from functions.runtime.topology import topology
from functions.workflows.answer import answer
from functions.workflows.catalog import WORKFLOWS

ROOT = Path(__file__).parents[3]
PLAN = topology(answer)["answer"]
NOW = dt.datetime(2026, 3, 1, 12, tzinfo=dt.UTC)


def deployment(**changes: Any) -> Deployed:
    given: dict[str, Any] = {
        "function": "orchestrator",
        "source": "troupe-test",
        "workflows": ("answer", "research"),
        "bus": "troupe-test",
        "table": "troupe-test",
        "bucket": "troupe-test-000000000000",
        "queues_at": "https://queue/",
    }
    return Deployed(**(given | changes))


def environment(given: Deployed, **settings: str) -> Mapping[str, str]:
    return {"AWS_REGION": "us-east-1", DEPLOYED: said(given), **settings}


def stack(given: Deployed, **settings: str) -> Stack:
    return Stack(environment(given, **settings), now=lambda: NOW, left_s=lambda: 10.0)


def test_a_service_opens_a_collection_without_the_key_of_personal_data_and_an_agent_does_not(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    def asked(_: Stack) -> None:
        raise PermissionError("the key was asked for")

    monkeypatch.setattr(Stack, "tokenizer", property(asked))
    settings = {
        "TROUPE_VECTOR_STORE": "qdrant",
        "TROUPE_VECTOR_URL": "http://127.0.0.1:9",
        "AWS_ACCESS_KEY_ID": "A",
        "AWS_SECRET_ACCESS_KEY": "S",
    }
    with serving() as server:
        server.script = lambda _: Answer(200, b'{"Items": []}')  # the catalog has nothing
        settings["AWS_ENDPOINT_URL"] = server.url
        keeper = stack(deployment(function="keeper"), **settings)
        with closing(keeper.aws), pytest.raises(UnknownCollectionError):
            keeper.collection("documents")
        with pytest.raises(PermissionError, match="asked for"):
            stack(deployment(function="retriever"), **settings).collection("documents")


def test_a_service_gives_up_a_call_while_its_error_can_still_be_told() -> None:
    class Context:
        def get_remaining_time_in_millis(self) -> int:
            return 500

    keys = {"AWS_ACCESS_KEY_ID": "A", "AWS_SECRET_ACCESS_KEY": "S"}
    with serving() as server:
        server.script = lambda _: Answer(hangs=True)
        found = Services(environment(deployment(function="api"), AWS_ENDPOINT_URL=server.url, **keys))
        with pytest.raises(AwsError, match=r"within 0\.(2\d*|3) s"):
            found.begun(Context()).stack.aws.call(SQS, "SendMessage", {})
        found.stack.aws.close()


# What is bound, and what that loads


def test_every_capability_is_bound() -> None:
    bound = Capabilities(stack(deployment())).bound
    assert {each.__name__ for each in CAPABILITIES} == {each.__name__ for each in bound}


#: What an agent must not wait for while its function starts.
SLOW = ("boto3", "botocore", "httpx", "msgpack", "numpy", "onnxruntime", "qdrant_edge", "cryptography", "tokenizers")


def test_an_agent_without_vectors_loads_no_sdk_and_no_library_of_vectors() -> None:
    code = (
        "import sys, json, functions.entry_points.aws.agent as module; assert module.function();"
        f"print(json.dumps([each for each in {SLOW!r} if each in sys.modules]))"
    )
    done = subprocess.run(  # noqa: S603 - this Python
        [sys.executable, "-c", code],
        cwd=ROOT,
        env=dict(environment(deployment())),
        capture_output=True,
        text=True,
        timeout=120,
        check=True,
    )
    assert json.loads(done.stdout) == []


# Plans


def test_the_stack_changes_the_contract_of_every_agent_and_the_budget_but_not_the_version() -> None:
    contract = Contract(attempts=7, backoff_min_s=2, backoff_max_s=30, max_age_s=100)
    plans = current_plans(deployment(contract=contract, budget_tokens=5, budget_micros=6), WORKFLOWS)
    assert sorted(plans) == ["answer", "research"]
    for plan in plans.values():
        assert plan.version == topology(WORKFLOWS[plan.workflow.name])[plan.workflow.name].version
        assert (plan.workflow.budget.tokens, plan.workflow.budget.micros) == (5, 6)
        for node in plan.nodes.values():
            delivery = node.spec.delivery
            assert (delivery.attempts, delivery.max_age_s) == (7, 100)
            assert delivery.backoff == Backoff(minimum_s=2, maximum_s=30)


def test_what_the_stack_does_not_say_stays_as_the_agent_says_it() -> None:
    plans = current_plans(deployment(contract=Contract(attempts=7)), WORKFLOWS)
    for agent in answer.agents:
        spec = spec_of(agent)
        found = plans["answer"].nodes[spec.name].spec
        assert found == msgspec.structs.replace(spec, delivery=msgspec.structs.replace(spec.delivery, attempts=7))
    assert plans["answer"].workflow.budget == answer.budget


@pytest.mark.parametrize(
    ("contract", "backoff"),
    [
        (Contract(backoff_min_s=500), Backoff(minimum_s=500, maximum_s=500)),
        (Contract(backoff_max_s=0.5), Backoff(minimum_s=0.5, maximum_s=0.5)),
    ],
)
def test_one_end_of_the_backoff_moves_the_other_where_it_has_to(contract: Contract, backoff: Backoff) -> None:
    plans = current_plans(deployment(contract=contract), WORKFLOWS)
    assert plans["answer"].nodes["orchestrator"].spec.delivery.backoff == backoff


def test_only_the_function_itself_has_another_time_limit() -> None:
    plans = current_plans(deployment(timeout_s=77), WORKFLOWS)
    assert plans["answer"].nodes["orchestrator"].spec.timeout_s == 77
    assert plans["answer"].nodes["planner"].spec.timeout_s == PLAN.nodes["planner"].spec.timeout_s


class Kept:
    """Plans in a bucket."""

    def __init__(self, **stored: bytes) -> None:
        self.stored = {f"answer/{version}": data for version, data in stored.items()}
        self.asked: list[str] = []
        self.error: AwsError | None = None

    def get(self, key: str) -> bytes:
        self.asked.append(key)
        if self.error:
            raise self.error
        return self.stored[key]


class Seconds:
    now = 0.0

    def __call__(self) -> float:
        return self.now


def test_current_plans_are_found_without_a_look_into_the_bucket() -> None:
    kept = Kept()
    plans = Plans({"answer": PLAN}, kept.get, Seconds())
    assert plans[PLAN.version] is PLAN
    assert list(plans) == [PLAN.version]
    assert (len(plans), kept.asked) == (1, [])


def test_an_older_plan_is_read_once_and_follows_the_limits_of_today() -> None:
    kept = Kept(v1=frozen(msgspec.structs.replace(PLAN, version="v1")))
    current = current_plans(deployment(budget_tokens=5), WORKFLOWS)
    plans = Plans(current, kept.get, Seconds())
    found = plans["v1"]
    assert plans["v1"] is found
    assert (found.version, found.workflow.name, found.workflow.budget.tokens) == ("v1", "answer", 5)
    assert kept.asked == ["answer/v1"]


def test_a_plan_that_nobody_kept_is_looked_for_again_after_a_while() -> None:
    kept, seconds = Kept(), Seconds()
    plans = Plans({"answer": PLAN}, kept.get, seconds)
    assert [plans.get("v1") for _ in range(3)] == [None] * 3
    assert kept.asked == ["answer/v1"]
    seconds.now += UNKNOWN_S + 1
    kept.stored["answer/v1"] = frozen(msgspec.structs.replace(PLAN, version="v1"))
    assert plans["v1"].version == "v1"


@pytest.mark.parametrize("version", ["", "../blobs/x", "a/b", "ü", "x" * 65])
def test_what_is_no_version_is_looked_for_nowhere(version: str) -> None:
    kept = Kept()
    assert Plans({"answer": PLAN}, kept.get, Seconds()).get(version) is None
    assert kept.asked == []


def test_an_error_is_not_taken_for_a_plan_that_nobody_kept() -> None:
    kept = Kept()
    kept.error = AwsError("s3", "", "nobody answered")
    with pytest.raises(AwsError):
        Plans({"answer": PLAN}, kept.get, Seconds()).get("v1")


@pytest.mark.parametrize("raw", [b"", b"{}", b"\xff", b'{"type": "plan.v9"}'])
def test_a_plan_that_cannot_be_followed_is_none(raw: bytes) -> None:
    assert Plans({"answer": PLAN}, Kept(v1=raw).get, Seconds()).get("v1") is None


# Settings


@pytest.mark.parametrize(
    ("given", "says"),
    [
        (deployment(function="nobody"), "no deployed workflow has the agent nobody"),
        (deployment(queues_at=""), "where the queue of orchestrator is, its settings do not say"),
        (deployment(workflows=("answer", "lost")), "no workflow lost is in this bundle"),
    ],
)
def test_an_agent_that_was_deployed_wrongly_does_not_start(given: Deployed, says: str) -> None:
    with pytest.raises(TroupeError, match=says):
        AgentFunction(environment(given))


def test_what_a_function_is_told_comes_back_as_it_was_said() -> None:
    given = deployment(timeout_s=7, contract=Contract(attempts=7), secrets={"TROUPE_MODEL_KEY": "arn"})
    assert deployed({DEPLOYED: said(given)}) == given


def test_the_key_of_the_vector_store_is_a_secret_behind_a_reference() -> None:
    with serving() as server:
        server.script = lambda _: Answer(body=b'{"SecretString": "vector-key"}')
        found = stack(
            deployment(secrets={"TROUPE_VECTOR_KEY": "arn:vector"}),
            TROUPE_VECTOR_STORE="qdrant",
            TROUPE_VECTOR_URL="http://127.0.0.1:6333",
            AWS_ENDPOINT_URL=server.url,
            AWS_ACCESS_KEY_ID="A",
            AWS_SECRET_ACCESS_KEY="S",  # noqa: S106 - of nothing
        )
        settings = found.vector_settings
        assert settings.key is not None
        assert settings.key.value() == "vector-key"
        assert settings.namespace == "troupe-test"
        found.aws.close()


def test_encoders_are_found_where_it_is_said_or_on_the_path(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "layer" / "encoders").mkdir(parents=True)
    (tmp_path / "said" / "encoders").mkdir(parents=True)
    assert _encoder_home({ENCODER_FOLDER: str(tmp_path / "said")}) == tmp_path / "said"
    monkeypatch.setattr(sys, "path", [str(tmp_path), str(tmp_path / "layer")])
    assert _encoder_home({}) == tmp_path / "layer"
    monkeypatch.setattr(sys, "path", [str(tmp_path)])
    assert _encoder_home({}) is None


def test_an_agent_looks_for_plans_of_its_own_workflows_alone() -> None:
    plans, asked = topology(*WORKFLOWS.values()), list[str]()

    def read(key: str) -> bytes:
        asked.append(key)
        raise KeyError(key)

    assert Plans(plans, read, Seconds(), "ingester").get("v1") is None
    assert asked == ["ingest/v1"]
    assert Plans(plans, read, Seconds(), "desk").get("v1") is None
    assert asked[1:] == [f"{name}/v1" for name in plans]
