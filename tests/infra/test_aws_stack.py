"""What the whole of a development and of a production stack would be on AWS."""

import json
from collections.abc import Callable
from typing import Any

import msgspec
import pulumi
import pytest
from recorded_stack import ACCOUNT, ARN, Recorded, dev, prod, recorded, stack_file

from functions.adapters.vectors.qdrant import NEEDED_VERSION
from functions.entry_points.aws.environment import DEPLOYED
from functions.runtime.plans import frozen
from functions.runtime.topology import topology
from functions.workflows.catalog import WORKFLOWS
from infra.aws import grants, limits
from infra.aws.grants import Place
from infra.aws.vector_server import VERSION
from infra.naming import problems

PLANS = topology(*WORKFLOWS.values())
AGENTS = sorted({name for plan in PLANS.values() for name in plan.nodes})
Stack = Callable[[], Recorded]
NOBODY = [{"exists": False}]
STACKS = [pytest.param(dev, id="dev"), pytest.param(prod, id="prod")]
both = pytest.mark.parametrize("stack", STACKS)


def policy(of: str) -> list[dict[str, Any]]:
    statements: list[dict[str, Any]] = json.loads(of)["Statement"]
    return statements


def statement(of: str, sid: str) -> dict[str, Any]:
    return next(each for each in policy(of) if each["Sid"] == sid)


# ------------------------------------------------------------------------------------------ queues and routes


@both
def test_every_queue_is_encrypted(stack: Stack) -> None:
    queues = stack().of("Queue")
    assert len(queues) == 2 * (len(AGENTS) + 2)
    for queue in queues:
        assert queue.inputs.get("sqsManagedSseEnabled") or queue.inputs["kmsMasterKeyId"].endswith("Key/key")


@both
def test_every_route_has_both_nets(stack: Stack) -> None:
    found = stack()
    for agent in (*AGENTS, "desk", "pusher"):
        queue, dead = found.one("Queue", agent), found.one("Queue", f"{agent}-dead")
        name = dead.inputs["name"]
        redrive = json.loads(queue.inputs["redrivePolicy"])
        assert redrive["deadLetterTargetArn"].endswith(f"/{name}")
        assert redrive["maxReceiveCount"] >= 5
        allowed = json.loads(found.one("RedriveAllowPolicy", agent).inputs["redriveAllowPolicy"])
        assert allowed["sourceQueueArns"][0].endswith(f"/{queue.inputs['name']}")
        targets = [each for each in found.of("EventTarget") if each.inputs["arn"].endswith(f"/{queue.inputs['name']}")]
        assert targets
        for target in targets:
            assert target.inputs["deadLetterConfig"]["arn"].endswith(f"/{name}")
            assert target.inputs["inputPath"] == "$.detail"
            assert target.inputs["retryPolicy"]["maximumEventAgeInSeconds"] >= 60
        assert dead.inputs["messageRetentionSeconds"] > queue.inputs["messageRetentionSeconds"]


@both
def test_a_queue_hides_a_message_longer_than_its_function_runs(stack: Stack) -> None:
    found = stack()
    for agent in (*AGENTS, "desk", "pusher"):
        timeout = found.one("Function", agent).inputs["timeout"]
        assert found.one("Queue", agent).inputs["visibilityTimeoutSeconds"] == timeout + 30


@both
def test_only_a_queues_own_rules_send_to_it_and_nobody_without_tls(stack: Stack) -> None:
    found = stack()
    for each in found.of("QueuePolicy"):
        consumer = each.name.removesuffix("-dead")
        rules = {
            rule.inputs["name"] for rule in found.of("EventRule") if rule.parent == found.one("Queue", consumer).parent
        }
        sends = statement(each.inputs["policy"], "Rules")
        assert sends["Principal"] == {"Service": "events.amazonaws.com"}
        assert {arn.rpartition("/")[2] for arn in sends["Condition"]["ArnEquals"]["aws:SourceArn"]} == rules
        assert statement(each.inputs["policy"], "OnlyByTls")["Condition"] == {"Bool": {"aws:SecureTransport": "false"}}


