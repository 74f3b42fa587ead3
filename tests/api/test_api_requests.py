"""How a request stands, conversations, passages and workflows: what each call shows, and to whom."""

from datetime import timedelta

import pytest
from api_fakes import PASSAGE, Caller, Role, data
from harness import START
from redriving import carried_on, redrive

from functions.api.http import HttpResponse, Wait
from functions.errors import PermanentError
from functions.ports.conversations import TTL_DAYS


def test_a_request_is_shown_before_while_and_after_it_is_worked_on(caller: Caller) -> None:
    first, second = caller.say("one").request, caller.say("two").request
    running, waiting = data(caller.get(f"/requests/{first}")), data(caller.get(f"/requests/{second}"))
    assert (running["status"], waiting["status"]) == ("running", "waiting")
    assert (running["answer"], running["error"], running["settled"]) == (None, None, None)
    assert running["accepted"] == "2026-01-05T09:00:00Z"
    assert running["deadline"] == "2026-01-05T09:01:00Z"
    caller.harness.run_due()
    shown = data(caller.get(f"/requests/{first}"))
    assert shown["status"] == "settled"
    assert shown["answer"] == {"texts": ["one"], "missing": []}
    assert (shown["error"], shown["tokens"], shown["micros"]) == (None, 0, 0)
    (delivery,) = shown["deliveries"]
    assert {**delivery, "key": ""} == {
        "key": "",
        "agent": "tell",
        "event": "Told.v1",
        "emitted": "2026-01-05T09:00:00Z",
        "started": "2026-01-05T09:00:00Z",
        "finished": "2026-01-05T09:00:00Z",
        "attempts": 1,
        "error": "",
        "failed": False,
    }


def test_a_request_that_fails_shows_its_error_and_no_answer(caller: Caller) -> None:
    request = caller.say("hello").request
    caller.harness.script.failures["hello"] = [PermanentError("no ink")]
    caller.harness.run()
    shown = data(caller.get(f"/requests/{request}"))
    assert shown["answer"] is None
    assert shown["error"]["agent"] == "tell"
    assert "no ink" in shown["error"]["reason"]
    assert shown["deliveries"][0]["error"]


def test_a_request_that_was_redriven_names_the_one_that_carries_on(caller: Caller) -> None:
    request = caller.say("hello").request
    caller.harness.script.failures["hello"] = [PermanentError("no ink")]
    caller.harness.run()
    again = carried_on(redrive(caller.harness))
    caller.harness.run()
    first, second = data(caller.get(f"/requests/{request}")), data(caller.get(f"/requests/{again}"))
    assert (first["origin"], first["redriven_as"]) == ("", again)
    assert (second["origin"], second["redriven_as"]) == (request, "")
    assert second["answer"] == {"texts": ["hello"], "missing": []}
    assert first["answer"] is None, "it keeps what it was settled with"


def test_an_answer_too_large_to_travel_is_shown_whole(caller: Caller) -> None:
    text = "\u4e8b" * 20_000
    request = caller.say(text).request
    caller.harness.run()
    assert data(caller.get(f"/requests/{request}"))["answer"]["texts"] == [text]


def test_with_time_to_wait_an_open_request_is_something_to_wait_for(caller: Caller) -> None:
    request = caller.say("hello").request
    reply = caller.call("GET", f"/requests/{request}?wait=20")
    assert isinstance(reply, Wait)
    assert (reply.request, reply.tenant, reply.seconds) == (request, "default", 20)
    otherwise = caller.api.handle(reply.otherwise)
    assert isinstance(otherwise, HttpResponse)
    assert data(otherwise)["status"] == "running"
    caller.harness.run()
    assert data(caller.get(f"/requests/{request}?wait=20"))["status"] == "settled"


@pytest.mark.parametrize("wait", ["0", "0.0", ""])
def test_without_time_it_is_shown_as_it_stands(caller: Caller, wait: str) -> None:
    request = caller.say("hello").request
    assert data(caller.get(f"/requests/{request}{f'?wait={wait}' if wait else ''}"))["status"] == "running"


@pytest.mark.parametrize(
    "query",
    ["wait=31", "wait=-1", "wait=x", "wait=", "wait=nan", "wait=1&wait=2", "wiat=1", "wait=%FF", "&".join("a" * 200)],
)
def test_a_query_that_cannot_be_used_is_refused(caller: Caller, query: str) -> None:
    request = caller.say("hello").request
    assert caller.get(f"/requests/{request}?{query}").status == 400


def test_everything_wrong_with_a_query_is_named_at_once(caller: Caller) -> None:
    problem = data(caller.get("/conversations/c1/messages?limit=0&limti=3"))
    assert [each["parameter"] for each in problem["errors"]] == ["limit", "limti"]


