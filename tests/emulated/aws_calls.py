"""What a call to AWS asks for, read off the wire: the action, the resource and what conditions may look at.

A call that is not known here is an error: whoever makes the functions do something new says here what it asks for.
"""

import json
import re
from collections.abc import Iterator, Mapping, Sequence
from typing import Any, Final
from urllib.parse import parse_qs, unquote, urlsplit

import msgspec
from emulated.permissions import Asked
from ministack import ACCOUNT

_SIGNED = re.compile(
    r"AWS4-HMAC-SHA256 Credential=(?P<key>[^/]+)/\d{8}/(?P<region>[^/]+)/(?P<service>[^/]+)/aws4_request"
)


class UnknownCallError(Exception):
    """Nothing here knows what this call asks for."""


class Call(msgspec.Struct, frozen=True, kw_only=True):
    """A request as it arrived."""

    method: str
    target: str
    headers: Mapping[str, str]
    body: bytes

    @property
    def signature(self) -> Mapping[str, str]:
        """Access key, region and service; empty where it is not signed."""
        found = _SIGNED.match(self.headers.get("authorization", ""))
        return found.groupdict() if found else {}

    @property
    def path(self) -> str:
        """Without the query."""
        return unquote(urlsplit(self.target).path)

    @property
    def query(self) -> Mapping[str, list[str]]:
        """Of the URL."""
        return parse_qs(urlsplit(self.target).query, keep_blank_values=True)


def asked_by(call: Call) -> list[Asked]:
    """What it asks for; AWS decides each of these separately.

    Raises:
        UnknownCallError: It is not signed, or nothing here knows it.
    """
    signed = call.signature
    if not signed:
        raise UnknownCallError(f"{call.method} {call.path} is not signed")
    read = _SERVICES.get(signed["service"])
    if read is None:
        raise UnknownCallError(f"nothing here knows the calls of {signed['service']}")
    return list(read(call, signed["region"]))


def _operation(call: Call) -> str:
    return call.headers.get("x-amz-target", "").rpartition(".")[2]


def _dynamodb(call: Call, region: str) -> Iterator[Asked]:
    operation, given = _operation(call), json.loads(call.body)
    for table, keys in _keys_touched(operation, given):
        arn = f"arn:aws:dynamodb:{region}:{ACCOUNT}:table/{table}"
        index = f"/index/{given['IndexName']}" if "IndexName" in given else ""
        context = {"dynamodb:LeadingKeys": tuple(dict.fromkeys(keys))} if keys else {}
        yield Asked(action=f"dynamodb:{operation}", resource=arn + index, context=context)


def _keys_touched(operation: str, given: Mapping[str, Any]) -> Iterator[tuple[str, list[str]]]:
    """The table and the partitions, as the condition key `dynamodb:LeadingKeys` has them."""
    match operation:
        case "GetItem" | "UpdateItem" | "DeleteItem":
            yield given["TableName"], [_partition(given["Key"])]
        case "PutItem":
            yield given["TableName"], [_partition(given["Item"])]
        case "Query":
            yield given["TableName"], [_queried(given)]
        case "Scan" | "DescribeTable":
            yield given["TableName"], []
        case "BatchGetItem":
            for table, said in given["RequestItems"].items():
                yield table, [_partition(key) for key in said["Keys"]]
        case "BatchWriteItem":
            for table, writes in given["RequestItems"].items():
                yield table, [_partition(_written(write)) for write in writes]
        case _:
            raise UnknownCallError(f"nothing here knows dynamodb:{operation}")


def _partition(item: Mapping[str, Mapping[str, str]]) -> str:
    return item["pk"]["S"]


def _written(write: Mapping[str, Any]) -> Mapping[str, Mapping[str, str]]:
    found: Mapping[str, Mapping[str, str]] = (
        write["PutRequest"]["Item"] if "PutRequest" in write else write["DeleteRequest"]["Key"]
    )
    return found


def _queried(given: Mapping[str, Any]) -> str:
    """The partition of a query: the one that the first comparison names, which is the key's or an index's own."""
    found = re.match(r"\s*(?P<name>[\w#]+)\s*=\s*(?P<value>:\w+)", given["KeyConditionExpression"])
    if found is None:
        raise UnknownCallError(f"a query with the condition {given['KeyConditionExpression']!r}")
    (value,) = given["ExpressionAttributeValues"][found["value"]].values()
    return str(value)


