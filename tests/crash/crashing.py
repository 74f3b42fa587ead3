"""Kills servers at random moments under load, starts them again, and looks at what became of every message.

    python tests/crash/crashing.py [--kills 100] [--servers 1] [--seed 1]

With one server that is `troupe run`; several share one store. A client sends messages with an Idempotency-Key and,
where the connection broke, sends most of them again. At the end every message that was accepted must have one answer
or one error, and nothing may be left over.
"""

import argparse
import os
import random
import shutil
import signal
import sqlite3
import sys
import tempfile
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from contextlib import closing, contextmanager
from pathlib import Path

import httpx
import msgspec

sys.path[:0] = [str(Path(__file__).parent), str(Path(__file__).parents[1]), str(Path(__file__).parents[2])]

from servers import OFFICE, PATIENCE_S, Server, alone, environment, shared, wait_until  # noqa: E402 - found above

from functions.events.envelope import digest  # noqa: E402

CONVERSATIONS = 6
UNDER_WAY = 8  # messages of one conversation that may wait for their answer
ALIVE_S = (0.05, 1.5)  # how long a server serves before it is killed
STARTING_S = (0.05, 2.0)  # of a server that is killed while it starts
KILLED_STARTING = 0.15
GIVEN_UP = 0.2  # of the messages whose connection broke: sent once only, so that what became of them is open
REPEATED = 0.1  # of the messages that were accepted: sent again all the same
PAUSE_S = 0.02
HTTP_ACCEPTED = 202

QUESTIONS = (
    "When does the office open? ({})",
    "What do I bring to the office on day {}?",
    "Remember that I sit at {}.",
)


class Sent(msgspec.Struct):
    """One message of a client, and what the client knows of it.

    Attributes:
        accepted: The client saw that it was.
        given_up: The connection broke before the client saw anything, and it was not sent again.
        answer: As the client saw it first; empty where it did not look, or there was none yet.
    """

    conversation: str
    key: str
    text: str
    accepted: bool = False
    given_up: bool = False
    answer: bytes = b""

    @property
    def request(self) -> str:
        """What the API calls it."""
        return digest("default", self.conversation, self.key)


class Found(msgspec.Struct, frozen=True, kw_only=True):
    """What became of the messages. What is wrong is named, each in a line.

    Attributes:
        accepted: That the client saw accepted.
        committed: Whose acceptance the client did not see, though it was committed.
        answered: With an answer.
        failed: With an error.
        lost: Accepted, with neither.
        doubled: Said twice, answered twice, or answered with something else later.
        disordered: Of one conversation, not one after the other.
        left: Rows, leases, stray files, and dead letters of anything but kills.
        killed: Deliveries that were given up because each of their attempts was killed: a poison message looks so.
    """

    sent: int
    accepted: int
    committed: int
    answered: int
    failed: int
    lost: list[str]
    doubled: list[str]
    disordered: list[str]
    left: list[str]
    killed: int = 0
    kills: int = 0
    starts: int = 0
    hit: dict[str, int] = msgspec.field(default_factory=dict)

    @property
    def wrong(self) -> list[str]:
        return [*self.lost, *self.doubled, *self.disordered, *self.left]


