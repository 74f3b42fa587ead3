"""What is erased from a collection is in none of its files, wherever that was cut short, and the rest is as it was."""

import threading
import uuid
from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np
import pytest
from edge_points import LAYOUT, folder, id_of, point

from functions.adapters.vectors import edge_folders, qdrant_edge
from functions.adapters.vectors.qdrant_edge import EdgeStore
from functions.ports.vector_stores import Point, Query, RefusedError

Open = Callable[[], EdgeStore]
pytestmark = pytest.mark.slow
MARK = "qzxmark"
KEPT = [point(number) for number in range(1, 1_101)]  # more than one page
ERASED = point(0xFFFF_1234_5678_9ABC_DEF0, f"the {MARK} is here")


def holding(parent: Path) -> list[str]:
    """The files in which something of the erased point is: its words, or its id."""
    marks = (MARK.encode(), uuid.UUID(ERASED.id).bytes)
    files = [path for path in sorted(parent.rglob("*")) if path.is_file()]
    return [str(path.relative_to(parent)) for path in files if any(mark in path.read_bytes() for mark in marks)]


def said(points: Sequence[Point]) -> list[object]:
    return [(each.id, each.fields) for each in points]


def test_a_point_that_was_only_deleted_is_still_in_the_files(edge: EdgeStore, tmp_path: Path) -> None:
    edge.upsert(LAYOUT, [ERASED])
    edge.delete(LAYOUT, [ERASED.id])
    assert holding(tmp_path), "so `erase` has to do more"


def test_an_erased_point_is_in_no_file_and_the_others_are_as_they_were(edge: EdgeStore, tmp_path: Path) -> None:
    edge.upsert(LAYOUT, [*KEPT, ERASED])
    query = Query(vector=np.array([1, 2, 1, 0], np.float32), terms=KEPT[4].terms, limit=5)
    before = edge.search(LAYOUT, [query])
    edge.erase(LAYOUT, [ERASED.id])
    assert holding(tmp_path) == []
    assert [hit.score for hit in edge.search(LAYOUT, [query])[0]] == [hit.score for hit in before[0]]
    assert said(edge.read(LAYOUT, [each.id for each in KEPT])) == said(KEPT)
    assert edge.count(LAYOUT) == len(KEPT)


def test_what_was_deleted_or_replaced_before_is_gone_after_the_next_erasure(edge: EdgeStore, tmp_path: Path) -> None:
    edge.upsert(LAYOUT, [ERASED, *KEPT[:2]])
    edge.upsert(LAYOUT, [Point(id=ERASED.id, vector=ERASED.vector, fields={"text": "harmless"})])
    edge.delete(LAYOUT, [ERASED.id])
    edge.erase(LAYOUT, [])
    assert holding(tmp_path) == []
    assert edge.count(LAYOUT) == 2


def test_a_collection_goes_on_after_an_erasure_and_a_restart(edge: EdgeStore, open_store: Open) -> None:
    edge.upsert(LAYOUT, [ERASED, KEPT[0]])
    edge.erase(LAYOUT, [ERASED.id])
    edge.upsert(LAYOUT, [KEPT[1]])
    edge.close()
    assert [each.id for each in open_store().scroll(LAYOUT)] == [id_of(1), id_of(2)]


def test_who_reads_meanwhile_is_answered_and_what_is_written_meanwhile_is_kept(edge: EdgeStore, tmp_path: Path) -> None:
    edge.upsert(LAYOUT, [*KEPT, ERASED])
    begun, failed = threading.Barrier(3), []
    query = Query(vector=np.array([1, 2, 1, 0], np.float32), limit=3)

    def read() -> None:
        begun.wait()
        for _ in range(50):
            if len(edge.search(LAYOUT, [query])[0]) != 3:
                failed.append("fewer")
            if edge.count(LAYOUT) < len(KEPT):
                failed.append("ids")

    def write() -> None:
        begun.wait()
        for number in range(20):
            edge.upsert(LAYOUT, [point(5_000 + number)])

    threads = [threading.Thread(target=each) for each in (read, write)]
    for each in threads:
        each.start()
    begun.wait()
    for _ in range(2):
        edge.erase(LAYOUT, [ERASED.id])
    for each in threads:
        each.join()
    assert failed == []
    assert edge.count(LAYOUT) == len(KEPT) + 20
    assert holding(tmp_path) == []


@pytest.mark.parametrize(
    ("module", "step"),
    [(edge_folders, "_new_shard"), (edge_folders, "replace_marker"), (qdrant_edge, "remove_other_shards")],
)
@pytest.mark.parametrize("before", [True, False], ids=["before", "after"])
def test_an_erasure_that_was_cut_short_loses_nothing_and_can_be_done_again(  # noqa: PLR0913, PLR0917 - fixtures
    edge: EdgeStore,
    open_store: Open,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    module: object,
    step: str,
    *,
    before: bool,
) -> None:
    edge.upsert(LAYOUT, [*KEPT, ERASED])
    original = getattr(module, step)

    def crash(*arguments: object) -> None:
        if not before:
            original(*arguments)
        raise KeyboardInterrupt

    monkeypatch.setattr(module, step, crash)
    with pytest.raises(KeyboardInterrupt):
        edge.erase(LAYOUT, [ERASED.id])
    monkeypatch.undo()
    edge.close()
    again = open_store()
    assert again.count(LAYOUT) >= len(KEPT)
    again.erase(LAYOUT, [ERASED.id])
    assert said(again.read(LAYOUT, [each.id for each in KEPT])) == said(KEPT)
    assert holding(tmp_path) == []
    assert len(list(folder(tmp_path).iterdir())) == 2, "one shard and the marker"


def test_a_disk_without_room_for_the_copy_is_told_of_before(edge: EdgeStore, monkeypatch: pytest.MonkeyPatch) -> None:
    edge.upsert(LAYOUT, [ERASED, KEPT[0]])
    monkeypatch.setattr(edge_folders, "_allocated", lambda _: 1 << 60)
    with pytest.raises(RefusedError, match="MB are wanted"):
        edge.erase(LAYOUT, [ERASED.id])
    assert edge.count(LAYOUT) == 2
