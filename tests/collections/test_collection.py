"""What is stored in a collection is found, read, replaced and removed: by tenant, and until it expires."""

import threading
from collections.abc import Iterator
from pathlib import Path

import msgspec
import pytest
from collection_fakes import FRUIT, Shelf, passage
from small_encoder import SmallEncoder

from functions.collections.collection import VersionedCollection
from functions.collections.entries import UnknownCollectionError, entry_of
from functions.collections.lifecycle import create, remove_dropped, switch, take_out
from functions.collections.opening import ensured, made
from functions.collections.points import TEXT_BYTES, layout_of
from functions.events.common import Passage, Work
from functions.ports.encoders import UnknownEncoderError
from functions.ports.vector_stores import FieldError, NoSuchCollectionError, PointsError

BOOK = Work(title="On fruit", authors=("Ada Byron", "Bo Li"), published="2024-05-01")
LONG = "a long text " * 1_000


def found(collection: VersionedCollection, text: str, *, limit: int = 5, tenant: str = "t") -> list[str]:
    return [each.id for each in collection.search(text, limit=limit, tenant=tenant)]


# --- what is stored is found


def test_a_passage_upserted_is_found_by_the_next_search(collection: VersionedCollection) -> None:
    for each in FRUIT:
        collection.upsert([each], tenant="t")
        assert found(collection, each.text, limit=1) == [each.id]


def test_a_passage_comes_back_as_it_was_stored_with_a_score(collection: VersionedCollection) -> None:
    stored = msgspec.structs.replace(FRUIT[1], work=BOOK, labels=("kind=fruit",))
    collection.upsert([FRUIT[0], stored], tenant="t")
    best = collection.search("yellow and long bananas", limit=1, tenant="t")[0]
    assert msgspec.structs.replace(best, score=0.0) == stored
    assert 0.5 < best.score <= 1


def test_scores_fall_from_the_first_to_the_last(collection: VersionedCollection) -> None:
    collection.upsert([passage(str(n), "word " * n + "other " * (20 - n)) for n in range(20)], tenant="t")
    scores = [each.score for each in collection.search("word", limit=20, tenant="t")]
    assert len(scores) == 20
    assert scores == sorted(scores, reverse=True)
    assert all(0 <= score <= 1 for score in scores)


def test_many_texts_are_answered_as_each_alone(shelf: Shelf, collection: VersionedCollection) -> None:
    collection.upsert(FRUIT, tenant="t")
    texts = ["red and round", "yellow", "blue plums", "nothing like it"]
    alone = [collection.search(text, limit=2, tenant="t") for text in texts]
    shelf.encoder.encoded.clear()
    assert [[each.id for each in hits] for hits in collection.search_each(texts, limit=2, tenant="t")] == [
        [each.id for each in hits] for hits in alone
    ]
    assert len(shelf.encoder.encoded) == 4
    assert collection.search_each([], limit=2, tenant="t") == []


def test_no_more_than_the_limit_is_found(collection: VersionedCollection) -> None:
    collection.upsert(FRUIT, tenant="t")
    assert [len(found(collection, "fruit", limit=limit)) for limit in (-1, 0, 1, 2, 3, 1000)] == [0, 0, 1, 2, 3, 3]


def test_more_are_found_than_are_usually_compared(collection: VersionedCollection) -> None:
    collection.upsert([passage(str(n), "all alike") for n in range(250)], tenant="t")
    assert len(found(collection, "all alike", limit=240)) == 240


def test_what_scores_less_than_the_minimum_is_left_out(collection: VersionedCollection) -> None:
    collection.upsert(FRUIT, tenant="t")
    all_of_them = collection.search("yellow and long", limit=3, tenant="t")
    best = collection.search("yellow and long", limit=3, tenant="t", minimum=all_of_them[0].score)
    assert [each.id for each in best] == ["bananas"]
    assert collection.search("yellow and long", limit=3, tenant="t", minimum=1.01) == []


