"""What the whole of a development and of a production stack would be on AWS."""

import json
from collections.abc import Callable
from fnmatch import fnmatchcase
from ipaddress import ip_address, ip_network
from typing import Any
from unittest import mock

import msgspec
import pulumi
import pytest
from recorded_stack import ACCOUNT, ARN, Recorded, dev, prod, recorded, stack_file

from functions.adapters.aws.queue import PAUSE
from functions.adapters.vectors.qdrant import NEEDED_VERSION
from functions.entry_points.aws.environment import DEPLOYED
from functions.runtime.agent import Delivery
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
    assert len([each for each in queues if each.name != "events-dead"]) == 2 * (len(AGENTS) + 3)
    for queue in queues:
        assert queue.inputs.get("sqsManagedSseEnabled") or queue.inputs["kmsMasterKeyId"].endswith("Key/key")


@both
def test_every_route_has_both_nets_and_nothing_falls_for_ten_minutes_of_a_store_that_is_away(stack: Stack) -> None:
    found = stack()
    for agent in (*AGENTS, "desk", "pusher"):
        queue, dead = found.one("Queue", agent), found.one("Queue", f"{agent}-dead")
        name = dead.inputs["name"]
        redrive = json.loads(queue.inputs["redrivePolicy"])
        assert redrive["deadLetterTargetArn"].endswith(f"/{name}")
        tries = redrive["maxReceiveCount"]
        assert sum(PAUSE.after(tried, jitter=0.0) for tried in range(1, tries)) >= 600
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
        assert statement(each.inputs["policy"], "OnlyByTls")["Condition"] == {"Bool": {"aws:SecureTransport": "false"}}
        if each.name == "events-dead":
            continue  # of the bus
        consumer = each.name.removesuffix("-dead")
        if consumer == "uploads":
            continue
        rules = {
            rule.inputs["name"] for rule in found.of("EventRule") if rule.parent == found.one("Queue", consumer).parent
        }
        sends = statement(each.inputs["policy"], "Rules")
        assert sends["Principal"] == {"Service": "events.amazonaws.com"}
        assert {arn.rpartition("/")[2] for arn in sends["Condition"]["ArnEquals"]["aws:SourceArn"]} == rules


@both
def test_an_object_is_told_to_a_queue_with_a_net_by_its_own_bucket_alone(stack: Stack) -> None:
    found = stack()
    queue, dead = found.one("Queue", "uploads"), found.one("Queue", "uploads-dead")
    assert json.loads(queue.inputs["redrivePolicy"])["deadLetterTargetArn"].endswith(f"/{dead.inputs['name']}")
    tries = json.loads(queue.inputs["redrivePolicy"])["maxReceiveCount"]
    waits = tries * queue.inputs["visibilityTimeoutSeconds"]
    assert 4 * 3600 < waits < queue.inputs["messageRetentionSeconds"] < dead.inputs["messageRetentionSeconds"]
    (bucket,) = found.of("Bucket")
    sends = statement(found.one("QueuePolicy", "uploads").inputs["policy"], "Objects")
    assert (sends["Principal"], sends["Action"]) == ({"Service": "s3.amazonaws.com"}, ["sqs:SendMessage"])
    assert sends["Condition"] == {
        "ArnEquals": {"aws:SourceArn": f"arn:aws:s3:::{bucket.inputs['bucket']}"},
        "StringEquals": {"aws:SourceAccount": ACCOUNT},
    }
    net = json.loads(found.one("QueuePolicy", "uploads-dead").inputs["policy"])
    assert [each["Effect"] for each in net["Statement"]] == ["Deny"]  # SQS fills it, and asks no policy
    (told,) = found.of("BucketNotification")
    (only,) = told.inputs["queues"]
    assert (only["queueArn"].rpartition("/")[2], only["filterPrefix"]) == (queue.inputs["name"], "documents/")
    assert found.one("QueuePolicy", "uploads").urn in told.after
    assert not told.inputs.get("lambdaFunctions")


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
    assert {each.name for each in mappings} == {*AGENTS, "desk", "pusher", "uploads"}
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


