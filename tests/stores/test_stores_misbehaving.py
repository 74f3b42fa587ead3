"""What the stores that are asked over REST make of services that fail, lie, forget, or are somebody else's."""

from collections.abc import Callable, Iterator
from contextlib import closing
from itertools import count
from typing import Any
from uuid import NAMESPACE_OID, uuid5

import msgspec
import numpy as np
import pinecone_server
import pytest
import weaviate_server
from http_service import CUT, Answer, Asked
from hypothesis import given
from hypothesis import strategies as st
from stored import LAYOUT, THREE, found, id_of, ids_of, point, query, scrolled

from functions.adapters.models.settings import Secret
from functions.adapters.vectors.pinecone import MOST_METADATA_BYTES, PineconeSettings, PineconeStore
from functions.adapters.vectors.pinecone_messages import index_name, prefixes_after
from functions.adapters.vectors.weaviate import WeaviateSettings, WeaviateStore
from functions.adapters.vectors.weaviate_messages import class_name
from functions.ports.vector_stores import (
    EVERYTHING,
    Equals,
    Filter,
    LayoutError,
    NoSuchCollectionError,
    PartlyRefusedError,
    Point,
    PointsError,
    RefusedError,
    UnavailableError,
    VectorStore,
)

KEY = pinecone_server.KEY
INDEX, CLASS = index_name(LAYOUT.name), class_name(LAYOUT.name)


class Clock:
    """A time that passes while it is waited for, and only then."""

    def __init__(self) -> None:
        self.now = 0.0

    def wait(self, seconds: float) -> None:
        self.now += seconds

    def time(self) -> float:
        return self.now


class Hosted:
    """A service, and what opens a store over it."""

    def __init__(self, service: Any, opened: Callable[[Secret, str], VectorStore], ask: Callable[[], Any]) -> None:  # noqa: ANN401 - of either
        self.service = service
        self.environment = {"SERVICE_KEY": KEY}
        self.asked = ask
        self._opened = opened

    def store(self) -> VectorStore:
        return self._opened(Secret("SERVICE_KEY", self.environment), self.service.service.url)


def _pinecone(key: Secret, url: str) -> VectorStore:
    clock = Clock()
    return PineconeStore(PineconeSettings(key=key, url=url), pause=clock.wait, clock=clock.time)


def _weaviate(key: Secret, url: str) -> VectorStore:
    clock = Clock()
    return WeaviateStore(WeaviateSettings(key=key, url=url), pause=clock.wait, clock=clock.time)


@pytest.fixture
def pinecone() -> Iterator[Hosted]:
    with pinecone_server.running() as running:
        yield Hosted(running, _pinecone, lambda: running.indexes[INDEX].service)


@pytest.fixture
def weaviate() -> Iterator[Hosted]:
    with weaviate_server.running() as running:
        yield Hosted(running, _weaviate, lambda: running.service)


@pytest.fixture(params=["pinecone", "weaviate"])
def hosted(request: pytest.FixtureRequest) -> Hosted:
    return request.getfixturevalue(request.param)  # type: ignore[no-any-return]


@pytest.fixture
def store(hosted: Hosted) -> Iterator[VectorStore]:
    """A store with three points."""
    with closing(hosted.store()) as opened:
        opened.create(LAYOUT)
        opened.upsert(LAYOUT, THREE)
        yield opened


@pytest.mark.parametrize("answer", [Answer(429, None, {"retry-after": "7"}), Answer(503), Answer(500), Answer(CUT)])
def test_what_a_service_fails_at_once_is_asked_again(hosted: Hosted, store: VectorStore, answer: Answer) -> None:
    hosted.asked().instead(answer, answer)
    assert found(store, query(limit=1)) == ids_of(1)
    hosted.asked().instead(answer, answer)
    store.upsert(LAYOUT, [point(4, 0, 0, 0, 1)])
    assert scrolled(store) == ids_of(1, 2, 3, 4)


def test_a_service_that_stays_away_is_unavailable(hosted: Hosted, store: VectorStore) -> None:
    hosted.asked().handle = lambda _: Answer(503)
    for call in (lambda: store.search(LAYOUT, [query()]), lambda: store.upsert(LAYOUT, THREE)):
        with pytest.raises(UnavailableError, match="503"):
            call()


@pytest.mark.parametrize(
    "body",
    [
        {"code": 13, "message": "out of order"},
        {"error": {"code": "INTERNAL", "message": "out of order"}},
    ],
)
def test_an_error_that_pinecone_calls_a_success_is_one(pinecone: Hosted, body: dict[str, Any]) -> None:
    with closing(pinecone.store()) as store:
        store.create(LAYOUT)
        for call in _calls(store):
            pinecone.asked().instead(Answer(200, body, {"x-pinecone-request-lsn": "1"}))
            with pytest.raises(RefusedError, match="out of order"):
                call()


