"""What only the Milvus store has to get right: its language, its limits, its errors and its secrets."""

import logging
import threading
import uuid
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import numpy as np
import pytest

pytest.importorskip("pymilvus", reason="the client of Milvus is in the group `stores`")
pytest.importorskip("milvus_lite", reason="milvus-lite is in the group `stores`")

from functions.adapters.models.settings import Secret
from functions.adapters.vectors.milvus import MilvusStore
from functions.ports.vector_stores import (
    Equals,
    Filter,
    Layout,
    NoSuchCollectionError,
    OneOf,
    Point,
    Query,
    Range,
    RefusedError,
    UnavailableError,
)
from tests.memory_store import MemoryStore

LAYOUT = Layout(
    name="documents_v1_small.1",
    encoder="small.1",
    dimension=4,
    fields={"in": "keyword", "1st": "keyword", "id": "keyword", "vector": "number", "fields": "number"},
)
HOSTILE = [
    'a"b',
    "a'b",
    "a\\",
    '\\"',
    '" or id != "',
    '") or (id != "',
    "a\nb",
    "a\r\tb",
    "%",
    "a%",
    "_",
    "{x}",
    "$meta",
    "été ☃ 🎈 \u202e",
    "\\u0041",
    "\x01\x7f",
    "",
    " ",
    "null",
]


def id_of(number: int) -> str:
    return str(uuid.UUID(int=number))


@pytest.fixture
def store(tmp_path: Path) -> Iterator[MilvusStore]:
    with closing(MilvusStore(str(tmp_path / "milvus.db"))) as opened:
        opened.create(LAYOUT)
        yield opened


def point(number: int, vector: tuple[float, ...] = (1, 0, 0, 0), **fields: str | float | list[str]) -> Point:
    return Point(id=id_of(number), vector=np.array(vector, np.float32), fields=fields)


def passed(store: MilvusStore, where: Filter) -> list[str]:
    """What a filter passes, by every way there is to ask."""
    ids = [each.id for each in store.scroll(LAYOUT, where)]
    (hits,) = store.search(LAYOUT, [Query(vector=np.ones(4, np.float32), where=where, limit=100)])
    assert sorted(hit.id for hit in hits) == ids
    assert store.count(LAYOUT, where) == len(ids)
    return ids


def test_a_value_is_a_value_whatever_is_in_it(store: MilvusStore) -> None:
    stored = [point(n, **{"in": value, "1st": [value, "x"], "other": value}) for n, value in enumerate(HOSTILE, 1)]
    store.upsert(LAYOUT, stored)
    for number, value in enumerate(HOSTILE, 1):
        only = [id_of(number)]
        assert passed(store, Filter(must=(Equals("in", value),))) == only
        assert passed(store, Filter(must=(OneOf("1st", (value, "not there")),))) == only
        others = [id_of(each) for each in range(1, len(HOSTILE) + 1) if each != number]
        assert passed(store, Filter(must_not=(Equals("in", value),))) == others
    assert [each.fields["other"] for each in store.scroll(LAYOUT)] == HOSTILE
    store.delete_where(LAYOUT, Filter(must=(Equals("in", '" or id != "'),)))
    assert store.count(LAYOUT) == len(HOSTILE) - 1


def test_fields_may_be_called_as_words_and_columns_of_milvus(store: MilvusStore) -> None:
    said: dict[str, str | float] = {"in": "a", "id": "b", "vector": 2.0, "fields": -3.0}
    store.upsert(LAYOUT, [Point(id=id_of(1), vector=np.ones(4, np.float32), fields=said)])
    everything = Filter(
        must=(
            Equals("in", "a"),
            Equals("id", "b"),
            Equals("vector", 2.0),
            Range("fields", at_least=-3.0, below=1e300, above=-1e300),
        )
    )
    assert passed(store, everything) == [id_of(1)]
    assert store.read(LAYOUT, [id_of(1)])[0].fields == said


@pytest.mark.parametrize(
    "condition",
    [
        Range("vector", above=1.0, at_most=2.0),
        Range("vector"),
        Range("vector", at_least=1e-300, below=1e300),
        Equals("vector", 2.0),
        Equals("in", "a"),
        OneOf("in", ("a", "b")),
        OneOf("in", ()),
    ],
)
def test_a_condition_and_its_contrary_pass_every_point_once_also_those_without_the_field(
    store: MilvusStore, condition: Equals | OneOf | Range
) -> None:
    stored = [
        point(1, vector=(1, 0, 0, 0)),
        Point(id=id_of(2), vector=np.ones(4, np.float32), fields={"vector": 1.0, "in": "a"}),
        Point(id=id_of(3), vector=np.ones(4, np.float32), fields={"vector": 2.0, "in": ["b", "c"]}),
        Point(id=id_of(4), vector=np.ones(4, np.float32), fields={"vector": -7e9, "in": []}),
    ]
    exact = MemoryStore()
    exact.create(LAYOUT)
    for each in (store, exact):
        each.upsert(LAYOUT, stored)
    for where in (Filter(must=(condition,)), Filter(must_not=(condition,))):
        assert passed(store, where) == [each.id for each in exact.scroll(LAYOUT, where)]


def test_names_that_milvus_does_not_take_stay_apart(store: MilvusStore) -> None:
    names = ["a.b", "a-b", "a_b", "adb", "ahb", "0", "a" + "." * 199]
    for number, name in enumerate(names, 1):
        layout = Layout(name=name, encoder="small.1", dimension=4)
        store.create(layout)
        store.upsert(layout, [point(number)])
    assert [layout.name for layout in store.layouts()] == sorted([*names, LAYOUT.name])
    for number, name in enumerate(names, 1):
        layout = Layout(name=name, encoder="small.1", dimension=4)
        assert [each.id for each in store.scroll(layout)] == [id_of(number)]


