"""What the process that has the collections does for them in the background."""

import time
from collections.abc import Callable, Iterator
from contextlib import closing
from pathlib import Path

import pytest
from carried_encoders import Carrying
from small_encoder import SmallEncoder

from functions.adapters.local.blobs import LocalBlobs
from functions.adapters.local.catalog import LocalCatalog
from functions.adapters.local.store import Store
from functions.adapters.vectors.qdrant_edge import EdgeStore
from functions.collections.collection import VersionedCollection
from functions.collections.entries import entry_of
from functions.collections.evaluation import Question
from functions.collections.lifecycle import begin, create, set_rate, take_out
from functions.collections.opening import made
from functions.errors import TroupeError
from functions.events.common import Passage
from functions.ports.catalog import Progress
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
        self.home, self.catalog = home, LocalCatalog(store)
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
