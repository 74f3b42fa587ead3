"""The file of actions: everything wrong with it at once, by key, and no value of it in any message."""

import string
import tomllib
from collections.abc import Mapping
from ipaddress import ip_network
from pathlib import Path
from typing import Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from functions.adapters.actions.settings import (
    KEYS,
    METHODS,
    Action,
    ActionSettingsError,
    Header,
    action_settings,
    read_actions,
    with_text,
)

URL = "https://api.example.org/notes"


def read(environment: Mapping[str, str] | None = None, **settings: Any) -> Action:
    return read_actions({"actions": {"notify": settings}}, environment or {}, "actions.toml")["notify"]


def problems(environment: Mapping[str, str] | None = None, **settings: Any) -> str:
    with pytest.raises(ActionSettingsError) as raised:
        read(environment, **settings)
    return str(raised.value)


def test_a_url_is_enough() -> None:
    action = read(url=URL)
    assert (action.method, action.key_header, action.timeout_s, action.body) == ("POST", "", 10.0, {"text": "{text}"})
    target = action.target
    assert (target.secure, target.host, target.port, target.path, target.private) == (
        *(True, "api.example.org", 443, "/notes"),
        (),
    )


def test_everything_can_be_set() -> None:
    action = read(
        {"TOKEN": "abc"},
        url="http://10.0.0.5:8080/a?b=c",
        method="PUT",
        allow=["10.0.0.5"],
        private=["10.0.0.5", "10.1.0.0/16"],
        idempotency="Idempotency-Key",
        idempotency_hours=48,
        timeout_s=2.5,
        max_response_bytes=100,
        headers={"Authorization": "Bearer secret:TOKEN", "X-Team": "ops"},
        body={"a": ["{text}", 1]},
    )
    assert (action.target.secure, action.target.port, action.target.path) == (False, 8080, "/a?b=c")
    assert action.target.private == (ip_network("10.0.0.5/32"), ip_network("10.1.0.0/16"))
    assert (action.key_header, action.key_lasts_s) == ("Idempotency-Key", 48 * 3600)
    assert (action.timeout_s, action.max_response_bytes) == (2.5, 100)
    assert action.headers == {"Authorization": Header("Bearer ", "TOKEN"), "X-Team": Header("ops")}


def test_every_problem_is_told_at_once_with_its_key() -> None:
    table = {
        "actons": {},
        "actions": {
            "Notify!": {"url": URL},
            "a": {"url": "ftp://x", "method": "GET", "allow": "x", "private": ["8.8.8.8", "nope"], "speed": 1},
            "b": {"url": URL, "timeout_s": 600, "max_response_bytes": -1, "idempotency": "a b", "headers": []},
            "c": 7,
        },
    }
    with pytest.raises(ActionSettingsError) as raised:
        read_actions(table, {}, "actions.toml")
    for expected in (
        *("the actions in actions.toml", "actons is no key", "actions.Notify! is no name"),
        *("actions.a.url is no URL", "actions.a.method is not one of POST, PUT, PATCH, DELETE"),
        *("actions.a.allow is no list of hosts", "actions.a.private has an entry that is public"),
        *("actions.a.private has an entry that is no address", "actions.a.speed is unknown: use url, method"),
        *("actions.b.timeout_s is no number from 0.1 to 25", "actions.b.max_response_bytes is no number from 0"),
        *("actions.b.idempotency is no header", "actions.b.headers is no table", "actions.c is no table"),
    ):
        assert expected in str(raised.value)


