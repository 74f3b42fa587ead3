"""What each type of resource that the program registers becomes on the emulator.

A type that is not here fails the deployment, unless `NOT_EMULATED` says why nothing is made of it. A function of this
page takes the stack, the logical name and the inputs as the provider would, and gives the id and the outputs.
"""

import hashlib
import json
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, Final, Protocol

import pulumi
from emulated.gate import Gate
from emulated.permissions import statements
from emulated.service_links import Links
from ministack import ACCOUNT, REGION

ACTIVE_S: Final = 60.0

Inputs = Mapping[str, Any]
Made = tuple[str, dict[str, Any]]

#: What is registered and left out here, and why.
NOT_EMULATED: Final[Mapping[str, str]] = {
    "aws:budgets/budget:Budget": "nothing is billed",
    "aws:cloudwatch/compositeAlarm:CompositeAlarm": "no metric changes here",
    "aws:cloudwatch/dashboard:Dashboard": "nobody looks at it",
    "aws:cloudwatch/eventBusPolicy:EventBusPolicy": "there is one account",
    "aws:cloudwatch/metricAlarm:MetricAlarm": "the emulator has no metrics of queues",
    "aws:iam/rolePolicyAttachment:RolePolicyAttachment": "policies of AWS's own are not stored",
    "aws:lambda/functionRecursionConfig:FunctionRecursionConfig": "the emulator counts calls, not messages",
    "aws:lambda/provisionedConcurrencyConfig:ProvisionedConcurrencyConfig": "an environment stays once it runs",
    "aws:s3/bucketOwnershipControls:BucketOwnershipControls": "there is one account",
    "aws:s3/bucketPublicAccessBlock:BucketPublicAccessBlock": "nobody but 127.0.0.1 reaches it",
    "aws:s3/bucketServerSideEncryptionConfiguration:BucketServerSideEncryptionConfiguration": "files are plain here",
    "aws:s3/bucketVersioning:BucketVersioning": "nothing is asked for in an older version",
    "aws:sns/topic:Topic": "only alarms tell it anything",
    "aws:sns/topicPolicy:TopicPolicy": "only alarms tell it anything",
    "aws:sns/topicSubscription:TopicSubscription": "no mail is sent",
}


class Stack(Protocol):
    """What a resource is made on."""

    gate: Gate
    links: Links
    url: str

    def client(self, service: str) -> Any:  # noqa: ANN401 - boto3 makes its clients as it runs
        """A client of the emulator's root user."""
        ...


def read_bytes(archive: object) -> bytes:
    """What an archive or an asset of Pulumi's holds."""
    match archive:
        case pulumi.FileArchive() | pulumi.FileAsset():
            return Path(archive.path).read_bytes()
        case pulumi.StringAsset():
            return archive.text.encode()
        case _:
            raise NotImplementedError(f"{type(archive).__name__}: say in registrations.py how to read it")


def comparable(value: object) -> object:
    """Inputs, so that two deployments can be compared; an archive is what it holds."""
    match value:
        case Mapping():
            return {str(key): comparable(each) for key, each in value.items()}
        case list() | tuple():
            return [comparable(each) for each in value]
        case pulumi.Archive() | pulumi.Asset():
            return hashlib.sha256(read_bytes(value)).hexdigest()
        case _:
            return value


def arn(service: str, resource: str) -> str:
    """Of a resource of this account in this region."""
    return f"arn:aws:{service}:{REGION}:{ACCOUNT}:{resource}"


# Events


def _event_bus(stack: Stack, _name: str, given: Inputs) -> Made:
    made = stack.client("events").create_event_bus(Name=given["name"])
    return given["name"], {"arn": made["EventBusArn"], "name": given["name"]}


def _event_rule(stack: Stack, _name: str, given: Inputs) -> Made:
    bus, name = given.get("eventBusName", "default"), given["name"]
    made = stack.client("events").put_rule(
        Name=name, EventBusName=bus, EventPattern=given["eventPattern"], State=given.get("state", "ENABLED")
    )
    return f"{bus}/{name}", {"arn": made["RuleArn"], "name": name}


