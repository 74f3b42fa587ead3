"""What the process that has the collections does for them in the background."""

import threading
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import closing
from dataclasses import replace
from pathlib import Path
from typing import cast

import numpy as np
import pytest
from carried_encoders import Carrying
from numpy.typing import NDArray
from small_encoder import SmallEncoder

from functions.adapters.local.blobs import LocalBlobs
from functions.adapters.local.catalog import LocalCatalog
from functions.adapters.local.store import Store
from functions.adapters.vectors import edge_index
from functions.adapters.vectors.edge_folders import read_marker
from functions.adapters.vectors.qdrant_edge import EdgeStore
from functions.collections.collection import VersionedCollection
from functions.collections.entries import entry_of
from functions.collections.evaluation import Question
from functions.collections.lifecycle import begin, create, set_rate, take_out
from functions.collections.opening import made
from functions.errors import TroupeError
from functions.events.common import Passage
from functions.ports.catalog import Entry, Progress
from functions.ports.vector_stores import Layout, UnavailableError, VectorStore, VectorStoreError
from local import comparing
from local import filling as filling_module
from local.comparing import FOLDER, Kept, Wanted, ask, forget, told
from local.filling import Filling

PATIENCE_S = 60.0
OLD, NEW = SmallEncoder(), SmallEncoder("small.2")
PASSAGES = [Passage(id=str(each), name="", source=f"{each}.md", text=f"word{each} and more") for each in range(600)]


def until(holds: Callable[[], bool]) -> None:
    end = time.monotonic() + PATIENCE_S
    while not holds():
        assert time.monotonic() < end
        time.sleep(0.02)


class Machine:
    def __init__(self, home: Path, store: Store) -> None:
        self.home, self.catalog = home, LocalCatalog(store, "qdrant_edge")
        self.points, self._clock = EdgeStore(home / "collections"), store.clock
        if self.catalog.read("documents") is None:
            entry = create(self.catalog, "documents", OLD, ttl_s=None, now=store.clock())
            made(entry, catalog=self.catalog, store=self.points)
            self.collection().upsert(PASSAGES, tenant="t")

    def kept(self, *encoders: SmallEncoder) -> Kept:
        return Kept(
            catalog=self.catalog,
            store=self.points,
            encoders=Carrying(*encoders),
            blobs=LocalBlobs(self.home / "blobs"),
            now=self._clock,
        )

    def collection(self) -> VersionedCollection:
        kept = self.kept(OLD, NEW)
        return VersionedCollection(
            "documents", catalog=kept.catalog, store=kept.store, encoders=kept.encoders, blobs=kept.blobs, now=kept.now
        )

    def begin(self, rate: float | None = None) -> int:
        return begin(self.catalog, "documents", NEW, rate=rate, now=self._clock())

    def is_whole(self, number: int) -> bool:
        version = entry_of(self.catalog, "documents").version(number)
        return version is not None and version.phase == "whole"

    def progress(self, number: int) -> Progress:
        found = self.catalog.progress("documents", number)
        assert found is not None
        return found


@pytest.fixture
def machine(tmp_path: Path) -> Iterator[Machine]:
    with closing(Store(tmp_path)) as store:
        made = Machine(tmp_path, store)
        with closing(made.points):
            yield made


def test_a_version_that_is_listed_is_filled_and_goes_on_after_a_restart(machine: Machine) -> None:
    with Filling(machine.kept(OLD, NEW), machine.home):
        number = machine.begin(rate=100.0)
        until(lambda: machine.progress(number).done > 0)
    assert not machine.is_whole(number)
    done = machine.progress(number).done
    assert 0 < done < len(PASSAGES)
    set_rate(machine.catalog, "documents", number, None)
    with Filling(machine.kept(OLD, NEW), machine.home):
        until(lambda: machine.is_whole(number))
    layout = entry_of(machine.catalog, "documents").versions[1].layout
    assert machine.points.count(layout) == len(PASSAGES)


