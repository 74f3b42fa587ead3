"""What a vector store that searches words finds by them, and what one that does not makes of them."""

from types import ModuleType

import msgspec
import pytest
from stored import LAYOUT, found, hits, id_of, ids_of, point, query

from functions.ports.vector_stores import Equals, Filter, Terms, VectorStore

COMMON, RARE, LONELY, OTHER = 7, 2**32 - 1, 3, 0


@pytest.fixture
def worded(store: VectorStore) -> VectorStore:
    """Twelve points with a common word, the farther the greater the number; the twelfth also has a rare one."""
    if not store.searches_words:
        pytest.skip("this product searches no words here")
    store.create(LAYOUT)
    store.upsert(
        LAYOUT,
        [point(n, 1, n / 10, 0, 0, terms={COMMON: 1.0 + n / 100}, source="a") for n in range(1, 12)]
        + [
            point(12, 0, 1, 0, 0, terms={COMMON: 1.0, RARE: 1.0}, source="b"),
            point(13, 0, 0, 1, 0, terms={LONELY: 1.0}, source="b"),
        ],
    )
    return store


def words(store: VectorStore, asked: dict[int, float], *, rarity: Filter | None = None) -> dict[str, float]:
    wanted = query(terms=asked, limit=20)
    if rarity is not None:
        wanted = msgspec.structs.replace(wanted, rarity=rarity)
    return {hit.id: hit.words for hit in hits(store, wanted)}


def test_the_nearest_and_those_that_share_most_words_are_found_together(worded: VectorStore) -> None:
    both = hits(worded, query(1, 0, 0, 0, terms={RARE: 1.0}, limit=2))
    assert [hit.id for hit in both] == ids_of(1, 2, 12)
    assert [hit.score for hit in both] == pytest.approx([0.99504, 0.98058, 0.0], abs=1e-5)
    assert [hit.words > 0 for hit in both] == [False, False, True]
    assert both[2].fields["source"] == "b"


def test_the_words_of_what_was_found_by_its_vector_alone_count_too(engine: ModuleType, worded: VectorStore) -> None:
    if hasattr(engine, "RARITY_OF_A_PART"):
        pytest.skip("each part of this store weighs words by how rare they are in that part")
    both = hits(worded, query(1, 0, 0, 0, terms={COMMON: 1.0}, limit=1))
    assert [hit.id for hit in both] == ids_of(1, 11)
    assert 0 < both[0].words < both[1].words


def test_a_rare_word_weighs_more_than_a_common_one(worded: VectorStore) -> None:
    found_rare = words(worded, {RARE: 1.0})[id_of(12)]
    found_common = words(worded, {COMMON: 1.0})[id_of(12)]
    assert found_rare > 4 * found_common > 0
    assert words(worded, {RARE: 1.0, COMMON: 1.0})[id_of(12)] == pytest.approx(found_rare + found_common, rel=1e-3)


def test_the_weights_of_point_and_query_multiply(worded: VectorStore) -> None:
    once, twice = words(worded, {COMMON: 1.0}), words(worded, {COMMON: 2.0})
    assert twice[id_of(5)] == pytest.approx(2 * once[id_of(5)], rel=1e-3)
    assert once[id_of(10)] / once[id_of(5)] == pytest.approx(1.10 / 1.05, rel=1e-3)


def test_who_shares_no_word_has_none(worded: VectorStore) -> None:
    assert words(worded, {COMMON: 1.0})[id_of(13)] == 0
    assert set(words(worded, {OTHER: 1.0}).values()) == {0}


def test_a_word_is_rare_among_those_that_rarity_passes(engine: ModuleType, worded: VectorStore) -> None:
    if hasattr(engine, "RARITY_OF_A_PART"):
        pytest.skip("each part of this store weighs words by how rare they are in that part")
    everywhere = words(worded, {COMMON: 1.0})[id_of(12)]
    of_a = words(worded, {COMMON: 1.0}, rarity=Filter(must=(Equals("source", "a"),)))[id_of(12)]
    of_b = words(worded, {COMMON: 1.0}, rarity=Filter(must=(Equals("source", "b"),)))[id_of(12)]
    assert of_a < everywhere < of_b


def test_words_are_looked_for_only_where_the_filter_passes(worded: VectorStore) -> None:
    only_a = Filter(must=(Equals("source", "a"),))
    assert found(worded, query(1, 0, 0, 0, terms={RARE: 1.0}, where=only_a, limit=2)) == ids_of(1, 2)


def test_queries_with_and_without_words_are_answered_together(worded: VectorStore) -> None:
    asked = [query(1, 0, 0, 0, limit=1), query(1, 0, 0, 0, terms={RARE: 1.0}, limit=1), query(0, 0, 1, 0, limit=1)]
    together = worded.search(LAYOUT, asked)
    assert [[hit.id for hit in each] for each in together] == [ids_of(1), ids_of(1, 12), ids_of(13)]


def test_without_words_in_the_query_only_the_vector_counts(worded: VectorStore) -> None:
    for terms in (None, {}):
        assert [hit.words for hit in hits(worded, query(terms=terms, limit=3))] == [0, 0, 0]


def test_a_point_stored_again_has_the_words_that_it_has_now(worded: VectorStore) -> None:
    worded.upsert(LAYOUT, [point(12, 0, 1, 0, 0), point(13, 0, 0, 1, 0, terms={RARE: 2.0})])
    now = words(worded, {RARE: 1.0})
    assert now[id_of(12)] == 0
    assert now[id_of(13)] > 0


def test_setting_fields_leaves_words_as_they_are(worded: VectorStore) -> None:
    before = words(worded, {RARE: 1.0})
    worded.set_fields(LAYOUT, {id_of(12): {"source": "c"}})
    assert words(worded, {RARE: 1.0}) == before


def test_words_are_given_back_with_the_vector(worded: VectorStore) -> None:
    worded.upsert(LAYOUT, [point(14)])
    for with_words, without in (
        worded.read(LAYOUT, ids_of(12, 14), vectors=True),
        worded.scroll(LAYOUT, Filter(must_not=(Equals("source", "a"),)), vectors=True)[::2],
    ):
        assert dict(zip(with_words.terms.indices, with_words.terms.weights, strict=True)) == {COMMON: 1.0, RARE: 1.0}
        assert without.terms == Terms()
    assert worded.read(LAYOUT, ids_of(12))[0].terms == Terms()


def test_a_store_that_searches_no_words_ignores_them(filled: VectorStore) -> None:
    if filled.searches_words:
        pytest.skip("this product searches words")
    filled.upsert(LAYOUT, [point(4, 0, 0, 1, 0, terms={COMMON: 1.0})])
    with_words = hits(filled, query(1, 0, 0, 0, terms={COMMON: 1.0}, limit=2))
    assert [(hit.id, hit.words) for hit in with_words] == [(id_of(1), 0), (id_of(2), 0)]
