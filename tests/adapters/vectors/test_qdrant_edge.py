import json
import shutil
import subprocess
import sys
import threading
from collections.abc import Callable
from pathlib import Path

import msgspec
import pytest
from bag_of_words import BagOfWords

from functions.adapters.encoders.minilm import MiniLM
from functions.adapters.vectors.qdrant_edge import CollectionError, EdgeCollection, _point_id, physical_name
from functions.events.common import Passage, Work

Open = Callable[..., EdgeCollection]


def passage(id_: str, text: str = "", *, name: str = "", source: str = "guide.md") -> Passage:
    return Passage(id=id_, name=name or f"Guide > {id_}", source=source, text=text or f"about {id_}")


FRUIT = [passage("apples", "red and round"), passage("bananas", "yellow and long"), passage("plums", "blue")]


def found(collection: EdgeCollection, text: str, *, limit: int = 5, tenant: str = "t") -> list[str]:
    return [each.id for each in collection.search(text, limit=limit, tenant=tenant)]


# --- what is stored is found


def test_a_point_upserted_is_found_by_the_next_search(collection: EdgeCollection) -> None:
    for each in FRUIT:
        collection.upsert([each], tenant="t")
        assert found(collection, each.text, limit=1) == [each.id]


def test_a_passage_comes_back_as_it_was_stored_with_a_score(collection: EdgeCollection) -> None:
    collection.upsert(FRUIT, tenant="t")
    best = collection.search("yellow and long bananas", limit=1, tenant="t")[0]
    assert (best.id, best.name, best.source, best.text) == (
        "bananas",
        "Guide > bananas",
        "guide.md",
        "yellow and long",
    )
    assert 0.5 < best.score <= 1


def test_scores_fall_from_the_first_to_the_last(collection: EdgeCollection) -> None:
    collection.upsert([passage(str(n), "word " * n + "other " * (20 - n)) for n in range(20)], tenant="t")
    scores = [each.score for each in collection.search("word", limit=20, tenant="t")]
    assert scores == sorted(scores, reverse=True)
    assert all(0 <= score <= 1 for score in scores)


def test_the_same_question_gets_the_same_answer(collection: EdgeCollection) -> None:
    collection.upsert([passage(str(n), "all alike") for n in range(30)], tenant="t")
    assert len({tuple(found(collection, "all alike")) for _ in range(5)}) == 1


def test_no_more_than_the_limit_is_found(collection: EdgeCollection) -> None:
    collection.upsert(FRUIT, tenant="t")
    assert [len(found(collection, "fruit", limit=limit)) for limit in (-1, 0, 1, 2, 3, 1000)] == [
        0,
        0,
        1,
        2,
        3,
        3,
    ]


def test_an_empty_collection_finds_nothing(collection: EdgeCollection) -> None:
    assert found(collection, "anything") == []
    assert collection.count(tenant="t") == 0


def test_the_same_id_again_replaces_the_passage(collection: EdgeCollection) -> None:
    collection.upsert([passage("a", "the old text")], tenant="t")
    collection.upsert([passage("a", "something else")], tenant="t")
    assert collection.count(tenant="t") == 1
    assert collection.read(["a"], tenant="t")[0].text == "something else"


def test_of_two_passages_with_one_id_the_last_counts(collection: EdgeCollection) -> None:
    collection.upsert([passage("a", "first"), passage("a", "second")], tenant="t")
    assert [each.text for each in collection.read(["a"], tenant="t")] == ["second"]


def test_passages_are_read_in_the_order_asked_without_those_that_do_not_exist(
    collection: EdgeCollection,
) -> None:
    collection.upsert(FRUIT, tenant="t")
    read = collection.read(["plums", "nothing", "apples", "plums"], tenant="t")
    assert [each.id for each in read] == ["plums", "apples"]
    assert [each.score for each in read] == [0, 0]


def test_a_deleted_passage_is_not_found_and_deleting_again_is_no_error(collection: EdgeCollection) -> None:
    collection.upsert(FRUIT, tenant="t")
    for _ in range(2):
        collection.delete(["apples", "never there"], tenant="t")
        assert sorted(found(collection, "red and round apples")) == ["bananas", "plums"]
    collection.delete([], tenant="t")
    assert collection.count(tenant="t") == 2