def _events(call: Call, region: str) -> Iterator[Asked]:
    given = json.loads(call.body)
    for entry in given["Entries"]:
        bus = entry.get("EventBusName", "default")
        arn = bus if bus.startswith("arn:") else f"arn:aws:events:{region}:{ACCOUNT}:event-bus/{bus}"
        context = {"events:source": (entry["Source"],), "events:detail-type": (entry["DetailType"],)}
        yield Asked(action=f"events:{_operation(call)}", resource=arn, context=context)


def _sqs(call: Call, region: str) -> Iterator[Asked]:
    given = json.loads(call.body)
    operation = _operation(call).removesuffix("Batch")
    queue = given.get("QueueName") or given["QueueUrl"].rpartition("/")[2]
    yield Asked(action=f"sqs:{operation}", resource=f"arn:aws:sqs:{region}:{ACCOUNT}:{queue}")


def _s3(call: Call, _region: str) -> Iterator[Asked]:
    bucket, _, key = call.path.lstrip("/").partition("/")
    arn = f"arn:aws:s3:::{bucket}"
    if call.method == "POST" and "delete" in call.query:
        for name in re.findall(rb"<Key>(.*?)</Key>", call.body):
            yield Asked(action="s3:DeleteObject", resource=f"{arn}/{name.decode()}")
    elif not key:
        prefix = tuple(call.query.get("prefix", ()))
        yield Asked(action="s3:ListBucket", resource=arn, context={"s3:prefix": prefix} if prefix else {})
    else:
        action = {"GET": "GetObject", "HEAD": "GetObject", "PUT": "PutObject", "DELETE": "DeleteObject"}[call.method]
        yield Asked(action=f"s3:{action}", resource=f"{arn}/{key}")


def _secrets(call: Call, region: str) -> Iterator[Asked]:
    secret = json.loads(call.body)["SecretId"]
    arn = secret if secret.startswith("arn:") else f"arn:aws:secretsmanager:{region}:{ACCOUNT}:secret:{secret}"
    yield Asked(action=f"secretsmanager:{_operation(call)}", resource=arn)


def _connections(call: Call, region: str) -> Iterator[Asked]:
    api, stage, rest = call.path.removeprefix("/_aws/execute-api").lstrip("/").split("/", 2)
    resource = f"arn:aws:execute-api:{region}:{ACCOUNT}:{api}/{stage}/{call.method}/{rest}"
    yield Asked(action="execute-api:ManageConnections", resource=resource)


def _lambda(call: Call, region: str) -> Iterator[Asked]:
    found = re.fullmatch(r"/2015-03-31/functions/(?P<function>[^/]+)/invocations", call.path)
    if found is None:
        raise UnknownCallError(f"nothing here knows {call.method} {call.path} of Lambda")
    name = found["function"]
    arn = name if name.startswith("arn:") else f"arn:aws:lambda:{region}:{ACCOUNT}:function:{name}"
    yield Asked(action="lambda:InvokeFunction", resource=arn)


def _bedrock(call: Call, region: str) -> Iterator[Asked]:
    _, _, model, _ = call.path.split("/")
    arn = model if model.startswith("arn:") else f"arn:aws:bedrock:{region}::foundation-model/{model}"
    yield Asked(action="bedrock:InvokeModel", resource=arn)


def _kms(call: Call, region: str) -> Iterator[Asked]:
    key = json.loads(call.body).get("KeyId", "")
    arn = key if key.startswith("arn:") else f"arn:aws:kms:{region}:{ACCOUNT}:key/{key}"
    yield Asked(action=f"kms:{_operation(call)}", resource=arn)


_SERVICES: Final = {
    "bedrock": _bedrock,
    "dynamodb": _dynamodb,
    "events": _events,
    "execute-api": _connections,
    "kms": _kms,
    "lambda": _lambda,
    "s3": _s3,
    "secretsmanager": _secrets,
    "sqs": _sqs,
}


def refusal(call: Call, function: str, refused: Sequence[Asked]) -> tuple[int, dict[str, str], bytes]:
    """What AWS answers to a call that it does not allow: the status, the headers and the body."""
    said = f"{function} is not authorized to perform: {'; '.join(map(str, refused))}"
    if call.signature.get("service") == "s3":
        body = f"<?xml version='1.0'?><Error><Code>AccessDenied</Code><Message>{said}</Message></Error>"
        return 403, {"content-type": "application/xml"}, body.encode()
    document = {"__type": "AccessDeniedException", "message": said, "Message": said}
    headers = {"content-type": "application/x-amz-json-1.0", "x-amzn-errortype": "AccessDeniedException"}
    status = 400 if "x-amz-target" in call.headers else 403
    return status, headers, json.dumps(document).encode()