def test_every_route_of_every_workflow_is_a_rule_and_so_is_what_is_aimed_at_an_agent() -> None:
    found = dev()
    patterns = {
        agent: [
            json.loads(rule.inputs["eventPattern"])
            for rule in found.of("EventRule")
            if rule.parent == found.one("Queue", agent).parent
        ]
        for agent in AGENTS
    }
    for name, plan in PLANS.items():
        for event, routes in plan.routes.items():
            kind = f"{event}.v{plan.events[event].version}"
            for route in routes:
                expected = {"source": [f"troupe-dev.{name}"], "detail-type": [kind], "detail": {"target": NOBODY}}
                assert expected in patterns[route.agent]
    for agent in AGENTS:
        sources = sorted(f"troupe-dev.{name}" for name, plan in PLANS.items() if agent in plan.nodes)
        assert {"source": sources, "detail": {"target": [agent]}} in patterns[agent]


def test_the_desk_hears_every_end_of_a_request_and_nothing_that_a_join_takes() -> None:
    found = dev()
    for name, plan in PLANS.items():
        ends = [f"{plan.workflow.answer.__name__}.v{plan.workflow.answer.version}", "AgentFailed.v1"]
        expected = {"source": [f"troupe-dev.{name}"], "detail-type": ends, "detail": {"target": NOBODY}}
        assert expected in [json.loads(rule.inputs["eventPattern"]) for rule in found.of("EventRule")]


# ------------------------------------------------------------------------------------------------ functions


@both
def test_every_function_has_its_own_role_and_log_group_with_retention(stack: Stack) -> None:
    found = stack()
    functions = found.of("Function")
    assert {each.name for each in functions} >= {*AGENTS, "api", "authorizer", "desk", "sweeper", "keeper", "uploads"}
    assert len({each.inputs["role"] for each in functions}) == len(functions)
    for function in functions:
        group = found.one("LogGroup", function.name)
        assert function.inputs["loggingConfig"]["logGroup"] == group.inputs["name"]
        assert function.inputs["loggingConfig"]["logFormat"] == "JSON"
        assert group.inputs["retentionInDays"] > 0
        trust = policy(found.one("Role", function.name).inputs["assumeRolePolicy"])
        assert [each["Principal"] for each in trust] == [{"Service": "lambda.amazonaws.com"}]


@both
def test_no_policy_of_a_role_has_a_wildcard_for_an_action(stack: Stack) -> None:
    for each in stack().of("RolePolicy"):
        for allowed in json.loads(each.inputs["policy"])["Statement"]:
            actions = allowed["Action"] if isinstance(allowed["Action"], list) else [allowed["Action"]]
            assert not [action for action in actions if "*" in action]


@pytest.mark.parametrize("name", AGENTS)
def test_the_policy_of_a_role_is_what_its_agents_signature_says(name: str) -> None:
    found = dev()
    arns = {each.name: f"{ARN}Queue/{each.inputs['name']}" for each in found.of("Queue")}
    group = found.one("LogGroup", name).inputs["name"]
    said = json.loads(found.one("RolePolicy", name).inputs["policy"])
    told = json.loads(found.one("Function", name).inputs["environment"]["variables"][DEPLOYED])
    secrets = {"vectors": told["secrets"]["TROUPE_VECTOR_KEY"]} if "TROUPE_VECTOR_KEY" in told["secrets"] else {}
    place = Place(
        bus=f"{ARN}EventBus/troupe-dev",
        source="troupe-dev",
        table=f"{ARN}Table/troupe-dev",
        bucket=f"arn:aws:s3:::troupe-dev-{ACCOUNT}",
        queues=arns,
        logs={name: f"{ARN}LogGroup/{group}"},
        secrets=secrets,
        in_network=True,
    )
    assert said == json.loads(json.dumps(grants.policy(grants.statements(name, list(PLANS.values()), place))))


