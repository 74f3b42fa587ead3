"""The envelope: what goes in comes out, ids are the same every time, and no bytes do harm."""

import json
import re
import string
from datetime import UTC, datetime, timedelta, timezone

import msgspec
import pytest
from harness import START
from hypothesis import given
from hypothesis import strategies as st
from sample_workflows import Asked

from functions.events.envelope import (
    MAX_PARTS,
    Envelope,
    Frame,
    MalformedEnvelopeError,
    decode,
    digest,
    encode,
    open_request,
    pack,
    type_of,
    unpack,
)
from functions.events.event import Event

ATTRIBUTE = re.compile(r"[a-z0-9]{1,20}")
FIRST = open_request(
    Asked(text="why?"),
    workflow="single",
    planversion="0123456789ab",
    conversation="c1",
    request="r1",
    now=START,
    deadline=START + timedelta(seconds=60),
    tenant="acme",
    priority="high",
    correlation="x-1",
)

frames = st.builds(
    lambda group, place, seconds, rounds, joins: Frame(
        group, place[0], place[1], START + timedelta(milliseconds=seconds), tuple(sorted(rounds.items())), joins
    ),
    st.text("0123456789abcdef", min_size=1, max_size=32),
    st.integers(0, MAX_PARTS).flatmap(lambda total: st.tuples(st.integers(0, max(total - 1, 0)), st.just(total))),
    st.integers(0, 10**9),
    st.dictionaries(st.text(string.ascii_letters, min_size=1, max_size=8), st.integers(1, 99), max_size=3),
    st.lists(st.integers(0, 99), max_size=3).map(tuple),
)
lineages = st.lists(frames, min_size=1, max_size=5).map(tuple)
scalars = st.none() | st.booleans() | st.integers() | st.floats() | st.text()
json_values = st.recursive(
    scalars, lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(), inner, max_size=3), max_leaves=8
)


class Revised(Event, version=7):
    text: str = ""


# ---------------------------------------------------------------------------------------------- round trip


def test_what_is_encoded_is_decoded_alike() -> None:
    assert decode(encode(FIRST)) == FIRST


@given(
    lineage=lineages,
    hop=st.integers(0, 1000),
    generation=st.integers(0, 9),
    text=st.text(max_size=50),
    seconds=st.integers(0, 10**6),
)
def test_any_valid_envelope_survives_the_journey(
    lineage: tuple[Frame, ...], hop: int, generation: int, text: str, seconds: int
) -> None:
    envelope = msgspec.structs.replace(
        FIRST,
        part=pack(lineage),
        hop=hop,
        generation=generation,
        conversation=text or "c",
        deadline=START + timedelta(seconds=seconds),
        data=msgspec.Raw(msgspec.json.encode(Asked(text=text))),
    )
    found = decode(encode(envelope))
    assert found == envelope
    assert unpack(found.part) == lineage


def test_every_attribute_has_a_name_that_cloudevents_allows() -> None:
    names = set(Envelope.__struct_fields__)
    assert {name for name in names if not ATTRIBUTE.fullmatch(name)} == set()
    assert {"specversion", "id", "source", "type", "time", "datacontenttype", "data"} <= names


def test_every_attribute_but_the_data_is_a_scalar() -> None:
    written = json.loads(encode(FIRST))
    assert written.pop("data") == {"text": "why?"}
    assert all(isinstance(value, str | int) for value in written.values())
    assert written["specversion"] == "1.0"
    assert written["type"] == "Asked.v1"


def test_attributes_of_a_newer_producer_are_ignored() -> None:
    written = json.loads(encode(FIRST)) | {"colour": "red", "nested": {"deep": [1]}}
    assert decode(msgspec.json.encode(written)) == FIRST


def test_the_type_names_the_event_and_its_version() -> None:
    assert type_of(Revised) == "Revised.v7"
    assert msgspec.structs.replace(FIRST, type="Revised.v7").name == "Revised"


# ----------------------------------------------------------------------------------------------------- ids


def test_an_id_is_the_same_in_every_process() -> None:
    assert digest("acme", "c1", "r1") == FIRST.id == "22b9a43a7d4186d92ac58bf95872de8d"


@given(st.lists(st.text(max_size=5), max_size=4), st.lists(st.text(max_size=5), max_size=4))
def test_other_parts_make_another_id(one: list[str], other: list[str]) -> None:
    assert (digest(*one) == digest(*other)) == (one == other)


def test_no_separator_in_a_name_makes_two_requests_one() -> None:
    assert digest("acme", "c1\x1fr1", "r2") != digest("acme", "c1", "r1\x1fr2")


def test_two_tenants_requests_have_different_ids() -> None:
    other = open_request(
        Asked(),
        workflow="single",
        planversion="p",
        conversation="c1",
        request="r1",
        now=START,
        deadline=START,
        tenant="globex",
    )
    assert other.id != FIRST.id


# ------------------------------------------------------------------------------------------------- malformed


@given(st.binary(max_size=200) | json_values.map(lambda value: json.dumps(value).encode()))
def test_no_bytes_raise_anything_but_malformed(raw: bytes) -> None:
    with pytest.raises(MalformedEnvelopeError):
        decode(raw)


