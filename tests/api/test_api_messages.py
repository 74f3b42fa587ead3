"""Taking messages: 202 and where to look, once for each idempotency key, and everything that is wrong at once."""

import threading

import pytest
from api_fakes import Caller, data

from functions.adapters.local.requests import _COUNT_OPEN
from functions.api.http import HttpResponse
from functions.ports.requests import Limits

MESSAGES = "/conversations/c1/messages"


def pointers(response: HttpResponse) -> dict[str, str]:
    return {each.get("pointer", each.get("parameter")): each["detail"] for each in data(response)["errors"]}


def test_a_message_is_taken_and_the_response_says_where_to_look(caller: Caller) -> None:
    response = caller.post(MESSAGES, {"text": "hello"})
    taken = data(response)
    at = f"/requests/{taken['request']}"
    assert response.status == 202
    assert response.headers["location"] == at
    assert taken == {
        "request": taken["request"],
        "conversation": "c1",
        "workflow": "answer",
        "status": at,
        "events": f"{at}/events",
    }
    caller.harness.run()
    assert data(caller.get(at))["answer"] == {"texts": ["hello"], "missing": []}


def test_without_an_idempotency_key_every_message_is_a_new_request(caller: Caller) -> None:
    assert caller.say("hello").request != caller.say("hello").request


def test_the_same_key_and_body_is_the_same_request(caller: Caller) -> None:
    first = caller.post(MESSAGES, {"text": "hello"}, idempotency_key="k1")
    again = caller.post(MESSAGES, {"priority": "normal", "text": "hello"}, idempotency_key="k1")
    assert (again.status, again.body, again.headers) == (first.status, first.body, first.headers)
    caller.harness.run()
    assert caller.harness.script.calls == ["hello"]


def test_the_same_key_is_the_same_request_after_it_was_settled_too(caller: Caller) -> None:
    first = caller.say("hello", idempotency_key="k1")
    caller.harness.run()
    assert caller.say("hello", idempotency_key="k1") == first
    assert caller.harness.queued() == []


@pytest.mark.parametrize("other", [{"text": "other"}, {"text": "hello", "priority": "high"}, {"text": "h" * 19_999}])
def test_another_body_under_a_used_key_is_refused(caller: Caller, other: dict[str, str]) -> None:
    caller.say("hello", idempotency_key="k1")
    response = caller.post(MESSAGES, other, idempotency_key="k1")
    assert response.status == 422
    assert "Idempotency-Key" in data(response)["detail"]


def test_a_large_body_under_a_used_key_is_compared_too(caller: Caller) -> None:
    """It is kept apart from its envelope."""
    large = "\u4e8b" * 20_000
    first = caller.say(large, idempotency_key="k1")
    assert caller.say(large, idempotency_key="k1") == first
    assert caller.post(MESSAGES, {"text": large[:-1] + "x"}, idempotency_key="k1").status == 422


def test_a_key_counts_within_its_tenant_and_its_conversation(caller: Caller) -> None:
    requests = {
        caller.say("hello", "c1", idempotency_key="k1").request,
        caller.say("hello", "c2", idempotency_key="k1").request,
        caller.as_tenant("other").say("hello", "c1", idempotency_key="k1").request,
    }
    assert len(requests) == 3


