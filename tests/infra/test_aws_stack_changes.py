"""What a setting changes of a stack on AWS, and that it changes nothing else."""

import json
import re
from functools import cache
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import msgspec
import pulumi
import pytest
from recorded_stack import Recorded, dev, prod, recorded
from sample_workflows import SINGLE, Asked

from functions.entry_points.aws.environment import DEPLOYED
from functions.runtime.agent import agent
from infra.aws.secret_reference import SecretError
from infra.aws.vector_server import ARCHITECTURES, InstanceError, _architecture
from infra.settings import (
    AgentSettings,
    AlarmSettings,
    ApiSettings,
    BudgetSettings,
    CanarySettings,
    CollectionSettings,
    DeliverySettings,
    ModelSettings,
    NetworkSettings,
    Settings,
    VectorSettings,
)

SMALL = Settings(
    workflows=("ingest",),
    secrets={"api-keys": "keys", "vectors": "vectors"},
    vectors=VectorSettings(kind="url", url="https://vectors.example"),
)
IN_NETWORK: dict[str, Any] = {
    "network": NetworkSettings(vpc=True),
    "vectors": VectorSettings(),
    "secrets": {"api-keys": "keys"},
}


@cache
def small() -> Recorded:
    return recorded(SMALL)


def with_(base: Settings = SMALL, /, **changes: Any) -> Recorded:
    return recorded(msgspec.structs.replace(base, **changes))


def changed(found: Recorded, before: Recorded | None = None) -> set[tuple[str, str]]:
    """Type and name of whatever is other than it was, is new or is gone."""
    was, is_ = (before or small()).asked_for(), found.asked_for()
    urns = {urn for urn in was.keys() | is_.keys() if was.get(urn) != is_.get(urn)}
    return {(urn.split("::")[2].rpartition(":")[2], urn.rpartition("::")[2]) for urn in urns}


def test_the_same_settings_are_the_same_stack() -> None:
    assert changed(recorded(SMALL)) == set()


@pytest.mark.parametrize(
    ("agent_settings", "kinds"),
    [
        ({"memory_mb": 3008}, {"Function"}),
        ({"timeout_s": 99}, {"Function", "Queue"}),
        ({"concurrency": 7}, {"EventSourceMapping"}),
        ({"warm": 2}, {"ProvisionedConcurrencyConfig"}),
        ({"snap_start": True}, {"Function"}),
    ],
)
def test_a_setting_of_an_agent_changes_that_agent_alone(agent_settings: dict[str, Any], kinds: set[str]) -> None:
    found = changed(with_(agents={"ingester": AgentSettings(**agent_settings)}))
    assert found == {(kind, "ingester") for kind in kinds}


def test_what_a_stack_says_of_deliveries_changes_what_agents_are_told_and_their_nets() -> None:
    found = with_(delivery=DeliverySettings(attempts=9, max_age_s=7200))
    assert json.loads(found.one("Queue", "ingester").inputs["redrivePolicy"])["maxReceiveCount"] == 11
    told = json.loads(found.one("Function", "ingester").inputs["environment"]["variables"][DEPLOYED])
    assert told["contract"]["attempts"] == 9
    assert {kind for kind, _ in changed(found)} == {"Function", "Queue", "EventTarget"}


def test_retention_changes_log_groups_alone() -> None:
    assert {kind for kind, _ in changed(with_(log_retention_days=90))} == {"LogGroup"}


def test_retention_of_dead_letters_changes_nets_alone() -> None:
    found = changed(with_(dead_letter_retention_days=3))
    assert found == {("Queue", f"{name}-dead") for name in ("ingester", "desk", "pusher", "uploads")}


def test_a_budget_changes_what_functions_are_told_alone() -> None:
    found = with_(budget=BudgetSettings(usd_per_request=0.5))
    assert {kind for kind, _ in changed(found)} == {"Function"}
    told = json.loads(found.one("Function", "ingester").inputs["environment"]["variables"][DEPLOYED])
    assert told["budget_micros"] == 500_000