class Client(threading.Thread):
    """Sends the messages of one conversation, one after the other, until it is told to stop."""

    def __init__(self, conversation: str, servers: Sequence[Server], seed: int) -> None:
        super().__init__(name=conversation, daemon=True)
        self._conversation = conversation
        self._servers = servers
        self._random = random.Random(seed)  # noqa: S311 - a schedule, not a secret
        self._stopping = threading.Event()
        self._http = httpx.Client(timeout=PATIENCE_S)
        self.sent: list[Sent] = []

    def stop(self) -> None:
        self._stopping.set()

    def run(self) -> None:
        with self._http:
            while not self._stopping.is_set():
                number = len(self.sent)
                text = self._random.choice(QUESTIONS).format(number)
                self.sent.append(Sent(conversation=self._conversation, key=f"key-{number}", text=text))
                self._send(self.sent[-1])
                if number >= UNDER_WAY:
                    self._see_answer(self.sent[-UNDER_WAY])

    def _send(self, message: Sent) -> None:
        while not message.accepted and not message.given_up:
            try:
                message.accepted = self._post(message) == HTTP_ACCEPTED
            except httpx.ConnectError:  # nobody is there, so it did not arrive
                self._stopping.wait(PAUSE_S)
            except httpx.TransportError:
                message.given_up = self._random.random() < GIVEN_UP
            if self._stopping.is_set() and not message.accepted:
                message.given_up = True
        if message.accepted and self._random.random() < REPEATED:
            self._quietly(lambda: self._post(message))

    def _post(self, message: Sent) -> int:
        url = self._url()
        said = self._http.post(
            f"{url}/conversations/{message.conversation}/messages",
            json={"text": message.text},
            headers={"Idempotency-Key": message.key},
        )
        if said.status_code != HTTP_ACCEPTED:
            self._stopping.wait(PAUSE_S)
        return said.status_code

    def _see_answer(self, message: Sent) -> None:
        """Wait for it a while, so that a conversation does not grow without end; a server that is gone says nothing."""
        if message.accepted:
            self._quietly(lambda: self._look(message))

    def _look(self, message: Sent) -> None:
        said = self._http.get(f"{self._url()}/requests/{message.request}", params={"wait": 5}).json()
        if said.get("status") == "settled":
            message.answer = _ended(said)

    def _url(self) -> str:
        """Of any server that serves."""
        while not (serving := [server.url for server in self._servers if server.url]):
            if self._stopping.wait(PAUSE_S):
                raise httpx.ConnectError("stopped")
        return self._random.choice(serving)

    @staticmethod
    def _quietly(call: Callable[[], object]) -> None:
        try:
            call()
        except httpx.TransportError:
            return


def _ended(request: dict[str, object]) -> bytes:
    """The answer or the error of a request, as the API shows it."""
    return msgspec.json.encode([request.get("answer"), request.get("error")])


class Crashes:
    """Servers in a folder, their clients, and the kills.

    Args:
        count: With 1 it is `troupe run`; more share the store.
        apart_s: By how much the clock of each is ahead of that of the one before it.
    """

    def __init__(self, folder: Path, *, count: int, seed: int, apart_s: float = 0.0) -> None:
        self._folder = folder
        self.home = folder / "home"
        docs = folder / "docs"
        docs.mkdir(parents=True, exist_ok=True)
        (docs / "office.md").write_text(OFFICE, "utf-8")
        given = environment(self.home, docs)
        commands = [alone()] if count == 1 else [shared(self.home, apart_s * number) for number in range(count)]
        self.servers = [Server(each, folder / f"server-{place}.log", given) for place, each in enumerate(commands)]
        self._random = random.Random(seed)  # noqa: S311 - a schedule, not a secret
        self.clients = [Client(f"c{number}", self.servers, seed * 1000 + number) for number in range(CONVERSATIONS)]
        self.hit: Counter[str] = Counter()
        self.kills = 0
        self.starts = 0
        self._starting: Server | None = None  # to be killed next, as early as it comes

    def run(self, kills: int, say: Callable[[str], object] = lambda _: None) -> Found:
        """Kill so often and start again, let the servers finish what is left, and look at what became of it all."""
        with self._loaded():
            while self.kills < kills:
                server = self._starting or self._random.choice(self.servers)
                self._kill(server)
                self._start(server)
                self._starting = server if self._random.random() < KILLED_STARTING else None
                say(f"{self.kills} of {kills} kills")
            for server in self.servers:
                server.wait_until_serving()
            return self._look()

    def lose_one(self, accepted: int) -> Found:
        """Kill one server for good once so many messages were accepted, and look at what the others did about it."""
        with self._loaded():
            wait_until(lambda: sum(m.accepted for c in self.clients for m in c.sent) >= accepted, "the load")
            gone = self._random.choice(self.servers)
            self._kill(gone)
            self.servers.remove(gone)
            return self._look()

    @contextmanager
    def _loaded(self) -> Iterator[None]:
        """The servers at work, with messages coming in; none is left when this ends."""
        try:
            for server in self.servers:
                self._start(server)
            for server in self.servers:
                server.wait_until_serving()
            for client in self.clients:
                client.start()
            yield
        finally:
            for client in self.clients:
                client.stop()
            for server in self.servers:
                server.kill()

    def _kill(self, server: Server) -> None:
        if server is self._starting:
            time.sleep(self._random.uniform(*STARTING_S))
        else:
            server.wait_until_serving()
            time.sleep(self._random.uniform(*ALIVE_S))
        started, pid = server.is_serving(), server.pid
        server.kill()
        self.kills += 1
        self.hit.update(self._at_work(pid) or ["with nothing in work" if started else "while it started"])

    def _at_work(self, pid: int) -> list[str]:
        """Whose deliveries the process that was killed had in work: from a copy where nobody else has the store open.

        Whoever closes a store last would tidy it up for the next start.
        """
        if len(self.servers) > 1:
            with _reading(self.home) as connection:
                return [f"in {agent}" for (agent,) in connection.execute(_AT_WORK, {"pid": pid})]
        copy = Path(tempfile.mkdtemp(dir=self._folder))
        for path in self.home.glob("troupe.sqlite*"):
            shutil.copy(path, copy / path.name)
        with _reading(copy) as connection:
            agents = [f"in {agent}" for (agent,) in connection.execute(_AT_WORK, {"pid": pid})]
        shutil.rmtree(copy)
        return agents

    def _start(self, server: Server) -> None:
        server.start()
        self.starts += 1

    def _look(self) -> Found:
        for client in self.clients:
            client.stop()
        for client in self.clients:
            client.join(PATIENCE_S)
            assert not client.is_alive(), f"{client.name} does not end"
        sent = [message for client in self.clients for message in client.sent]
        wait_until(lambda: not _open(self.home), "every request to be settled", 2 * PATIENCE_S)
        wait_until(lambda: not _rows(self.home), "the queue to be empty", 2 * PATIENCE_S)
        changed = self._changed(sent)
        codes = [server.terminate() for server in self.servers]
        found = look_at(self.home, sent)
        left = [f"a server ended with {code}" for code in codes if code not in (0, -signal.SIGTERM)]
        return msgspec.structs.replace(
            found,
            doubled=found.doubled + changed,
            left=found.left + left + self._logged(),
            kills=self.kills,
            starts=self.starts,
            hit=dict(self.hit.most_common()),
        )

    def _changed(self, sent: Sequence[Sent]) -> list[str]:
        """What a client saw once must be what it sees ever after."""
        with httpx.Client(base_url=self.servers[0].url, timeout=PATIENCE_S) as http:
            return [
                f"{each.conversation} {each.key}: another answer than before"
                for each in sent
                if each.answer and each.answer != _ended(http.get(f"/requests/{each.request}").json())
            ]

    def _logged(self) -> list[str]:
        logs = "\n".join(path.read_text(errors="replace") for path in sorted(self._folder.glob("server-*.log")))
        return [f"the log has {word!r} {logs.count(word)} times" for word in ("Traceback", " ERROR ") if word in logs]