@pytest.mark.parametrize(
    "body",
    [
        {"data": {}, "errors": [{"message": "out of order"}]},
        {"error": [{"message": "out of order"}]},
        {"data": {"Get": {}, "Aggregate": None}, "errors": [{"message": "out of order"}]},
    ],
)
def test_an_error_that_weaviate_calls_a_success_is_one(weaviate: Hosted, body: dict[str, Any]) -> None:
    with closing(weaviate.store()) as store:
        store.create(LAYOUT)
        store.upsert(LAYOUT, THREE)
        for call in _calls(store):
            weaviate.service.service.handle = lambda asked: (
                Answer(200, body) if asked.method != "GET" else weaviate.service.handle(asked)
            )
            with pytest.raises(RefusedError, match="out of order"):
                call()


def _calls(store: VectorStore) -> list[Callable[[], object]]:
    return [
        lambda: store.search(LAYOUT, [query()]),
        lambda: store.upsert(LAYOUT, THREE),
        lambda: store.read(LAYOUT, ids_of(1)),
        lambda: store.set_fields(LAYOUT, {id_of(1): {"title": "x"}}),
        lambda: store.delete(LAYOUT, ids_of(1)),
        lambda: store.delete_where(LAYOUT, EVERYTHING),
        lambda: store.count(LAYOUT),
        lambda: store.count(LAYOUT, Filter(must=(Equals("source", "a"),))),
        lambda: store.scroll(LAYOUT),
    ]


def test_an_answer_that_is_no_json_is_no_answer(hosted: Hosted, store: VectorStore) -> None:
    hosted.asked().handle = lambda _: Answer(200, b"<html>a proxy's page</html>")
    with pytest.raises(UnavailableError, match="a proxy's page"):
        store.search(LAYOUT, [query()])


