"""What is erased from a collection is in none of its files, wherever that was cut short, and the rest is as it was."""

import threading
from collections.abc import Callable
from pathlib import Path

import msgspec
import pytest

from functions.adapters.vectors import qdrant_edge
from functions.adapters.vectors.qdrant_edge import CollectionError, EdgeCollection, _point_id, erase_apart
from functions.events.common import Passage, Work

Open = Callable[..., EdgeCollection]
pytestmark = pytest.mark.slow
MARK = "qzxmark"
KEPT = [
    Passage(id=f"k{number}", name="kept", source="memory", text=f"fact {number} of many", work=Work(title="A title"))
    for number in range(1_100)  # more than one page
]
ERASED = Passage(id=f"memory-{MARK}", name="remembered", source=f"about {MARK}", text=f"the {MARK} is here")


def holding(folder: Path) -> list[str]:
    """The files in which something of the erased passage is: its words, or the id of its point."""
    marks = (MARK.encode(), _point_id("t", ERASED.id).bytes)
    files = [path for path in sorted(folder.rglob("*")) if path.is_file()]
    return [str(path.relative_to(folder)) for path in files if any(mark in path.read_bytes() for mark in marks)]


def test_a_passage_that_was_only_deleted_is_still_in_the_files(collection: EdgeCollection) -> None:
    collection.upsert([ERASED], tenant="t")
    collection.delete([ERASED.id], tenant="t")
    assert holding(collection.folder), "so `erase` has to do more"


def test_an_erased_passage_is_in_no_file_and_the_others_are_as_they_were(collection: EdgeCollection) -> None:
    collection.upsert([*KEPT, ERASED], tenant="t")
    collection.upsert([KEPT[0]], tenant="other")
    found = [each.id for each in collection.search("fact 7 of many", limit=5, tenant="t")]
    collection.erase([ERASED.id], tenant="t")
    assert holding(collection.folder) == []
    assert [each.id for each in collection.search("fact 7 of many", limit=5, tenant="t")] == found
    assert list(collection.read([each.id for each in KEPT], tenant="t")) == KEPT
    assert (collection.count(tenant="t"), collection.count(tenant="other")) == (len(KEPT), 1)


def test_what_was_deleted_or_replaced_before_is_gone_after_the_next_erasure(collection: EdgeCollection) -> None:
    collection.upsert([ERASED, *KEPT[:2]], tenant="t")
    collection.upsert([msgspec.structs.replace(ERASED, source="s", text="harmless")], tenant="t")
    collection.delete([ERASED.id], tenant="t")
    collection.erase([], tenant="t")
    assert holding(collection.folder) == []
    assert collection.count(tenant="t") == 2


def test_a_collection_goes_on_after_an_erasure_and_a_restart(open_collection: Open) -> None:
    collection = open_collection()
    collection.upsert([ERASED, KEPT[0]], tenant="t")
    collection.erase([ERASED.id], tenant="t")
    collection.upsert([KEPT[1]], tenant="t")
    collection.close()
    assert sorted(open_collection().ids(tenant="t")) == ["k0", "k1"]


def test_a_passage_of_the_same_id_of_another_tenant_stays(collection: EdgeCollection) -> None:
    for tenant in ("t", "other"):
        collection.upsert([KEPT[0]], tenant=tenant)
    collection.erase(["k0"], tenant="t")
    assert (collection.count(tenant="t"), collection.count(tenant="other")) == (0, 1)


def test_who_reads_meanwhile_is_answered_and_what_is_written_meanwhile_is_kept(collection: EdgeCollection) -> None:
    collection.upsert([*KEPT, ERASED], tenant="t")
    begun, failed = threading.Barrier(3), []

    def read() -> None:
        begun.wait()
        for _ in range(50):
            if len(collection.search("fact", limit=3, tenant="t")) != 3:
                failed.append("fewer")
            if len(list(collection.ids(tenant="t"))) < len(KEPT):
                failed.append("ids")

    def write() -> None:
        begun.wait()
        for number in range(20):
            collection.upsert([Passage(id=f"new{number}", name="n", source="s", text="new")], tenant="t")

    threads = [threading.Thread(target=each) for each in (read, write)]
    for each in threads:
        each.start()
    begun.wait()
    for _ in range(2):
        collection.erase([ERASED.id], tenant="t")
    for each in threads:
        each.join()
    assert failed == []
    assert collection.count(tenant="t") == len(KEPT) + 20
    assert holding(collection.folder) == []


@pytest.mark.parametrize("step", ["_new_shard", "_replace_marker", "_remove_other_shards"])
@pytest.mark.parametrize("before", [True, False], ids=["before", "after"])
def test_an_erasure_that_was_cut_short_loses_nothing_and_can_be_done_again(
    open_collection: Open, monkeypatch: pytest.MonkeyPatch, step: str, *, before: bool
) -> None:
    collection = open_collection()
    collection.upsert([*KEPT, ERASED], tenant="t")
    original = getattr(qdrant_edge, step)

    def crash(*arguments: object) -> None:
        if not before:
            original(*arguments)
        raise KeyboardInterrupt

    monkeypatch.setattr(qdrant_edge, step, crash)
    with pytest.raises(KeyboardInterrupt):
        collection.erase([ERASED.id], tenant="t")
    monkeypatch.undo()
    collection.close()
    again = open_collection()
    assert again.count(tenant="t") >= len(KEPT)
    again.erase([ERASED.id], tenant="t")
    assert list(again.read([each.id for each in KEPT], tenant="t")) == KEPT
    assert holding(again.folder) == []
    assert len(list(again.folder.iterdir())) == 2, "one shard and the marker"


def test_a_collection_that_nobody_has_open_is_erased_without_its_encoder(open_collection: Open) -> None:
    collection = open_collection()
    collection.upsert([*KEPT, ERASED], tenant="t")
    with pytest.raises(CollectionError, match="in use by another process"):
        erase_apart(collection.folder, [ERASED.id], tenant="t")
    collection.close()
    erase_apart(collection.folder, [ERASED.id], tenant="t")
    assert holding(collection.folder) == []
    assert open_collection().count(tenant="t") == len(KEPT)


def test_a_collection_that_is_not_there_holds_nothing(tmp_path: Path) -> None:
    erase_apart(tmp_path / "none", ["a"], tenant="t")
    assert not (tmp_path / "none").exists()


def test_a_disk_without_room_for_the_copy_is_told_of_before(
    collection: EdgeCollection, monkeypatch: pytest.MonkeyPatch
) -> None:
    collection.upsert([ERASED, KEPT[0]], tenant="t")
    monkeypatch.setattr(qdrant_edge, "_allocated", lambda _: 1 << 60)
    with pytest.raises(CollectionError, match="MB are wanted"):
        collection.erase([ERASED.id], tenant="t")
    assert collection.count(tenant="t") == 2
