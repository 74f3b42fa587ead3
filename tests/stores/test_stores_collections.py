"""What every vector store does with whole collections, and what it keeps when it is closed."""

from collections.abc import Callable
from pathlib import Path
from types import ModuleType

import msgspec
import numpy as np
import pytest
from stored import LAYOUT, THREE, found, hits, id_of, ids_of, point, query, scrolled

from functions.ports.vector_stores import (
    EVERYTHING,
    Equals,
    Filter,
    Layout,
    LayoutError,
    NoSuchCollectionError,
    Point,
    VectorStore,
    VectorStoreError,
)

OTHER = msgspec.structs.replace(LAYOUT, name="documents_v2_small.1")
LONGEST = Layout(
    name="a" + "._-z9" * 39 + "last",
    encoder="minilm-l6-v2.fp32.mean",
    dimension=3,
    distance="dot",
    fields={"f" * 63: "keyword", "9_": "number"},
)
#: Everything that asks for one collection.
CALLS: dict[str, Callable[[VectorStore, Layout], object]] = {
    "upsert": lambda store, layout: store.upsert(layout, [_any_point(layout)]),
    "upsert of nothing": lambda store, layout: store.upsert(layout, []),
    "search": lambda store, layout: store.search(layout, [query(*[1.0] * layout.dimension)]),
    "search for nothing": lambda store, layout: store.search(layout, []),
    "read": lambda store, layout: store.read(layout, ids_of(1)),
    "read of nothing": lambda store, layout: store.read(layout, []),
    "set_fields": lambda store, layout: store.set_fields(layout, {id_of(1): {"source": "x"}}),
    "set_fields of nothing": lambda store, layout: store.set_fields(layout, {}),
    "delete": lambda store, layout: store.delete(layout, ids_of(1)),
    "delete of nothing": lambda store, layout: store.delete(layout, []),
    "delete_where": lambda store, layout: store.delete_where(layout, EVERYTHING),
    "erase": lambda store, layout: store.erase(layout, ids_of(1)),
    "count": lambda store, layout: store.count(layout),
    "scroll": lambda store, layout: store.scroll(layout),
    "optimize": lambda store, layout: store.optimize(layout),
}


def _any_point(layout: Layout) -> Point:
    return Point(id=id_of(1), vector=np.ones(layout.dimension, np.float32))


def test_a_collection_made_again_stays_as_it_is(filled: VectorStore) -> None:
    filled.create(LAYOUT)
    assert filled.count(LAYOUT) == 3


def test_a_collection_is_not_used_as_what_it_is_not(filled: VectorStore) -> None:
    changes: dict[str, dict[str, object]] = {
        r"encoder other\.2 was expected, and it has small\.1": {"encoder": "other.2"},
        "dimension 5 was expected, and it has 4": {"dimension": 5},
        "distance dot was expected, and it has cosine": {"distance": "dot"},
        r"encoder other\.2.*dimension 5.*another version": {"encoder": "other.2", "dimension": 5},
    }
    for said, change in changes.items():
        other = msgspec.structs.replace(LAYOUT, **change)
        for call in (lambda store, layout: store.create(layout), *CALLS.values()):
            with pytest.raises(LayoutError, match=said):
                call(filled, other)
    assert scrolled(filled) == ids_of(1, 2, 3)
    assert [each.fields["source"] for each in filled.read(LAYOUT, ids_of(1, 2))] == ["a", "b"]


def test_what_is_not_there_cannot_be_asked(store: VectorStore) -> None:
    for call in CALLS.values():
        with pytest.raises(NoSuchCollectionError, match=LAYOUT.name):
            call(store, LAYOUT)
    assert store.layouts() == []


def test_what_was_dropped_cannot_be_asked(filled: VectorStore) -> None:
    filled.drop(LAYOUT.name)
    for call in CALLS.values():
        with pytest.raises(NoSuchCollectionError, match=LAYOUT.name):
            call(filled, LAYOUT)
    assert filled.layouts() == []


def test_what_is_not_there_can_be_dropped(store: VectorStore) -> None:
    store.drop("nothing_v1_of.that.name")
    store.create(LAYOUT)
    store.drop(LAYOUT.name)
    store.drop(LAYOUT.name)
    assert store.layouts() == []


def test_what_no_collection_is_called_is_not_dropped(filled: VectorStore, tmp_path: Path) -> None:
    neighbour = tmp_path / "precious"
    neighbour.mkdir()
    for name in ("../precious", str(neighbour), "", ".", "..", "documents_v1/..", "Documents", "a\n"):
        with pytest.raises(LayoutError, match="nothing was dropped: the name"):
            filled.drop(name)
    assert neighbour.exists()
    assert filled.count(LAYOUT) == 3


def test_a_collection_made_in_the_place_of_a_dropped_one_is_empty_and_may_be_another(filled: VectorStore) -> None:
    other = msgspec.structs.replace(LAYOUT, encoder="other.2", dimension=2, distance="dot")
    filled.drop(LAYOUT.name)
    filled.create(other)
    assert filled.count(other) == 0
    filled.upsert(other, [point(9, 1, 1)])
    assert found(filled, query(1, 0), other) == ids_of(9)
    assert filled.layouts() == [other]


def test_two_collections_know_nothing_of_each_other(filled: VectorStore) -> None:
    filled.create(OTHER)
    filled.upsert(OTHER, [point(1, 0, 0, 1, 0, source="other")])
    assert filled.read(LAYOUT, ids_of(1))[0].fields["source"] == "a"
    assert found(filled, query(), OTHER) == ids_of(1)
    filled.delete_where(OTHER, EVERYTHING)
    filled.drop(OTHER.name)
    assert scrolled(filled) == ids_of(1, 2, 3)


