"""How calls to AWS are made, made again, and refused."""

import base64
import datetime as dt
import itertools
import json
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path

import pytest
from botocore.retries.standard import ThrottledRetryableChecker, TransientRetryableChecker
from rest_server import Answer, Asked, Server, serving

from functions.adapters.aws.client import DYNAMODB, EVENTS, LATER, S3, SQS, Aws, AwsError, quoted
from functions.adapters.aws.credentials import CredentialsOfEnvironment, NoCredentialsError
from functions.adapters.rest import FIRST_WAIT_S, LONGEST_WAIT_S, Patience, Reply
from functions.errors import TroupeError

NOW = dt.datetime(2026, 3, 1, 12, tzinfo=dt.UTC)
KEYS = {
    "AWS_ACCESS_KEY_ID": "AKIDOFTEST",
    "AWS_SECRET_ACCESS_KEY": "secret-of-test",
    "AWS_SESSION_TOKEN": "token-of-test",
}


@pytest.fixture
def server() -> Iterator[Server]:
    with serving() as opened:
        yield opened


class Clients:
    """Opens clients of the server, and closes them."""

    def __init__(self, server: Server) -> None:
        self.server = server
        self.opened: list[Aws] = []

    def __call__(self, *, left_s: Callable[[], float] | None = None, **environment: str) -> Aws:
        given = {"AWS_REGION": "eu-west-1", "AWS_ENDPOINT_URL": self.server.url, **KEYS, **environment}
        patience = Patience(call=5, answer=2, connect=1)
        self.opened.append(Aws(given, left_s=left_s, patience=patience, now=lambda: NOW))
        return self.opened[-1]


@pytest.fixture
def aws(server: Server) -> Iterator[Clients]:
    clients = Clients(server)
    yield clients
    for each in clients.opened:
        each.close()


@pytest.fixture
def client(aws: Clients) -> Aws:
    return aws()


def refusal(code: str, status: int = 400, message: str = "no") -> Answer:
    return Answer(status, json.dumps({"__type": f"com.amazonaws#{code}", "message": message}).encode())


def one_after_another(*answers: Answer) -> Callable[[Asked], Answer]:
    left = iter(answers)
    return lambda _: next(left)


def test_an_operation_is_posted_as_aws_json_and_signed(server: Server, client: Aws) -> None:
    server.script = lambda _: Answer(body=b'{"Item": {}}')
    assert client.call(DYNAMODB, "PutItem", {"Item": {"value": {"B": b"\x00\xff"}}}) == {"Item": {}}
    (asked,) = server.asked
    assert (asked.method, asked.path) == ("POST", "/")
    assert asked.headers["content-type"] == "application/x-amz-json-1.0"
    assert asked.headers["x-amz-target"] == "DynamoDB_20120810.PutItem"
    assert asked.headers["x-amz-security-token"] == "token-of-test"
    assert "/eu-west-1/dynamodb/aws4_request" in asked.headers["authorization"]
    assert json.loads(asked.body)["Item"]["value"]["B"] == base64.b64encode(b"\x00\xff").decode()


def test_calls_share_one_connection(server: Server, client: Aws) -> None:
    for _ in range(5):
        client.call(SQS, "SendMessage", {})
    assert (len(server.asked), server.connections) == (5, 1)


@pytest.mark.parametrize("code", ["ThrottlingException", "ProvisionedThroughputExceededException"])
def test_what_is_throttled_is_asked_for_again(server: Server, client: Aws, code: str) -> None:
    server.script = one_after_another(refusal(code), refusal(code), Answer(body=b'{"done": true}'))
    assert client.call(DYNAMODB, "GetItem", {}) == {"done": True}
    assert len(server.asked) == 3


def test_a_failure_of_the_service_is_asked_again(server: Server, client: Aws) -> None:
    server.script = one_after_another(refusal("InternalServerError", 500), Answer(503), Answer())
    assert client.call(DYNAMODB, "GetItem", {}) == {}


def test_an_answer_that_is_cut_off_is_asked_for_again(server: Server, client: Aws) -> None:
    server.script = one_after_another(Answer(body=b'{"a": 1}', cut=3), Answer(body=b'{"a": 1}'))
    assert client.call(DYNAMODB, "GetItem", {}) == {"a": 1}


def test_a_refusal_has_service_code_and_message_and_is_not_asked_again(server: Server, client: Aws) -> None:
    server.script = lambda _: refusal("ConditionalCheckFailedException", message="The conditional request failed")
    with pytest.raises(AwsError) as raised:
        client.call(DYNAMODB, "PutItem", {})
    error = raised.value
    assert (error.service, error.code, error.status) == ("dynamodb", "ConditionalCheckFailedException", 400)
    assert error.said == "The conditional request failed"
    assert len(server.asked) == 1