def test_a_function_is_told_of_the_secrets_that_its_role_may_use() -> None:
    found = dev()
    for function in found.of("Function"):
        told = json.loads(function.inputs["environment"]["variables"][DEPLOYED])
        allowed = json.loads(found.one("RolePolicy", function.name).inputs["policy"])["Statement"]
        assert set(told["secrets"].values()) <= {resource for each in allowed for resource in each["Resource"]}


@both
def test_the_sweeper_finds_every_net_by_its_name_and_may_empty_it(stack: Stack) -> None:
    found = stack()
    told = json.loads(found.one("Function", "sweeper").inputs["environment"]["variables"][DEPLOYED])
    nets = {each.inputs["name"] for each in found.of("Queue") if each.name.endswith("-dead")}
    urls = {f"{told['queues_at']}{name.replace('_', '-')}-dead" for name in (*AGENTS, *told["services"])}
    assert urls == {f"https://sqs.eu-central-1.amazonaws.com/{ACCOUNT}/{name}" for name in nets}
    (pattern,) = statement(found.one("RolePolicy", "sweeper").inputs["policy"], "Nets")["Resource"]
    assert all(fnmatchcase(f"{ARN}Queue/{name}", pattern) for name in nets)
    queues = {each.inputs["name"] for each in found.of("Queue")} - nets
    assert not [name for name in queues if fnmatchcase(f"{ARN}Queue/{name}", pattern)]


@pytest.mark.parametrize("name", AGENTS)
def test_an_agent_finds_its_queue_by_its_name(name: str) -> None:
    found = dev()
    told = json.loads(found.one("Function", name).inputs["environment"]["variables"][DEPLOYED])
    queue = found.one("Queue", name).inputs["name"]
    assert f"{told['queues_at']}{name.replace('_', '-')}" == f"https://sqs.eu-central-1.amazonaws.com/{ACCOUNT}/{queue}"
    assert told["timeout_s"] == found.one("Function", name).inputs["timeout"]


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
    assert not [each.name for each in found.registered if each.protect and not each.kept]
    (table,) = found.of("Table")
    assert table.inputs["deletionProtectionEnabled"]
    assert table.inputs["pointInTimeRecovery"]["enabled"]
    assert found.of("BucketVersioning")
    assert all(queue.kept for queue in found.of("Queue"))
    closes = [each for each in found.registered if each.parent.endswith("::blobs")]
    assert {"BucketPublicAccessBlock", "BucketPolicy"} < {each.kind.rpartition(":")[2] for each in closes if each.kept}
    assert all(each.kept for each in closes)
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
        "s3.amazonaws.com",
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
    assert principals.keys() == {"apigateway.amazonaws.com"}
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


def test_the_vector_server_is_of_a_release_that_collections_take() -> None:
    assert tuple(map(int, VERSION.split(".")[:2])) >= NEEDED_VERSION


@both
def test_a_server_that_takes_the_place_of_another_finds_its_address_free_and_its_volume_written(stack: Stack) -> None:
    found = stack()
    address = found.one("Instance", "vectors").inputs["privateIp"]
    first = ip_network(found.one("Subnet", "network-eu-central-1a").inputs["cidrBlock"])
    assert ip_address(address) in list(first)[4:-1]
    (reserved,) = found.of("SubnetCidrReservation")
    assert (reserved.inputs["cidrBlock"], reserved.inputs["reservationType"]) == (f"{address}/32", "explicit")
    told = found.one("Function", "retriever")
    assert told.inputs["environment"]["variables"]["TROUPE_VECTOR_URL"] == f"http://{address}:6333"
    assert reserved.urn in found.one("Instance", "vectors").told["subnetId"]
    assert reserved.urn in told.told["vpcConfig"]
    assert found.one("VolumeAttachment", "vectors").inputs["stopInstanceBeforeDetaching"]


