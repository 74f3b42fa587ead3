"""The HTTP API behind API Gateway answers as the laptop's does, and lets in nobody whom no authorizer let in."""

import base64
from typing import Any

import msgspec
import pytest
from aws_events import http
from aws_fakes import Json, Stack, body

from functions.api.headers import ALWAYS, NEVER_STORED
from functions.entry_points.aws import gateway

MESSAGE = {"content-type": "application/json"}
ROLE = "arn:aws:sts::000000000000:assumed-role/Reader/session-1"


def asked(stack: Stack, conversation: str = "c1", **changed: Any) -> Json:
    """The answer to a message."""
    event = http("POST", f"/conversations/{conversation}/messages", body='{"text": "hello"}', headers=MESSAGE)
    return stack.call(event | changed)


def seen(event: Json, base_path: str = "") -> str:
    """The path that the API sees."""
    return gateway.path_of(event, base_path)


# ---------------------------------------------------------------------------------------------- answering


def test_a_message_is_taken_and_its_request_shown(stack: Stack) -> None:
    accepted = asked(stack)
    assert accepted["statusCode"] == 202
    stack.memory.run()
    shown = stack.call(http("GET", accepted["headers"]["location"]))
    assert (shown["statusCode"], body(shown)["status"], body(shown)["answer"]) == (
        200,
        "settled",
        {"texts": ["hello"], "missing": []},
    )


def test_every_answer_carries_the_headers_of_every_server(stack: Stack) -> None:
    for event in (http("GET", "/healthz"), http("GET", "/nothing"), http("GET", "/requests/r1", authorizer={})):
        headers = stack.call(event)["headers"]
        assert headers.items() >= {**ALWAYS, **NEVER_STORED}.items()
        assert headers["x-request-id"] == event["requestContext"]["requestId"]


def test_the_callers_request_id_comes_back_and_travels_with_the_request(stack: Stack) -> None:
    event = http(
        "POST", "/conversations/c1/messages", body='{"text": "a"}', headers={**MESSAGE, "x-request-id": "mine-1"}
    )
    answer = stack.call(event)
    assert answer["headers"]["x-request-id"] == "mine-1"
    assert [each.correlation for each in stack.memory.queued()] == ["mine-1"]


def test_a_request_id_that_no_log_takes_is_refused_under_the_gateways_own(stack: Stack) -> None:
    answer = stack.call(http("GET", "/requests/r1", headers={"x-request-id": "two words"}))
    assert (answer["statusCode"], answer["headers"]["x-request-id"]) == (400, "JKJaXmPLvHcESHA=")


def test_a_request_past_its_deadline_is_shown_as_settled(stack: Stack) -> None:
    location = asked(stack)["headers"]["location"]
    stack.clock.advance(3_600)
    shown = body(stack.call(http("GET", location)))
    assert (shown["status"], shown["error"]["agent"]) == ("settled", "runtime")


def test_head_has_no_body(stack: Stack) -> None:
    answer = stack.call(http("HEAD", "/workflows"))
    assert (answer["statusCode"], answer["body"]) == (200, "")


def test_a_stream_is_what_happened_so_far_and_says_when_to_come_back(stack: Stack) -> None:
    location = asked(stack)["headers"]["location"]
    first = stack.call(http("GET", f"{location}/events"))
    assert first["headers"]["content-type"] == "text/event-stream"
    assert first["body"].startswith("retry: 1000\n\nevent: request\n")
    assert "event: settled" not in first["body"]
    stack.memory.run()
    whole = stack.call(http("GET", f"{location}/events"))["body"]
    last = [line.removeprefix("id: ") for line in whole.splitlines() if line.startswith("id: ")][-1]
    assert last.endswith(":settled")
    again = stack.call(http("GET", f"{location}/events", headers={"last-event-id": last}))
    assert again["statusCode"] == 204


# ------------------------------------------------------------------------------------------------ decoding


@pytest.mark.parametrize(
    ("raw", "expected"),
    [
        ("/requests/r1", "/requests/r1"),
        ("/requests/two words", "/requests/two%20words"),  # as API Gateway decodes it
        ("/requests/two%20words", "/requests/two%20words"),  # as others leave it
        ("/requests/ä", "/requests/%C3%A4"),
        ("/requests/50%", "/requests/50%25"),
        ("/collections/documents/passages/a/b#1", "/collections/documents/passages/a%2Fb%231"),
        ("/conversations/a/b/messages", "/conversations/a%2Fb/messages"),
        ("/conversations/a/b/export", "/conversations/a%2Fb/export"),
        ("/conversations/a/b", "/conversations/a%2Fb"),
    ],
)
def test_a_path_is_what_the_client_meant(raw: str, expected: str) -> None:
    assert seen(http("GET", raw)) == expected


def test_stage_and_base_path_are_no_part_of_a_path() -> None:
    event = http("GET", "/live/requests/r1")
    event["requestContext"]["stage"] = "live"
    assert seen(event) == "/requests/r1"
    assert seen(http("GET", "/v1/requests/r1"), "/v1/") == "/requests/r1"
    assert seen(http("GET", "/v1"), "/v1") == "/"
    assert seen(http("GET", "/v10/requests/r1"), "/v1") == "/v10/requests/r1"


def test_a_passage_whose_id_has_a_slash_is_found(stack: Stack) -> None:
    assert stack.call(http("GET", "/collections/documents/passages/p/1"))["statusCode"] == 200


