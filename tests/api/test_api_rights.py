"""Export and erasure over the API: of the caller's own conversations, and of nobody else's."""

from api_fakes import Caller, data

from functions.api.http import HttpResponse


def delete(caller: Caller, conversation: str = "c1") -> HttpResponse:
    reply = caller.call("DELETE", f"/conversations/{conversation}")
    assert isinstance(reply, HttpResponse)
    return reply


def test_an_export_is_everything_as_one_document(local_caller: Caller) -> None:
    taken = local_caller.say("hello")
    local_caller.machine.run()
    export = data(local_caller.get("/conversations/c1/export"))
    assert (export["format"], export["tenant"], export["conversation"]) == ("troupe-conversation-1", "default", "c1")
    assert [row["request"] for row in export["places"]["requests"]] == [taken.request]


def test_an_erased_conversation_is_not_there_any_more(local_caller: Caller) -> None:
    taken = local_caller.say("hello")
    erased = delete(local_caller)
    assert erased.status == 202
    assert data(erased)["items"]["requests"] == 1
    assert local_caller.get(f"/requests/{taken.request}").status == 404
    assert local_caller.get("/conversations/c1/export").status == 404
    assert data(local_caller.get("/conversations/c1/messages"))["messages"] == []


def test_what_is_not_held_is_not_found(local_caller: Caller) -> None:
    assert (delete(local_caller).status, local_caller.get("/conversations/c1/export").status) == (404, 404)


def test_another_tenant_neither_reads_nor_erases_it(local_caller: Caller) -> None:
    local_caller.say("hello")
    stranger = local_caller.as_tenant("acme")
    assert (delete(stranger).status, stranger.get("/conversations/c1/export").status) == (404, 404)
    assert local_caller.get("/conversations/c1/export").status == 200


def test_a_stream_of_an_erased_request_ends(local_caller: Caller) -> None:
    stream = local_caller.follow(local_caller.watch(local_caller.say("hello").request)).stream
    delete(local_caller)
    assert local_caller.follow(stream).ended


def test_the_name_may_be_used_again(local_caller: Caller) -> None:
    local_caller.say("hello", Idempotency_Key="k")
    delete(local_caller)
    taken = local_caller.say("another text under the same key", Idempotency_Key="k")
    local_caller.machine.run()
    assert data(local_caller.get(f"/requests/{taken.request}"))["status"] == "settled"