@pytest.mark.parametrize(
    ("settings", "expected"),
    [
        ({"url": "http://api.example.org/"}, "url is plain http: use https, or name its host in allow"),
        ({"url": "http://api.example.org/", "allow": ["example.org"]}, "url is plain http"),
        ({"url": URL, "allow": ["other.example.org"]}, "allow does not name the host of url"),
        ({"url": "https://user:pass@api.example.org/"}, "url holds a user, a password"),
        ({"url": f"{URL}?api_key=abc"}, "url holds a secret in its query"),
        ({"url": f"{URL} "}, "url is no URL"),
        ({"url": f"{URL}\r\nX: 1"}, "url is no URL"),
        ({"url": "https://b\u00fccher.example/"}, "url is no URL"),
        ({"url": "https://api.example.org:0/"}, "url is no URL"),
        ({"url": "https://api.example.org:99999/"}, "url is no URL"),
        ({"url": "https://.example.org/"}, "url is no URL"),
        ({"url": "https://[::1/"}, "url is no URL"),
        ({"url": "https://api.example.org\\@evil.example/"}, "url is no URL"),
        ({}, "url is no URL"),
        ({"url": URL, "private": ["0.0.0.0/0"]}, "private has an entry that is public or too wide"),
        ({"url": URL, "private": ["10.0.0.5/8"]}, "private has an entry that is no address"),
        ({"url": URL, "headers": {"Authorization": "Bearer abc"}}, "headers.Authorization holds a secret in plain"),
        ({"url": URL, "headers": {"X-Api-Key": "abc"}}, "headers.X-Api-Key holds a secret in plain sight"),
        ({"url": URL, "headers": {"X-Custom": "Basic dTpw"}}, "headers.X-Custom holds a secret in plain sight"),
        ({"url": URL, "headers": {"Cookie": "a=b"}}, "headers.Cookie holds a secret in plain sight"),
        ({"url": URL, "headers": {"Host": "evil.example"}}, "headers.Host is no header that can be set here"),
        ({"url": URL, "headers": {"X: 1\r\nY": "a"}}, "is no header that can be set here"),
        ({"url": URL, "headers": {"X-A": "a\r\nY: b"}}, "headers.X-A is no value of a header"),
        ({"url": URL, "headers": {"X-A": "1", "x-a": "2"}}, "headers has a header twice"),
        ({"url": URL, "headers": {"X-A": "secret:NONE"}}, "headers.X-A cannot be used: the secret NONE is not set"),
        ({"url": URL, "headers": {"X-A": "secret:TOKEN x"}}, "headers.X-A has something after its secret"),
        ({"url": URL, "headers": {"X-Id": "1"}, "idempotency": "x-id"}, "idempotency is no header of its own"),
        ({"url": URL, "idempotency": "Content-Length"}, "idempotency is no header of its own"),
        ({"url": URL, "idempotency_hours": 3}, "idempotency_hours says nothing without idempotency"),
        ({"url": URL, "body": {"a": "secret:TOKEN"}}, "body refers to a secret"),
        ({"url": URL, "timeout_s": True}, "timeout_s is no number"),
        ({"url": URL, "timeout_s": float("nan")}, "timeout_s is no number"),
        (
            {"url": "http://db.example.org/", "allow": ["db.example.org"], "headers": {"X-A": "secret:TOKEN"}},
            "url would send a secret in the clear",
        ),
    ],
)
def test_what_is_wrong_is_named_with_what_is_right(settings: dict[str, Any], expected: str) -> None:
    told = problems({"TOKEN": "hidden-value"}, **settings)
    assert f"actions.notify.{expected}" in told or expected in told
    for value in ("hidden-value", "abc", "dTpw", "user:pass", "a=b"):
        assert value not in told


def test_a_secret_may_go_in_the_clear_to_an_address_that_is_listed_as_private() -> None:
    url, headers = "http://10.0.0.5/", {"X-A": "secret:TOKEN"}
    assert read({"TOKEN": "t"}, url=url, allow=["10.0.0.5"], private=["10.0.0.5"], headers=headers).target.port == 80
    assert "in the clear" in problems({"TOKEN": "t"}, url=url, allow=["10.0.0.5"], headers=headers)


# ------------------------------------------------------------------------------------------------- where it is


def test_no_file_is_no_action() -> None:
    assert action_settings({}) == {}


@pytest.mark.parametrize(
    ("content", "expected"),
    [
        (None, "which cannot be read (No such file or directory): name a TOML file"),
        (b"[actions.notify", "is no TOML"),
        (b"\xff\xfe", "is no TOML"),
        (b"", "actions is no table of actions"),
        (b"a=" + b"[" * 5000, "is no TOML"),
    ],
)
def test_a_file_that_cannot_be_used_is_named(tmp_path: Path, content: bytes | None, expected: str) -> None:
    file = tmp_path / "actions.toml"
    if content is not None:
        file.write_bytes(content)
    with pytest.raises(ActionSettingsError) as raised:
        action_settings({"TROUPE_ACTIONS": str(file)})
    assert str(file) in str(raised.value)
    assert expected in str(raised.value)