def test_the_smallest_network_has_room_for_the_servers_address() -> None:
    chosen = stack_file("dev")
    smallest = msgspec.structs.replace(chosen.network, cidr="10.20.0.0/24")
    found = recorded(msgspec.structs.replace(chosen, network=smallest))
    first = ip_network(found.one("Subnet", "network-eu-central-1a").inputs["cidrBlock"])
    assert ip_address(found.one("Instance", "vectors").inputs["privateIp"]) in list(first)[4:-1]


def test_vectors_that_are_protected_are_copied_each_day() -> None:
    assert not dev().of("LifecyclePolicy")
    found = prod()
    (copies,) = found.of("LifecyclePolicy")
    details = copies.inputs["policyDetails"]
    assert details["targetTags"] == found.one("Volume", "vectors").inputs["tags"]
    assert details["resourceTypes"] == ["VOLUME"]
    (daily,) = details["schedules"]
    assert (daily["createRule"]["interval"], daily["createRule"]["intervalUnit"]) == (24, "HOURS")
    assert (daily["retainRule"]["count"], daily["copyTags"]) == (7, True)
    role = found.one("Role", "vectors-snapshots")
    assert policy(role.inputs["assumeRolePolicy"])[0]["Principal"] == {"Service": "dlm.amazonaws.com"}
    assert role.urn in copies.told["executionRoleArn"]
    makes = statement(found.one("RolePolicy", "vectors-snapshots").inputs["policy"], "Make")
    assert makes["Action"] == ["ec2:CreateSnapshot"]
    assert any("Volume/" in arn or "volume/" in arn for arn in makes["Resource"])


@pytest.mark.parametrize(("digest", "said"), [("", 1), ("0" * 64, 0)])
def test_a_production_stack_is_warned_of_a_release_that_nobody_checks(digest: str, said: int) -> None:
    chosen = stack_file("prod")
    vectors = msgspec.structs.replace(chosen.vectors, release_sha256=digest)
    with mock.patch.object(pulumi, "warn") as warned:
        recorded(msgspec.structs.replace(chosen, vectors=vectors), stack="prod")
    assert len([call for call in warned.call_args_list if "releaseSha256" in call.args[0]]) == said


def test_what_a_key_of_the_stack_keeps_off_every_rule_falls_into_the_net_of_the_bus() -> None:
    found = prod()
    (bus,) = found.of("EventBus")
    net = found.one("Queue", "events-dead")
    assert net.inputs["name"] == "troupe-prod-bus-dead"
    assert net.urn in bus.told["deadLetterConfig"]
    sends = statement(found.one("QueuePolicy", "events-dead").inputs["policy"], "Bus")
    assert sends["Condition"] == {"ArnEquals": {"aws:SourceArn": f"{ARN}EventBus/troupe-prod"}}
    alarm = found.one("MetricAlarm", "bus-dead-letters")
    assert alarm.inputs["dimensions"] == {"QueueName": "troupe-prod-bus-dead"}
    assert "deadLetterConfig" not in dev().of("EventBus")[0].inputs


def test_no_alarm_calls_a_message_late_that_may_still_be_worked_on() -> None:
    found = prod()
    for name in (*AGENTS, "desk", "pusher"):
        longest = found.one("Function", name).inputs["timeout"]
        contract = next((plan.nodes[name].spec.delivery for plan in PLANS.values() if name in plan.nodes), Delivery())
        threshold = found.one("MetricAlarm", f"{name}-oldest").inputs["threshold"]
        assert threshold >= longest + contract.backoff.maximum_s
        assert threshold >= 120


def test_whatever_a_caller_waits_for_is_warm_in_production() -> None:
    warm = {each.name for each in prod().of("ProvisionedConcurrencyConfig")}
    assert {*AGENTS, "api", "authorizer", "socket", "desk", "pusher"} - warm == {"ingester", "caller"}
    assert not {"keeper", "sweeper", "uploads"} & warm


def test_a_stack_stands_in_no_local_zone() -> None:
    (asked,) = [args for token, args in prod().asked if token.endswith("getAvailabilityZones")]
    assert asked["filters"] == [{"name": "opt-in-status", "values": ["opt-in-not-required"]}]


@both
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
