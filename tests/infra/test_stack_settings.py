"""A stack file is read whole or refused whole, with everything that is wrong with it at once."""

import json
import math
from collections.abc import Iterator, Mapping
from contextlib import suppress
from pathlib import Path
from typing import Any

import pulumi
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pulumi import runtime
from pulumi.runtime import configure, set_all_config

import infra.reading
from functions.errors import TroupeError
from functions.runtime.topology import topology
from functions.workflows.catalog import WORKFLOWS
from infra import rules
from infra.naming import Names
from infra.reading import read
from infra.settings import Settings, SettingsError, key_of, schema

NAMES = Names(project="troupe", stack="dev")
SECRETS = {"api-keys": "troupe/dev/api-keys", "vectors": "troupe/dev/vectors"}
#: What every stack has to say: who may ask, and where vectors are reached.
LEAST: Mapping[str, object] = {"secrets": SECRETS, "network": {"vpc": True}}
KEY = "sk-live4242424242424242"
OPENAI = {"kind": "openai", "id": "gpt-5-mini", "url": "https://api.example.com/v1"}
TOKENS = {"auth": "jwt", "issuer": "https://login.example.com/", "audience": ["troupe"]}


def reading(**changes: object) -> Settings:
    return read({**LEAST, **changes}, NAMES)


def refused(names: Names = NAMES, **changes: object) -> list[str]:
    with pytest.raises(SettingsError) as caught:
        read({**LEAST, **changes}, names)
    return caught.value.problems


def only_refused(**changes: object) -> str:
    problems = refused(**changes)
    assert len(problems) == 1, problems
    return problems[0]


def test_a_file_that_says_the_least_is_a_stack() -> None:
    assert reading().secrets == SECRETS


def test_every_setting_of_a_file_is_read() -> None:
    found = reading(
        region="us-east-1",
        agents={"retriever": {"memoryMb": 2048, "timeoutSeconds": 60, "concurrency": 20, "warm": 2}},
        delivery={"attempts": 4, "backoffMinSeconds": 0.5, "backoffMaxSeconds": 30, "maxAgeSeconds": 600},
        logRetentionDays=365,
        model={"kind": "bedrock", "id": "some-model", "usdPerMillion": [0.1, 0.4]},
    )
    assert (found.region, found.log_retention_days, found.delivery.backoff_min_s) == ("us-east-1", 365, 0.5)
    assert (found.agents["retriever"].memory_mb, found.agents["retriever"].timeout_s) == (2048, 60)
    assert found.model is not None
    assert found.model.usd_per_million == (0.1, 0.4)


def test_what_is_kept_warm_is_what_somebody_waits_for_unless_an_agent_says_otherwise() -> None:
    found = reading(
        warm=1, agents={"planner": {"warm": 0}, "validator": {"snapStart": True}, "editor": {"memoryMb": 256}}
    )
    warm = {name for name, agent in found.agents.items() if agent.warm}
    assert {"retriever", "editor", "response_builder"} <= warm
    assert not {"planner", "validator", "ingester", "caller"} & warm
    assert found.agents["editor"].memory_mb == 256
    assert not reading(warm=1, workflows=["ingest"]).agents


def test_what_calls_actions_is_kept_warm_where_there_are_any(root: Path) -> None:
    (root / "actions.toml").write_text(NOTE)
    assert reading(warm=1, actions="actions.toml").agents["caller"].warm == 1


def test_keys_are_written_in_one_style() -> None:
    assert [key_of(each) for each in ("memory_mb", "timeout_s", "vpc")] == ["memoryMb", "timeoutSeconds", "vpc"]


# ------------------------------------------------------------------------------------------- every rule