@both
def test_whoever_calls_a_function_calls_its_alias(stack: Stack) -> None:
    found = stack()
    aliases = {
        f"function:{each.inputs['functionName']}:live" for each in found.of("Alias") if "functionName" in each.inputs
    }

    def is_alias(arn: str) -> bool:
        return any(arn.endswith(alias) for alias in aliases)

    assert all(is_alias(each.inputs["functionName"]) for each in found.of("EventSourceMapping"))
    assert all(is_alias(each.inputs["integrationUri"]) for each in found.of("Integration"))
    assert all(is_alias(each.inputs["authorizerUri"]) for each in found.of("Authorizer"))
    assert all(is_alias(each.inputs["target"]["arn"]) for each in found.of("Schedule"))
    assert all(each.inputs["qualifier"] == "live" for each in (*found.of("Permission"), *found.of("Invocation")))


@both
def test_a_mapping_takes_one_message_at_a_time_once_its_role_may_receive(stack: Stack) -> None:
    found = stack()
    mappings = found.of("EventSourceMapping")
    assert {each.name for each in mappings} == {*AGENTS, "desk", "pusher"}
    for mapping in mappings:
        assert mapping.inputs["batchSize"] == 1
        assert mapping.inputs["functionResponseTypes"] == ["ReportBatchItemFailures"]
        assert found.one("RolePolicy", mapping.name).urn in mapping.after


@both
def test_no_secret_is_in_anything_that_is_registered(stack: Stack) -> None:
    for function in stack().of("Function"):
        told = function.inputs["environment"]["variables"]
        assert not {"TROUPE_API_KEYS", "TROUPE_VECTOR_KEY", "TROUPE_MODEL_KEY"} & told.keys()
        assert all(arn.startswith("arn:") for arn in json.loads(told[DEPLOYED])["secrets"].values())


def test_a_function_is_told_of_the_secrets_and_queues_that_its_role_may_use() -> None:
    found = dev()
    for function in found.of("Function"):
        told = json.loads(function.inputs["environment"]["variables"][DEPLOYED])
        allowed = json.loads(found.one("RolePolicy", function.name).inputs["policy"])["Statement"]
        named = {resource for each in allowed for resource in each["Resource"]}
        assert set(told["secrets"].values()) <= named
        queues = {url.rpartition("/")[2] for url in told["queues"].values()}
        assert queues <= {resource.rpartition("/")[2] for resource in named}


# ----------------------------------------------------------------------------------------------------- data


@both
def test_the_bucket_is_closed_to_everybody_outside(stack: Stack) -> None:
    found = stack()
    (block,) = found.of("BucketPublicAccessBlock")
    assert {key: value for key, value in block.inputs.items() if key != "bucket"} == dict.fromkeys(
        ("blockPublicAcls", "blockPublicPolicy", "ignorePublicAcls", "restrictPublicBuckets"), True
    )
    (owned,) = found.of("BucketOwnershipControls")
    assert owned.inputs["rule"]["objectOwnership"] == "BucketOwnerEnforced"
    (allowed,) = found.of("BucketPolicy")
    assert [each["Effect"] for each in policy(allowed.inputs["policy"])] == ["Deny"]


@both
def test_only_what_deliveries_left_expires(stack: Stack) -> None:
    (rules,) = stack().of("BucketLifecycleConfiguration")
    expiring = [rule["filter"]["prefix"] for rule in rules.inputs["rules"] if "expiration" in rule]
    assert expiring == ["blobs/deliveries/"]


@both
def test_every_plan_is_kept_for_the_deployments_after_it(stack: Stack) -> None:
    found = stack()
    for name, plan in PLANS.items():
        (kept,) = [each for each in found.of("BucketObjectv2") if each.inputs["key"] == f"plans/{name}/{plan.version}"]
        assert kept.inputs["content"] == frozen(plan).decode()
        assert kept.kept