def test_a_body_in_base64_is_read(stack: Stack) -> None:
    encoded = base64.b64encode(b'{"text": "hello"}').decode()
    assert asked(stack, body=encoded, isBase64Encoded=True)["statusCode"] == 202


def test_a_body_that_is_not_the_base64_it_is_said_to_be_is_refused(stack: Stack) -> None:
    assert asked(stack, body="*", isBase64Encoded=True)["statusCode"] == 400


def test_a_query_key_that_comes_twice_is_refused(stack: Stack) -> None:
    location = asked(stack)["headers"]["location"]
    answer = stack.call(http("GET", location, query="wait=1&wait=2"))
    assert (answer["statusCode"], body(answer)["errors"][0]["parameter"]) == (400, "wait")


def test_headers_are_known_in_any_case_and_cookies_are_one(stack: Stack) -> None:
    location = asked(stack)["headers"]["location"]
    assert stack.call(http("GET", location, headers={"Accept": "text/html"}))["statusCode"] == 406
    assert gateway.headers_of(http("GET", "/"))["cookie"] == "theme=dark; lang=en"


def test_bytes_that_are_no_text_travel_in_base64() -> None:
    answer = gateway.answer_of(gateway.HttpResponse(status=200, body=b"\xff"))
    assert (answer["isBase64Encoded"], base64.b64decode(answer["body"])) == (True, b"\xff")


# ------------------------------------------------------------------------------------------------- bad input


def test_an_oversized_body_is_refused(stack: Stack) -> None:
    text = "a" * 1024**2
    answer = asked(stack, body=msgspec.json.encode({"text": text}).decode())
    assert (answer["statusCode"], stack.messages()) == (413, [])


@pytest.mark.parametrize(
    "authorizer",
    [
        {},
        {"lambda": None},
        {"lambda": {"tenant": ""}},
        {"lambda": {"tenant": "a#b"}},
        {"lambda": {"tenant": ["default"]}},
        {"jwt": {"claims": {"sub": "default"}}},
        {"iam": {"userArn": "default"}},
    ],
)
def test_a_call_that_no_authorizer_let_in_is_refused(stack: Stack, authorizer: Json) -> None:
    event = http("POST", "/conversations/c1/messages", body='{"text": "a"}', headers=MESSAGE, authorizer=authorizer)
    assert (stack.call(event)["statusCode"], stack.messages()) == (401, [])


def test_a_header_that_says_another_tenant_is_refused(stack: Stack) -> None:
    answer = stack.call(http("GET", "/workflows", headers={"x-tenant": "alice"}))
    assert answer["statusCode"] == 401
    assert stack.call(http("GET", "/workflows", headers={"x-tenant": "default"}))["statusCode"] == 200


def test_another_tenants_request_is_not_there(stack: Stack) -> None:
    location = asked(stack)["headers"]["location"]
    assert stack.call(http("GET", location, authorizer={"lambda": {"tenant": "alice"}}))["statusCode"] == 404


def test_health_needs_no_authorizer(stack: Stack) -> None:
    assert stack.call(http("GET", "/healthz", authorizer={}))["statusCode"] == 200


def test_what_goes_wrong_inside_says_nothing_of_it(stack: Stack, monkeypatch: pytest.MonkeyPatch) -> None:
    def broken(*_: object) -> None:
        raise RuntimeError("the secret is 4711")

    monkeypatch.setattr(stack.api, "handle", broken)
    answer = stack.call(http("GET", "/workflows"))
    assert (answer["statusCode"], "4711" in answer["body"]) == (500, False)


def test_an_answer_larger_than_lambda_gives_says_so(stack: Stack, monkeypatch: pytest.MonkeyPatch) -> None:
    def answered(body: bytes) -> Json:
        large = gateway.HttpResponse(status=200, body=body)
        monkeypatch.setattr(stack.api, "handle", lambda _request: large)
        return stack.call(http("GET", "/workflows"))

    some = gateway.MOST_ANSWERED - 1_000  # as much as the headers need at most
    assert answered(b"a" * some)["statusCode"] == 200
    for raw in (b"a" * gateway.MOST_ANSWERED, b'"' * (some // 2 + 1_000), b"\xff" * (some * 3 // 4 + 1_000)):
        answer = answered(raw)
        assert (answer["statusCode"], "ask for less" in answer["body"]) == (500, True)
        assert "x-request-id" in {name.lower() for name in answer["headers"]}


# --------------------------------------------------------------------------------------------------- tenants


def test_the_tenant_is_whom_the_authorizer_says() -> None:
    claims = {"jwt": {"claims": {"tenant": "alice", "sub": "u1"}, "scopes": []}}
    assert gateway.tenant_of(http("GET", "/", authorizer=claims), "tenant") == "alice"
    assert gateway.tenant_of(http("GET", "/", authorizer=claims), "sub") == "u1"


def test_a_role_is_one_tenant_in_every_session_and_a_user_of_its_name_is_another() -> None:
    def tenant(arn: str) -> str:
        return gateway.tenant_of(http("GET", "/", authorizer={"iam": {"userArn": arn}}), "tenant")

    assert tenant(ROLE) == "000000000000-role-Reader" == tenant(ROLE.replace("session-1", "session-2"))
    assert tenant("arn:aws:iam::000000000000:user/Reader") == "000000000000-user-Reader"
    odd, other = tenant("arn:aws:iam::000000000000:user/a.b"), tenant("arn:aws:iam::000000000000:user/a+b")
    assert odd != other
    assert odd.startswith("000000000000-")
