"""The authorizer lets in who has a key, as the tenant of that key, and nobody else."""

import base64

import pytest
from aws_events import event

from functions.api.callers import Keys
from functions.entry_points.aws.authorizer import KEY_SUBPROTOCOL, authorized

KEYS = Keys({"alice": "alice-has-a-long-key", "bob": "bob-has-another/one+"})


def with_headers(name: str, **headers: str) -> dict[str, object]:
    """An event whose headers are these."""
    return event(name, headers={key.replace("_", "-"): value for key, value in headers.items()})


def subprotocol(key: str) -> str:
    return KEY_SUBPROTOCOL + base64.urlsafe_b64encode(key.encode()).decode().rstrip("=")


def effect(given: dict[str, object]) -> tuple[str, str]:
    """Of the policy that a WebSocket is answered, and the tenant in it."""
    answer = authorized(given, KEYS)
    (statement,) = answer["policyDocument"]["Statement"]
    assert statement["Resource"] == given["methodArn"]
    return statement["Effect"], answer["context"]["tenant"]


def test_a_key_is_its_tenant() -> None:
    assert authorized(event("http_authorizer"), KEYS) == {"isAuthorized": True, "context": {"tenant": "alice"}}


@pytest.mark.parametrize("given", ["Bearer wrong", "Basic alice-has-a-long-key", "alice-has-a-long-key", "", "Bearer "])
def test_without_a_right_key_nobody_is_let_in(given: str) -> None:
    answer = authorized(with_headers("http_authorizer", authorization=given), KEYS)
    assert answer == {"isAuthorized": False, "context": {"tenant": ""}}


def test_a_stack_without_keys_lets_nobody_in() -> None:
    assert not authorized(event("http_authorizer"), Keys({}))["isAuthorized"]


def test_a_websocket_gives_its_key_in_a_header_or_as_a_subprotocol() -> None:
    header = with_headers("websocket_authorizer", Authorization="Bearer bob-has-another/one+")
    offered = f"troupe, {subprotocol('bob-has-another/one+')}"
    assert effect(header) == ("Allow", "bob")
    assert effect(with_headers("websocket_authorizer", Sec_WebSocket_Protocol=offered)) == ("Allow", "bob")


@pytest.mark.parametrize("offered", ["troupe", subprotocol("wrong"), f"{KEY_SUBPROTOCOL}*", f"{KEY_SUBPROTOCOL}/w=="])
def test_a_websocket_without_a_right_key_is_refused(offered: str) -> None:
    assert effect(with_headers("websocket_authorizer", Sec_WebSocket_Protocol=offered)) == ("Deny", "")


def test_a_key_in_the_address_counts_for_nothing() -> None:
    given = event("websocket_authorizer", queryStringParameters={"token": "alice-has-a-long-key"})
    assert effect(given) == ("Deny", "")