def test_layouts_are_told_by_name_as_they_were_given(store: VectorStore) -> None:
    for layout in (OTHER, LONGEST, LAYOUT):
        store.create(layout)
    assert store.layouts() == [LONGEST, LAYOUT, OTHER]


def test_a_name_and_a_field_of_the_greatest_length_are_used_like_any_other(store: VectorStore) -> None:
    field = "f" * 63
    store.create(LONGEST)
    store.upsert(LONGEST, [point(1, 1, 0, 0, **{field: "x", "9_": 1.0}), point(2, 0, 1, 0, **{field: "y", "9_": 2.0})])
    only_x = Filter(must=(Equals(field, "x"), Equals("9_", 1.0)))
    assert [hit.fields for hit in hits(store, query(1, 1, 0, where=only_x), LONGEST)] == [{field: "x", "9_": 1.0}]
    store.drop(LONGEST.name)
    assert store.layouts() == []


def test_names_that_differ_in_one_character_are_two_collections(store: VectorStore) -> None:
    names = ["a.b", "a-b", "a_b", "a__b", "a_2d_b", "a.b."]
    for name in names:
        store.create(msgspec.structs.replace(LAYOUT, name=name))
    assert [layout.name for layout in store.layouts()] == sorted(names)
    store.drop("a.b")
    assert [layout.name for layout in store.layouts()] == sorted(names[1:])


def test_a_layout_that_no_store_takes_is_refused_with_all_that_is_wrong(store: VectorStore) -> None:
    for change, said in (
        ({"name": ""}, "the name ''"),
        ({"name": "a" * 201}, "the name 'aaa"),
        ({"name": "../documents"}, "the name"),
        ({"name": "Documents"}, "the name"),
        ({"name": "a/b"}, "the name"),
        ({"name": "a\n"}, "the name"),
        ({"dimension": 0}, "the dimension 0"),
        ({"dimension": 70_000}, "the dimension 70000"),
        ({"fields": {"Source": "keyword", "a.b": "number"}}, "the field 'Source'.*the field 'a.b'"),
        ({"name": "", "dimension": 0}, "the name.*the dimension"),
    ):
        with pytest.raises(LayoutError, match=said):
            store.create(msgspec.structs.replace(LAYOUT, **change))
    assert store.layouts() == []


def test_erased_points_are_gone_and_the_others_are_as_they_were(filled: VectorStore) -> None:
    filled.erase(LAYOUT, ids_of(1, 9))
    assert [each.fields for each in filled.scroll(LAYOUT)] == [each.fields for each in THREE[1:]]
    assert found(filled, query(1, 0, 0, 0)) == ids_of(2, 3)
    assert found(filled, query(where=Filter(must=(Equals("source", "a"),)))) == ids_of(3)
    filled.upsert(LAYOUT, [point(1, 0, 0, 1, 0, source="back")])
    assert scrolled(filled) == ids_of(1, 2, 3)


def test_optimizing_changes_no_answer(filled: VectorStore) -> None:
    before = hits(filled, query())
    filled.optimize(LAYOUT)
    filled.optimize(LAYOUT)
    assert hits(filled, query()) == before
    filled.upsert(LAYOUT, [point(4, 1, 0.1, 0, 0)])
    assert found(filled, query(limit=1)) == ids_of(4)


def test_a_closed_store_says_so(filled: VectorStore) -> None:
    filled.close()
    filled.close()
    for call in CALLS.values():
        with pytest.raises(VectorStoreError, match="closed"):
            call(filled, LAYOUT)
    for of_names in (lambda: filled.create(LAYOUT), lambda: filled.drop(LAYOUT.name), filled.layouts):
        with pytest.raises(VectorStoreError, match="closed"):
            of_names()


def test_what_was_stored_is_there_when_the_store_is_opened_again(engine: ModuleType, tmp_path: Path) -> None:
    if not hasattr(engine, "reopened"):
        pytest.skip(f"{engine.__name__} keeps nothing")
    with engine.opened(tmp_path) as store:
        store.create(LAYOUT)
        store.create(LONGEST)
        store.upsert(LAYOUT, [*THREE, point(4, 0, 0, 0, 1, source="gone")])
        store.set_fields(LAYOUT, {id_of(2): {"title": "set"}})
        store.delete(LAYOUT, ids_of(4))
    with engine.reopened(tmp_path) as store:
        assert store.layouts() == [LONGEST, LAYOUT]
        assert [each.fields for each in store.scroll(LAYOUT)] == [
            THREE[0].fields,
            {**THREE[1].fields, "title": "set"},
            THREE[2].fields,
        ]
        assert [hit.score for hit in hits(store, query(1, 0, 0, 0))] == pytest.approx([1.0, 0.8, 0.0], abs=1e-5)
        with pytest.raises(LayoutError, match="dimension"):
            store.create(msgspec.structs.replace(LAYOUT, dimension=5))
        store.upsert(LAYOUT, [point(5, 0, 0, 0, 1, source="new")])
        assert scrolled(store, where=Filter(must=(Equals("source", "new"),))) == ids_of(5)
        store.drop(LONGEST.name)
    with engine.reopened(tmp_path) as store:
        assert store.layouts() == [LAYOUT]
        assert scrolled(store) == ids_of(1, 2, 3, 5)
