"""Actions through the whole workflow of one process: what its user is told, and what a kill leaves behind."""

import logging
import os
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import msgspec
import pytest
from action_server import (
    ActionServer,
    Behaviour,
    Handler,
    echo,
    hanging,
    lost,
    raw,
    said,
    serving_actions,
    toml,
    wait_until,
)
from local_fakes import PATIENCE_S, answer_to, asked, settled
from memory_collection import MemoryCollection

from functions.adapters.actions.settings import action_settings
from functions.adapters.local.conversations import LocalConversations
from functions.adapters.local.effects import LocalEffects
from functions.adapters.local.rows import enqueue
from functions.adapters.local.store import Store
from functions.events.answer import UserMessage
from functions.events.envelope import decode
from functions.events.event import AgentFailed
from functions.workflows.catalog import WORKFLOWS
from local.process import LocalProcess

TOKEN = "sk-test-0d9f2c"  # noqa: S105 - of a server in this process
DO = "/notify it is done"


@pytest.fixture
def declare(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[..., None]:
    """Declares the action `notify` on a server."""

    def write(server: ActionServer, **settings: str) -> None:
        file = tmp_path / "actions.toml"
        file.write_text(toml(server, **settings))
        monkeypatch.setenv("TROUPE_ACTIONS", str(file))

    return write


@contextmanager
def started(folder: Path) -> Iterator[tuple[LocalProcess, Store]]:
    store = Store(folder)
    collections = {"documents": MemoryCollection(), "memories": MemoryCollection()}
    try:
        with LocalProcess(store, WORKFLOWS, collections, workers=2, actions=action_settings(os.environ)) as process:
            yield process, store
    finally:
        store.close()


def failure(process: LocalProcess, request: str) -> AgentFailed:
    settlement = settled(process, request).settlement
    assert settlement is not None
    assert settlement.name == "AgentFailed"
    return msgspec.json.decode(settlement.data, type=AgentFailed)


def submit(process: LocalProcess, request: str = "r1") -> None:
    process.submit("answer", UserMessage(text=DO), conversation="c1", request=request)


def effects_of(process: LocalProcess, store: Store, tenant: str = "default") -> LocalEffects:
    return LocalEffects(store, process._now, tenant=tenant)


def test_the_answer_says_what_the_server_said_and_a_follow_up_goes_on(
    tmp_path: Path, declare: Callable[..., None]
) -> None:
    with serving_actions() as server:
        declare(server)
        with started(tmp_path / "store") as (process, _):
            assert asked(process, DO).text == "/notify is done. The server answered 200: noted"
            assert asked(process, "/other").text == "There is no action /other. There are: /notify."
            assert "Sort the list" not in asked(process, "What is done?").text
        assert server.done == {'{"text":"it is done"}': 1}


def test_two_tenants_have_their_own_effects(tmp_path: Path, declare: Callable[..., None]) -> None:
    with serving_actions(honours_keys=True) as server:
        declare(server)
        with started(tmp_path / "store") as (process, store):
            for tenant in ("a", "b"):
                asked(process, DO, tenant=tenant, request="r1")
            keys = [effects_of(process, store, tenant).effects()[0].key for tenant in ("a", "b")]
        assert server.remembered == set(keys)
        assert len(set(keys)) == 2


def test_a_lost_connection_is_retried_by_the_route_and_done_once_where_keys_are_honoured(
    tmp_path: Path, declare: Callable[..., None]
) -> None:
    with serving_actions(honours_keys=True) as server:
        server.behaviours = [lost]
        declare(server)
        with started(tmp_path / "store") as (process, _):
            assert asked(process, DO, request="r1").text.endswith("The server answered 200: the same again")
            attempts = {each.agent: each.attempts for each in process.requests.deliveries("r1", tenant="default")}
        assert attempts["caller"] == 2
        assert server.done == {'{"text":"it is done"}': 1}


def kill_while_it_is_done(folder: Path, server: ActionServer) -> None:
    """Another process asks the server, which does it and says nothing; then the process is killed."""
    script = Path(__file__).with_name("acting_process.py")
    paths = os.pathsep.join([str(Path.cwd()), str(script.parent), str(script.parents[1])])
    server.behaviours = [hanging]
    with subprocess.Popen(  # noqa: S603 - every argument is this test's own
        [sys.executable, str(script), str(folder), DO], env={**os.environ, "PYTHONPATH": paths}
    ) as killed:
        assert server.worked.wait(PATIENCE_S)
        killed.send_signal(signal.SIGKILL)
        assert killed.wait(PATIENCE_S) == -signal.SIGKILL


def test_a_kill_while_the_server_is_at_it_ends_in_one_effect_where_keys_are_honoured(
    tmp_path: Path, declare: Callable[..., None]
) -> None:
    with serving_actions(honours_keys=True) as server:
        declare(server, timeout_s="25")
        kill_while_it_is_done(tmp_path / "store", server)
        with started(tmp_path / "store") as (process, _):
            assert answer_to(process, "r1").text.endswith("The server answered 200: the same again")
        assert server.done == {'{"text":"it is done"}': 1}
        assert len(server.requests) == 2


def test_a_kill_while_the_server_is_at_it_is_in_doubt_and_never_repeated_where_they_are_not(
    tmp_path: Path, declare: Callable[..., None]
) -> None:
    with serving_actions() as server:
        declare(server, timeout_s="25")
        kill_while_it_is_done(tmp_path / "store", server)
        with started(tmp_path / "store") as (process, store):
            failed = failure(process, "r1")
            (effect,) = effects_of(process, store).in_doubt("r1")
            assert failed.agent == "caller"
            assert (
                f"in doubt: it was sent at {effect.at:%Y-%m-%d %H:%M:%S} UTC under the key {effect.key}"
                in failed.reason
            )
        with started(tmp_path / "store"):
            pass
        assert len(server.requests) == 1


@pytest.mark.parametrize(
    ("settle", "text", "calls"),
    [
        ("done", "/notify is done, as a person found out: what the server answered is not known.", 1),
        ("not done", "/notify is done. The server answered 200: noted", 2),
    ],
)
def test_a_redrive_takes_what_a_person_settled(
    tmp_path: Path, declare: Callable[..., None], settle: str, text: str, calls: int
) -> None:
    with serving_actions() as server:
        server.behaviours = [lost]
        declare(server)
        with started(tmp_path / "store") as (process, store):
            submit(process)
            failure(process, "r1")
            redrive(process, store, 1)
            wait_until(lambda: store.read("SELECT count(*) FROM dead_letter")[0][0] == 2)
            assert len(server.requests) == 1, "a redrive repeats nothing that is in doubt"
            (effect,) = effects_of(process, store).in_doubt("r1-1")
            effects_of(process, store).settle(effect.key, "done" if settle == "done" else "not done")
            redrive(process, store, 2)
            wait_until(lambda: text in said_by_assistant(process, store))
            redrive(process, store, 3)
            wait_until(lambda: said_by_assistant(process, store).count(text) == 2)
        assert len(server.requests) == calls


LIKE_THE_FIRST = """
INSERT INTO request (tenant, request, conversation, workflow, status, accepted, deadline, envelope, planversion)
SELECT tenant, ?, conversation, workflow, 'running', accepted, deadline, envelope, planversion FROM request
WHERE request = 'r1'
"""


def redrive(process: LocalProcess, store: Store, generation: int) -> None:
    """Publish the event of the first dead letter again, under a request of its own."""
    (row,) = store.read("SELECT event FROM dead_letter ORDER BY at LIMIT 1")
    again = msgspec.structs.replace(decode(row[0]), generation=generation, request=f"r1-{generation}")
    bus, now = process._bus, process._now().timestamp()
    store.write(lambda connection: connection.execute(LIKE_THE_FIRST, (again.request,)))
    bus.announce(store.write(lambda connection: enqueue(connection, bus.routes, again, now)))


def said_by_assistant(process: LocalProcess, store: Store) -> list[str]:
    said = LocalConversations(store, process._now).messages("c1", tenant="default", limit=20)
    return [each.text for each in said if each.role == "assistant"]


def echoing_error(status: int) -> Behaviour:
    return lambda handler: handler.reply(status, str(handler.headers).encode())


def echoing_garbage(handler: Handler) -> None:
    """What the standard library would put into its error."""
    raw(handler.headers["Authorization"].encode() + b"\r\n\r\n")(handler)


@pytest.mark.parametrize(
    "behaviour",
    [echo, lost, said(500), echoing_error(401), echoing_error(400), echoing_error(500), echoing_garbage],
)
def test_no_secret_is_in_what_anybody_is_shown_or_in_any_file(
    tmp_path: Path,
    declare: Callable[..., None],
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
    behaviour: Behaviour,
) -> None:
    caplog.set_level(logging.DEBUG)
    monkeypatch.setenv("TOKEN", TOKEN)
    with serving_actions() as server:
        server.behaviours = [behaviour]
        declare(server, headers='{ Authorization = "Bearer secret:TOKEN", X-Key = "secret:TOKEN" }')
        with started(tmp_path / "store") as (process, store):
            submit(process)
            view = settled(process, "r1")
            shown = repr((view, process.requests.deliveries("r1", tenant="default"), process._actions))
            shown += repr(effects_of(process, store).effects())
            dump = "\n".join(store._writer.iterdump())
        ((_, _, headers, _),) = server.requests
    assert headers["Authorization"] == f"Bearer {TOKEN}", "it was sent"
    for text in (shown, dump, caplog.text):
        assert TOKEN not in text
    assert TOKEN.encode() not in b"".join(file.read_bytes() for file in tmp_path.rglob("*") if file.is_file())


def test_the_part_of_a_secret_at_which_an_answer_is_cut_is_not_kept(
    tmp_path: Path, declare: Callable[..., None], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("TOKEN", TOKEN)
    with serving_actions() as server:
        server.behaviours = [lambda handler: handler.reply(200, b"x" * 100 + TOKEN.encode())]
        declare(server, headers='{ X-Key = "secret:TOKEN" }', max_response_bytes="110")
        with started(tmp_path / "store") as (process, _):
            assert TOKEN[:5] not in asked(process, DO).text