def _event_target(stack: Stack, _name: str, given: Inputs) -> Made:
    target = {"Id": given["targetId"], "Arn": given["arn"]}
    if "inputPath" in given:
        target["InputPath"] = given["inputPath"]
    answered = stack.client("events").put_targets(
        Rule=given["rule"], EventBusName=given["eventBusName"], Targets=[target]
    )
    if answered["FailedEntryCount"]:
        raise ValueError(answered["FailedEntries"])
    stack.links.target(given)
    return given["targetId"], {}


# Queues


def _queue(stack: Stack, _name: str, given: Inputs) -> Made:
    sqs, attributes = stack.client("sqs"), _queue_attributes(given)
    url = sqs.create_queue(QueueName=given["name"], Attributes=attributes)["QueueUrl"]
    if "redrivePolicy" in given:
        stack.links.redrive(arn("sqs", given["name"]), json.loads(given["redrivePolicy"])["deadLetterTargetArn"])
    return url, {"url": url, "arn": arn("sqs", given["name"]), "name": given["name"]}


def _queue_attributes(given: Inputs) -> dict[str, str]:
    known = {
        "visibilityTimeoutSeconds": "VisibilityTimeout",
        "messageRetentionSeconds": "MessageRetentionPeriod",
        "redrivePolicy": "RedrivePolicy",
        "maxMessageSize": "MaximumMessageSize",
    }
    return {
        theirs: str(int(given[ours]) if isinstance(given[ours], float) else given[ours])
        for ours, theirs in known.items()
        if given.get(ours) is not None
    }


def _queue_policy(stack: Stack, _name: str, given: Inputs) -> Made:
    stack.links.resource_policy(_arn_of_queue(given["queueUrl"]), given["policy"])
    document = json.loads(given["policy"])
    # Nothing comes by TLS here, and the emulator would keep everybody out: the gate looks at what is denied.
    document["Statement"] = [each for each in document["Statement"] if each["Effect"] == "Allow"]
    stack.client("sqs").set_queue_attributes(
        QueueUrl=given["queueUrl"], Attributes={"Policy": json.dumps(document) if document["Statement"] else ""}
    )
    return given["queueUrl"], {}


def _redrive_allow_policy(stack: Stack, _name: str, given: Inputs) -> Made:
    stack.links.redrive_allowed(_arn_of_queue(given["queueUrl"]), json.loads(given["redriveAllowPolicy"]))
    return given["queueUrl"], {}


def _arn_of_queue(url: str) -> str:
    return arn("sqs", url.rpartition("/")[2])


# Roles


def _role(stack: Stack, _name: str, given: Inputs) -> Made:
    name = given["name"]
    stack.client("iam").create_role(RoleName=name, AssumeRolePolicyDocument=given["assumeRolePolicy"])
    stack.links.trust(name, given["assumeRolePolicy"])
    return name, {"arn": f"arn:aws:iam::{ACCOUNT}:role/{name}", "name": name}


def _role_policy(stack: Stack, name: str, given: Inputs) -> Made:
    called, role = given.get("name", name), given["role"].rpartition("/")[2]
    stack.client("iam").put_role_policy(
        RoleName=role, PolicyName=called, PolicyDocument=_without_conditions(given["policy"])
    )
    stack.gate.allow(role, called, statements(given["policy"]))
    return f"{role}:{called}", {"name": called}


def _without_conditions(policy: str) -> str:
    """For the emulator, which lacks the keys that they ask for and would take none of them to hold."""
    document = json.loads(policy)
    for statement in document["Statement"]:
        statement.pop("Condition", None)
    return json.dumps(document)


# Functions


def _function(stack: Stack, _name: str, given: Inputs) -> Made:
    name, role = given["name"], given["role"].rpartition("/")[2]
    stack.links.assumes("lambda.amazonaws.com", role)
    client = stack.client("lambda")
    client.create_function(FunctionName=name, Role=given["role"], Code=_code(given), **_configured(stack, given))
    _await_active(client, name)
    stack.links.function(name, role, given)
    return name, _function_outputs(name, client.publish_version(FunctionName=name)["Version"])