@pytest.mark.parametrize(
    ("answer", "code", "said"),
    [
        (
            Answer(404, b"<?xml version='1.0'?><Error><Code>NoSuchKey</Code><Message>Gone</Message></Error>"),
            "NoSuchKey",
            "Gone",
        ),
        (
            Answer(400, b'{"message":"Bad"}', {"x-amzn-errortype": "ValidationException:http://internal/x"}),
            "ValidationException",
            "Bad",
        ),
        (Answer(400, b'{"__type":"QueueDoesNotExist","Message":"None"}'), "QueueDoesNotExist", "None"),
        (Answer(403, b"<html>who are you"), "status 403", "nothing"),
        (Answer(413, b"too much"), "status 413", "too much"),
        (Answer(418, b""), "status 418", "nothing"),
        (Answer(400, b'["not an object"]'), "status 400", '["not an object"]'),
    ],
)
def test_errors_of_every_protocol_are_read(server: Server, client: Aws, answer: Answer, code: str, said: str) -> None:
    server.script = lambda _: answer
    with pytest.raises(AwsError) as raised:
        client.call(DYNAMODB, "GetItem", {})
    assert (raised.value.code, raised.value.said) == (code, said)


@pytest.mark.parametrize("code", ["SignatureDoesNotMatch", "ThrottlingException"])
def test_an_error_holds_no_credentials_though_the_service_repeats_them(server: Server, aws: Clients, code: str) -> None:
    repeated = "x-amz-security-token:token-of-test AKIDOFTEST secret-of-test " * 3
    server.script = lambda _: refusal(code, message=repeated)
    with pytest.raises(AwsError) as raised:
        aws(left_s=lambda: 0.2).call(DYNAMODB, "GetItem", {})
    assert "credentials" in str(raised.value)
    assert not any(value in str(raised.value) for value in KEYS.values())


def test_each_try_is_signed_at_its_own_time(server: Server) -> None:
    times = iter([NOW, NOW + dt.timedelta(minutes=20)])
    aws = Aws({"AWS_REGION": "eu-west-1", "AWS_ENDPOINT_URL": server.url, **KEYS}, now=lambda: next(times))
    server.script = one_after_another(Answer(503), Answer())
    aws.call(DYNAMODB, "GetItem", {})
    aws.close()
    assert [asked.headers["x-amz-date"] for asked in server.asked] == ["20260301T120000Z", "20260301T122000Z"]


def test_tries_have_growing_pauses_between_them_and_end_with_the_callers_time(server: Server) -> None:
    slept: list[float] = []
    left = iter([100.0, 0.0])
    environment = {"AWS_REGION": "eu-west-1", "AWS_ENDPOINT_URL": server.url, **KEYS}
    aws = Aws(environment, left_s=lambda: next(left), sleep=slept.append)
    assert list(itertools.islice(aws.tries(DYNAMODB), 9)) == list(range(9))
    assert len(slept) == 8
    assert 0 < sum(slept[:2]) <= FIRST_WAIT_S * 3
    assert max(slept) <= LONGEST_WAIT_S
    assert len(set(slept)) == 8
    assert list(aws.tries(DYNAMODB)) == [0]


def test_a_call_is_given_up_before_the_caller_has_no_time_left(server: Server, aws: Clients) -> None:
    server.script = lambda _: Answer(hangs=True)
    with pytest.raises(AwsError, match=r"within 0\.2 s") as raised:
        aws(left_s=lambda: 0.2).call(DYNAMODB, "GetItem", {}, within_s=3)
    assert (raised.value.code, raised.value.status) == ("", 0)


def test_a_call_takes_no_longer_than_it_may_by_itself(server: Server, aws: Clients) -> None:
    server.script = lambda _: Answer(hangs=True)
    with pytest.raises(AwsError, match=r"within 0\.1 s"):
        aws(left_s=lambda: 100).call(DYNAMODB, "GetItem", {}, within_s=0.1)


def test_no_time_left_is_an_error_and_no_call(server: Server, aws: Clients) -> None:
    with pytest.raises(AwsError):
        aws(left_s=lambda: -1).call(DYNAMODB, "GetItem", {})
    assert server.asked == []


def test_each_service_may_have_an_endpoint_of_its_own(server: Server, aws: Clients) -> None:
    client = aws(AWS_ENDPOINT_URL="http://127.0.0.1:1", AWS_ENDPOINT_URL_EVENTBRIDGE=server.url)
    assert client.call(EVENTS, "PutEvents", {}) == {}
    assert client.endpoint(SQS) == "http://127.0.0.1:1"


def test_the_path_of_an_endpoint_is_kept_and_signed(server: Server, aws: Clients) -> None:
    aws(AWS_ENDPOINT_URL=f"{server.url}/emulated/").call(SQS, "SendMessage", {})
    assert server.asked[0].path == "/emulated/"