def test_a_production_stack_keeps_its_data_whatever_a_deploy_leaves_out() -> None:
    found = prod()
    kinds = {each.kind.rpartition(":")[2] for each in found.registered if each.protect}
    assert kinds - {"Secret"} == {"Bucket", "Key", "Table", "Volume"}  # a secret where the server makes its own key
    (table,) = found.of("Table")
    assert table.inputs["deletionProtectionEnabled"]
    assert table.inputs["pointInTimeRecovery"]["enabled"]
    assert found.of("BucketVersioning")
    assert all(queue.kept for queue in found.of("Queue"))
    (bucket,) = found.of("Bucket")
    assert not bucket.inputs["forceDestroy"]


def test_a_development_stack_can_be_taken_away() -> None:
    assert not [each for each in dev().registered if each.protect]


def test_with_a_key_of_its_own_everything_is_encrypted_with_it() -> None:
    found = prod()
    key = found.one("Key", "key").urn
    for kind in ("Queue", "Table", "LogGroup", "EventBus", "Volume", "Instance", "Secret"):
        for each in found.of(kind):
            assert any(key in urns for urns in each.told.values()), each.name
    functions = found.of("Function")
    assert all(each.inputs["kmsKeyArn"].endswith("Key/key") for each in functions)
    services = {each["Principal"].get("Service") for each in policy(found.one("Key", "key").inputs["policy"])}
    assert services == {
        None,
        "events.amazonaws.com",
        "cloudwatch.amazonaws.com",
        "budgets.amazonaws.com",
        "logs.eu-central-1.amazonaws.com",
    }


# ------------------------------------------------------------------------------------------ what is reached


@both
def test_nothing_but_the_api_is_public(stack: Stack) -> None:
    found = stack()
    principals = {
        each.inputs["principal"]: (each.inputs["sourceArn"], each.inputs.get("sourceAccount"))
        for each in found.of("Permission")
    }
    assert principals.keys() == {"apigateway.amazonaws.com", "s3.amazonaws.com"}
    assert principals["s3.amazonaws.com"][1] == ACCOUNT
    assert not found.of("FunctionUrl")
    for subnet in found.of("Subnet"):
        assert not subnet.inputs["mapPublicIpOnLaunch"]
    for instance in found.of("Instance"):
        assert not instance.inputs["associatePublicIpAddress"]
    for rule in found.of("SecurityGroupIngressRule"):
        assert rule.inputs.get("cidrIpv4") != "0.0.0.0/0"
    for each in (*found.of("QueuePolicy"), *found.of("BucketPolicy"), *found.of("EventBusPolicy")):
        for said in policy(each.inputs["policy"]):
            assert said["Principal"] != "*" or said["Effect"] == "Deny"


@both
def test_every_route_of_the_api_asks_who_calls_but_for_health(stack: Stack) -> None:
    found = stack()
    routes = {
        each.inputs["routeKey"]: each.inputs["authorizationType"]
        for each in found.of("Route")
        if each.name.startswith("api") and not each.name.startswith("api-socket")
    }
    assert routes.pop("$default") == "CUSTOM"
    assert routes.keys() == {"GET /healthz"}
    connect = found.one("Route", "api-socket-connect").inputs
    assert connect["authorizationType"] == "CUSTOM"


@both
def test_the_vector_server_stands_inside_and_its_volume_outlives_it(stack: Stack) -> None:
    found = stack()
    instance = found.one("Instance", "vectors")
    assert instance.inputs["metadataOptions"]["httpTokens"] == "required"
    assert instance.inputs["rootBlockDevice"]["encrypted"]
    assert found.one("Volume", "vectors").inputs["encrypted"]
    assert "user_data" not in found.one("Volume", "vectors").inputs
    assert 'API_KEY="$key"' in instance.inputs["userData"]
    ingress = found.one("SecurityGroupIngressRule", "vectors").inputs
    assert (ingress["fromPort"], ingress["toPort"]) == (6333, 6333)
    assert (
        ingress["referencedSecurityGroupId"]
        == found.one("Function", "retriever").inputs["vpcConfig"]["securityGroupIds"][0]
    )