def test_a_request_of_another_tenant_is_no_other_than_one_that_does_not_exist(caller: Caller) -> None:
    request = caller.say("hello").request
    other = caller.as_tenant("other")
    for path in ("", "?wait=20", "/events"):
        foreign = other.call("GET", f"/requests/{request}{path}")
        unknown = other.call("GET", f"/requests/{'0' * 32}{path}")
        assert foreign == unknown
        assert getattr(foreign, "status", 0) == 404


# ---------------------------------------------------------------------------------------------- conversations


def told(caller: Caller, texts: list[str], conversation: str = "c1") -> None:
    for number, text in enumerate(texts):
        role: Role = "assistant" if number % 2 else "user"
        caller.tell(conversation, f"{text}{number}", role, text)
        caller.harness.clock.advance(1)


def test_a_conversation_is_what_was_said_oldest_first(caller: Caller) -> None:
    told(caller, ["one", "two", "three"])
    told(caller, ["elsewhere"], "c2")
    told(caller.as_tenant("other"), ["foreign"])
    history = data(caller.get("/conversations/c1/messages"))
    assert history["conversation"] == "c1"
    assert [(each["role"], each["text"]) for each in history["messages"]] == [
        ("user", "one"),
        ("assistant", "two"),
        ("user", "three"),
    ]
    assert history["messages"][0]["at"] == f"{START:%Y-%m-%dT%H:%M:%SZ}"
    last = data(caller.get("/conversations/c1/messages?limit=2"))
    assert [each["text"] for each in last["messages"]] == ["two", "three"]


def test_what_was_said_is_gone_after_thirty_days(caller: Caller) -> None:
    told(caller, ["one"])
    caller.harness.clock.time += timedelta(days=TTL_DAYS, seconds=1)
    assert data(caller.get("/conversations/c1/messages"))["messages"] == []


# ----------------------------------------------------------------------------------- passages and workflows


def test_a_passage_is_shown_to_its_tenant_only(caller: Caller) -> None:
    path = "/collections/documents/passages/p%2F1"
    assert data(caller.get(path))["text"] == PASSAGE.text
    nothing = caller.get("/collections/documents/passages/p2")
    assert nothing.status == 404
    assert caller.as_tenant("other").get(path) == nothing
    assert caller.get("/collections/nope/passages/p%2F1") == nothing


def test_workflows_are_shown_with_who_consumes_what(caller: Caller) -> None:
    workflows = data(caller.get("/workflows"))["workflows"]
    assert [each["workflow"] for each in workflows] == ["answer", "fanned", "single"]
    fanned = data(caller.get("/workflows/fanned"))
    assert fanned == workflows[1]
    assert (fanned["entry"], fanned["answer"], fanned["takes_messages"]) == ("ListAsked", "Answered", False)
    agents = {each["name"]: each for each in fanned["agents"]}
    assert (agents["split"]["consumes"], agents["split"]["fans_out"]) == (["ListAsked"], ["Piece"])
    assert (agents["collect"]["joins"], agents["collect"]["emits"]) == (True, ["Answered"])
    assert caller.get("/workflows/nope").status == 404


def test_health_is_a_look_into_the_store(caller: Caller) -> None:
    assert data(caller.get("/healthz")) == {"status": "ok"}


# ----------------------------------------------------------------------------------------------------- HTTP


@pytest.mark.parametrize("path", ["/", "/nope", "/requests", "/requests/a/b/c", "/healthz/", "//healthz", "/Healthz"])
def test_what_is_not_there_is_not_found(caller: Caller, path: str) -> None:
    response = caller.get(path)
    assert response.status == 404
    assert response.headers["content-type"] == "application/problem+json"


@pytest.mark.parametrize(
    ("method", "path", "allowed"),
    [
        ("DELETE", "/conversations/c1/messages", "GET, POST"),
        ("POST", "/healthz", "GET"),
        ("OPTIONS", "/collections/documents/documents", "POST"),
        ("GET", "/collections/documents/documents", "POST"),
    ],
)
def test_another_method_is_refused_with_those_that_there_are(
    caller: Caller, method: str, path: str, allowed: str
) -> None:
    reply = caller.call(method, path)
    assert isinstance(reply, HttpResponse)
    assert (reply.status, reply.headers["allow"]) == (405, allowed)


@pytest.mark.parametrize("accept", ["text/html", "application/xml;q=0.9, text/*", "application/json;q=0"])
def test_a_format_that_is_not_given_is_refused(caller: Caller, accept: str) -> None:
    assert caller.get("/healthz", {"Accept": accept}).status == 406


@pytest.mark.parametrize(
    "accept", ["", "*/*", "application/*", "text/html, application/json;q=0.1", "APPLICATION/JSON"]
)
def test_a_format_that_is_given_may_be_named_in_any_way(caller: Caller, accept: str) -> None:
    assert caller.get("/healthz", {"Accept": accept}).status == 200


def test_a_head_is_answered_as_its_get_is(caller: Caller) -> None:
    request = caller.say("hello").request
    for path in ("/healthz", f"/requests/{request}", f"/requests/{request}/events"):
        reply = caller.call("HEAD", path)
        assert getattr(reply, "status", 0) == 200