def test_a_key_used_by_many_at_once_is_one_request(caller: Caller) -> None:
    start = threading.Barrier(8)
    seen = []

    def post(text: str) -> None:
        start.wait()
        response = caller.post(MESSAGES, {"text": text}, idempotency_key="k1")
        seen.append((response.status, data(response).get("request")))

    threads = [threading.Thread(target=post, args=("ab"[number % 2],)) for number in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sorted(status for status, _ in seen) == [202] * 4 + [422] * 4
    assert len({request for status, request in seen if status == 202}) == 1
    caller.harness.run()
    assert len(caller.harness.script.calls) == 1


def test_priority_correlation_and_tenant_travel_in_the_envelope(caller: Caller) -> None:
    caller.as_tenant("other").post(MESSAGES, {"text": "hello", "priority": "high"})
    (envelope,) = caller.harness.queued()
    assert (envelope.priority, envelope.correlation, envelope.tenant) == ("high", "corr", "other")


def test_a_workflow_that_takes_messages_can_be_chosen(caller: Caller) -> None:
    taken = caller.post(MESSAGES, {"text": "hello", "workflow": "single"})
    assert data(taken)["workflow"] == "single"
    caller.harness.run()
    assert caller.harness.script.calls == ["work hello"]


@pytest.mark.parametrize("workflow", ["nope", "", "fanned"])
def test_a_workflow_that_takes_no_messages_is_refused_with_those_that_do(caller: Caller, workflow: str) -> None:
    response = caller.post(MESSAGES, {"text": "hello", "workflow": workflow})
    assert response.status == 422
    assert pointers(response) == {"/workflow": "is none of answer, single"}


# ------------------------------------------------------------------------------------------------ bad input


def test_wrong_types_everywhere_are_one_list(caller: Caller) -> None:
    response = caller.post(MESSAGES, {"text": 3, "workflow": ["x"], "priority": {}, "a/b~c": None})
    assert response.status == 422
    assert response.headers["content-type"] == "application/problem+json"
    problem = data(response)
    assert (problem["type"], problem["title"], problem["status"]) == ("about:blank", "Unprocessable Content", 422)
    found = pointers(response)
    assert found.keys() == {"/text", "/workflow", "/priority", "/a~1b~0c"}
    assert found["/text"] == "is a number; expected text"
    assert problem["detail"].startswith(f"{len(problem['errors'])} things are wrong")


@pytest.mark.parametrize(
    ("body", "pointer", "says"),
    [
        ({}, "/text", "is missing"),
        ([], "", "is a list; expected an object"),
        (None, "", "is null; expected an object"),
        ({"text": ""}, "/text", "is blank"),
        ({"text": " \n\t"}, "/text", "is blank"),
        ({"text": "\x00\u200b"}, "/text", "is blank"),
        ({"text": "x" * 20_001}, "/text", "has 20,001 characters, and at most 20,000 are taken"),
        ({"text": "x" * 100_000}, "/text", "has 100,000 characters, and at most 20,000 are taken"),
        ({"text": "x", "priority": "urgent"}, "/priority", "is none of high, low, normal"),
        ({"text": True}, "/text", "is true or false; expected text"),
    ],
)
def test_what_is_wrong_is_named_with_its_place(caller: Caller, body: object, pointer: str, says: str) -> None:
    response = caller.post(MESSAGES, body)
    assert response.status == 422
    assert pointers(response) == {pointer: says}
    assert len(response.body) < 500, "what was sent is not sent back"


def test_a_body_full_of_mistakes_has_a_bounded_list(caller: Caller) -> None:
    response = caller.post(MESSAGES, {f"{number}{'n' * 1000}": 0 for number in range(1000)})
    assert 1 < len(data(response)["errors"]) <= 50
    assert len(response.body) < 20_000


def test_whatever_is_wrong_its_list_is_bounded(caller: Caller) -> None:
    problem = data(caller.get(f"/conversations/c1/messages?{'&'.join(f'p{number}=1' for number in range(80))}"))
    assert len(problem["errors"]) == 50
    assert problem["detail"] == "80 things are wrong with the query, and 50 are listed"


@pytest.mark.parametrize("raw", [b"", b"{", b"\xff\xfe", b'{"text": NaN}', b"[" * 100_000, b'{"text":"\\ud800"}'])
def test_a_body_that_is_no_json_is_refused(caller: Caller, raw: bytes) -> None:
    response = caller.post(MESSAGES, raw)
    assert response.status == 400
    assert "the body" in data(response)["detail"]


@pytest.mark.parametrize("content_type", ["", "text/plain", "application/x-www-form-urlencoded", "application/jsonp"])
def test_only_json_is_taken_so_that_no_form_of_another_site_can_post(caller: Caller, content_type: str) -> None:
    reply = caller.call("POST", MESSAGES, b'{"text":"x"}', {"content-type": content_type})
    assert getattr(reply, "status", 0) == 415


def test_a_parameter_of_the_content_type_does_not_matter(caller: Caller) -> None:
    assert caller.post(MESSAGES, {"text": "x"}, content_type="application/json; charset=utf-8").status == 202


@pytest.mark.parametrize("text", ["größer als 5 €?", "日本語で質問します", "שלום", "🎭" * 5_000])
def test_any_language_is_taken(caller: Caller, text: str) -> None:
    request = caller.say(text).request
    caller.harness.run()
    assert data(caller.get(f"/requests/{request}"))["answer"]["texts"] == [text]


@pytest.mark.parametrize("name", ["%00", "a%0Ab", "%7F", "%C2%85", "%FF", "x" * 129, ""])
def test_a_name_that_cannot_be_used_is_refused(caller: Caller, name: str) -> None:
    response = caller.post(f"/conversations/{name}/messages", {"text": "x"})
    assert response.status == 400
    assert pointers(response).keys() == {"conversation"}


@pytest.mark.parametrize("name", ["a%2Fb", "x" * 128, "%E4%BA%8B", "a%20b", "%25", "..", "-"])
def test_any_other_name_is_a_name(caller: Caller, name: str) -> None:
    caller.say("hello", name)


@pytest.mark.parametrize("key", ["", "a b", "x" * 256, "\u00fc", "a\tb"])
def test_an_idempotency_key_that_cannot_be_used_is_refused(caller: Caller, key: str) -> None:
    response = caller.post(MESSAGES, {"text": "x"}, idempotency_key=key)
    assert response.status == 400
    assert pointers(response).keys() == {"Idempotency-Key"}


# ---------------------------------------------------------------------------------------------------- limits


def test_a_conversation_takes_so_many_open_requests_and_no_more(caller: Caller) -> None:
    for _ in range(3):
        caller.say("hello")
    refused = caller.post(MESSAGES, {"text": "hello"})
    assert refused.status == 429
    assert int(refused.headers["retry-after"]) >= 1
    caller.say("hello", "c2")
    caller.harness.run()
    caller.say("hello")


def test_all_conversations_together_take_so_many_open_requests_and_no_more(caller: Caller) -> None:
    for number in range(5):
        caller.as_tenant(f"t{number}").say("hello", f"c{number}")
    assert caller.post(MESSAGES, {"text": "hello"}).status == 429
    caller.harness.run()
    caller.say("hello")


@pytest.mark.parametrize("text", ["hello", "\u4e8b" * 20_000])
def test_one_tenant_leaves_room_for_the_others(caller: Caller, text: str) -> None:
    limits = Limits(open=4, of_tenant=2)
    greedy, modest = (Caller(caller.harness, limits, tenant) for tenant in ("greedy", "modest"))
    for number in range(2):
        greedy.say("hello", f"c{number}")
    assert greedy.post("/conversations/c9/messages", {"text": text}).status == 429
    modest.say(text)


def test_a_repeat_is_no_new_request_and_never_too_much(caller: Caller) -> None:
    first = caller.say("hello", idempotency_key="k1")
    caller.say("a")
    caller.say("b")
    assert caller.say("hello", idempotency_key="k1") == first


def test_a_repeat_too_large_to_travel_is_never_too_much_either(caller: Caller) -> None:
    large = "\u4e8b" * 20_000
    first = caller.say(large, idempotency_key="k1")
    caller.say("a")
    caller.say("b")
    assert caller.say(large, idempotency_key="k1") == first


def test_what_was_refused_left_nothing(local_caller: Caller) -> None:
    for _ in range(3):
        local_caller.say("hello")
    for _ in range(3):
        assert local_caller.post(MESSAGES, {"text": "\u4e8b" * 20_000}).status == 429
    assert local_caller.machine.store.read("SELECT count(*) FROM request")[0][0] == 3
    assert list((local_caller.machine.folder / "blobs").iterdir()) == []


def test_counting_what_is_open_looks_at_nothing_else(local_caller: Caller) -> None:
    plan = local_caller.machine.store.read(f"EXPLAIN QUERY PLAN {_COUNT_OPEN}", ("t", "t", "c"))
    tables = [row[3] for row in plan if "request" in row[3]]
    assert len(tables) == 3
    assert all("INDEX open_request" in each for each in tables)