def test_alarms_are_there_where_somebody_wants_them() -> None:
    found = with_(alarms=AlarmSettings(email="on@call.example"), budget=BudgetSettings(usd_per_month=50))
    assert {kind for kind, _ in changed(found)} == {
        "Alarms",  # the component
        "Topic",
        "TopicPolicy",
        "TopicSubscription",
        "MetricAlarm",
        "Budget",
    }
    of_agent = {each.name for each in found.of("MetricAlarm") if each.name.startswith("ingester-")}
    assert of_agent == {f"ingester-{kind}" for kind in ("dead-letters", "oldest", "errors", "throttles")}
    topic = found.one("Topic", "alarms").urn
    assert all(topic in each.told["alarmActions"] for each in found.of("MetricAlarm"))


def test_an_alarm_waits_as_long_as_a_stack_lets_a_retry_wait() -> None:
    found = with_(alarms=AlarmSettings(), delivery=DeliverySettings(backoff_max_s=600))
    slowest = found.one("Function", "ingester").inputs["timeout"] + 600
    assert found.one("MetricAlarm", "ingester-oldest").inputs["threshold"] == slowest


def test_an_object_that_waits_for_others_is_no_alarm_before_it_was_tried_again() -> None:
    found = with_(alarms=AlarmSettings())
    queue, function = found.one("Queue", "uploads").inputs, found.one("Function", "uploads").inputs
    again = queue["visibilityTimeoutSeconds"] + function["timeout"]
    assert found.one("MetricAlarm", "uploads-oldest").inputs["threshold"] == again


def test_a_boundary_bounds_every_role() -> None:
    found = with_(**IN_NETWORK, protect=True, permissions_boundary="arn:aws:iam::123456789012:policy/bound")
    assert found.one("Role", "vectors-snapshots")
    assert {each.inputs["permissionsBoundary"] for each in found.of("Role")} == {
        "arn:aws:iam::123456789012:policy/bound"
    }


def test_protection_changes_what_holds_data() -> None:
    found = changed(with_(protect=True))
    closes = {kind for kind, name in found if kind.startswith("Bucket") and name == "blobs"}
    assert {kind for kind, _ in found} - closes == {"Table", "Queue"}
    assert closes > {"Bucket", "BucketVersioning", "BucketPublicAccessBlock", "BucketPolicy"}


def test_a_network_takes_in_the_functions_that_reach_the_vector_store() -> None:
    found = with_(**IN_NETWORK)
    inside = {each.name for each in found.of("Function") if each.inputs.get("vpcConfig")}
    assert inside == {"ingester", "api", "keeper"}
    for name in inside:  # Lambda asks for the role's rights when it makes the function
        assert found.one("RolePolicy", name).urn in found.one("Function", name).after
    gateways = {each.name for each in found.of("VpcEndpoint") if each.inputs["vpcEndpointType"] == "Gateway"}
    assert gateways == {"network-s3", "network-dynamodb"}
    assert not found.of("NatGateway")
    for endpoint in found.of("VpcEndpoint"):
        (said,) = json.loads(endpoint.inputs["policy"])["Statement"]
        assert said["Condition"] == {"StringEquals": {"aws:PrincipalAccount": "123456789012"}}


def test_a_service_by_a_private_url_is_let_out_to_at_its_port(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "actions.toml").write_text('[actions.note]\nurl = "http://10.20.9.9:8080/"\nallow = ["10.20.9.9"]\n')
    monkeypatch.setattr("infra.called.ROOT", tmp_path)
    near: dict[str, Any] = {
        "vectors": VectorSettings(kind="url", url="http://10.20.0.7:6333"),
        "model": ModelSettings(kind="openai", id="m", url="http://models.internal/v1"),
        "actions": "actions.toml",
    }
    assert let_out(with_(**IN_NETWORK | near)) == {(443, 443), (80, 80), (6333, 6333), (8080, 8080)}
    assert let_out(with_(**IN_NETWORK | near | {"network": NetworkSettings(vpc=True, nat=True)})) == {(1, 65_535)}
    assert let_out(with_(**IN_NETWORK | {"vectors": VectorSettings(kind="url", url="https://q.internal")})) == {
        (443, 443)
    }