def test_what_was_stored_is_there_after_opening_it_again(tmp_path: Path) -> None:
    for number in (1, 2):
        with closing(MilvusStore(str(tmp_path / "milvus.db"))) as store:
            store.create(LAYOUT)
            store.upsert(LAYOUT, [point(number)])
            assert store.layouts() == [LAYOUT]
            assert store.count(LAYOUT) == number


def test_pages_come_in_the_order_of_ids_also_while_points_are_changed(store: MilvusStore) -> None:
    numbers = np.random.default_rng(3).permutation(2_500).tolist()
    store.upsert(LAYOUT, [point(number) for number in numbers])
    store.optimize(LAYOUT)
    store.upsert(LAYOUT, [point(number, vector=(0, 1, 0, 0)) for number in numbers[:700]])
    found, after = [], ""
    while page := store.scroll(LAYOUT, after=after, limit=1_100):
        found += [each.id for each in page]
        after = found[-1]
        store.upsert(LAYOUT, [point(number) for number in numbers[:50]])
    assert found == [id_of(number) for number in range(2_500)]


def test_equal_scores_come_in_the_order_of_ids_where_the_limit_cuts_them(store: MilvusStore) -> None:
    store.upsert(LAYOUT, [point(number) for number in range(50, 0, -1)])
    (hits,) = store.search(LAYOUT, [Query(vector=np.array([1, 0, 0, 0], np.float32), limit=3)])
    assert [hit.id for hit in hits] == [id_of(1), id_of(2), id_of(3)]


def test_a_long_text_is_kept_and_what_milvus_cannot_filter_by_is_refused_before_any_is_stored(
    store: MilvusStore,
) -> None:
    text = "☃" * 100_000
    store.upsert(LAYOUT, [point(1, text=text)])
    assert store.read(LAYOUT, [id_of(1)])[0].fields == {"text": text}
    wrong = [point(2), point(3, **{"in": "x" * 65_536}), point(4, **{"in": ["x"] * 4_097})]
    with pytest.raises(RefusedError, match=r"in holds a string of more than 65535 bytes; .* in holds 4097 strings"):
        store.upsert(LAYOUT, wrong)
    assert store.count(LAYOUT) == 1
    with pytest.raises(RefusedError, match="ask for fewer"):
        store.search(LAYOUT, [Query(vector=np.ones(4, np.float32), limit=20_000)])


def test_a_collection_that_somebody_else_dropped_is_missed(store: MilvusStore) -> None:
    store.upsert(LAYOUT, [point(1)])
    store._client.drop_collection("Tdocuments_v1_smallD1")
    with pytest.raises(NoSuchCollectionError, match="create it first"):
        store.count(LAYOUT)


def test_a_point_that_is_stored_again_and_again_is_found_by_every_search(store: MilvusStore) -> None:
    store.upsert(LAYOUT, [point(number, vector=(1, number, 0, 0)) for number in range(20)])
    done = threading.Event()

    def write() -> None:
        for number in range(30):
            store.upsert(LAYOUT, [point(3, vector=(1, 3, 0, 0), round=float(number))])
        done.set()

    writer = threading.Thread(target=write)
    writer.start()
    missed = 0
    while not done.is_set():
        (hits,) = store.search(LAYOUT, [Query(vector=np.array([1, 3, 0, 0], np.float32), limit=20)])
        missed += len({hit.id for hit in hits}) != 20
    writer.join()
    assert missed == 0


def test_nobody_there_is_said_in_time_without_the_token_and_without_a_log(caplog: pytest.LogCaptureFixture) -> None:
    token = Secret("MILVUS_TOKEN", {"MILVUS_TOKEN": "root:very-secret"})
    with (
        caplog.at_level(logging.DEBUG),
        pytest.raises(UnavailableError, match=r"127\.0\.0\.1:1 did not answer") as told,
    ):
        MilvusStore("http://127.0.0.1:1", token, timeout_s=0.3)
    assert "very-secret" not in str(told.value) + caplog.text
    assert caplog.records == []


@pytest.mark.parametrize(
    ("uri", "problem"),
    [
        ("ftp://host:19530", "expected e.g. https://host:19530"),
        ("https://root:secret@host:19530", "put it into the token"),
        ("http://milvus.example.org:19530", "in the clear"),
    ],
)
def test_an_address_that_would_not_do_or_give_the_token_away_is_refused(uri: str, problem: str) -> None:
    with pytest.raises(RefusedError, match=problem) as told:
        MilvusStore(uri, Secret("MILVUS_TOKEN", {"MILVUS_TOKEN": "abc"}))
    assert "secret" not in str(told.value)


def test_an_address_without_a_port_is_told_as_it_was_given() -> None:
    with pytest.raises(UnavailableError, match=r"Milvus at milvus\.invalid did not answer"):
        MilvusStore("https://milvus.invalid", timeout_s=0.3)


def test_a_token_that_cannot_be_sent_is_the_stores_own_error() -> None:
    with pytest.raises(RefusedError, match="Milvus was not asked: MILVUS_TOKEN holds a space") as told:
        MilvusStore("https://127.0.0.1:1", Secret("MILVUS_TOKEN", {"MILVUS_TOKEN": "two words"}))
    assert "two words" not in str(told.value)


def test_a_folder_that_another_process_may_have_open_is_refused_clearly(tmp_path: Path) -> None:
    (tmp_path / "milvus.db").write_text("no folder")
    with pytest.raises(UnavailableError, match="milvus-lite could not open"):
        MilvusStore(str(tmp_path / "milvus.db"))