OTHER_ARN = "arn:aws:secretsmanager:us-east-1:123456789012:secret:keys-AbCdEf"
PROFILES = "arn:aws:bedrock:eu-central-1:123456789012"
ELSEWHERE = PROFILES.replace("eu-central-1", "us-east-1")
NOTE = '[actions.note]\nurl = "http://10.0.0.5/notes"\nallow = ["10.0.0.5"]\nprivate = ["10.0.0.5"]\n'
RULES: list[tuple[str, dict[str, object], str]] = [
    ("a key that is none", {"reigon": "eu-west-1"}, "troupe:reigon is unknown: did you mean region?"),
    ("a number out of its range", {"agents": {"planner": {"memoryMb": 64}}}, "is 64: give a whole number from 128"),
    ("a text for a number", {"logRetentionDays": "long"}, "troupe:logRetentionDays is 'long': give one of 1, 3, 5"),
    ("days that CloudWatch does not know", {"logRetentionDays": 31}, "is 31: give one of 1, 3, 5"),
    ("a number that is none", {"budget": {"usdPerRequest": math.nan}}, "budget.usdPerRequest is NaN: give a number"),
    ("a number that no function could hold", {"budget": {"usdPerRequest": 10**400}}, "give a number above 0"),
    ("a text with the end of its line", {"encryption": "stack\n"}, "in one line"),
    ("a secret of several lines", {"secrets": {**SECRETS, "model": "-----BEGIN\nkey"}}, "give the name or ARN"),
    ("a cloud that is not there", {"cloud": "gcp"}, "troupe:cloud is 'gcp': give one of aws"),
    ("a state machine", {"orchestration": "state-machine"}, "give events: the state machine is not there yet"),
    ("a region that is none", {"region": "eu-centrl-1"}, "region is 'eu-centrl-1': did you mean eu-central-1?"),
    ("a workflow that is none", {"workflows": ["answer", "ingest", "resarch"]}, "did you mean research?"),
    ("a workflow twice", {"workflows": ["answer", "ingest", "answer"]}, "names answer twice"),
    ("no workflow", {"workflows": []}, "give a list with something in it"),
    ("ingest without its workflow", {"workflows": ["answer"]}, "ingest is true, and the workflow ingest is not"),
    ("an agent that is none", {"agents": {"retreiver": {}}}, "did you mean retriever?"),
    (
        "an agent that is not deployed",
        {"workflows": ["ingest"], "agents": {"planner": {}}},
        "agents.planner is no agent of a deployed workflow",
    ),
    (
        "more warm than at work",
        {"agents": {"planner": {"warm": 5, "concurrency": 4}}},
        "agents.planner.warm is 5, more than the 4",
    ),
    (
        "warm from a snapshot",
        {"agents": {"planner": {"warm": 1, "snapStart": True}}},
        "agents.planner.snapStart is true beside warm",
    ),
    ("a Python whose C library is too old", {"runtime": "python3.11"}, "runtime is 'python3.11'"),
    (
        "a wait that ends before it begins",
        {"delivery": {"backoffMinSeconds": 9, "backoffMaxSeconds": 3}},
        "delivery.backoffMinSeconds is 9, more than backoffMaxSeconds, 3",
    ),
    ("a first wait above an agent's longest", {"delivery": {"backoffMinSeconds": 90}}, "give backoffMaxSeconds too"),
    ("a longest wait below an agent's first", {"delivery": {"backoffMaxSeconds": 1.5}}, "at least of caller"),
    ("an age below a minute", {"delivery": {"maxAgeSeconds": 30}}, "give a number from 60 to 86,400"),
    ("a collection that is none", {"collections": {"document": {}}}, "did you mean documents?"),
    ("an encoder that is none", {"collections": {"documents": {"encoder": "ada"}}}, "give one of minilm, minilm-8bit"),
    ("a key that is no key", {"encryption": "mine"}, "encryption is 'mine': give e.g. aws or stack or arn:aws:kms"),
    (
        "a key of another region",
        {"encryption": "arn:aws:kms:us-east-1:123456789012:key/0a-1b"},
        "encryption is a key of another region",
    ),
    ("a secret of no purpose", {"secrets": {**SECRETS, "modle": "troupe/dev/model"}}, "did you mean model?"),
    ("a secret in plain text", {"secrets": {**SECRETS, "model": KEY}}, "secrets.model looks like the secret itself"),
    ("a key as a tag", {"costCentre": KEY}, "costCentre holds what looks like a key"),
    ("a key as an audience", {"api": {**TOKENS, "audience": [KEY]}}, "api.audience holds what looks like a key"),
    (
        "a key in the path of a URL",
        {"vectors": {"kind": "url", "url": f"http://10.0.0.7/{KEY}/v1"}},
        "vectors.url holds what looks like a key",
    ),
    ("a UUID as a secret", {"secrets": {**SECRETS, "model": "0d6e4079-e367-4a2c-9e6c-7d51b0a3f1aa"}}, "looks like"),
    ("a password as a secret", {"secrets": {**SECRETS, "model": "correct horse battery"}}, "is no name of a secret"),
    ("a secret of another region", {"secrets": {**SECRETS, "model": OTHER_ARN}}, "model is of another region"),
    ("an ARN of something else", {"secrets": {**SECRETS, "model": "arn:aws:s3:::bucket"}}, "but of no secret"),
    ("a secret that is a number", {"secrets": {**SECRETS, "model": 424242}}, "secrets.model is not what is expected"),
    ("what Pulumi encrypted", {"model": {**OPENAI, "id": {"secure": "v1:abc"}}}, "holds a value that Pulumi encrypted"),
    ("no key for callers", {"secrets": {"vectors": "v"}}, "secrets.api-keys is not set"),
    ("personal data without a key", {"personalData": "vault"}, "secrets.personal is not set"),
    ("tokens of nobody", {"api": {**TOKENS, "issuer": ""}}, "api.issuer is not set, and api.auth is jwt"),
    ("tokens for nobody", {"api": {**TOKENS, "audience": []}}, "api.audience is not set, and api.auth is jwt"),
    ("tokens in the clear", {"api": {**TOKENS, "issuer": "http://login.example.com"}}, "issuer is no https URL"),
    ("an issuer for keys", {"api": {"issuer": "https://login.example.com"}}, "leave it out, or choose jwt"),
    (
        "a WebSocket that nobody could open",
        {"api": TOKENS, "secrets": {"vectors": "v"}},
        "api.websocket is true, and API Gateway reads tokens for the HTTP API alone",
    ),
    ("every page", {"api": {"origins": ["*"]}}, "has '*', which is no page's origin"),
    ("a page as no browser writes it", {"api": {"origins": ["https://App.example.com"]}}, "which is no page's origin"),
    (
        "a password of an issuer",
        {"api": {**TOKENS, "issuer": "https://me:secret@login.example.com/"}},
        "api.issuer is no https URL of host and path alone",
    ),
    ("tokens for an empty name", {"api": {**TOKENS, "audience": [""]}}, "give a text with something in it"),
    ("a claim without a name", {"api": {"tenantClaim": ""}}, "api.tenantClaim is '': give a text with something in it"),
    ("a page in the clear", {"api": {"origins": ["http://app.example.com"]}}, "which is no page's origin"),
    ("a page with a path", {"api": {"origins": ["https://app.example.com/x"]}}, "which is no page's origin"),
    ("a network that is none", {"network": {"vpc": True, "cidr": "300.1.1.1/16"}}, "which is no network"),
    ("a network of one machine", {"network": {"vpc": True, "cidr": "127.0.0.0/16"}}, "which is not private"),
    ("a network without a router", {"network": {"vpc": True, "cidr": "169.254.0.0/16"}}, "which is not private"),
    ("a network of strangers", {"network": {"vpc": True, "cidr": "8.8.0.0/16"}}, "which is not private"),
    (
        "a gateway of no network",
        {"network": {"nat": True}, "vectors": {"kind": "url", "store": "pinecone"}},
        "network.nat is true, and functions stand in no network",
    ),
    ("a network without a way to AWS", {"network": {"vpc": True, "endpoints": False}}, "network.endpoints is false"),
    ("a server without a network", {"network": {}}, "vectors.kind is self-hosted, and functions stand in no network"),
    ("a server of another product", {"vectors": {"store": "weaviate"}}, "the stack's own server is Qdrant"),
    (
        "a store that no function can speak to",
        {"vectors": {"store": "milvus"}},
        "give one of pinecone, qdrant, weaviate",
    ),
    ("a server with a URL", {"vectors": {"url": "https://q.example.com"}}, "and kind is self-hosted: leave it out"),
    ("a store without a URL", {"vectors": {"kind": "url"}}, "vectors.url is not set: give the service's URL"),
    (
        "a password in a URL",
        {"vectors": {"kind": "url", "url": "https://me:secret@q.example.com"}},
        "vectors.url holds a user or a password: put the key into the secret that troupe:secrets.vectors names",
    ),
    (
        "a key in a URL",
        {"vectors": {"kind": "url", "url": "https://q.example.com?api_key=x"}},
        "vectors.url holds a key in its query",
    ),
    ("a key in the clear", {"vectors": {"kind": "url", "url": "http://q.example.com"}}, "use https"),
    (
        "a store in a network of nobody's",
        {"network": {}, "vectors": {"kind": "url", "url": "http://10.20.0.7:6333"}},
        "vectors.url is of a private network, and functions stand in none: give network.vpc",
    ),
    (
        "a store that is not reached",
        {"vectors": {"kind": "url", "url": "https://q.example.com"}},
        "vectors.url is outside the stack's network, and functions do not reach it from there: give network.nat",
    ),
    ("Pinecone out of reach", {"vectors": {"kind": "url", "store": "pinecone"}}, "is pinecone, and functions do not"),
    (
        "Pinecone without a key",
        {"network": {}, "secrets": {"api-keys": "k"}, "vectors": {"kind": "url", "store": "pinecone"}},
        "Pinecone needs a key",
    ),
    ("a model of no kind", {"model": {"id": "gpt-5-mini"}}, "model.kind is not set: give one of bedrock, openai"),
    ("any model", {"model": {"kind": "bedrock", "id": "*", "usdPerMillion": [1, 1]}}, "model.id is '*': give the id"),
    (
        "an application's profile",
        {"model": {"kind": "bedrock", "id": f"{PROFILES}:application-inference-profile/a1", "usdPerMillion": [1, 1]}},
        "not of an application's",
    ),
    (
        "a profile of another region",
        {"model": {"kind": "bedrock", "id": f"{ELSEWHERE}:inference-profile/us.some", "usdPerMillion": [1, 1]}},
        "model.id is of another region than eu-central-1",
    ),
    (
        "a price that functions would not read",
        {"model": {"kind": "bedrock", "id": "some-model", "usdPerMillion": [1_000_000, 0]}},
        "model.usdPerMillion.0 is 1000000: give a number from 0 to 999,999",
    ),
    ("a model of Bedrock by URL", {"model": {**OPENAI, "kind": "bedrock"}}, "Bedrock is found without one"),
    (
        "a model without a price",
        {"model": {"kind": "bedrock", "id": "some-model"}},
        "model.usdPerMillion is not set, and no price is known for 'some-model'",
    ),
    (
        "a model that is not reached",
        {"model": OPENAI, "secrets": {**SECRETS, "model": "troupe/dev/model"}},
        "model.url is outside the stack's network",
    ),
    (
        "a model without a key",
        {"model": OPENAI, "network": {"vpc": True, "nat": True}},
        "secrets.model is not set, and a model by URL needs a key",
    ),
    ("a file of actions that is not there", {"actions": "no-such.toml"}, "which is no TOML file of this project"),
    ("a file of actions elsewhere", {"actions": "../../../../etc/hosts"}, "troupe:actions is"),
    ("a budget that nobody hears of", {"budget": {"usdPerMonth": 100}}, "give alarms.email"),
    ("an address that is none", {"alarms": {"email": "me"}}, "give e.g. oncall@example.com"),
    ("a canary of everything", {"canary": {"percent": 100}}, "give a whole number from 0 to 99"),
    ("a policy that is none", {"permissionsBoundary": "bound"}, "give e.g. arn:aws:iam::123456789012:policy/bound"),
]