@given(st.sampled_from(Envelope.__struct_fields__), json_values)
def test_no_value_of_an_attribute_raises_anything_but_malformed(name: str, value: object) -> None:
    raw = json.dumps(json.loads(encode(FIRST)) | {name: value}).encode()
    try:
        found = decode(raw)
    except MalformedEnvelopeError:
        return
    assert decode(encode(found)) == found


@given(st.text(max_size=60))
def test_no_text_as_lineage_raises_anything_but_malformed(part: str) -> None:
    try:
        unpack(part)
    except MalformedEnvelopeError as error:
        assert "part" in str(error)  # noqa: PT017 - most texts raise, and any that does not is fine


def test_bytes_nested_without_end_are_malformed() -> None:
    with pytest.raises(MalformedEnvelopeError, match="no CloudEvents envelope"):
        decode(b'{"colour":' + b"[" * 100_000)


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"specversion": "0.3"}, "specversion is '0.3', not '1.0'"),
        ({"id": ""}, "id is empty"),
        ({"tenant": ""}, "tenant is empty"),
        ({"conversation": ""}, "conversation is empty"),
        ({"type": "Asked"}, "type is 'Asked', not a name and a version"),
        ({"type": ".v1"}, "type is '.v1'"),
        ({"type": "Asked.vx"}, "type is 'Asked.vx'"),
        ({"time": "2026-01-05T09:00:00"}, "time has no time zone"),
        ({"deadline": "2026-01-05T09:00:00"}, "deadline has no time zone"),
        ({"hop": -1}, "hop is -1"),
        ({"generation": -1}, "generation is -1"),
        ({"generation": 2**63}, "generation is 9223372036854775808, not from 0"),
        ({"priority": "urgent"}, "priority is 'urgent', not one of high, normal, low"),
        ({"part": ""}, "no lineage"),
        ({"part": "g:1/1:0:"}, "part says index 1 of 1"),
        ({"part": "g:-1/1:0:"}, "part says index -1 of 1"),
        ({"part": "g:0/-1:0:"}, "part says index 0 of -1"),
        ({"part": f"g:0/{10**12}:0:"}, f"at most {MAX_PARTS}"),
        ({"part": "g:0/1:99999999999999999999:"}, "no lineage"),
        ({"part": "g:0/1:0:A"}, "no lineage"),
        ({"part": ":0/1:0:"}, "no lineage"),
        ({"part": "g:0/1:-99999999999:"}, "a deadline in the year 1966"),
        ({"part": "g:0/1:0:Rejected=-5"}, "fewer than 0 times"),
        ({"time": "0001-01-01T00:00:00+14:00"}, "time is in the year 1, not from 1970"),
        ({"deadline": "9999-12-31T23:59:59-14:00"}, "deadline is in the year 9999, not from 1970"),
        ({"target": "runtime"}, "no event is meant for it"),
        ({"request": "r" * 129}, "request has more than 128 characters"),
        ({"workflow": "w" * 129}, "workflow has more than 128 characters"),
        ({"correlation": "c" * 20_000}, "its attributes take more than 16384 bytes"),
    ],
    ids=str,
)
def test_what_is_wrong_with_an_envelope_is_said(change: dict[str, object], said: str) -> None:
    raw = json.dumps(json.loads(encode(FIRST)) | change).encode()
    with pytest.raises(MalformedEnvelopeError, match=re.escape(said)):
        decode(raw)


def test_only_the_data_may_be_large() -> None:
    data = msgspec.Raw(b'{"text":"%s"}' % (b"x" * 100_000))
    assert decode(encode(msgspec.structs.replace(FIRST, data=data))).data == data


def test_everything_wrong_is_said_at_once() -> None:
    raw = encode(msgspec.structs.replace(FIRST, specversion="2", id="", hop=-1, priority="x", part="?"))
    with pytest.raises(MalformedEnvelopeError) as raised:
        decode(raw)
    assert all(word in str(raised.value) for word in ("specversion", "id is", "hop", "priority", "part"))


# --------------------------------------------------------------------------------------------------- lineage


@given(lineages)
def test_a_lineage_survives_the_journey(lineage: tuple[Frame, ...]) -> None:
    assert unpack(pack(lineage)) == lineage


def test_a_lineage_is_written_in_utc() -> None:
    summer = timezone(timedelta(hours=2))
    frame = Frame("g", 0, 1, datetime(2026, 7, 1, 12, tzinfo=summer))
    assert unpack(pack((frame,)))[0].deadline == datetime(2026, 7, 1, 10, tzinfo=UTC)


def test_rounds_are_counted_by_event() -> None:
    frame = Frame("g", 0, 1, START).counted(frozenset({"B", "A"})).counted(frozenset({"A"}))
    assert frame.rounds == (("A", 2), ("B", 1))


# ---------------------------------------------------------------------------------------------------- events


def test_events_are_final() -> None:
    with pytest.raises(TypeError, match="inherits from another event"):

        class Asking(Asked):
            pass


def test_the_version_of_an_event_is_no_field() -> None:
    with pytest.raises(TypeError, match=r"write class Indexed\(Event, version=2\)"):

        class Indexed(Event):
            version: int


def test_an_event_cannot_be_changed_and_takes_keywords_only() -> None:
    with pytest.raises(AttributeError):
        Asked().text = "b"
    with pytest.raises(TypeError):
        Asked("b")