@pytest.mark.parametrize(
    ("region", "endpoint"),
    [
        ("eu-west-1", "https://dynamodb.eu-west-1.amazonaws.com"),
        ("cn-north-1", "https://dynamodb.cn-north-1.amazonaws.com.cn"),
    ],
)
def test_without_an_endpoint_the_region_says_where_a_service_is(region: str, endpoint: str) -> None:
    assert Aws({"AWS_REGION": region}).endpoint(DYNAMODB) == endpoint


def test_a_bucket_is_in_the_host_at_aws_and_in_the_path_elsewhere() -> None:
    client = Aws({"AWS_DEFAULT_REGION": "eu-west-1"})
    assert client.bucket("data") == ("https://data.s3.eu-west-1.amazonaws.com", "/")
    assert client.bucket("my.data") == ("https://s3.eu-west-1.amazonaws.com", "/my.data/")
    emulated = Aws({"AWS_REGION": "eu-west-1", "AWS_ENDPOINT_URL_S3": "http://127.0.0.1:4566"})
    assert emulated.bucket("data") == ("http://127.0.0.1:4566", "/data/")


def test_without_a_region_it_says_so_at_once() -> None:
    with pytest.raises(TroupeError, match="AWS_REGION is not set"):
        Aws({})


def test_a_request_of_s3_carries_the_digest_of_its_body_and_its_query(server: Server, client: Aws) -> None:
    url, before = client.bucket("data")
    said = client.send(
        S3,
        "PUT",
        before + quoted("a b/ü+#"),
        query={"x id": "a/b"},
        body=b"abc",
        read=lambda reply: reply.status,
        url=url,
    )
    (asked,) = server.asked
    assert said == 200
    assert asked.path == "/data/a%20b/%C3%BC%2B%23?x%20id=a%2Fb"
    assert asked.headers["x-amz-content-sha256"].startswith("ba7816bf")
    assert asked.body == b"abc"


def test_all_that_botocore_tries_again_is_tried_again_but_for_quotas() -> None:
    theirs = {*ThrottledRetryableChecker._THROTTLED_ERROR_CODES, *TransientRetryableChecker._TRANSIENT_ERROR_CODES}
    assert theirs - {"LimitExceededException"} == LATER


# Credentials


def given(token: str, expires: dt.datetime) -> Answer:
    said = {"AccessKeyId": "A", "SecretAccessKey": "S", "Token": token, "Expiration": f"{expires:%Y-%m-%dT%H:%M:%SZ}"}
    return Answer(body=json.dumps(said).encode())


def of_container(server: Server, **more: str) -> Mapping[str, str]:
    return {
        "AWS_CONTAINER_CREDENTIALS_FULL_URI": f"{server.url}/role?of=me",
        "AWS_CONTAINER_AUTHORIZATION_TOKEN": "let me",
        **more,
    }


def test_credentials_are_fetched_once_and_again_before_they_expire(server: Server) -> None:
    now = [NOW]
    server.script = one_after_another(
        given("first", NOW + dt.timedelta(hours=1)), given("second", NOW + dt.timedelta(hours=9))
    )
    credentials = CredentialsOfEnvironment(of_container(server), lambda: now[0])
    assert [credentials.current().token for _ in range(3)] == ["first"] * 3
    now[0] += dt.timedelta(minutes=56)
    assert [credentials.current().token for _ in range(3)] == ["second"] * 3
    assert [(asked.path, asked.headers["authorization"]) for asked in server.asked] == [("/role?of=me", "let me")] * 2


def test_a_pass_in_a_file_is_read_when_it_is_used(server: Server, tmp_path: Path) -> None:
    (tmp_path / "pass").write_text("from the file\n")
    server.script = lambda _: given("t", NOW + dt.timedelta(hours=1))
    environment = of_container(server, AWS_CONTAINER_AUTHORIZATION_TOKEN_FILE=str(tmp_path / "pass"))
    CredentialsOfEnvironment(environment, lambda: NOW).current()
    assert server.asked[0].headers["authorization"] == "from the file"


def test_without_credentials_it_says_what_is_missing() -> None:
    with pytest.raises(NoCredentialsError, match="AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY are not set"):
        CredentialsOfEnvironment({}, lambda: NOW).current()


def test_nobody_far_away_is_asked_for_credentials_in_the_clear() -> None:
    environment = {"AWS_CONTAINER_CREDENTIALS_FULL_URI": "http://example.com/role"}
    with pytest.raises(NoCredentialsError, match="without TLS"):
        CredentialsOfEnvironment(environment, lambda: NOW).current()


def test_an_answer_is_read_as_its_reader_says(server: Server, client: Aws) -> None:
    server.script = lambda _: Answer(body=b"plain", headers={"etag": "7"})

    def read(reply: Reply) -> tuple[bytes, str]:
        return reply.body, reply.headers["etag"]

    assert client.send(S3, "GET", "/key", read=read) == (b"plain", "7")