@both
def test_the_vector_server_is_of_a_release_that_collections_take() -> None:
    assert tuple(map(int, VERSION.split(".")[:2])) >= NEEDED_VERSION


def test_a_collection_is_made_by_the_keeper_and_dropped_by_nothing(stack: Stack) -> None:
    found = stack()
    calls = found.of("Invocation")
    assert {each.name for each in calls} == {"documents", "memories"}
    for call in calls:
        assert call.inputs["lifecycleScope"] == "CREATE_ONLY"
        assert found.one("RolePolicy", "keeper").urn in call.after
        assert call.inputs["triggers"]["name"].startswith(f"{call.name}_v1_")


# ---------------------------------------------------------------------------------------- names, tags, shape


@both
def test_every_resource_of_aws_carries_the_tags_of_the_stack(stack: Stack) -> None:
    found = stack()
    provider = found.one("aws", "aws")
    tags = (
        json.loads(provider.inputs["defaultTags"])["tags"]
        if isinstance(provider.inputs["defaultTags"], str)
        else provider.inputs["defaultTags"]["tags"]
    )
    assert tags.keys() == {"project", "stack", "workflow", "cost_centre"}
    for each in found.registered:
        if each.custom and not each.kind.startswith("pulumi:"):
            assert each.provider.startswith(provider.urn), each.urn


def test_what_is_an_agents_says_so_in_a_tag() -> None:
    found = prod()
    for kind in ("Queue", "EventRule", "Function", "Role", "LogGroup", "EventSourceMapping"):
        tagged = {each.inputs.get("tags", {}).get("agent") for each in found.of(kind)}
        assert tagged >= set(AGENTS), kind


@both
def test_every_resource_has_a_component_for_a_parent_and_every_component_says_when_it_is_done(stack: Stack) -> None:
    found = stack()
    components = {each.urn for each in found.registered if not each.custom}
    for each in found.registered:
        if each.kind not in {"pulumi:providers:aws", "troupe:aws:Stack"}:
            assert each.parent in components, each.urn
    assert components <= found.done


@both
def test_names_are_within_what_aws_takes(stack: Stack) -> None:
    kinds = {
        "Queue": limits.QUEUE,
        "Function": limits.FUNCTION,
        "Role": limits.ROLE,
        "EventRule": limits.RULE,
        "LogGroup": limits.LOG_GROUP,
        "Schedule": limits.SCHEDULE,
        "Table": limits.TABLE,
    }
    named = [(limit, each.inputs["name"]) for kind, limit in kinds.items() for each in stack().of(kind)]
    assert problems(named) == []
    assert len(set(named)) == len(named)


def test_the_stack_says_where_it_is_reached() -> None:
    assert dev().outputs.keys() == {"api", "websocket", "bus", "table", "bucket"}


def test_a_transform_of_the_stack_reaches_every_resource_and_changes_what_it_likes() -> None:
    seen = []

    def larger(args: pulumi.ResourceTransformArgs) -> pulumi.ResourceTransformResult | None:
        seen.append((args.type_, args.name))
        if (args.type_, args.name) != ("aws:lambda/function:Function", "ingester"):
            return None
        return pulumi.ResourceTransformResult({**args.props, "ephemeralStorage": {"size": 2048}}, args.opts)

    chosen = msgspec.structs.replace(stack_file("dev"), workflows=("ingest",))
    found = recorded(chosen, before=lambda: pulumi.runtime.register_resource_transform(larger))
    assert found.one("Function", "ingester").inputs["ephemeralStorage"] == {"size": 2048}
    assert "ephemeralStorage" not in found.one("Function", "api").inputs
    assert {(each.kind, each.name) for each in found.registered} <= set(seen)