@pytest.mark.parametrize(("changes", "said"), [each[1:] for each in RULES], ids=[each[0] for each in RULES])
def test_a_wrong_setting_is_refused_with_what_to_do(changes: dict[str, object], said: str) -> None:
    assert said in only_refused(**changes)


def test_what_only_looks_wrong_is_taken() -> None:
    reading(
        region="eu-west-1",
        secrets={**SECRETS, "model": "prod/model-key_v2", "personal": OTHER_ARN.replace("us-east", "eu-west")},
        model={**OPENAI, "url": "http://models.internal/v1", "id": "llama", "usdPerMillion": [0, 0]},
        vectors={"kind": "url", "url": "http://10.20.0.7:6333"},
        delivery={"backoffMaxSeconds": 2},
        api={"origins": ["http://localhost:5173", "https://app.example.com"]},
        personalData="forget",
    )


def test_what_is_random_and_no_key_is_taken_where_ids_are_usual() -> None:
    tenant = "0d6e4079-e367-4a2c-9e6c-7d51b0a3f1aa"
    issuer = f"https://login.microsoftonline.com/{tenant}/v2.0"
    reading(
        api={**TOKENS, "issuer": issuer, "audience": ["3n4b5urk1ft4fl3mg5e62d9ado", tenant]},
        vectors={"kind": "url", "url": f"http://{tenant}.internal:6333"},
        encryption=f"arn:aws:kms:eu-central-1:123456789012:key/{tenant}",
        costCentre="sk-marketing",
    )