def test_passages_that_share_a_rare_word_come_first(collection: VersionedCollection) -> None:
    usual = [passage(f"p{n}", f"the usual words of a sentence about item {n}") for n in range(30)]
    collection.upsert([*usual, passage("rare", "the usual words of a sentence about a zeppelin")], tenant="t")
    assert found(collection, "a sentence about a zeppelin", limit=1) == ["rare"]


def test_an_empty_collection_finds_nothing(collection: VersionedCollection) -> None:
    assert found(collection, "anything") == []
    assert collection.count(tenant="t") == 0


@pytest.mark.parametrize(
    ("only", "expected"),
    [
        ({"source": "a.md"}, ["a1", "a2"]),
        ({"source": ("a.md", "b.md")}, ["a1", "a2", "b1"]),
        ({"labels": "team=red"}, ["a1", "b1"]),
        ({"labels": ["team=red"], "source": "a.md"}, ["a1"]),
        ({"name": "Guide > b1"}, ["b1"]),
        ({"labels": ()}, []),
        ({"labels": "team=green"}, []),
    ],
)
def test_a_search_is_narrowed(
    collection: VersionedCollection, only: dict[str, str | tuple[str, ...]], expected: list[str]
) -> None:
    collection.upsert(
        [
            passage("a1", source="a.md", labels=["team=red", "x"]),
            passage("a2", source="a.md"),
            passage("b1", source="b.md", labels=["team=red"]),
        ],
        tenant="t",
    )
    assert sorted(each.id for each in collection.search("about", limit=9, tenant="t", only=only)) == expected


def test_a_search_is_not_narrowed_by_what_it_is_not(collection: VersionedCollection) -> None:
    with pytest.raises(FieldError, match=r"documents cannot be narrowed by colour, tenant: use source, name, labels"):
        collection.search("text", limit=1, tenant="t", only={"tenant": "u", "colour": "red"})


def test_passages_are_read_in_the_order_asked_without_those_that_do_not_exist(collection: VersionedCollection) -> None:
    collection.upsert(FRUIT, tenant="t")
    read = collection.read(["plums", "nothing", "apples", "plums"], tenant="t")
    assert [each.id for each in read] == ["plums", "apples"]
    assert [each.score for each in read] == [0, 0]


def test_the_same_passage_twice_is_one_and_of_two_with_one_id_the_last_counts(collection: VersionedCollection) -> None:
    collection.upsert([passage("a", "first"), passage("a", "second")], tenant="t")
    assert [each.text for each in collection.read(["a"], tenant="t")] == ["second"]
    collection.upsert([passage("a", "third")], tenant="t")
    assert collection.count(tenant="t") == 1
    assert [each.text for each in collection.search("about", limit=5, tenant="t")] == ["third"]


def test_a_deleted_passage_is_not_found_and_deleting_again_is_no_error(collection: VersionedCollection) -> None:
    collection.upsert(FRUIT, tenant="t")
    for _ in range(2):
        collection.delete(["apples", "never there"], tenant="t")
        assert sorted(found(collection, "red and round apples")) == ["bananas", "plums"]
    collection.delete([], tenant="t")
    assert collection.count(tenant="t") == 2


def test_more_passages_than_one_write_takes_are_all_stored(collection: VersionedCollection) -> None:
    collection.upsert([passage(str(n)) for n in range(1_100)], tenant="t")
    assert collection.count(tenant="t") == 1_100
    assert sorted(collection.ids(tenant="t")) == sorted(str(n) for n in range(1_100))