def _await_active(client: Any, name: str) -> None:  # noqa: ANN401 - boto3's
    """As the provider does; boto3's own waiter looks once a second."""
    until = time.monotonic() + ACTIVE_S
    while client.get_function_configuration(FunctionName=name)["State"] != "Active":
        if time.monotonic() > until:
            raise TimeoutError(f"{name} is not active after {ACTIVE_S:.0f} s")
        time.sleep(0.05)


def _update_function(stack: Stack, _name: str, given: Inputs) -> Made:
    name, client = given["name"], stack.client("lambda")
    client.update_function_code(FunctionName=name, **_code(given))
    client.update_function_configuration(FunctionName=name, Role=given["role"], **_configured(stack, given))
    return name, _function_outputs(name, client.publish_version(FunctionName=name)["Version"])


def _code(given: Inputs) -> dict[str, Any]:
    """What is too large for a call lies in a bucket."""
    if "s3Bucket" in given:
        return {"S3Bucket": given["s3Bucket"], "S3Key": given["s3Key"]}
    return {"ZipFile": read_bytes(given["code"])}


def _configured(stack: Stack, given: Inputs) -> dict[str, Any]:
    role = given["role"].rpartition("/")[2]
    door, connections = stack.gate.endpoint(given["name"], role), "/_aws/execute-api/"
    variables = {
        key: value.replace(stack.url + connections, door + connections)  # posts to connections pass the gate, too
        for key, value in given.get("environment", {}).get("variables", {}).items()
    }
    here = {"AWS_ENDPOINT_URL": door}
    return {
        "Runtime": given["runtime"],
        "Handler": given["handler"],
        "Timeout": int(given.get("timeout", 3)),
        "MemorySize": int(given.get("memorySize", 128)),
        "Environment": {"Variables": variables | here},
        "Layers": list(given.get("layers") or ()),
    }


def _function_outputs(name: str, version: str) -> dict[str, Any]:
    own = arn("lambda", f"function:{name}")
    return {
        "arn": own,
        "name": name,
        "version": version,
        "qualifiedArn": f"{own}:{version}",
        "invokeArn": invoked_at(own),
        "qualifiedInvokeArn": invoked_at(f"{own}:{version}"),
    }


def invoked_at(function: str) -> str:
    """What an integration of API Gateway is told of a function."""
    return f"arn:aws:apigateway:{REGION}:lambda:path/2015-03-31/functions/{function}/invocations"


def _alias(stack: Stack, _name: str, given: Inputs) -> Made:
    function = _function_name(given["functionName"])
    made = stack.client("lambda").create_alias(
        FunctionName=function, Name=given["name"], FunctionVersion=given["functionVersion"]
    )
    return given["name"], {"arn": made["AliasArn"], "invokeArn": invoked_at(made["AliasArn"]), "name": given["name"]}


def _update_alias(stack: Stack, _name: str, given: Inputs) -> Made:
    function = _function_name(given["functionName"])
    made = stack.client("lambda").update_alias(
        FunctionName=function, Name=given["name"], FunctionVersion=given["functionVersion"]
    )
    return given["name"], {"arn": made["AliasArn"], "invokeArn": invoked_at(made["AliasArn"]), "name": given["name"]}


def _function_name(name_or_arn: str) -> str:
    return name_or_arn.split(":")[6] if name_or_arn.startswith("arn:") else name_or_arn


def _layer(stack: Stack, _name: str, given: Inputs) -> Made:
    made = stack.client("lambda").publish_layer_version(
        LayerName=given["layerName"],
        Content=_code(given),
        CompatibleRuntimes=list(given.get("compatibleRuntimes", ())),
    )
    return made["LayerVersionArn"], {
        "arn": made["LayerVersionArn"],
        "layerArn": made["LayerArn"],
        "version": str(made["Version"]),
    }


def _permission(stack: Stack, name: str, given: Inputs) -> Made:
    stack.links.invocation_allowed(given)
    return given.get("statementId", name), {}


def _event_source_mapping(stack: Stack, _name: str, given: Inputs) -> Made:
    stack.links.polls(given)
    options: dict[str, Any] = {}
    if "scalingConfig" in given:
        options["ScalingConfig"] = {"MaximumConcurrency": int(given["scalingConfig"]["maximumConcurrency"])}
    made = stack.client("lambda").create_event_source_mapping(
        EventSourceArn=given["eventSourceArn"],
        FunctionName=given["functionName"],
        BatchSize=int(given["batchSize"]),
        FunctionResponseTypes=list(given.get("functionResponseTypes", ())),
        **options,
    )
    return made["UUID"], {"uuid": made["UUID"]}


