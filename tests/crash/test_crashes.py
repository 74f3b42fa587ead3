"""Real servers, killed under load. `make crash KILLS=100` does the same for longer."""

import sqlite3
from contextlib import closing
from pathlib import Path

import pytest
from crashing import Crashes, Found, Sent, look_at
from local_process import running

from functions.events.answer import UserMessage


def fine(found: Found) -> bool:
    assert found.wrong == []
    assert found.accepted
    return found.answered + found.failed == found.accepted + found.committed


def test_every_message_that_was_accepted_is_answered_once_however_often_the_server_is_killed(tmp_path: Path) -> None:
    found = Crashes(tmp_path, count=1, seed=3).run(kills=2)
    assert fine(found)
    assert found.kills == 2


def test_what_a_killed_server_leaves_is_answered_by_the_other_one_on_its_store(tmp_path: Path) -> None:
    assert fine(Crashes(tmp_path, count=2, seed=4).lose_one(accepted=20))


def test_a_clock_that_was_set_between_the_starts_of_two_servers_changes_nothing_in_what_they_share(
    tmp_path: Path,
) -> None:
    assert fine(Crashes(tmp_path, count=2, seed=5, apart_s=3600.0).lose_one(accepted=20))


# ------------------------------------------------------------------------------------- what looks for the wrong


@pytest.fixture
def sent(tmp_path: Path) -> list[Sent]:
    """Two messages that were accepted and answered."""
    messages = [Sent(conversation="c1", key=f"key-{number}", text="x", accepted=True) for number in range(2)]
    with running(tmp_path) as process:
        for each in messages:
            process.submit("answer", UserMessage(text="x"), conversation="c1", request=each.request)
        for each in messages:
            process.wait(each.request, timeout_s=60)
    return messages


def test_nothing_is_wrong_where_nothing_is(tmp_path: Path, sent: list[Sent]) -> None:
    assert fine(look_at(tmp_path, sent))


LETTER = (
    "INSERT INTO dead_letter"
    " (key, agent, reason, error, trace, attempt, age_s, at, tenant, conversation, request, event)"
    " VALUES (1, 1, '{}', '{}', 1, 1, 1, 1, 1, 1, 1, 1)"
)


@pytest.mark.parametrize(
    ("statement", "kind"),
    [
        ("DELETE FROM request WHERE sequence = 2", "lost"),
        ("UPDATE request SET settlement = NULL", "lost"),
        ("DELETE FROM message WHERE sequence = 2", "doubled"),
        ("UPDATE message SET role = 'assistant' WHERE sequence = 1", "doubled"),
        ("UPDATE message SET sequence = 9 WHERE sequence = 1", "disordered"),
        ("UPDATE delivery SET finished = NULL, lease_until = 1", "left"),
        (
            "INSERT INTO queue (envelope_id, generation, agent, priority, due, envelope) VALUES (1, 0, 1, 1, 0, 1)",
            "left",
        ),
        (LETTER.format("malformed event", "attempt 3 ended without a result"), "left"),
        (LETTER.format("attempts exhausted", "the store is gone"), "left"),
        (LETTER.format("attempts exhausted", "attempt 3 ended without a result"), "killed"),
    ],
)
def test_what_a_crash_could_leave_is_found(tmp_path: Path, sent: list[Sent], statement: str, kind: str) -> None:
    with closing(sqlite3.connect(tmp_path / "troupe.sqlite")) as connection:
        connection.execute(statement)
        connection.commit()
    assert getattr(look_at(tmp_path, sent), kind)