def test_a_work_is_described_anew_without_encoding(shelf: Shelf, collection: VersionedCollection) -> None:
    collection.upsert(FRUIT, tenant="t")
    collection.upsert(FRUIT, tenant="other")
    shelf.encoder.encoded.clear()
    described = [msgspec.structs.replace(each, work=BOOK, text="ignored") for each in (*FRUIT[:2], passage("nowhere"))]
    collection.describe(described, tenant="t")
    read = collection.read([*(each.id for each in FRUIT), "nowhere"], tenant="t")
    assert [(each.work, each.text) for each in read] == [
        (BOOK, "red and round"),
        (BOOK, "yellow and long"),
        (Work(), "blue"),
    ]
    assert {each.work for each in collection.read(["apples", "bananas"], tenant="other")} == {Work()}
    collection.describe([FRUIT[0]], tenant="t")
    assert collection.read(["apples"], tenant="t")[0].work == Work()
    assert shelf.encoder.encoded == []


# --- tenants never meet


def test_a_tenant_finds_reads_counts_and_deletes_only_its_own(collection: VersionedCollection) -> None:
    collection.upsert(FRUIT, tenant="one")
    collection.upsert([passage("apples", "the other tenant's")], tenant="two")
    collection.delete(["bananas"], tenant="two")
    collection.erase(["plums"], tenant="two")
    assert found(collection, "red and round apples", tenant="two") == ["apples"]
    assert [each.text for each in collection.read(["apples", "plums"], tenant="two")] == ["the other tenant's"]
    assert (collection.count(tenant="one"), collection.count(tenant="two")) == (3, 1)
    assert (sorted(collection.ids(tenant="two")), list(collection.ids(tenant="three"))) == (["apples"], [])


def test_what_others_store_does_not_change_a_tenants_scores(collection: VersionedCollection) -> None:
    collection.upsert(FRUIT, tenant="one")
    before = collection.search("red apples", limit=3, tenant="one")
    collection.upsert([passage(str(n), "red red red apples") for n in range(50)], tenant="two")
    assert collection.search("red apples", limit=3, tenant="one") == before


@pytest.mark.parametrize("tenant", ["", "*", "' OR 1=1 --", '{"must_not": []}', "a\x00b", "\ud800", "x" * 10_000])
def test_any_string_is_a_tenant_of_its_own(collection: VersionedCollection, tenant: str) -> None:
    collection.upsert(FRUIT, tenant="ordinary")
    collection.upsert([passage("mine")], tenant=tenant)
    assert found(collection, "apples", tenant=tenant) == ["mine"]
    assert collection.count(tenant=tenant) == 1
    assert len(found(collection, "mine", tenant="ordinary")) == 3


# --- time to live


def test_what_has_expired_is_gone_at_once_and_swept_later(shelf: Shelf, collection: VersionedCollection) -> None:
    collection.upsert(FRUIT[:1], tenant="t", ttl_s=60)
    collection.upsert(FRUIT[1:], tenant="t")
    shelf.clock.pass_s(59)
    assert sorted(found(collection, "apples")) == ["apples", "bananas", "plums"]
    shelf.clock.pass_s(1)
    assert sorted(found(collection, "apples")) == ["bananas", "plums"]
    assert [each.id for each in collection.read(["apples", "plums"], tenant="t")] == ["plums"]
    assert (collection.count(tenant="t"), sorted(collection.ids(tenant="t"))) == (2, ["bananas", "plums"])
    assert sorted(shelf.held(1)) == ["apples", "bananas", "plums"]
    assert collection.expire() == 1
    assert sorted(shelf.held(1)) == ["bananas", "plums"]
    assert collection.expire() == 0


def test_what_expired_does_not_crowd_out_what_is_there(shelf: Shelf, collection: VersionedCollection) -> None:
    collection.upsert([passage(str(n), "alike") for n in range(150)], tenant="t", ttl_s=5)
    collection.upsert([passage("stays", "something else")], tenant="t")
    shelf.clock.pass_s(5)
    assert found(collection, "alike", limit=1) == ["stays"]


def test_a_collection_says_how_long_passages_stay_unless_they_do(shelf: Shelf) -> None:
    collection = shelf.open("memories", ttl_s=60)
    collection.upsert([passage("usual")], tenant="t")
    collection.upsert([passage("longer")], tenant="t", ttl_s=120)
    shelf.clock.pass_s(60)
    assert list(collection.ids(tenant="t")) == ["longer"]


