import uuid

import msgspec
import numpy as np
import pytest

from functions.adapters.vectors.checking import check_layout, check_points
from functions.collections.points import (
    TEXT_BYTES,
    blob_of,
    blob_prefix,
    layout_of,
    passage_of,
    point_id,
    point_of,
)
from functions.events.common import Passage, Work
from functions.ports.vector_stores import NEVER, LayoutError, Point

PASSAGE = Passage(
    id="p1",
    name="Guide > Fruit",
    source="guide.md",
    text="red and round",
    work=Work(title="On fruit", authors=("Ada Byron", "Bo Li")),
    labels=("team=billing", "kind=guide"),
)


class Three:
    version = "Three words/1"
    dimension = 3


def point(passage: Passage) -> Point:
    vector = np.array([1, 0, 0], np.float32)
    return point_of(passage, vector, collection="c", tenant="t", encoder=Three.version, expires_at=NEVER, written=7.0)


def test_a_passage_comes_back_from_its_point() -> None:
    assert passage_of(point(PASSAGE).fields) == PASSAGE


def test_every_store_takes_the_point_and_the_layout() -> None:
    layout = layout_of("documents", 3, Three())  # type: ignore[arg-type]
    assert (layout.name, layout.encoder) == ("documents_v3_three-words-1", "Three words/1")
    check_layout(layout)
    check_points(layout, [point(PASSAGE)])


def test_a_payload_is_flat() -> None:
    assert all(isinstance(value, str | float | list) for value in point(PASSAGE).fields.values())


def test_the_id_of_a_point_is_the_one_that_it_always_was() -> None:
    assert point_id("t", "apples") == str(uuid.uuid5(uuid.UUID("6f1f2a3e-6f0b-5f5e-9a57-0d2c1c2f7f11"), "1:tapples"))
    assert point_id("a", "bc") != point_id("ab", "c")


@pytest.mark.parametrize("text", ["x" * (TEXT_BYTES + 1), "漢" * TEXT_BYTES, "é" * (TEXT_BYTES // 2) + "!"])
def test_a_payload_holds_the_beginning_of_a_long_text_and_the_key_of_the_whole(text: str) -> None:
    passage = msgspec.structs.replace(PASSAGE, text=text)
    fields = point(passage).fields
    blob = blob_of(passage, collection="c", tenant="t")
    assert blob == (fields["blob"], text.encode())
    assert text.startswith(passage_of(fields).text)
    assert TEXT_BYTES - 4 < len(passage_of(fields).text.encode()) <= TEXT_BYTES


def test_a_text_that_fits_has_no_blob() -> None:
    passage = msgspec.structs.replace(PASSAGE, text="x" * TEXT_BYTES)
    assert blob_of(passage, collection="c", tenant="t") is None
    assert "blob" not in point(passage).fields


def test_blobs_of_two_passages_have_no_key_in_common() -> None:
    long = msgspec.structs.replace(PASSAGE, text="x" * 10_000)
    keys = {
        (blob_of(msgspec.structs.replace(long, id=id_), collection=collection, tenant=tenant) or ("", b""))[0]
        for id_, collection, tenant in (("a", "c", "t"), ("b", "c", "t"), ("a", "d", "t"), ("a", "c", "u"))
    }
    assert len(keys) == 4
    assert sum(key.startswith(blob_prefix("c", "t", "a")) for key in keys) == 1


@pytest.mark.parametrize("name", ["", "../up", "a/b", "a b", "A", ".hidden", "x" * 64, "é"])
def test_a_name_that_is_no_name_is_refused(name: str) -> None:
    with pytest.raises(LayoutError, match="no collection's name: expected 1 to 63 of a-z"):
        layout_of(name, 1, Three())  # type: ignore[arg-type]


def test_half_of_a_surrogate_pair_is_stored_as_a_question_mark() -> None:
    broken = Passage(id="\ud800", name="n\udfff", source="s", text="t\ud800", work=Work(title="\ud800 other"))
    read = passage_of(point(broken).fields)
    assert (read.name, read.text, read.work.title) == ("n?", "t?", "? other")