def test_beside_tokens_a_stack_names_the_keys_of_its_websocket() -> None:
    assert reading(api=TOKENS).api.websocket
    assert not reading(api={**TOKENS, "websocket": False}, secrets={"vectors": "v"}).api.websocket


@pytest.mark.parametrize(
    "name",
    [
        *("amazon.nova-micro-v1:0", "eu.amazon.nova-micro-v1:0", f"{PROFILES}:inference-profile/eu.amazon.nova-v1:0"),
        *("arn:aws:bedrock:eu-central-1::foundation-model/amazon.nova-v1:0", f"{PROFILES}:imported-model/a1b2"),
    ],
)
def test_a_model_of_bedrock_has_an_id_or_an_arn(name: str) -> None:
    reading(model={"kind": "bedrock", "id": name, "usdPerMillion": [1, 1]})


def test_a_store_on_the_machine_of_an_emulator_needs_no_network() -> None:
    reading(network={}, vectors={"kind": "url", "url": "http://127.0.0.1:6333"})


def test_a_model_near_by_needs_no_key() -> None:
    reading(model={**OPENAI, "url": "http://models.internal/v1"})


def test_names_that_aws_would_refuse_are_told_before_anything_is_made() -> None:
    problems = refused(Names(project="troupe", stack="a-stack-whose-name-is-much-longer-than-need-be"))
    assert any("response-builder" in each and "Lambda function takes 64" in each for each in problems)
    assert any("is no name for a bucket" in each for each in refused(Names(project="troupe", stack="Dev_1")))