def _invocation(stack: Stack, _name: str, given: Inputs) -> Made:
    """As the provider does: a deployment fails where the function does."""
    answered = stack.client("lambda").invoke(
        FunctionName=given["functionName"], Qualifier=given.get("qualifier", "$LATEST"), Payload=given["input"].encode()
    )
    said = answered["Payload"].read().decode()
    if answered.get("FunctionError"):
        raise RuntimeError(f"{given['functionName']} failed: {said}")
    return hashlib.sha256(given["input"].encode()).hexdigest(), {"result": said}


# What is kept


def _table(stack: Stack, _name: str, given: Inputs) -> Made:
    client, name = stack.client("dynamodb"), given["name"]
    hash_key = given["hashKey"]
    client.create_table(
        TableName=name,
        BillingMode=given["billingMode"],
        AttributeDefinitions=[
            {"AttributeName": each["name"], "AttributeType": each["type"]} for each in given["attributes"]
        ],
        KeySchema=_keys(hash_key, given["rangeKey"]),
        LocalSecondaryIndexes=[
            {
                "IndexName": each["name"],
                "KeySchema": _keys(hash_key, each["rangeKey"]),
                "Projection": {"ProjectionType": each["projectionType"]},
            }
            for each in given["localSecondaryIndexes"]
        ],
        GlobalSecondaryIndexes=[
            {
                "IndexName": each["name"],
                "KeySchema": [
                    {"AttributeName": key["attributeName"], "KeyType": key["keyType"]} for key in each["keySchemas"]
                ],
                "Projection": {"ProjectionType": each["projectionType"]},
            }
            for each in given["globalSecondaryIndexes"]
        ],
    )
    expires = {"AttributeName": given["ttl"]["attributeName"], "Enabled": given["ttl"]["enabled"]}
    client.update_time_to_live(TableName=name, TimeToLiveSpecification=expires)
    return name, {"name": name, "arn": arn("dynamodb", f"table/{name}")}


def _keys(hash_key: str, range_key: str) -> list[dict[str, str]]:
    return [{"AttributeName": hash_key, "KeyType": "HASH"}, {"AttributeName": range_key, "KeyType": "RANGE"}]


def _bucket(stack: Stack, _name: str, given: Inputs) -> Made:
    name = given["bucket"]
    stack.client("s3").create_bucket(Bucket=name)
    return name, {"bucket": name, "arn": f"arn:aws:s3:::{name}", "id": name}


def _bucket_policy(stack: Stack, _name: str, given: Inputs) -> Made:
    stack.links.resource_policy(f"arn:aws:s3:::{given['bucket']}", given["policy"])
    return given["bucket"], {}


def _bucket_lifecycle(stack: Stack, _name: str, given: Inputs) -> Made:
    """Stored, so that a rule that S3 would refuse is refused; nothing expires here."""
    rules = [_lifecycle_rule(each) for each in given["rules"]]
    stack.client("s3").put_bucket_lifecycle_configuration(
        Bucket=given["bucket"], LifecycleConfiguration={"Rules": rules}
    )
    return given["bucket"], {}


def _lifecycle_rule(given: Inputs) -> dict[str, Any]:
    rule: dict[str, Any] = {"ID": given["id"], "Status": given["status"], "Filter": {"Prefix": ""}}
    if given.get("filter", {}).get("prefix"):
        rule["Filter"] = {"Prefix": given["filter"]["prefix"]}
    if "expiration" in given:
        rule["Expiration"] = {"Days": int(given["expiration"]["days"])}
    if "noncurrentVersionExpiration" in given:
        days = int(given["noncurrentVersionExpiration"]["noncurrentDays"])
        rule["NoncurrentVersionExpiration"] = {"NoncurrentDays": days}
    if "abortIncompleteMultipartUpload" in given:
        days = int(given["abortIncompleteMultipartUpload"]["daysAfterInitiation"])
        rule["AbortIncompleteMultipartUpload"] = {"DaysAfterInitiation": days}
    return rule