def test_without_the_encoder_the_progress_says_so_and_a_process_that_carries_it_goes_on(machine: Machine) -> None:
    number = machine.begin()
    with Filling(machine.kept(OLD), machine.home):
        until(lambda: "small.2 is not carried here" in machine.progress(number).problem)
    with Filling(machine.kept(OLD, NEW), machine.home):
        until(lambda: machine.is_whole(number))
    assert machine.progress(number).problem == ""


def test_a_version_that_a_command_dropped_is_removed(machine: Machine) -> None:
    with Filling(machine.kept(OLD, NEW), machine.home):
        number = machine.begin(rate=10.0)
        until(lambda: len(machine.points.layouts()) == 2)
        take_out(machine.catalog, "documents", number)
        until(lambda: not entry_of(machine.catalog, "documents").dropping)
        until(lambda: len(machine.points.layouts()) == 1)


def test_a_comparison_that_a_command_wants_is_made_and_leaves_nothing_behind(machine: Machine) -> None:
    with Filling(machine.kept(OLD, NEW), machine.home):
        number = machine.begin()
        until(lambda: machine.is_whole(number))
        questions = (Question(question="word7", ids=("7",)), Question(question="word9", sources=("9.md",)))
        wanted = Wanted(collection="documents", number=number, questions=questions, samples=5, k=3, tenant="t")
        asked = ask(machine.home, wanted)
        until(lambda: asked.with_suffix(".told").exists())
        found = told(asked)
        assert found is not None
        assert found.old is not None
        assert (found.questions, found.samples, found.old.recall) == (2, 5, 1.0)
        wrong = ask(machine.home, Wanted(collection="documents", number=9, samples=5, tenant="t"))
        until(lambda: wrong.with_suffix(".told").exists())
        with pytest.raises(TroupeError, match="no version 9: it has 1, 2"):
            told(wrong)
    assert not list((machine.home / FOLDER).iterdir())


def test_a_comparison_that_nobody_waits_for_any_more_is_not_made(machine: Machine) -> None:
    asked = ask(machine.home, Wanted(collection="documents", number=1, samples=5, tenant="t"))
    assert told(asked) is None
    forget(asked)
    with Filling(machine.kept(OLD, NEW), machine.home):
        number = machine.begin()
        until(lambda: machine.is_whole(number))
    assert not list((machine.home / FOLDER).iterdir())


def test_what_cannot_be_removed_keeps_no_other_collection_waiting(
    machine: Machine, monkeypatch: pytest.MonkeyPatch
) -> None:
    create(machine.catalog, "a-notes", OLD, ttl_s=None, now=machine.kept().now())
    take_out(machine.catalog, "a-notes", begin(machine.catalog, "a-notes", NEW, rate=None, now=machine.kept().now()))
    tried = threading.Event()

    def refuse(_layout: Layout) -> None:
        tried.set()
        raise UnavailableError("it is busy")

    monkeypatch.setattr(machine.points, "drop", refuse)
    with Filling(machine.kept(OLD, NEW), machine.home):
        assert tried.wait(PATIENCE_S)
        number = machine.begin()
        until(lambda: machine.is_whole(number))
    assert entry_of(machine.catalog, "a-notes").dropping


def test_a_long_comparison_keeps_no_filling_waiting(machine: Machine, monkeypatch: pytest.MonkeyPatch) -> None:
    begun, ended = threading.Event(), threading.Event()

    def long(*_: object) -> None:
        begun.set()
        ended.wait(PATIENCE_S)
        raise RuntimeError("it never came to an end")

    monkeypatch.setattr(comparing, "compared", long)
    wanted = Wanted(collection="documents", number=1, samples=5, tenant="t")
    first, second = sorted([ask(machine.home, wanted), ask(machine.home, wanted)])
    with Filling(machine.kept(OLD, NEW), machine.home):
        assert begun.wait(PATIENCE_S)
        number = machine.begin()
        until(lambda: machine.is_whole(number))
        ended.set()
        for asked in (first, second):  # the one that failed is out of the way of the other
            until(lambda asked=asked: asked.with_suffix(".told").exists())  # type: ignore[misc]
            with pytest.raises(TroupeError, match="could not be compared: RuntimeError"):
                told(asked)