def test_workflows_whose_names_are_longer_than_their_tag_are_refused() -> None:
    many = Settings(workflows=tuple(f"a_workflow_number_{number:02}" for number in range(13)))
    assert any("the tag that lists them takes 256" in each.what for each in rules.problems(many, NAMES))
    few = Settings(workflows=many.workflows[:12])
    assert not any("the tag that lists them" in each.what for each in rules.problems(few, NAMES))


@pytest.mark.parametrize("names", ["infra.aws.limits.SERVICES", "infra.rules._TAKEN"])
def test_an_agent_called_like_a_part_of_every_stack_is_refused(names: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(names, ("planner",))
    assert "have an agent planner, as a part of every stack is called" in only_refused()


def test_the_server_of_the_stack_needs_no_key_from_anybody() -> None:
    assert reading(secrets={"api-keys": "troupe/dev/api-keys"}).vectors.kind == "self-hosted"


@pytest.mark.parametrize("wrong", ["abc", "G" * 64, "a" * 63])
def test_the_sha256_of_a_release_has_64_digits(wrong: str) -> None:
    assert "vectors.releaseSha256" in only_refused(vectors={"releaseSha256": wrong})
    assert reading(vectors={"releaseSha256": "a" * 64}).vectors.release_sha256 == "a" * 64


@pytest.fixture
def root(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setattr("infra.called.ROOT", tmp_path)
    return tmp_path


def test_actions_that_need_secrets_or_the_internet_are_refused_without(root: Path) -> None:
    (root / "actions.toml").write_text(
        '[actions.note]\nurl = "https://api.example.org/notes"\nheaders = { Authorization = "Bearer secret:NOTES" }\n'
    )
    reached, referred = refused(actions="actions.toml")
    assert "actions calls servers outside the stack's network" in reached
    assert "secrets.actions is not set, and actions.toml refers to secrets" in referred
    network = {"vpc": True, "nat": True}
    reading(actions="actions.toml", network=network, secrets={**SECRETS, "actions": "troupe/dev/actions"})


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ('[actions.note]\nurl = "https://x.example.org"\nheaders = { Authorization = "Bearer abc" }\n', "plain sight"),
        ('[actions.note]\nurl = "https://x.example.org:99999"\n', "actions.note.url is no URL"),
        ("actions = 3\n", "actions is no table of actions"),
    ],
)
def test_a_file_of_actions_that_functions_would_refuse_is_refused(root: Path, text: str, said: str) -> None:
    (root / "actions.toml").write_text(text)
    problem = only_refused(actions="actions.toml")
    assert said in problem
    assert "Bearer" not in problem