def _bucket_object(stack: Stack, _name: str, given: Inputs) -> Made:
    body = given["content"].encode() if "content" in given else read_bytes(given["source"])
    stack.client("s3").put_object(Bucket=given["bucket"], Key=given["key"], Body=body)
    return given["key"], {"key": given["key"], "bucket": given["bucket"]}


def _bucket_notification(stack: Stack, _name: str, given: Inputs) -> Made:
    stack.links.notification(given)
    queues = [
        {
            "QueueArn": each["queueArn"],
            "Events": list(each["events"]),
            "Filter": {"Key": {"FilterRules": [{"Name": "prefix", "Value": each["filterPrefix"]}]}},
        }
        for each in given["queues"]
    ]
    stack.client("s3").put_bucket_notification_configuration(
        Bucket=given["bucket"], NotificationConfiguration={"QueueConfigurations": queues}
    )
    return given["bucket"], {}


def _secret(stack: Stack, _name: str, given: Inputs) -> Made:
    made = stack.client("secretsmanager").create_secret(Name=given["name"], SecretString="-")
    return made["ARN"], {"arn": made["ARN"], "name": given["name"]}


def _log_group(stack: Stack, _name: str, given: Inputs) -> Made:
    logs, name = stack.client("logs"), given["name"]
    logs.create_log_group(logGroupName=name)
    logs.put_retention_policy(logGroupName=name, retentionInDays=int(given["retentionInDays"]))
    return name, {"name": name, "arn": arn("logs", f"log-group:{name}")}


# The API


def _api(stack: Stack, _name: str, given: Inputs) -> Made:
    options = {"ProtocolType": given["protocolType"], "Name": given["name"]}
    if "routeSelectionExpression" in given:
        options["RouteSelectionExpression"] = given["routeSelectionExpression"]
    if "corsConfiguration" in given:
        cors = {key[0].upper() + key[1:]: value for key, value in given["corsConfiguration"].items()}
        options["CorsConfiguration"] = cors
    made = stack.client("apigatewayv2").create_api(**options)["ApiId"]
    scheme = "ws" if given["protocolType"] == "WEBSOCKET" else "http"
    endpoint = f"{scheme}://{stack.url.partition('://')[2]}/_aws/execute-api/{made}"
    return made, {"apiEndpoint": endpoint, "executionArn": arn("execute-api", made), "name": given["name"]}


def _integration(stack: Stack, _name: str, given: Inputs) -> Made:
    options = {"PayloadFormatVersion": given["payloadFormatVersion"]} if "payloadFormatVersion" in given else {}
    made = stack.client("apigatewayv2").create_integration(
        ApiId=given["apiId"],
        IntegrationType=given["integrationType"],
        IntegrationUri=given["integrationUri"],
        **options,
    )["IntegrationId"]
    stack.links.integration(given)
    return made, {"id": made}


def _route(stack: Stack, _name: str, given: Inputs) -> Made:
    options = {"AuthorizationType": given["authorizationType"]} if "authorizationType" in given else {}
    if "authorizerId" in given:
        options["AuthorizerId"] = given["authorizerId"]
    made = stack.client("apigatewayv2").create_route(
        ApiId=given["apiId"], RouteKey=given["routeKey"], Target=given["target"], **options
    )
    return made["RouteId"], {}


def _stage(stack: Stack, _name: str, given: Inputs) -> Made:
    name = given["name"]
    stack.client("apigatewayv2").create_stage(
        ApiId=given["apiId"], StageName=name, AutoDeploy=bool(given.get("autoDeploy"))
    )
    return name, {
        "name": name,
        "arn": arn("apigateway", f"/apis/{given['apiId']}/stages/{name}"),
        "executionArn": arn("execute-api", f"{given['apiId']}/{name}"),
        "invokeUrl": f"{stack.url}/_aws/execute-api/{given['apiId']}/{name}",
    }