@contextmanager
def _reading(home: Path) -> Iterator[sqlite3.Connection]:
    """The store beside its servers; as nobody else closes it last, nothing of it changes."""
    with closing(sqlite3.connect(f"file:{home / 'troupe.sqlite'}?mode=ro", uri=True, timeout=10)) as connection:
        yield connection


def _open(home: Path) -> int:
    with _reading(home) as connection:
        return int(connection.execute("SELECT count(*) FROM request WHERE status != 'settled'").fetchone()[0])


def _rows(home: Path) -> int:
    with _reading(home) as connection:
        return int(connection.execute("SELECT count(*) FROM queue").fetchone()[0])


def look_at(home: Path, sent: Sequence[Sent]) -> Found:
    """What the store says became of the messages that were sent."""
    with closing(sqlite3.connect(home / "troupe.sqlite")) as connection:
        requests = dict(
            connection.execute("SELECT request, CASE WHEN settlement IS NULL THEN '' ELSE settlement END FROM request")
        )
        said: dict[str, list[tuple[str, str, str]]] = {}
        for conversation, request, role, text in connection.execute(
            "SELECT conversation, request, role, text FROM message ORDER BY sequence"
        ):
            said.setdefault(conversation, []).append((request, role, text))
        left = [
            f"{count} {what}" for what, query in _LEFT.items() if (count := connection.execute(query).fetchone()[0])
        ]
        (killed,) = connection.execute(f"SELECT count(*) FROM dead_letter WHERE {_KILLED}").fetchone()  # noqa: S608
    answered = [each for each in sent if b"ResponseReady" in _bytes(requests.get(each.request, ""))]
    failed = [each for each in sent if b"AgentFailed" in _bytes(requests.get(each.request, ""))]
    known = {each.request for each in sent}
    left += [f"a request that nobody sent: {request}" for request in requests.keys() - known]
    return Found(
        sent=len(sent),
        accepted=sum(each.accepted for each in sent),
        committed=sum(not each.accepted and each.request in requests for each in sent),
        answered=len(answered),
        failed=len(failed),
        lost=[
            f"{each.conversation} {each.key}: neither answer nor error"
            for each in sent
            if (each.accepted or each.request in requests) and each not in answered and each not in failed
        ],
        doubled=_doubled(said, answered),
        disordered=_disordered(said, sent),
        left=left + [f"the file {path.name}" for path in (home / "blobs").glob(".*")],
        killed=killed,
    )