def test_a_new_key_is_looked_up_where_the_old_one_is_refused(
    hosted: Hosted, store: VectorStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    for server in (pinecone_server, weaviate_server):
        monkeypatch.setattr(server, "KEY", "another-key")
    hosted.environment["SERVICE_KEY"] = "another-key"
    assert store.count(LAYOUT) == 3
    store.drop(LAYOUT.name)
    assert store.layouts() == []


def test_a_key_that_is_refused_is_named_and_not_told(store: VectorStore, monkeypatch: pytest.MonkeyPatch) -> None:
    for server in (pinecone_server, weaviate_server):
        monkeypatch.setattr(server, "KEY", "another-key")
    with pytest.raises(RefusedError, match=r"401 to the key SERVICE_KEY") as refused:
        store.count(LAYOUT)
    assert KEY not in f"{refused.value}{refused.value!r}{store!r}{vars(store)}"


def test_a_key_that_became_unusable_is_the_stores_own_error_and_nothing_is_sent(hosted: Hosted) -> None:
    with closing(hosted.store()) as store:
        store.create(LAYOUT)
        sent = len(hosted.service.service.exchanges)
        hosted.environment["SERVICE_KEY"] = "two words"
        for call in (store.layouts, lambda: store.drop(LAYOUT.name), lambda: store.create(LAYOUT)):
            with pytest.raises(RefusedError, match="was not asked: SERVICE_KEY holds a space") as refused:
                call()
            assert "two words" not in str(refused.value)
        assert len(hosted.service.service.exchanges) == sent


def test_a_key_that_a_service_repeats_in_what_it_calls_a_success_is_not_told(
    hosted: Hosted, store: VectorStore
) -> None:
    said = {"message": f"no: {KEY}", "error": [{"message": f"no: {KEY}"}]}
    for call in (lambda: store.search(LAYOUT, [query()]), lambda: store.upsert(LAYOUT, THREE)):
        hosted.asked().handle = lambda asked: (
            hosted.service.handle(asked) if asked.method == "GET" else Answer(200, said)
        )
        with pytest.raises(RefusedError, match="no: SERVICE_KEY") as refused:
            call()
        assert KEY not in f"{refused.value}{refused.value!r}"


def test_what_another_process_drops_is_missed_and_not_made_again(hosted: Hosted, store: VectorStore) -> None:
    with closing(hosted.store()) as other:
        other.drop(LAYOUT.name)
    for call in _calls(store):
        with pytest.raises(NoSuchCollectionError, match=LAYOUT.name):
            call()
    assert store.layouts() == []


@pytest.mark.usefixtures("store")
def test_another_process_finds_what_one_has_made(hosted: Hosted) -> None:
    with closing(hosted.store()) as other:
        assert other.layouts() == [LAYOUT]
        assert found(other, query(limit=1)) == ids_of(1)
        with pytest.raises(LayoutError, match="dimension 5"):
            other.create(msgspec.structs.replace(LAYOUT, dimension=5))


def test_of_two_that_make_a_collection_at_once_the_later_finds_it_there(hosted: Hosted) -> None:
    with closing(hosted.store()) as one, closing(hosted.store()) as other:

        def made_meanwhile(_asked: Asked) -> Answer:
            one_answer = hosted.service.handle
            hosted.service.service.instead(one_answer)
            return Answer(404)

        hosted.service.service.instead(made_meanwhile)
        one.create(LAYOUT)
        hosted.service.service.instead(Answer(404))
        other.create(LAYOUT)
        assert other.layouts() == [LAYOUT]


def test_an_index_of_somebody_else_is_left_alone(pinecone: Hosted) -> None:
    with closing(pinecone.store()) as store:
        store.create(LAYOUT)
        made = pinecone.service.indexes[INDEX].made
        for tags in ({}, {"layout0": "x"}, {"owner": "somebody"}):
            made["tags"] = tags
            with closing(pinecone.store()) as other:
                for call in (
                    lambda: other.create(LAYOUT),
                    lambda: other.drop(LAYOUT.name),
                    lambda: other.count(LAYOUT),
                ):
                    with pytest.raises(LayoutError, match=f"{INDEX} is there and was not made as a collection"):
                        call()
                assert other.layouts() == []


def test_a_class_of_somebody_else_is_left_alone(weaviate: Hosted) -> None:
    with closing(weaviate.store()) as store:
        weaviate.service.classes[CLASS] = {"class": CLASS, "description": "somebody's", "properties": []}
        for call in (lambda: store.create(LAYOUT), lambda: store.drop(LAYOUT.name), lambda: store.count(LAYOUT)):
            with pytest.raises(LayoutError, match=f"{CLASS} is there and was not made for the collection"):
                call()
        assert store.layouts() == []
        assert CLASS in weaviate.service.classes


# Pinecone


def test_a_limit_of_the_account_is_told(pinecone: Hosted) -> None:
    said = {"status": 403, "error": {"code": "QUOTA_EXCEEDED", "message": "5 indexes are allowed"}}
    with closing(pinecone.store()) as store:
        pinecone.service.service.instead(pinecone.service.handle, Answer(403, said))
        with pytest.raises(RefusedError, match="5 indexes are allowed"):
            store.create(LAYOUT)


def test_a_write_that_no_query_finds_in_time_is_not_called_done(pinecone: Hosted) -> None:
    with closing(pinecone.store()) as store:
        store.create(LAYOUT)
        pinecone.service.indexes[INDEX].lag = 1_000_000
        with pytest.raises(UnavailableError, match="is stored, not found yet, 30 s after"):
            store.upsert(LAYOUT, THREE)


def test_a_write_without_a_number_is_not_called_done(pinecone: Hosted) -> None:
    with closing(pinecone.store()) as store:
        store.create(LAYOUT)
        pinecone.asked().instead(Answer(200, {"upsertedCount": 3}))
        with pytest.raises(RefusedError, match=r"x-pinecone-request-lsn.*expected a serverless index"):
            store.upsert(LAYOUT, THREE)


def test_a_call_waits_once_for_all_that_it_wrote(pinecone: Hosted) -> None:
    with closing(pinecone.store()) as store:
        store.create(LAYOUT)
        pinecone.service.indexes[INDEX].lag = 3
        store.upsert(LAYOUT, [point(n) for n in range(1, 2_502)])
        paths = [asked.path for asked, _ in pinecone.asked().exchanges]
        assert paths == ["/vectors/upsert"] * 3 + ["/query"] * 4
        assert [len(asked.body["vectors"]) for asked in pinecone.asked().asked("/vectors/upsert")] == [1000, 1000, 501]


def test_a_batch_is_no_larger_than_a_request_may_be(pinecone: Hosted) -> None:
    with closing(pinecone.store()) as store:
        store.create(LAYOUT)
        store.upsert(LAYOUT, [point(n, text="x" * 40_000) for n in range(1, 101)])
        assert len(pinecone.asked().asked("/vectors/upsert")) == 3
        assert store.count(LAYOUT) == 100


def test_of_a_batch_of_which_half_is_stored_all_are_named(pinecone: Hosted) -> None:
    with closing(pinecone.store()) as store:
        store.create(LAYOUT)
        index = pinecone.service.indexes[INDEX]

        def half(asked: Asked) -> Answer:
            kept = msgspec.structs.replace(asked, body={**asked.body, "vectors": asked.body["vectors"][:1]})
            return index.handle(kept)

        pinecone.asked().instead(half)
        with pytest.raises(PartlyRefusedError, match="1 of 3 were, and not said which") as refused:
            store.upsert(LAYOUT, THREE)
        assert refused.value.ids == tuple(ids_of(1, 2, 3))
        assert scrolled(store) == ids_of(1)


def test_of_a_large_batch_what_was_stored_before_a_refusal_is_found(pinecone: Hosted) -> None:
    many = [point(n) for n in range(1, 2_002)]
    with closing(pinecone.store()) as store:
        store.create(LAYOUT)
        index = pinecone.service.indexes[INDEX]
        full = Answer(400, {"code": 3, "message": "the storage is full"})
        pinecone.asked().instead(index.handle, full)
        with pytest.raises(PartlyRefusedError, match=r"1001 of 2001 .*the storage is full") as refused:
            store.upsert(LAYOUT, many)
        assert refused.value.ids == tuple(ids_of(*range(1_001, 2_002)))
        assert store.count(LAYOUT) == 1_000
        pinecone.asked().instead(full)
        with pytest.raises(RefusedError, match="the storage is full") as whole:
            store.upsert(LAYOUT, many)
        assert not isinstance(whole.value, PartlyRefusedError)


def test_more_than_pinecone_keeps_of_a_point_is_refused_before_anything_is_sent(pinecone: Hosted) -> None:
    with closing(pinecone.store()) as store:
        store.create(LAYOUT)
        with pytest.raises(PointsError, match=rf"nothing was stored: point {id_of(2)}: its fields have \d+ bytes"):
            store.upsert(LAYOUT, [point(1), point(2, text="x" * MOST_METADATA_BYTES)])
        assert pinecone.asked().exchanges == []


@given(
    ids=st.sets(st.uuids().map(str) | st.integers(0, 70_000).map(id_of), max_size=40),
    after=st.uuids().map(str) | st.integers(0, 70_000).map(id_of),
    depth=st.integers(0, 6),
)
def test_the_prefixes_after_an_id_begin_all_later_ids_in_their_order(ids: set[str], after: str, depth: int) -> None:
    listed = [each for prefix in prefixes_after(after, depth) for each in sorted(ids) if each.startswith(prefix)]
    assert [each for each in listed if each > after] == sorted(each for each in ids if each > after)
    assert len(listed) == len(set(listed))


def test_a_late_page_of_a_large_collection_is_not_listed_from_its_beginning(pinecone: Hosted) -> None:
    ids = sorted(str(uuid5(NAMESPACE_OID, str(number))) for number in range(2_000))
    with closing(pinecone.store()) as store:
        store.create(LAYOUT)
        store.upsert(LAYOUT, [Point(id=each, vector=np.ones(4, np.float32)) for each in ids])
        before = len(pinecone.asked().asked("/vectors/list"))
        assert [each.id for each in store.scroll(LAYOUT, after=ids[1_800], limit=10)] == ids[1_801:1_811]
        assert len(pinecone.asked().asked("/vectors/list")) - before <= 3


# Weaviate


def test_of_a_batch_what_weaviate_refuses_is_named_and_the_rest_is_stored(weaviate: Hosted) -> None:
    with closing(weaviate.store()) as store:
        store.create(LAYOUT)
        weaviate.service.refuses = lambda each: "no room for it" if each["id"] == id_of(2) else ""
        with pytest.raises(PartlyRefusedError, match=rf"1 of 3 points .*{id_of(2)}: no room for it") as refused:
            store.upsert(LAYOUT, THREE)
        assert refused.value.ids == (id_of(2),)
        assert scrolled(store) == ids_of(1, 3)
        weaviate.service.refuses = lambda _: "no room at all"
        with pytest.raises(RefusedError, match=r"3 of 3 points were not stored.*no room at all") as whole:
            store.upsert(LAYOUT, THREE)
        assert not isinstance(whole.value, PartlyRefusedError)


def test_what_is_not_answered_of_a_batch_is_not_taken_for_stored(weaviate: Hosted) -> None:
    with closing(weaviate.store()) as store:
        store.create(LAYOUT)
        handle = weaviate.service.handle
        weaviate.service.service.instead(handle, lambda asked: Answer(200, handle(asked).body[:2]))
        with pytest.raises(PartlyRefusedError, match="nothing was said of it") as refused:
            store.upsert(LAYOUT, THREE)
        assert refused.value.ids == (id_of(3),)


def test_more_is_deleted_than_weaviate_deletes_at_once() -> None:
    with (
        weaviate_server.running(most_deleted=7) as running,
        closing(Hosted(running, _weaviate, lambda: running.service).store()) as store,
    ):
        store.create(LAYOUT)
        store.upsert(LAYOUT, [point(n) for n in range(1, 31)])
        store.delete(LAYOUT, ids_of(*range(1, 11)))
        assert scrolled(store) == ids_of(*range(11, 31))
        store.delete_where(LAYOUT, EVERYTHING)
        assert store.count(LAYOUT) == 0


@pytest.mark.parametrize(
    ("results", "said"),
    [
        ({"matches": 3, "limit": 9, "successful": 2, "failed": 1, "objects": [{"id": id_of(3)}]}, "1 of 3 points"),
        ({"matches": 3, "limit": 9, "successful": 0, "failed": 0}, "none of 3 points"),
        (None, "without saying what was deleted"),
    ],
)
def test_a_deletion_that_did_not_delete_is_none(weaviate: Hosted, results: object, said: str) -> None:
    with closing(weaviate.store()) as store:
        store.create(LAYOUT)
        weaviate.service.service.instead(Answer(200, {"results": results} if results else {}))
        with pytest.raises(RefusedError, match=said):
            store.delete(LAYOUT, ids_of(1, 2, 3))


def test_a_point_that_is_deleted_while_its_fields_are_set_stays_deleted(weaviate: Hosted) -> None:
    with closing(weaviate.store()) as store:
        store.create(LAYOUT)
        store.upsert(LAYOUT, THREE)

        def deleted_meanwhile(asked: Asked) -> Answer:
            del weaviate.service.objects[CLASS][id_of(1)]
            return weaviate.service.handle(asked)  # type: ignore[no-any-return]

        handle = weaviate.service.handle
        weaviate.service.service.instead(handle, handle, deleted_meanwhile)
        store.set_fields(LAYOUT, {id_of(1): {"title": "x"}, id_of(2): {"title": "y"}})
        assert scrolled(store) == ids_of(2, 3)
        assert store.read(LAYOUT, ids_of(2))[0].fields["title"] == "y"


def test_fields_that_were_set_are_gone_with_the_point_that_had_them(weaviate: Hosted) -> None:
    with closing(weaviate.store()) as store:
        store.create(LAYOUT)
        store.upsert(LAYOUT, THREE)
        store.set_fields(LAYOUT, {id_of(1): {"source": "set", "title": "x"}})
        store.upsert(LAYOUT, THREE)
        assert store.read(LAYOUT, ids_of(1))[0].fields == THREE[0].fields
        assert scrolled(store, where=Filter(must=(Equals("source", "a"),))) == ids_of(1, 3)


@pytest.mark.parametrize(
    "text",
    ['a"b', "a\\", '"}) { x } }', "a\nb", "\u2028", "\x00", "\ud800", "ü", "👋", "{}[]()#,:", '"""', " a ", ""],
)
def test_no_text_that_is_searched_for_stands_in_a_query(weaviate: Hosted, text: str) -> None:
    with closing(weaviate.store()) as store:
        store.create(LAYOUT)
        store.upsert(LAYOUT, [point(1, source=text), point(2, source="a"), point(3, source=[text, "b"])])
        where = Filter(must=(Equals("source", text),), must_not=(Equals("source", "b"),))
        assert found(store, query(where=where)) == ids_of(1)
        assert store.count(LAYOUT, where) == 1
        queries = [asked.body["query"] for asked in weaviate.service.service.asked("/v1/graphql")]
        assert queries
        for each in queries:
            assert each.isascii()
            assert not set(each) & set("\\\n#'")


def test_a_page_of_more_than_weaviate_gives_at_once_is_put_together(
    weaviate: Hosted, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("functions.adapters.vectors.weaviate.MOST_READ", 3)
    only_a = Filter(must=(Equals("source", "a"),))
    with closing(weaviate.store()) as store:
        store.create(LAYOUT)
        store.upsert(LAYOUT, [point(n, source="a") for n in range(1, 11)])
        for where in (EVERYTHING, only_a):
            numbers = count(1)
            page = store.scroll(LAYOUT, where, limit=8)
            assert [each.id for each in page] == [id_of(next(numbers)) for _ in range(8)]