def let_out(found: Recorded) -> set[tuple[int, int]]:
    """The ports at which functions may call what is outside their group."""
    rules = [each.inputs for each in found.of("SecurityGroupEgressRule") if each.name.startswith("network-functions")]
    return {(each["fromPort"], each["toPort"]) for each in rules}


@pytest.mark.parametrize("model", [None, ModelSettings(kind="bedrock", id="amazon.nova-micro-v1:0")])
def test_whatever_a_function_in_a_network_without_a_way_out_may_call_has_an_endpoint(
    model: ModelSettings | None,
) -> None:
    given = IN_NETWORK | {"workflows": ("answer", "research", "ingest"), "model": model}
    found = with_(**given)
    reached = {each.inputs["serviceName"].rpartition(".")[2].partition("-")[0] for each in found.of("VpcEndpoint")}
    inside = [each.name for each in found.of("Function") if each.inputs.get("vpcConfig")]
    for name in inside:
        allowed = json.loads(found.one("RolePolicy", name).inputs["policy"])["Statement"]
        called = {action.partition(":")[0] for each in allowed for action in each["Action"]}
        # Lambda sends logs and makes interfaces itself; the service that keeps something decrypts it
        assert called - {"logs", "ec2", "kms"} <= reached, name
    assert ("bedrock" in reached) == (model is not None)
    assert not found.of("NatGateway")


def test_a_nat_gateway_is_there_where_the_internet_is_wanted() -> None:
    found = with_(**IN_NETWORK | {"network": NetworkSettings(vpc=True, nat=True)})
    (gateway,) = found.of("NatGateway")
    assert found.one("Route", "network-public").urn in gateway.after
    assert found.one("Route", "network-outside").inputs["natGatewayId"]


def test_the_server_makes_its_own_key_only_if_none_is_named() -> None:
    made = with_(**IN_NETWORK)
    assert [each.name for each in made.of("Secret")] == ["vectors"]
    assert "secretsmanager:PutSecretValue" in made.one("RolePolicy", "vectors").inputs["policy"]
    named = with_(**IN_NETWORK | {"secrets": {"api-keys": "keys", "vectors": "vectors"}})
    assert not named.of("Secret")
    assert "secretsmanager:PutSecretValue" not in named.one("RolePolicy", "vectors").inputs["policy"]


def test_a_key_of_somebody_elses_is_used_and_not_made() -> None:
    key = "arn:aws:kms:eu-central-1:123456789012:key/1"
    found = with_(encryption=key)
    assert not found.of("Key")
    assert {each.inputs["kmsMasterKeyId"] for each in found.of("Queue")} == {key}


def test_tokens_are_checked_by_the_gateway_itself() -> None:
    api = ApiSettings(auth="jwt", issuer="https://issuer.example", audience=("troupe",), websocket=False)
    found = with_(api=api)
    (authorizer,) = found.of("Authorizer")
    assert authorizer.inputs["jwtConfiguration"] == {"issuer": "https://issuer.example", "audiences": ["troupe"]}
    assert found.one("Route", "api").inputs["authorizationType"] == "JWT"
    assert {"authorizer", "socket", "pusher"}.isdisjoint({each.name for each in found.of("Function")})


def test_beside_tokens_the_websocket_asks_for_a_key() -> None:
    found = with_(api=ApiSettings(auth="jwt", issuer="https://issuer.example", audience=("troupe",)))
    assert found.one("Route", "api").inputs["authorizationType"] == "JWT"
    assert found.one("Route", "api-socket-connect").inputs["authorizationType"] == "CUSTOM"
    (keys,) = [each for each in found.of("Authorizer") if each.inputs["authorizerType"] == "REQUEST"]
    assert keys.inputs["authorizerUri"].endswith("function:troupe-dev-authorizer:live")
    told = json.loads(found.one("Function", "authorizer").inputs["environment"]["variables"][DEPLOYED])
    assert told["secrets"].keys() == {"TROUPE_API_KEYS"}


def test_roles_are_checked_by_the_gateway_itself() -> None:
    found = with_(api=ApiSettings(auth="iam"))
    assert not found.of("Authorizer")
    assert found.one("Route", "api").inputs["authorizationType"] == "AWS_IAM"
    assert found.one("Route", "api-socket-connect").inputs["authorizationType"] == "AWS_IAM"