def test_more_passages_than_one_write_takes_are_all_stored(collection: EdgeCollection) -> None:
    collection.upsert([passage(str(n)) for n in range(2500)], tenant="t")
    assert collection.count(tenant="t") == 2500


def test_an_exact_name_is_found_among_many_that_share_its_words(open_collection: Open, encoder: MiniLM) -> None:
    collection = EdgeCollection(open_collection().folder.parent, name="real", version=1, encoder=encoder)
    names = ["asyncio.wait_for", "asyncio.wait", "threading.Event.wait", "asyncio.Future", "os.wait"]
    collection.upsert([passage(name, "Wait for it.", name=name) for name in names], tenant="t")
    assert found(collection, "what does asyncio.wait_for do?", limit=1) == ["asyncio.wait_for"]
    collection.close()


def test_a_question_in_other_words_finds_what_it_means(open_collection: Open, encoder: MiniLM) -> None:
    collection = EdgeCollection(open_collection().folder.parent, name="real", version=1, encoder=encoder)
    collection.upsert(
        [
            passage("rmtree", "Recursively delete a directory tree."),
            passage("sorted", "Return a new list containing all items in ascending order."),
            passage("sleep", "Delay execution for a given number of seconds."),
        ],
        tenant="t",
    )
    assert found(collection, "remove a folder and everything inside", limit=1) == ["rmtree"]
    assert found(collection, "pause my program for a while", limit=1) == ["sleep"]
    unrelated = collection.search("the capital of Australia", limit=1, tenant="t")[0]
    related = collection.search("remove a folder and everything inside", limit=1, tenant="t")[0]
    assert unrelated.score < 0.3 < related.score
    collection.close()


# --- tenants never meet