def _authorizer(stack: Stack, _name: str, given: Inputs) -> Made:
    options: dict[str, Any] = {}
    if "authorizerPayloadFormatVersion" in given:
        options["AuthorizerPayloadFormatVersion"] = given["authorizerPayloadFormatVersion"]
    if "enableSimpleResponses" in given:
        options["EnableSimpleResponses"] = given["enableSimpleResponses"]
    if "authorizerResultTtlInSeconds" in given:
        options["AuthorizerResultTtlInSeconds"] = int(given["authorizerResultTtlInSeconds"])
    made = stack.client("apigatewayv2").create_authorizer(
        ApiId=given["apiId"],
        Name=given["name"],
        AuthorizerType=given["authorizerType"],
        AuthorizerUri=given["authorizerUri"],
        IdentitySource=list(given.get("identitySources", ())),
        **options,
    )["AuthorizerId"]
    stack.links.authorizer(given)
    return made, {"id": made}


# Schedules


def _schedule_group(stack: Stack, _name: str, given: Inputs) -> Made:
    made = stack.client("scheduler").create_schedule_group(Name=given["name"])
    return given["name"], {"arn": made["ScheduleGroupArn"], "name": given["name"]}


def _schedule(stack: Stack, _name: str, given: Inputs) -> Made:
    target = given["target"]
    stack.links.scheduled(given)
    options = {"GroupName": given["groupName"]} if "groupName" in given else {}
    made = stack.client("scheduler").create_schedule(
        Name=given["name"],
        ScheduleExpression=given["scheduleExpression"],
        FlexibleTimeWindow={"Mode": given["flexibleTimeWindow"]["mode"]},
        Target={
            "Arn": target["arn"],
            "RoleArn": target["roleArn"],
            **({"Input": target["input"]} if "input" in target else {}),
        },
        **options,
    )
    return given["name"], {"arn": made["ScheduleArn"], "name": given["name"]}


MADE: Final[Mapping[str, Callable[[Stack, str, Inputs], Made]]] = {
    "aws:apigatewayv2/api:Api": _api,
    "aws:apigatewayv2/authorizer:Authorizer": _authorizer,
    "aws:apigatewayv2/integration:Integration": _integration,
    "aws:apigatewayv2/route:Route": _route,
    "aws:apigatewayv2/stage:Stage": _stage,
    "aws:cloudwatch/eventBus:EventBus": _event_bus,
    "aws:cloudwatch/eventRule:EventRule": _event_rule,
    "aws:cloudwatch/eventTarget:EventTarget": _event_target,
    "aws:cloudwatch/logGroup:LogGroup": _log_group,
    "aws:dynamodb/table:Table": _table,
    "aws:iam/role:Role": _role,
    "aws:iam/rolePolicy:RolePolicy": _role_policy,
    "aws:lambda/alias:Alias": _alias,
    "aws:lambda/eventSourceMapping:EventSourceMapping": _event_source_mapping,
    "aws:lambda/function:Function": _function,
    "aws:lambda/invocation:Invocation": _invocation,
    "aws:lambda/layerVersion:LayerVersion": _layer,
    "aws:lambda/permission:Permission": _permission,
    "aws:s3/bucket:Bucket": _bucket,
    "aws:s3/bucketLifecycleConfiguration:BucketLifecycleConfiguration": _bucket_lifecycle,
    "aws:s3/bucketNotification:BucketNotification": _bucket_notification,
    "aws:s3/bucketObjectv2:BucketObjectv2": _bucket_object,
    "aws:s3/bucketPolicy:BucketPolicy": _bucket_policy,
    "aws:scheduler/schedule:Schedule": _schedule,
    "aws:scheduler/scheduleGroup:ScheduleGroup": _schedule_group,
    "aws:secretsmanager/secret:Secret": _secret,
    "aws:sqs/queue:Queue": _queue,
    "aws:sqs/queuePolicy:QueuePolicy": _queue_policy,
    "aws:sqs/redriveAllowPolicy:RedriveAllowPolicy": _redrive_allow_policy,
}

#: What can change where it is. Of the rest, a second deployment with other inputs fails.
CHANGED: Final[Mapping[str, Callable[[Stack, str, Inputs], Made]]] = {
    "aws:iam/rolePolicy:RolePolicy": _role_policy,
    "aws:lambda/alias:Alias": _update_alias,
    "aws:lambda/function:Function": _update_function,
    "aws:s3/bucketObjectv2:BucketObjectv2": _bucket_object,
}
