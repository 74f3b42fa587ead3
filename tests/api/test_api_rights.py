"""Export and erasure over the API: of the caller's own conversations, and of nobody else's."""

from api_fakes import Caller, data

from functions.api.http import HttpResponse


def delete(caller: Caller, conversation: str = "c1") -> HttpResponse:
    reply = caller.call("DELETE", f"/conversations/{conversation}")
    assert isinstance(reply, HttpResponse)
    return reply


def test_an_export_is_everything_as_one_document(caller: Caller) -> None:
    taken = caller.say("hello")
    caller.harness.run()
    export = data(caller.get("/conversations/c1/export"))
    assert (export["format"], export["tenant"], export["conversation"]) == ("troupe-conversation-1", "default", "c1")
    assert [row["request"] for row in export["places"]["requests"]] == [taken.request]


def test_an_erased_conversation_is_not_there_any_more(caller: Caller) -> None:
    taken = caller.say("hello")
    erased = delete(caller)
    assert erased.status == 202
    assert data(erased)["items"]["requests"] == 1
    assert caller.get(f"/requests/{taken.request}").status == 404
    assert caller.get("/conversations/c1/export").status == 404
    assert data(caller.get("/conversations/c1/messages"))["messages"] == []


def test_what_is_not_held_is_not_found(caller: Caller) -> None:
    assert (delete(caller).status, caller.get("/conversations/c1/export").status) == (404, 404)


def test_another_tenant_neither_reads_nor_erases_it(caller: Caller) -> None:
    caller.say("hello")
    stranger = caller.as_tenant("acme")
    assert (delete(stranger).status, stranger.get("/conversations/c1/export").status) == (404, 404)
    assert caller.get("/conversations/c1/export").status == 200


def test_a_stream_of_an_erased_request_ends(caller: Caller) -> None:
    stream = caller.follow(caller.watch(caller.say("hello").request)).stream
    delete(caller)
    assert caller.follow(stream).ended


def test_the_name_may_be_used_again(caller: Caller) -> None:
    caller.say("hello", Idempotency_Key="k")
    delete(caller)
    taken = caller.say("another text under the same key", Idempotency_Key="k")
    caller.harness.run()
    assert data(caller.get(f"/requests/{taken.request}"))["status"] == "settled"