def test_what_begins_while_it_stops_is_waited_for(machine: Machine, monkeypatch: pytest.MonkeyPatch) -> None:
    machine.begin()
    looking, stopping, stopped = threading.Event(), threading.Event(), threading.Event()
    entries, order = machine.catalog.entries, list[str]()

    def slow_entries() -> Sequence[Entry]:
        looking.set()
        assert stopping.wait(PATIENCE_S)
        return entries()

    def slow_filling(*_: object, **__: object) -> str:
        stopped.wait(0.5)  # it would come first, if nobody waited for this
        order.append("filled")
        return "stopped"

    monkeypatch.setattr(machine.catalog, "entries", slow_entries)
    monkeypatch.setattr(filling_module, "fill", slow_filling)
    filling = Filling(machine.kept(OLD, NEW), machine.home)
    filling.start()
    assert looking.wait(PATIENCE_S)
    stop, join = threading.Thread(target=filling.stop), threading.Thread.join

    def joined(thread: threading.Thread, timeout: float | None = None) -> None:
        stopping.set()
        join(thread, timeout)

    monkeypatch.setattr(threading.Thread, "join", joined)
    stop.start()
    join(stop, PATIENCE_S)
    order.append("stopped")
    stopped.set()
    assert order == ["filled", "stopped"]


def test_a_comparison_asks_with_tokens_what_is_stored_with_tokens(machine: Machine) -> None:
    number = machine.begin()
    with Filling(machine.kept(OLD, NEW), machine.home):
        until(lambda: machine.is_whole(number))
    read = list[str]()

    class Reading(SmallEncoder):
        def encode(self, texts: Sequence[str]) -> NDArray[np.float32]:
            read.extend(texts)
            return super().encode(texts)

    class Tokens:
        def tokenized(self, texts: Sequence[str], *, tenant: str, keep: bool) -> Sequence[str]:
            assert (tenant, keep) == ("t", False)
            return [text.replace("a@example.com", "[EMAIL]") for text in texts]

    questions = (Question(question="Who is a@example.com?", ids=("7",)),)
    kept = replace(machine.kept(Reading(), Reading("small.2")), tokenizer=Tokens())
    comparing.compared(Wanted(collection="documents", number=number, questions=questions, tenant="t"), kept)
    assert set(read) == {"Who is [EMAIL]?"}


class Asking:
    """A store that is asked for its indexes, and has many points without one."""

    def __init__(self, store: EdgeStore) -> None:
        self._store = store
        self.asked: list[str] = []
        self.closed = threading.Event()

    def optimize(self, layout: Layout) -> None:
        self.asked.append(layout.name)
        self.closed.wait(PATIENCE_S)
        raise VectorStoreError("the vector store is closed")

    def __getattr__(self, name: str) -> object:
        return getattr(self._store, name)


def test_what_is_whole_is_indexed_in_the_background_and_nobody_waits_for_it(
    machine: Machine, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(filling_module, "INDEX_LOOK_S", 0.0)
    store = Asking(machine.points)
    whole = entry_of(machine.catalog, "documents").versions[0].layout.name
    running = Filling(replace(machine.kept(OLD, NEW), store=cast("VectorStore", store)), machine.home)
    running.start()
    until(lambda: store.asked == [whole])
    wrong = ask(machine.home, Wanted(collection="documents", number=9, samples=5, tenant="t"))
    until(lambda: wrong.with_suffix(".told").exists())  # it looks after the rest meanwhile
    running.stop()
    assert store.asked == [whole]
    store.closed.set()
    until(lambda: not running._indexing.is_alive())
    assert not caplog.records


def test_points_that_came_in_one_by_one_get_an_index(machine: Machine, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(filling_module, "INDEX_LOOK_S", 0.05)
    monkeypatch.setattr(edge_index, "SMALLEST_BYTES", 1)
    layout = entry_of(machine.catalog, "documents").versions[0].layout
    with Filling(machine.kept(OLD), machine.home):
        until(lambda: read_marker(machine.home / "collections" / layout.name).indexed == len(PASSAGES))
        machine.collection().upsert(PASSAGES[:1], tenant="t")
    assert machine.points.count(layout) == len(PASSAGES)