# ---------------------------------------------------------------------------------------------------- secrets


def with_key(file: Path) -> Action:
    headers = {"Authorization": "Bearer secret:TOKEN"}
    return read({"TOKEN_FILE": str(file)}, url=URL, headers=headers)


def test_a_secret_may_be_in_a_file_outside_any_repository(tmp_path: Path) -> None:
    file = tmp_path / "token"
    file.write_text("s3cr3t\n")
    assert with_key(file).headers == {"Authorization": Header("Bearer ", "TOKEN")}
    (tmp_path / ".git").mkdir()
    with pytest.raises(ActionSettingsError, match="TOKEN_FILE names a file inside a repository"):
        with_key(file)


def test_a_secret_file_that_cannot_be_read_is_named_by_its_variable(tmp_path: Path) -> None:
    with pytest.raises(ActionSettingsError, match=r"the file that TOKEN_FILE names cannot be read \(FileNotFound"):
        with_key(tmp_path / "none")


@pytest.mark.parametrize("value", ["two words", "line\nbreak", "k\u00e9y", "\x00"])
def test_a_secret_that_no_header_can_hold_is_refused_unseen(value: str) -> None:
    told = problems({"TOKEN": f"ab{value}cd"}, url=URL, headers={"X-A": "secret:TOKEN"})
    assert "the secret TOKEN holds a space or a character" in told
    assert value not in told


def test_an_action_prints_no_secret() -> None:
    action = read({"TOKEN": "hidden-value"}, url=URL, headers={"Authorization": "Bearer secret:TOKEN"})
    assert "hidden-value" not in repr(action)
    assert b"hidden-value" not in msgspec.json.encode(action.headers)


# ------------------------------------------------------------------------------------------------- whatever it is

VALUES = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text() | st.dates() | st.datetimes(),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=8), inner, max_size=3),
    max_leaves=8,
)
SETTINGS = st.dictionaries(st.sampled_from(KEYS) | st.text(max_size=8), VALUES, max_size=6)
SAFE = st.text(string.ascii_letters + string.digits, min_size=1, max_size=8)


@given(st.dictionaries(st.sampled_from(("actions", "a")) | st.text(max_size=5), VALUES | SETTINGS, max_size=3))
def test_whatever_a_file_holds_it_is_read_or_refused_with_a_reason(table: dict[str, Any]) -> None:
    try:
        actions = read_actions(table, {}, "f")
    except ActionSettingsError as error:
        assert str(error).isprintable()  # noqa: PT017 - nothing else may be raised
    else:
        assert actions


@given(SETTINGS)
def test_whatever_an_action_holds_it_is_read_or_refused_by_key(settings: dict[str, Any]) -> None:
    try:
        action = read_actions({"actions": {"a": settings}}, {}, "f")["a"]
    except ActionSettingsError as error:
        assert "actions.a." in str(error)  # noqa: PT017 - nothing else may be raised
    else:
        assert action.target.host
        assert action.method in METHODS


@given(host=SAFE, port=st.integers(1, 65535), path=SAFE, method=st.sampled_from(METHODS), seconds=st.floats(0.1, 25))
def test_what_is_right_is_read_as_it_was_meant(host: str, port: int, path: str, method: str, seconds: float) -> None:
    url = f"https://{host}.example:{port}/{path}"
    lines = f"[actions.a]\nurl = '{url}'\nmethod = '{method}'\ntimeout_s = {seconds!r}"
    action = read_actions(tomllib.loads(lines), {}, "f")["a"]
    assert (action.url, action.method, action.timeout_s) == (url, method, seconds)
    assert (action.target.host, action.target.port) == (f"{host}.example".lower(), port)
    assert action.target.path == f"/{path}"


@given(VALUES, st.text())
def test_a_body_keeps_its_shape_whatever_the_user_writes(body: Any, text: str) -> None:  # noqa: ANN401
    assert shape(with_text(body, text)) == shape(body)


def shape(value: Any) -> Any:  # noqa: ANN401 - whatever JSON can hold
    if isinstance(value, dict):
        return {key: shape(each) for key, each in value.items()}
    if isinstance(value, list):
        return [shape(each) for each in value]
    return type(value)