def test_a_page_that_may_call_gets_its_preflight_answered_without_a_key() -> None:
    found = with_(api=ApiSettings(origins=("https://app.example",)))
    assert found.one("Api", "api").inputs["corsConfiguration"]["allowOrigins"] == ["https://app.example"]
    (preflight,) = [each for each in found.of("Route") if each.inputs.get("routeKey", "").startswith("OPTIONS")]
    assert preflight.inputs["authorizationType"] == "NONE"


def test_another_encoder_is_another_collection_that_the_keeper_is_called_for() -> None:
    found = with_(collections={"documents": CollectionSettings(encoder="minilm-8bit")})
    before, after = (each.one("Invocation", "documents").inputs["triggers"] for each in (small(), found))
    assert before["name"] != after["name"]


def test_a_model_of_bedrock_may_be_asked_by_those_who_ask_one() -> None:
    research = msgspec.structs.replace(SMALL, workflows=("research",), ingest=False)
    found = with_(research, model=ModelSettings(kind="bedrock", id="eu.some.model"))
    asks = [each for each in found.of("RolePolicy") if "bedrock:InvokeModel" in each.inputs["policy"]]
    assert {"synthesizer", "searcher"} & {each.name for each in asks} == {"synthesizer"}
    assert "inference-profile/eu.some.model" in asks[0].inputs["policy"]
    assert "foundation-model/some.model" in asks[0].inputs["policy"]


def test_a_profile_of_bedrock_that_is_named_by_its_arn_may_ask_its_models_too() -> None:
    research = msgspec.structs.replace(SMALL, workflows=("research",), ingest=False)
    arn = "arn:aws:bedrock:eu-central-1:123456789012:inference-profile/eu.some.model"
    policy = with_(research, model=ModelSettings(kind="bedrock", id=arn)).one("RolePolicy", "synthesizer")
    allowed = next(each for each in json.loads(policy.inputs["policy"])["Statement"] if each["Sid"] == "AskModel")
    assert allowed["Resource"] == [arn, "arn:aws:bedrock:*::foundation-model/some.model"]


def test_without_the_workflow_that_reads_documents_nobody_waits_for_any() -> None:
    assert not with_(ingest=False).of("BucketNotification")


# --------------------------------------------------------------------------------------------------- canary


def test_a_first_deploy_has_no_version_before_it() -> None:
    alias = with_(canary=CanarySettings(percent=10)).one("Alias", "ingester")
    assert alias.inputs["functionVersion"] == "7"
    assert "routingConfig" not in alias.inputs


def test_a_function_whose_first_deploy_ended_before_its_alias_has_no_version_before_it() -> None:
    name = "troupe-dev-ingester"
    found = with_(canary=CanarySettings(percent=10))
    again = recorded(
        msgspec.structs.replace(SMALL, canary=CanarySettings(percent=10)),
        versions={name: "6"},
        missing=frozenset({name}),
    )
    assert again.one("Alias", "ingester").inputs == found.one("Alias", "ingester").inputs


def test_a_canary_leaves_the_version_before_in_place_and_gives_the_new_one_its_share() -> None:
    settings = msgspec.structs.replace(SMALL, canary=CanarySettings(percent=10))
    alias = recorded(settings, versions={"troupe-dev-ingester": "6"}).one("Alias", "ingester")
    assert alias.inputs["functionVersion"] == "6"
    assert alias.inputs["routingConfig"] == {"additionalVersionWeights": {"7": 0.1}}


def test_a_canary_of_code_that_did_not_change_shares_nothing() -> None:
    settings = msgspec.structs.replace(SMALL, canary=CanarySettings(percent=10))
    alias = recorded(settings, versions={"troupe-dev-ingester": "7"}).one("Alias", "ingester")
    assert alias.inputs["functionVersion"] == "7"
    assert "routingConfig" not in alias.inputs


# ----------------------------------------------------------------------------------------------- references

#: What each look-up needs; who one is, everybody may ask.
LOOKS_UP = {
    "getAlias": {"lambda:GetAlias"},
    "getAvailabilityZones": {"ec2:DescribeAvailabilityZones"},
    "getCallerIdentity": set(),
    "getFunctions": {"lambda:ListFunctions"},
    "getInstanceType": {"ec2:DescribeInstanceTypes"},
    "getParameter": {"ssm:GetParameter"},
    "getSecret": {"secretsmanager:DescribeSecret", "secretsmanager:GetResourcePolicy"},
}