_AT_WORK = (
    "SELECT DISTINCT agent FROM delivery WHERE finished IS NULL AND lease_until > 0"
    " AND holder IN (SELECT id FROM process WHERE pid = :pid) ORDER BY agent"
)
_KILLED = "reason = 'attempts exhausted' AND error LIKE 'attempt % ended without a result'"
_LEFT = {
    "rows in the queue": "SELECT count(*) FROM queue",
    "deliveries that nobody finished": "SELECT count(*) FROM delivery WHERE finished IS NULL",
    "leases": "SELECT count(*) FROM delivery WHERE lease_until > 0",
    "dead letters": f"SELECT count(*) FROM dead_letter WHERE NOT ({_KILLED})",  # noqa: S608 - of what stands here
}


def _bytes(settlement: bytes | str) -> bytes:
    return settlement.encode() if isinstance(settlement, str) else settlement


def _doubled(said: dict[str, list[tuple[str, str, str]]], answered: Sequence[Sent]) -> list[str]:
    """Each answered message stands once in its conversation, and so does its answer."""
    counts = Counter((request, role) for messages in said.values() for request, role, _ in messages)
    return [
        f"{each.conversation} {each.key}: {counts[each.request, role]} messages of the {role}"
        for each in answered
        for role in ("user", "assistant")
        if counts[each.request, role] != 1
    ]


def _disordered(said: dict[str, list[tuple[str, str, str]]], sent: Sequence[Sent]) -> list[str]:
    """The messages of a conversation stand in the order in which they were sent, each before its answer."""
    disordered = []
    for conversation, messages in said.items():
        place = {each.request: number for number, each in enumerate(sent) if each.conversation == conversation}
        order = [(place.get(request, -1), role != "user") for request, role, _ in messages]
        if order != sorted(order):
            disordered.append(f"{conversation}: not in order")
    return disordered


def main() -> None:
    """Kill, print, and end with 1 where anything is wrong."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--kills", type=int, default=100)
    parser.add_argument("--servers", type=int, default=1, help="how many share the store; 1 is `troupe run`")
    parser.add_argument("--seed", type=int, default=random.SystemRandom().randrange(1_000_000))
    given = parser.parse_args()
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(f"stopped; what it left is in {folder}"))  # the servers end too
    folder = Path(tempfile.mkdtemp(prefix="troupe-crash-"))
    found = Crashes(folder, count=given.servers, seed=given.seed).run(
        given.kills,
        lambda line: print(f"\r{line}", end="", file=sys.stderr, flush=True),  # noqa: T201
    )
    print(file=sys.stderr)  # noqa: T201
    print(report(found, given.seed))  # noqa: T201
    if found.wrong:
        print(f"what it left is in {folder}", file=sys.stderr)  # noqa: T201
        sys.exit(1)
    shutil.rmtree(folder)


def report(found: Found, seed: int) -> str:
    """The figures, a line each."""
    lines = [
        ("seed", seed),
        ("kills", found.kills),
        ("starts", found.starts),
        *((f"  killed {where}", count) for where, count in found.hit.items()),
        ("messages sent", found.sent),
        ("accepted, as the client saw", found.accepted),
        ("accepted, unseen by the client", found.committed),
        ("answered", found.answered),
        ("ended in an error", found.failed),
        ("lost", len(found.lost)),
        ("doubled", len(found.doubled)),
        ("out of order", len(found.disordered)),
        ("left over", len(found.left)),
        ("deliveries killed at each attempt", found.killed),
    ]
    return "\n".join([*(f"{label:<40} {value:>8}" for label, value in lines), *found.wrong])


if __name__ == "__main__":
    os.environ.setdefault("PYTHONDONTWRITEBYTECODE", "1")
    main()