def test_stored_again_a_passage_stays_longer(shelf: Shelf, collection: VersionedCollection) -> None:
    collection.upsert(FRUIT[:1], tenant="t", ttl_s=60)
    shelf.clock.pass_s(59)
    collection.upsert(FRUIT[:1], tenant="t", ttl_s=60)
    shelf.clock.pass_s(2)
    assert (collection.expire(), found(collection, "apples")) == (0, ["apples"])


@pytest.mark.parametrize("ttl_s", [0, -1, float("nan"), float("inf")])
def test_a_time_to_live_that_is_none_is_refused(collection: VersionedCollection, ttl_s: float) -> None:
    with pytest.raises(PointsError, match="expected more than 0"):
        collection.upsert(FRUIT, tenant="t", ttl_s=ttl_s)
    assert collection.count(tenant="t") == 0


# --- long texts


def test_a_long_text_comes_back_whole_and_only_its_beginning_is_in_the_payload(
    shelf: Shelf, collection: VersionedCollection
) -> None:
    collection.upsert([passage("long", LONG)], tenant="t")
    assert collection.read(["long"], tenant="t")[0].text == LONG
    assert collection.search("a long text", limit=1, tenant="t")[0].text == LONG
    assert len(shelf.held(1)["long"]) == TEXT_BYTES


@pytest.mark.parametrize("how", ["delete", "erase", "expire", "replace by a short one", "replace by a long one"])
def test_a_long_text_goes_with_its_passage(shelf: Shelf, collection: VersionedCollection, how: str) -> None:
    collection.upsert([passage("long", LONG), passage("other", LONG)], tenant="t", ttl_s=60)
    before = shelf.blobs.keys("")
    if how == "delete":
        collection.delete(["long"], tenant="t")
    elif how == "erase":
        collection.erase(["long"], tenant="t")
    elif how == "expire":
        collection.upsert([passage("other", LONG)], tenant="t")
        shelf.clock.pass_s(60)
        collection.expire()
    else:
        collection.upsert([passage("long", "short" if "short" in how else f"{LONG} another")], tenant="t")
    after = shelf.blobs.keys("")
    assert len(set(before) - set(after)) == 1
    assert collection.read(["other"], tenant="t")[0].text == LONG


@pytest.mark.parametrize("how", ["delete", "erase", "expire", "replace"])
def test_a_long_text_stays_where_another_collection_has_the_same_one(
    shelf: Shelf, collection: VersionedCollection, how: str
) -> None:
    others = shelf.open("others")
    others.upsert([passage("long", LONG)], tenant="t")
    collection.upsert([passage("long", LONG)], tenant="t", ttl_s=60)
    if how == "expire":
        shelf.clock.pass_s(60)
        collection.expire()
    elif how == "replace":
        collection.upsert([passage("long", "short")], tenant="t")
    else:
        getattr(collection, how)(["long"], tenant="t")
        getattr(collection, how)(["never there"], tenant="t")
    assert others.read(["long"], tenant="t")[0].text == LONG
    assert len(shelf.blobs.keys("")) == 1


def test_an_erasure_of_an_id_that_another_collection_has_leaves_its_long_text(
    shelf: Shelf, collection: VersionedCollection
) -> None:
    others = shelf.open("others")
    others.upsert([passage("long", LONG)], tenant="t")
    collection.erase(["long"], tenant="t")
    assert others.read(["long"], tenant="t")[0].text == LONG


def test_an_erasure_of_many_passages_looks_once_for_their_long_texts(
    shelf: Shelf, collection: VersionedCollection, monkeypatch: pytest.MonkeyPatch
) -> None:
    collection.upsert([passage(str(each), LONG) for each in range(3)], tenant="t")
    listings: list[Path] = []
    iterdir = Path.iterdir

    def counted(folder: Path) -> Iterator[Path]:
        listings.append(folder)
        return iterdir(folder)

    with monkeypatch.context() as patched:
        patched.setattr(Path, "iterdir", counted)
        collection.erase(map(str, range(3)), tenant="t")
    assert [folder.name for folder in listings].count("texts") == 1
    assert shelf.blobs.keys("") == []