def test_the_role_of_a_preview_may_look_up_what_the_program_looks_up() -> None:
    settings = msgspec.structs.replace(SMALL, canary=CanarySettings(percent=10), **IN_NETWORK)
    again = recorded(settings, versions={"troupe-dev-ingester": "6"})
    asked = {token.rpartition(":")[2] for found in (dev(), prod(), again) for token, _ in found.asked}
    assert asked == LOOKS_UP.keys()
    page = (Path(__file__).parents[2] / "docs" / "aws-pull-requests.md").read_text("utf-8")
    looks_up = page.partition('"Sid": "LookUp"')[2].partition("}")[0]
    assert set(re.findall(r'"(\w+:\w+)"', looks_up)) == set().union(*LOOKS_UP.values())


def test_an_instance_whose_start_would_wait_for_its_volume_for_ever_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    known = {
        "t4g.small": (["arm64"], "nitro"),
        "c7i.metal-24xl": (["x86_64"], ""),
        "t2.small": (["i386", "x86_64"], "xen"),
        "mac2.metal": (["arm64_mac"], ""),
    }

    def told(instance_type: str, opts: pulumi.InvokeOptions) -> SimpleNamespace:  # noqa: ARG001 - as it is called
        processors, hypervisor = known[instance_type]
        return SimpleNamespace(supported_architectures=processors, hypervisor=hypervisor)

    monkeypatch.setattr("pulumi_aws.ec2.get_instance_type", told)
    assert [_architecture(each, pulumi.InvokeOptions()) for each in ("t4g.small", "c7i.metal-24xl")] == [*ARCHITECTURES]
    for refused in ("t2.small", "mac2.metal"):
        with pytest.raises(InstanceError, match=rf"vectors\.instance is {refused}, .* e\.g\. t4g\.small"):
            _architecture(refused, pulumi.InvokeOptions())


def test_references_to_nothing_are_told_at_once() -> None:
    with pytest.raises(SecretError) as error:
        recorded(SMALL, missing=frozenset({"keys", "vectors"}))
    assert "troupe:secrets.api-keys" in str(error.value)
    assert "troupe:secrets.vectors" in str(error.value)


def test_a_reference_that_leads_nowhere_is_not_shown_since_it_may_be_a_password() -> None:
    password = msgspec.structs.replace(SMALL, secrets={**SMALL.secrets, "vectors": "hunter2-hunter2"})
    with pytest.raises(SecretError, match="couldn't find resource") as error:
        recorded(password, missing=frozenset({"hunter2-hunter2"}))
    assert "hunter2" not in str(error.value)


# ------------------------------------------------------------------------------------------ another workflow


@agent()
def watch(event: Asked) -> None: ...


def test_one_more_agent_is_its_own_resources_and_changes_no_other_agent() -> None:
    settings = msgspec.structs.replace(SMALL, workflows=("single",), ingest=False)
    before = recorded(settings, workflows=[SINGLE])
    after = recorded(settings, workflows=[msgspec.structs.replace(SINGLE, agents=(*SINGLE.agents, watch))])
    found = changed(after, before)
    own = {(kind, name) for kind, name in found if name.startswith("watch")}
    assert {"Queue", "Function", "Role", "EventRule", "EventSourceMapping"} <= {kind for kind, _ in own}
    assert not {name for _, name in found - own if name.startswith("work")}
    # the plan is another one, and whoever sweeps or erases reaches the agent's items
    assert {kind for kind, _ in found - own} <= {"BucketObjectv2", "RolePolicy", "Function"}


def test_agents_are_named_nowhere_in_the_infrastructure() -> None:
    """So that one more is one file and its name in a workflow."""
    root = Path(__file__).parents[2]
    names = {f'"{path.stem}"' for path in (root / "functions" / "agents").glob("*.py")}
    named = [file for file in (root / "infra").rglob("*.py") if any(name in file.read_text() for name in names)]
    assert named == []
