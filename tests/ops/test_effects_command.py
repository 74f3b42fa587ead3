"""What a person sees of effects, and settles: by the command, on a real server's mishaps."""

import sqlite3
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import pytest
from action_server import ActionServer, lost, ok, said, serving_actions, toml
from command import Ran, Troupe


@pytest.fixture
def server(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[ActionServer]:
    """A server that honours no keys, declared as the action `notify`."""
    with serving_actions() as running:
        file = tmp_path / "actions.toml"
        file.write_text(toml(running))
        monkeypatch.setenv("TROUPE_ACTIONS", str(file))
        yield running


def keys(troupe: Troupe) -> dict[str, str]:
    return {each["key"]: each["status"] for each in troupe("effects", "list", "--json").json()}


def in_doubt(troupe: Troupe, server: ActionServer, conversation: str = "cli") -> Ran:
    server.behaviours = [lost]
    return troupe("ask", "/notify the deploy is done", "--conversation", conversation)


def test_an_action_is_asked_for_by_its_name_and_its_answer_shown(troupe: Troupe, server: ActionServer) -> None:
    server.behaviours = [ok("ticket [7]")]
    ran = troupe("ask", "/notify the deploy is done")
    assert ran.code == 0
    assert "/notify is done. The server answered 200: ticket [7]" in ran.out
    assert "one thing was done" in ran.out
    assert [body for _, _, _, body in server.requests] == [{"text": "the deploy is done"}]


def test_an_unknown_action_is_answered_with_the_names_that_exist(troupe: Troupe, server: ActionServer) -> None:
    ran = troupe("ask", "/deploy now")
    assert "There is no action /deploy. There are: /notify." in ran.out
    assert "one thing was done" not in ran.out
    assert server.requests == []


def test_a_doubt_is_the_error_of_the_request_and_stands_in_the_list(troupe: Troupe, server: ActionServer) -> None:
    ran = in_doubt(troupe, server)
    (key,) = keys(troupe)
    assert ran.code == 3
    assert "No answer: caller gave up: whether the action notify was done is in doubt" in ran.err
    assert f"`troupe effects settle {key} --done`" in ran.err
    shown = troupe("effects", "list").out
    for part in (key[:12], "notify", "in doubt", "UTC", "cli", "troupe effects settle KEY"):
        assert part in shown
    assert len(server.requests) == 1


def test_a_list_as_json_has_what_was_sent_and_received(troupe: Troupe, server: ActionServer) -> None:
    troupe("ask", "/notify one")
    (effect,) = troupe("effects", "list", "--json").json()
    assert effect["sent"] == {"method": "POST", "url": server.url, "body": '{"text":"one"}', "key_header": ""}
    assert effect["received"] == {"status": 200, "text": "noted", "cut": False}
    assert (effect["action"], effect["conversation"], effect["status"]) == ("notify", "cli", "done")


def test_a_list_may_be_of_one_conversation(troupe: Troupe, server: ActionServer) -> None:
    troupe("ask", "/notify one", "--conversation", "a")
    in_doubt(troupe, server, "b")
    listed = troupe("effects", "list", "--conversation", "a", "--json").json()
    assert [each["conversation"] for each in listed] == ["a"]
    assert "settle" not in troupe("effects", "list", "--conversation", "a").out
    assert troupe("effects", "list", "--tenant", "other", "--json").json() == []
    assert "Nothing was asked" in troupe("effects", "list", "--tenant", "other").out


@pytest.mark.parametrize(("option", "status"), [("--done", "done"), ("--not-done", "not done")])
def test_a_person_settles_what_is_in_doubt(troupe: Troupe, server: ActionServer, option: str, status: str) -> None:
    in_doubt(troupe, server)
    (key,) = keys(troupe)
    ran = troupe("effects", "settle", key, option)
    assert (ran.code, ran.out) == (0, f"The effect {key} of notify is {status}.\n")
    assert keys(troupe) == {key: status}
    again = troupe("effects", "settle", key, "--done")
    assert again.code == 1
    assert f"the effect {key} is {status}: only one in doubt can be settled" in again.err


def test_a_program_is_told_what_was_settled(troupe: Troupe, server: ActionServer) -> None:
    in_doubt(troupe, server)
    (key,) = keys(troupe)
    settled = troupe("effects", "settle", key, "--done", "--json").json()
    assert (settled["key"], settled["status"]) == (key, "done")


def test_a_redrive_waits_until_a_person_has_settled_what_is_in_doubt(troupe: Troupe, server: ActionServer) -> None:
    in_doubt(troupe, server)
    (key,) = keys(troupe)
    refused = troupe("dead-letters", "redrive", "--everything", COLUMNS="300")
    assert (refused.code, "effect in doubt" in refused.out) == (1, True)
    troupe("effects", "settle", key, "--not-done")
    assert troupe("dead-letters", "redrive", "--everything").code == 0
    assert len(server.requests) == 1, "nobody is at work"


def test_a_redrive_repeats_what_is_in_doubt_where_the_server_honours_keys(
    troupe: Troupe, server: ActionServer, tmp_path: Path
) -> None:
    in_doubt(troupe, server)
    with closing(sqlite3.connect(tmp_path / "home" / "troupe.sqlite", isolation_level=None)) as connection:
        connection.execute(
            "UPDATE effect SET sent = CAST(json_set(CAST(sent AS TEXT), '$.key_header', 'Idempotency-Key') AS BLOB)"
        )
    redrives = troupe("dead-letters", "redrive", "--everything", "--json").json()["letters"]
    assert [each["refused"] for each in redrives] == [""]


def test_settling_asks_which_way(troupe: Troupe, server: ActionServer) -> None:
    in_doubt(troupe, server)
    (key,) = keys(troupe)
    assert troupe("effects", "settle", key).code == 2
    assert keys(troupe) == {key: "in doubt"}


def test_an_effect_that_does_not_exist_is_said_in_one_line(troupe: Troupe, server: ActionServer) -> None:
    troupe("ask", "/notify one")
    assert "there is no effect nope" in troupe("effects", "settle", "nope", "--done").err
    assert len(server.requests) == 1


def test_what_a_server_refuses_is_the_error_of_the_request(troupe: Troupe, server: ActionServer) -> None:
    server.behaviours = [said(422, "no such [channel]")]
    ran = troupe("ask", "/notify one", "--json")
    assert ran.code == 3
    assert "the action notify was refused: 127.0.0.1 answered 422: no such [channel]" in ran.out


def test_a_wrong_file_of_actions_stops_the_start_with_everything_wrong(
    troupe: Troupe, server: ActionServer, tmp_path: Path
) -> None:
    (tmp_path / "actions.toml").write_text(toml(server, method='"GET"', timeout_s="99"))
    ran = troupe("ask", "/notify one")
    assert ran.code == 1
    assert "actions.notify.method is not one of POST, PUT, PATCH, DELETE" in ran.err
    assert "actions.notify.timeout_s is no number from 0.1 to 25" in ran.err


def test_what_may_be_asked_of_servers_is_explained(troupe: Troupe) -> None:
    may = {
        agent: [line["says"] for line in troupe("explain", agent, "--json").json()["lines"] if line["topic"] == "may"]
        for agent in ("caller", "orchestrator", "response_builder")
    }
    assert may["caller"] == ["invoke on the action 'actions', where the stack has it"]
    assert "names on the action 'actions', where the stack has it" in may["orchestrator"]
    assert not any("invoke" in says for says in may["orchestrator"] + may["response_builder"])