def test_what_a_crash_left_of_a_long_text_is_erased_with_its_passage(
    shelf: Shelf, collection: VersionedCollection, monkeypatch: pytest.MonkeyPatch
) -> None:
    with monkeypatch.context() as patched:
        patched.setattr(shelf.store, "upsert", lambda *_: (_ for _ in ()).throw(KeyboardInterrupt))
        with pytest.raises(KeyboardInterrupt):
            collection.upsert([passage("long", LONG)], tenant="t")
    assert shelf.blobs.keys("")
    collection.erase(["long"], tenant="t")
    assert shelf.blobs.keys("") == []


def test_what_a_crash_left_of_a_long_text_that_was_being_written_is_erased_too(
    shelf: Shelf, collection: VersionedCollection, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with monkeypatch.context() as patched:
        patched.setattr(Path, "replace", lambda *_: (_ for _ in ()).throw(KeyboardInterrupt))
        patched.setattr(Path, "unlink", lambda *_, **__: None)
        with pytest.raises(KeyboardInterrupt):
            collection.upsert([passage("long", LONG)], tenant="t")
    assert len(list((tmp_path / "texts").iterdir())) == 1
    collection.erase(["long"], tenant="t")
    assert list((tmp_path / "texts").iterdir()) == []
    assert shelf.blobs.keys("") == []


def test_a_text_that_is_removed_while_it_is_found_is_given_as_far_as_the_payload_has_it(
    shelf: Shelf, collection: VersionedCollection
) -> None:
    collection.upsert([passage("long", LONG)], tenant="t")
    shelf.blobs.remove(shelf.blobs.keys(""))
    assert LONG.startswith(collection.read(["long"], tenant="t")[0].text)


# --- bad input


@pytest.mark.parametrize(
    "text",
    ["", " ", "?!.,", "\x00", "\ud800\udfff", "[SEP]", "\U0001f600" * 10, "x" * 1_000_000, "word " * 200_000],
)
def test_any_text_can_be_stored_and_asked(collection: VersionedCollection, text: str) -> None:
    collection.upsert([passage("ordinary"), Passage(id="hostile", name="n", source="s", text=text)], tenant="t")
    assert sorted(found(collection, text)) == ["hostile", "ordinary"]
    expected = text if text.isascii() else text.encode("utf-8", "replace").decode()
    assert collection.read(["hostile"], tenant="t")[0].text == expected


def test_ids_of_another_type_are_refused_and_nothing_is_done(collection: VersionedCollection) -> None:
    wrong = [passage("fine"), passage(5), Passage(id="x", name="n", source="s", text=b"t")]  # type: ignore[arg-type]
    with pytest.raises(PointsError, match=r"passage 1 \(5\): its id is a int.*passage 2 \('x'\): its text is a bytes"):
        collection.upsert(wrong, tenant="t")
    collection.upsert([passage("5")], tenant="t")
    for use in (collection.read, collection.delete, collection.erase):
        with pytest.raises(PointsError, match="the id 5 is a int, expected a string"):
            use([5], tenant="t")  # type: ignore[list-item]
    assert list(collection.ids(tenant="t")) == ["5"]


class Broken(SmallEncoder):
    """Makes what is no vector of texts that say so."""

    def encode(self, texts: list[str]) -> object:  # type: ignore[override]
        vectors = super().encode(texts)
        for row, text in enumerate(texts):
            if "numberless" in text:
                vectors[row, 3] = float("nan")
            if "zero" in text:
                vectors[row] = 0
        return vectors[:, :10] if any("short" in text for text in texts) else vectors


@pytest.mark.parametrize("text", ["numberless", "zero", "short"])
def test_what_an_encoder_makes_that_is_no_vector_is_told_and_nothing_is_stored(shelf: Shelf, text: str) -> None:
    collection = shelf.open()
    shelf.add_version("other/1")
    collection.upsert([passage("a")], tenant="t")
    shelf.encoders.kept["other/1"] = Broken("other/1", 64)
    with pytest.raises(PointsError, match=r"the encoder other/1 made .*nothing was done"):
        collection.upsert([passage("a", "new"), passage("b", text)], tenant="t")
    assert shelf.held(1) == shelf.held(2) == {"a": "about a"}
    shelf.switch(2)
    with pytest.raises(PointsError, match="the encoder other/1 made"):
        collection.search(text, limit=1, tenant="t")


def test_an_encoder_that_is_not_carried_is_told_and_nothing_is_stored(shelf: Shelf) -> None:
    collection = shelf.open()
    shelf.add_version("other/1")
    del shelf.encoders.kept["other/1"]
    with pytest.raises(UnknownEncoderError, match="other/1 is not carried"):
        collection.upsert(FRUIT, tenant="t")
    assert collection.count(tenant="t") == 0
    shelf.switch(2)
    with pytest.raises(UnknownEncoderError, match="other/1 is not carried"):
        collection.search("text", limit=1, tenant="t")


def test_a_collection_that_was_never_made_is_told(shelf: Shelf) -> None:
    with pytest.raises(UnknownCollectionError, match="no collection 'nothing': there are none yet"):
        VersionedCollection(
            "nothing",
            catalog=shelf.catalog,
            store=shelf.store,
            encoders=shelf.encoders,
            blobs=shelf.blobs,
            now=shelf.clock,
        )


# --- opening


def test_a_collection_is_made_once_by_any_number_that_open_it_at_once(shelf: Shelf) -> None:
    opened: list[str] = []
    together = threading.Barrier(8)

    def open_it() -> None:
        together.wait()
        entry = ensured("documents", catalog=shelf.catalog, store=shelf.store, encoder=shelf.encoder, now=shelf.clock)
        opened.append(entry.key)

    threads = [threading.Thread(target=open_it) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert opened == ["documents_v1_bag-of-words-1"] * 8
    assert [each.revision for each in shelf.catalog.entries()] == [1]
    assert len(shelf.store.layouts()) == 1


def test_what_was_there_before_there_was_a_catalog_is_the_first_version(shelf: Shelf) -> None:
    shelf.store.create(layout_of("documents", 1, shelf.encoder))
    shelf.open().upsert(FRUIT, tenant="t")
    shelf.catalog.kept.clear()
    collection = shelf.open()
    assert collection.key == "documents_v1_bag-of-words-1"
    assert collection.count(tenant="t") == 3


def test_a_current_version_that_was_moved_away_is_made_again_empty(shelf: Shelf) -> None:
    shelf.open().upsert(FRUIT, tenant="t")
    shelf.store.drop("documents_v1_bag-of-words-1")
    assert shelf.open().count(tenant="t") == 0


def test_a_current_version_that_is_gone_is_not_made_again_beside_another_one(shelf: Shelf) -> None:
    """It would be filled from an empty one, and lose what only it has."""
    shelf.open().upsert(FRUIT, tenant="t")
    shelf.add_version(phase="whole")
    shelf.open().upsert(FRUIT, tenant="t")
    shelf.store.drop("documents_v1_bag-of-words-1")
    said = (
        r"version 1 of documents, .* is not in the vector store \(documents_v1_bag-of-words-1\): bring it back from a "
        r"copy, or `troupe collections switch documents 2` to another one and `drop documents 1`"
    )
    with pytest.raises(NoSuchCollectionError, match=said):
        shelf.open()
    assert [layout.name for layout in shelf.store.layouts()] == ["documents_v2_other-1"]
    switch(shelf.catalog, "documents", 2)
    take_out(shelf.catalog, "documents", 1)
    remove_dropped(shelf.catalog, shelf.store, "documents")
    assert shelf.open().count(tenant="t") == 3


def test_where_the_other_one_is_not_whole_it_is_said_to_drop_that(shelf: Shelf) -> None:
    shelf.open()
    shelf.add_version()
    shelf.store.drop("documents_v1_bag-of-words-1")
    with pytest.raises(
        NoSuchCollectionError, match="or `troupe collections` `drop documents 2`: then it is made again, empty"
    ):
        shelf.open()
    take_out(shelf.catalog, "documents", 2)
    assert shelf.open().count(tenant="t") == 0


def test_a_collection_that_was_listed_without_the_store_is_made_by_whoever_has_it(shelf: Shelf) -> None:
    create(shelf.catalog, "documents", shelf.encoder, ttl_s=None, now=shelf.clock())
    assert [each.phase for each in entry_of(shelf.catalog, "documents").versions] == ["new"]
    assert shelf.store.layouts() == []
    shelf.open().upsert(FRUIT, tenant="t")
    assert [each.phase for each in entry_of(shelf.catalog, "documents").versions] == ["whole"]
    assert shelf.open().count(tenant="t") == 3


def test_one_that_got_another_version_before_it_was_made_is_made_and_not_taken_for_lost(shelf: Shelf) -> None:
    create(shelf.catalog, "documents", shelf.encoder, ttl_s=None, now=shelf.clock())
    shelf.add_version()
    entry = made(entry_of(shelf.catalog, "documents"), catalog=shelf.catalog, store=shelf.store)
    assert [each.phase for each in entry.versions] == ["whole", "filling"]
    collection = shelf.open()
    collection.upsert(FRUIT, tenant="t")
    assert len(shelf.held(1)) == len(shelf.held(2)) == 3


@pytest.mark.parametrize("step", ["create", "write"])
def test_making_one_may_be_cut_off_and_is_made_up_for(shelf: Shelf, monkeypatch: pytest.MonkeyPatch, step: str) -> None:
    create(shelf.catalog, "documents", shelf.encoder, ttl_s=None, now=shelf.clock())
    with monkeypatch.context() as patched:
        owner = shelf.store if step == "create" else shelf.catalog
        patched.setattr(owner, step, lambda *_: (_ for _ in ()).throw(KeyboardInterrupt))
        with pytest.raises(KeyboardInterrupt):
            made(entry_of(shelf.catalog, "documents"), catalog=shelf.catalog, store=shelf.store)
    shelf.open().upsert(FRUIT, tenant="t")
    assert shelf.open().count(tenant="t") == 3


# --- personal data


class Masking:
    """The `Tokenizer` port: hides one name. `kept` are the texts whose originals may be kept."""

    def __init__(self) -> None:
        self.kept: list[str] = []

    def tokenized(self, texts: list[str], *, tenant: str, keep: bool) -> list[str]:
        self.kept += texts if keep else []
        return [text.replace("Ada", f"[NAME-{tenant}]") for text in texts]


def test_personal_data_is_taken_out_before_anything_is_encoded_stored_or_asked(shelf: Shelf) -> None:
    masking = Masking()
    collection = shelf.open(tokenizer=masking)  # type: ignore[arg-type]
    said = Passage(
        id="p", name="Ada's", source="Ada.md", text=f"by Ada {LONG}", labels=("of=Ada",), work=Work(authors=("Ada",))
    )
    collection.upsert([said], tenant="t")
    (hit,) = collection.search("what did Ada say?", limit=1, tenant="t", only={"source": "Ada.md"})
    assert (hit.name, hit.source, hit.labels) == ("[NAME-t]'s", "[NAME-t].md", ("of=[NAME-t]",))
    assert hit.text == f"by [NAME-t] {LONG}"
    collection.describe([msgspec.structs.replace(said, work=Work(title="Ada's"))], tenant="t")
    assert collection.read(["p"], tenant="t")[0].work == Work(title="[NAME-t]'s")
    assert not any("Ada" in text for text in shelf.encoder.encoded)
    assert "what did Ada say?" not in masking.kept