def test_the_ids_are_those_of_the_tenant_over_any_number_of_pages(
    collection: EdgeCollection, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("functions.adapters.vectors.qdrant_edge._IDS_PER_PAGE", 2)
    collection.upsert([passage(f"p{number}", "text") for number in range(5)], tenant="one")
    collection.upsert([passage("other", "text")], tenant="two")
    assert sorted(collection.ids(tenant="one")) == ["p0", "p1", "p2", "p3", "p4"]
    assert list(collection.ids(tenant="three")) == []


def test_a_tenant_finds_reads_counts_and_deletes_only_its_own(collection: EdgeCollection) -> None:
    collection.upsert(FRUIT, tenant="one")
    collection.upsert([passage("apples", "the other tenant's")], tenant="two")
    collection.delete(["bananas"], tenant="two")
    assert found(collection, "red and round apples", tenant="two") == ["apples"]
    assert [each.text for each in collection.read(["apples", "plums"], tenant="two")] == ["the other tenant's"]
    assert (collection.count(tenant="one"), collection.count(tenant="two")) == (3, 1)
    assert collection.count(tenant="three") == 0


def test_tenants_and_ids_that_run_together_the_same_way_stay_apart(collection: EdgeCollection) -> None:
    collection.upsert([passage("bc", "of a")], tenant="a")
    collection.upsert([passage("c", "of ab")], tenant="ab")
    assert collection.read(["c"], tenant="a") == []
    assert collection.read(["bc"], tenant="a")[0].text == "of a"
    assert collection.read(["c"], tenant="ab")[0].text == "of ab"


def test_what_others_store_does_not_change_a_tenants_scores(collection: EdgeCollection) -> None:
    collection.upsert(FRUIT, tenant="one")
    before = collection.search("red apples", limit=3, tenant="one")
    collection.upsert([passage(str(n), "red red red apples") for n in range(50)], tenant="two")
    assert collection.search("red apples", limit=3, tenant="one") == before


@pytest.mark.parametrize("tenant", ["", "*", "' OR 1=1 --", '{"must_not": []}', "a\x00b", "\ud800", "x" * 10_000])
def test_any_string_is_a_tenant_of_its_own(collection: EdgeCollection, tenant: str) -> None:
    collection.upsert(FRUIT, tenant="ordinary")
    collection.upsert([passage("mine")], tenant=tenant)
    assert found(collection, "apples", tenant=tenant) == ["mine"]
    assert collection.count(tenant=tenant) == 1
    assert len(found(collection, "mine", tenant="ordinary")) == 3


# --- hostile texts


@pytest.mark.parametrize(
    "text",
    ["", " ", "?!.,", "\x00", "\ud800\udfff", "[SEP]", "\U0001f600" * 10, "x" * 1_000_000, "word " * 200_000],
)
def test_any_text_can_be_stored_and_asked(collection: EdgeCollection, text: str) -> None:
    collection.upsert([passage("ordinary"), passage("hostile", text)], tenant="t")
    assert sorted(found(collection, text)) == ["hostile", "ordinary"]
    assert len(collection.read(["hostile"], tenant="t")) == 1


def test_a_half_of_a_surrogate_pair_is_stored_as_a_question_mark(collection: EdgeCollection) -> None:
    collection.upsert([Passage(id="\ud800", name="n\udfff", source="s", text="t\ud800")], tenant="t")
    read = collection.read(["\ud800"], tenant="t")[0]
    assert (read.name, read.text) == ("n?", "t?")


# --- folders


def test_what_was_stored_is_there_when_the_collection_is_opened_again(open_collection: Open) -> None:
    first = open_collection()
    first.upsert(FRUIT, tenant="t")
    first.close()
    assert found(open_collection(), "yellow and long", limit=1) == ["bananas"]


def test_what_was_upserted_survives_a_kill(tmp_path: Path, open_collection: Open) -> None:
    code = (
        "import os, sys; from pathlib import Path; sys.path.insert(0, sys.argv[2]);"
        "from bag_of_words import BagOfWords;"
        "from functions.adapters.vectors.qdrant_edge import EdgeCollection;"
        "from functions.events.common import Passage;"
        "c = EdgeCollection(Path(sys.argv[1]), name='documents', version=1, encoder=BagOfWords());"
        "c.upsert([Passage(id=str(n), name='n', source='s', text=f'text {n}') for n in range(100)], tenant='t');"
        "os.kill(os.getpid(), 9)"
    )
    here = str(Path(__file__).parent)
    killed = subprocess.run([sys.executable, "-c", code, str(tmp_path), here], check=False)  # noqa: S603 - our own code
    assert killed.returncode == -9
    assert open_collection().count(tenant="t") == 100


def test_collections_of_another_name_version_or_encoder_do_not_meet(open_collection: Open) -> None:
    open_collection().upsert(FRUIT, tenant="t")
    others = [
        open_collection(name="memories"),
        open_collection(version=2),
        open_collection(encoder=BagOfWords("Bag of words/2")),
    ]
    assert [other.count(tenant="t") for other in others] == [0, 0, 0]


def test_a_folders_name_carries_version_and_encoder() -> None:
    assert physical_name("documents", 3, BagOfWords()) == "documents_v3_bag-of-words-1"


@pytest.mark.parametrize("name", ["", "../up", "a/b", "a b", "A", ".hidden", "x" * 64, "é"])
def test_a_name_that_is_no_name_is_refused(open_collection: Open, name: str) -> None:
    with pytest.raises(CollectionError, match="no collection's name: expected 1 to 63 of a-z"):
        open_collection(name=name)


def test_a_collection_that_is_open_elsewhere_is_refused(open_collection: Open) -> None:
    open_collection()
    with pytest.raises(CollectionError, match="in use by another process"):
        open_collection()


def change_marker(collection: EdgeCollection, **changes: object) -> None:
    collection.close()
    marker = collection.folder / "collection.json"
    marker.write_text(json.dumps(json.loads(marker.read_text()) | changes))


def test_a_folder_made_by_another_encoder_is_refused(open_collection: Open) -> None:
    change_marker(open_collection(), encoder="another encoder")
    with pytest.raises(CollectionError, match=r"made with encoder another encoder .*expected Bag of words/1"):
        open_collection()


def test_a_folder_of_a_newer_format_is_refused(open_collection: Open) -> None:
    change_marker(open_collection(), format=99)
    with pytest.raises(CollectionError, match="format 99, this Troupe knows up to 1: use a newer Troupe"):
        open_collection()


@pytest.mark.parametrize("content", ["", "{", "[]", '{"format": "one"}'])
def test_a_damaged_marker_is_refused(open_collection: Open, content: str) -> None:
    folder = open_collection().folder
    change_marker(open_collection(name="other"))
    (folder / "collection.json").write_text(content)
    with pytest.raises(CollectionError, match="not a whole collection"):
        open_collection()


def test_a_folder_without_its_store_is_refused_and_left_as_it_is(open_collection: Open) -> None:
    collection = open_collection()
    collection.close()
    (collection.folder / "shard").rename(collection.folder / "elsewhere")
    with pytest.raises(CollectionError, match=r"cannot be opened .*: move it away"):
        open_collection()
    assert sorted(entry.name for entry in collection.folder.iterdir()) == ["collection.json", "elsewhere"]


def test_a_file_cut_short_at_which_the_engine_panics_is_refused(open_collection: Open) -> None:
    collection = open_collection()
    collection.upsert(FRUIT, tenant="t")
    collection.close()
    for status in collection.folder.rglob("status.dat"):
        status.write_bytes(b"")
    with pytest.raises(CollectionError, match=r"cannot be opened .*: move it away"):
        open_collection()


def test_a_full_disk_is_an_error_before_the_engine_dies_of_it(
    collection: EdgeCollection, open_collection: Open, monkeypatch: pytest.MonkeyPatch
) -> None:
    damaged = open_collection(name="damaged")
    damaged.close()
    full = shutil.disk_usage("/")._replace(free=1024**2)
    with monkeypatch.context() as patched:
        patched.setattr(shutil, "disk_usage", lambda _: full)
        with pytest.raises(CollectionError, match="has 1 MB left, and 64 MB are wanted"):
            collection.upsert(FRUIT, tenant="t")
        with pytest.raises(CollectionError, match="has 1 MB left"):
            open_collection(name="another")
        shutil.move(damaged.folder / "shard", damaged.folder / "elsewhere")
        with pytest.raises(CollectionError, match="has 1 MB left"):
            open_collection(name="damaged")
    collection.upsert(FRUIT, tenant="t")
    assert collection.count(tenant="t") == len(FRUIT)


def test_a_place_where_no_folder_can_be_made_is_refused(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("in the way")
    with pytest.raises(CollectionError, match=r"no collection can be made in .* mend that"):
        EdgeCollection(tmp_path / "file", name="documents", version=1, encoder=BagOfWords())


def test_what_a_crash_during_creation_left_is_removed(tmp_path: Path, open_collection: Open) -> None:
    draft = tmp_path / f".{physical_name('documents', 1, BagOfWords())}.draft-abc"
    (draft / "shard").mkdir(parents=True)
    (draft / "shard" / "half").write_bytes(b"half")
    open_collection().upsert(FRUIT, tenant="t")
    assert not draft.exists()


def test_closing_again_does_nothing_and_using_it_then_is_an_error(collection: EdgeCollection) -> None:
    collection.close()
    collection.close()
    for use in (
        lambda: collection.search("text", limit=1, tenant="t"),
        lambda: collection.read(["a"], tenant="t"),
        lambda: collection.upsert(FRUIT, tenant="t"),
        lambda: collection.delete(["a"], tenant="t"),
        lambda: collection.count(tenant="t"),
        collection.optimize,
    ):
        with pytest.raises(CollectionError, match="it is closed"):
            use()


def test_optimizing_changes_no_answer(collection: EdgeCollection) -> None:
    collection.upsert([passage(str(n), f"text number {n}") for n in range(200)], tenant="t")
    before = collection.search("number 77", limit=5, tenant="t")
    collection.optimize()
    assert collection.search("number 77", limit=5, tenant="t") == before


# --- threads


def test_threads_search_while_another_stores(collection: EdgeCollection) -> None:
    collection.upsert(FRUIT, tenant="t")
    stored = threading.Event()
    wrong: list[object] = []

    def search() -> None:
        while not stored.is_set():
            try:
                if found(collection, "yellow and long", limit=1) != ["bananas"]:
                    wrong.append("another answer")
            except Exception as error:  # noqa: BLE001 - whatever it is, the test has to show it
                wrong.append(error)

    threads = [threading.Thread(target=search) for _ in range(4)]
    for thread in threads:
        thread.start()
    for n in range(20):
        collection.upsert([passage(f"more {n}", f"nothing like it {n}")], tenant="t")
    stored.set()
    for thread in threads:
        thread.join()
    assert wrong == []
    assert collection.count(tenant="t") == 23


def test_threads_that_store_at_once_lose_nothing(collection: EdgeCollection) -> None:
    def store(worker: int) -> None:
        for n in range(10):
            collection.upsert([passage(f"{worker}-{n}")], tenant="t")

    threads = [threading.Thread(target=store, args=(worker,)) for worker in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert collection.count(tenant="t") == 40


def test_importing_the_adapter_does_not_import_the_engine() -> None:
    code = "import sys, functions.adapters.vectors.qdrant_edge; assert 'qdrant_edge' not in sys.modules"
    subprocess.run([sys.executable, "-c", code], check=True)  # noqa: S603 - our own code


# --- what is known of a work


BOOK = Work(title="On fruit", authors=("Ada Byron", "Bo Li"), published="2024-05-01")


def test_a_passage_comes_back_with_its_work(collection: EdgeCollection) -> None:
    collection.upsert([msgspec.structs.replace(FRUIT[0], work=BOOK), FRUIT[1]], tenant="t")
    assert [each.work for each in collection.read(["apples", "bananas"], tenant="t")] == [BOOK, Work()]
    assert collection.search("red and round", limit=1, tenant="t")[0].work == BOOK


def test_a_work_is_described_anew_without_encoding(open_collection: Open) -> None:
    encoder = BagOfWords()
    collection = open_collection(encoder=encoder)
    collection.upsert(FRUIT, tenant="t")
    collection.upsert(FRUIT, tenant="other")
    encoder.encode = None  # type: ignore[assignment, method-assign]
    described = [msgspec.structs.replace(each, work=BOOK, text="ignored") for each in (*FRUIT[:2], passage("nowhere"))]
    collection.describe(described, tenant="t")
    read = collection.read([each.id for each in FRUIT] + ["nowhere"], tenant="t")
    assert [(each.work, each.text) for each in read] == [
        (BOOK, "red and round"),
        (BOOK, "yellow and long"),
        (Work(), "blue"),
    ]
    assert {each.work for each in collection.read(["apples", "bananas"], tenant="other")} == {Work()}


def test_what_is_described_outlives_the_process(open_collection: Open) -> None:
    collection = open_collection()
    collection.upsert(FRUIT, tenant="t")
    collection.describe([msgspec.structs.replace(FRUIT[0], work=BOOK)], tenant="t")
    collection.close()
    assert open_collection().read(["apples"], tenant="t")[0].work == BOOK


def test_describing_again_forgets_what_is_no_longer_said(collection: EdgeCollection) -> None:
    collection.upsert([msgspec.structs.replace(FRUIT[0], work=BOOK)], tenant="t")
    collection.describe([msgspec.structs.replace(FRUIT[0], work=Work(title="\ud800 other"))], tenant="t")
    assert collection.read(["apples"], tenant="t")[0].work == Work(title="? other")
    collection.describe([FRUIT[0]], tenant="t")
    assert collection.read(["apples"], tenant="t")[0].work == Work()


def test_a_point_that_was_written_before_there_were_works_is_read_without(collection: EdgeCollection) -> None:
    collection.upsert([msgspec.structs.replace(FRUIT[0], work=BOOK)], tenant="t")
    point = _point_id("t", "apples")
    collection._write(collection._edge.UpdateOperation.delete_payload([point], ["work"]))
    assert collection.read(["apples"], tenant="t")[0].work == Work()
    assert found(collection, "red and round", limit=1) == ["apples"]