def test_actions_outside_the_project_are_refused(root: Path) -> None:
    outside = root.parent / f"{root.name}.toml"
    outside.write_text(NOTE)
    assert "actions is outside the project" in only_refused(actions=f"../{outside.name}")


def test_actions_are_named_from_the_root_of_the_project_as_functions_find_them(root: Path) -> None:
    inside = root / "actions.toml"
    inside.write_text(NOTE)
    assert "not named from its root" in only_refused(actions=str(inside))
    assert "not named from its root" in only_refused(actions=f"../{root.name}/actions.toml")


def test_actions_of_a_project_behind_a_link_are_in_it(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "project").mkdir()
    (tmp_path / "project" / "actions.toml").write_text(NOTE)
    (tmp_path / "link").symlink_to(tmp_path / "project")
    monkeypatch.setattr("infra.called.ROOT", tmp_path / "link")
    assert reading(actions="actions.toml").actions == "actions.toml"


# ------------------------------------------------------------------------------------------- all at once


def everything_wrong() -> dict[str, object]:
    """Every key of a file with a value that it cannot have."""
    wrong: dict[str, object] = {key: ["wrong"] for key in schema()["properties"]}
    return {**wrong, "workflows": "wrong", "agents": "wrong", "reigon": "wrong"}


def test_a_file_with_every_key_wrong_gives_one_list_with_all_of_them() -> None:
    given = everything_wrong()
    problems = refused(**given)
    assert sorted(each.removeprefix("troupe:").split()[0] for each in problems) == sorted(given)
    assert all(": " in each for each in problems)


def test_every_setting_inside_is_told_too() -> None:
    inside = {
        section: {key: [[]] for key in schema()["$defs"][name]["properties"]}
        for section, name in (
            *(("delivery", "DeliverySettings"), ("budget", "BudgetSettings"), ("network", "NetworkSettings")),
            *(("model", "ModelSettings"), ("vectors", "VectorSettings"), ("api", "ApiSettings")),
            *(("alarms", "AlarmSettings"), ("canary", "CanarySettings")),
        )
    }
    inside["agents"] = {"planner": {key: [[]] for key in schema()["$defs"]["AgentSettings"]["properties"]}}
    told = {each.removeprefix("troupe:").split()[0].partition("[")[0] for each in refused(**inside)}
    expected = {f"{section}.{key}" for section, keys in inside.items() if section != "agents" for key in keys}
    expected |= {f"agents.planner.{key}" for key in inside["agents"]["planner"]}  # type: ignore[attr-defined]
    assert expected <= {each.removesuffix(".0") for each in told}


def test_what_hangs_on_a_value_that_could_not_be_read_is_not_told() -> None:
    assert "network.vpc is 'yes': give true or false" in only_refused(network={"vpc": "yes"})
    assert "vectors.kind is 'qdrant'" in only_refused(vectors={"kind": "qdrant"}, network={})


def test_no_secret_is_ever_in_the_error() -> None:
    given = everything_wrong() | {
        "modelKey": KEY,
        KEY: 1,
        "region": KEY,
        "secrets": {"model": KEY, "vectors": [KEY], KEY: KEY},
        "vectors": {"kind": "url", "url": f"https://user:{KEY}@q.example.com/?key={KEY}"},
        "model": {**OPENAI, "url": f"https://q.example.com/?token={KEY}", "id": KEY},
        "collections": {KEY: {}},
        "agents": {KEY: {}},
    }
    assert KEY not in "\n".join(refused(**given))


# ------------------------------------------------------------------------------------------- any values

values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=12) | st.dates(),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=8) | st.integers(), inner, max_size=3),
    max_leaves=6,
)
TEXTS = [
    *("eu-central-1", "aws", "stack", "https://x.example.com", "https://u:p@[", "http://h:99999", "gpt-5-mini"),
    *(KEY, "pyproject.toml", "../x", "10.0.0.0/16", "a@b.c", "\0", "troupe"),
]
BY_NAME = st.sampled_from(["retriever", "documents", "model", "api-keys", "vectors", "no-such"]) | st.text(max_size=5)


def of(part: Mapping[str, Any]) -> st.SearchStrategy[object]:
    """Values that are near to what a part of the schema takes, and some that are not."""
    return st.one_of(near(part), near(part), near(part), values)


