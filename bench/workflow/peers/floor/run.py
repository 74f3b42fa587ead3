"""The floor: plain sqlite3 and a thread pool. Every event is a row that is committed before the next step acts on it.

No leases, no retries, no schemas, no record of what was done. What one step emits is one commit; with
`--group-commit`, the steps that come to write while another commits share the next commit.
"""

import sqlite3
import threading
from collections.abc import Sequence
from concurrent.futures import Future, ThreadPoolExecutor

import chain

THREADS = 8  # as many as Troupe's workers

Row = tuple[str, str, str]


class Commits:
    """One connection: each write is a commit of its own."""

    def __init__(self, connection: sqlite3.Connection) -> None:
        self._connection = connection
        self._lock = threading.Lock()
        connection.execute("CREATE TABLE event (number INTEGER PRIMARY KEY, workflow TEXT, step TEXT, text TEXT)")

    def write(self, rows: Sequence[Row]) -> None:
        """On disk when it returns."""
        with self._lock:
            self._commit(rows)

    def _commit(self, rows: Sequence[Row]) -> None:
        self._connection.execute("BEGIN IMMEDIATE")
        self._connection.executemany("INSERT INTO event (workflow, step, text) VALUES (?, ?, ?)", rows)
        self._connection.execute("COMMIT")


class GroupCommits(Commits):
    """One connection: whoever gets it commits what everybody brought meanwhile."""

    def __init__(self, connection: sqlite3.Connection) -> None:
        super().__init__(connection)
        self._waiting: list[tuple[Sequence[Row], threading.Event]] = []
        self._queueing = threading.Lock()

    def write(self, rows: Sequence[Row]) -> None:
        """On disk when it returns."""
        done = threading.Event()
        with self._queueing:
            self._waiting.append((rows, done))
        with self._lock:
            if done.is_set():
                return
            with self._queueing:
                batch, self._waiting = self._waiting, []
            self._commit([row for each, _ in batch for row in each])
            for _, each in batch:
                each.set()


class Chain:
    """One workflow on its way; each step runs in the pool."""

    def __init__(self, name: str, commits: Commits, pool: ThreadPoolExecutor) -> None:
        self._name = name
        self._commits = commits
        self._pool = pool
        self._found: list[str] = []
        self._joining = threading.Lock()
        self.answer: Future[str] = Future()

    def start(self, question: str) -> None:
        self._emit("asked", question)
        self._pool.submit(self._orchestrate, question)

    def _orchestrate(self, text: str) -> None:
        made = chain.orchestrator(text)
        self._emit("orchestrator", made)
        self._pool.submit(self._plan, made)

    def _plan(self, text: str) -> None:
        queries = chain.planner(text)
        self._emit("planner", *queries)
        for query in queries:
            self._pool.submit(self._retrieve, query)

    def _retrieve(self, text: str) -> None:
        found = chain.retriever(text)
        self._emit("retriever", found)
        with self._joining:
            self._found.append(found)
            complete = len(self._found) == chain.QUERIES
        if complete:
            self._pool.submit(self._validate)

    def _validate(self) -> None:
        made = chain.validator(self._found)
        self._emit("validator", made)
        self._pool.submit(self._act, made)

    def _act(self, text: str) -> None:
        made = chain.action(text)
        self._emit("action", made)
        self._pool.submit(self._sum_up, made)

    def _sum_up(self, text: str) -> None:
        made = chain.summarizer(text)
        self._emit("summarizer", made)
        self._pool.submit(self._respond, made)

    def _respond(self, text: str) -> None:
        made = chain.response_builder(text)
        self._emit("response_builder", made)
        self.answer.set_result(made)

    def _emit(self, step: str, *texts: str) -> None:
        self._commits.write([(self._name, step, text) for text in texts])


def main() -> None:
    arguments = chain.arguments()
    connection = chain.open_sqlite(arguments.folder / "floor.sqlite")
    commits = GroupCommits(connection) if arguments.group_commit else Commits(connection)
    with ThreadPoolExecutor(THREADS) as pool:

        def run_all(questions: Sequence[str]) -> Sequence[str]:
            chains = [Chain(question, commits, pool) for question in questions]
            for each, question in zip(chains, questions, strict=True):
                pool.submit(each.start, question)
            return [each.answer.result() for each in chains]

        chain.measure([], lambda question: run_all([question])[0], run_all, arguments)


if __name__ == "__main__":
    main()