def near(part: Mapping[str, Any]) -> st.SearchStrategy[object]:
    match part:
        case {"$ref": ref}:
            return near(schema()["$defs"][ref.rpartition("/")[2]])
        case {"anyOf": several}:
            found = st.one_of([near(each) for each in several])
        case {"enum": several}:
            found = st.sampled_from(list(several))
        case {"properties": every}:
            found = st.fixed_dictionaries({}, optional={name: of(each) for name, each in every.items()})
        case {"additionalProperties": dict(each)}:
            found = st.dictionaries(BY_NAME, of(each), max_size=3)
        case {"type": "array"}:
            found = st.lists(st.sampled_from(["answer", "research", "https://a.example.org", "*", 1.5]), max_size=3)
        case {"type": "integer" | "number"}:
            found = st.integers(min_value=-5, max_value=100_000) | st.floats()
        case {"type": "boolean"}:
            found = st.booleans()
        case _:
            found = st.sampled_from(TEXTS)
    return found


@given(near(schema()).filter(lambda each: isinstance(each, dict)))
@settings(deadline=None)
def test_any_values_are_settings_or_one_error(given: Mapping[str, object]) -> None:
    with suppress(SettingsError):
        assert isinstance(read(given, NAMES), Settings)


@given(near(schema()).filter(lambda each: isinstance(each, dict)))
@settings(deadline=None)
def test_no_error_holds_a_secret(given: Mapping[str, object]) -> None:
    try:
        said = str(read({**given, "reigon": KEY}, NAMES))
    except TroupeError as error:
        said = str(error)
    assert "troupe:reigon is unknown" in said
    assert KEY not in said


# ------------------------------------------------------------------------------------------- as Pulumi hands it on


@pytest.fixture
def pulumi_runs() -> Iterator[None]:
    configure(runtime.Settings(project="troupe", stack="dev"))
    yield
    set_all_config({}, [])


GIVEN = {
    "troupe:secrets": '{"api-keys":"troupe/dev/api-keys","vectors":"troupe/dev/vectors"}',
    "troupe:network": '{"vpc":true}',
    "troupe:region": "eu-west-1",
    "troupe:protect": "true",
    "troupe:logRetentionDays": "14",
    "troupe:costCentre": "4711",
    "aws:profile": "somebody",
}


@pytest.mark.usefixtures("pulumi_runs")
def test_what_pulumi_hands_on_is_read_as_the_file_has_it() -> None:
    set_all_config(GIVEN, [])
    found = infra.reading.settings(pulumi.Config("troupe"))
    assert (found.region, found.protect, found.log_retention_days, found.cost_centre) == ("eu-west-1", True, 14, "4711")


@pytest.mark.usefixtures("pulumi_runs")
def test_every_problem_of_what_pulumi_hands_on_is_told_and_what_it_decrypted_is_not_read() -> None:
    set_all_config({**GIVEN, "troupe:secrets": f'{{"model":"{KEY}"}}', "troupe:reigon": "x"}, ["troupe:secrets"])
    with pytest.raises(SettingsError) as caught:
        infra.reading.settings(pulumi.Config("troupe"))
    reigon, secrets = caught.value.problems
    assert "troupe:reigon is unknown" in reigon
    assert "troupe:secrets holds a value that Pulumi encrypted" in secrets
    assert KEY not in str(caught.value)


@pytest.mark.usefixtures("pulumi_runs")
def test_what_pulumi_hands_on_in_the_environment_is_read_too(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PULUMI_CONFIG", json.dumps({**GIVEN, "troupe:model": f'{{"kind":"openai","url":"{KEY}"}}'}))
    monkeypatch.setenv("PULUMI_CONFIG_SECRET_KEYS", '["troupe:model"]')
    with pytest.raises(SettingsError) as caught:
        infra.reading.settings(pulumi.Config("troupe"))
    assert ["troupe:model holds a value that Pulumi encrypted" in each for each in caught.value.problems] == [True]
    assert KEY not in str(caught.value)


def test_the_plans_of_a_stack_are_those_of_its_workflows() -> None:
    assert rules.plans(reading()).keys() == topology(*WORKFLOWS.values()).keys()
    assert rules.plans(reading(workflows=["ingest"])).keys() == {"ingest"}
