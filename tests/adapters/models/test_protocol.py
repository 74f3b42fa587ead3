import json
from typing import Annotated

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from functions.adapters.models.protocol import WithoutThoughts, event_data, json_in, schema_of


class Part(msgspec.Struct):
    name: str
    weight: float = 1.0


class Shape(msgspec.Struct):
    parts: list[Part]
    kind: str | None = None
    title: str = "none"
    default: int = 0


def test_a_schema_requires_everything_and_allows_nothing_else() -> None:
    schema = schema_of(Shape)
    assert schema["required"] == ["parts", "kind", "title", "default"]
    assert schema["additionalProperties"] is False
    assert schema["$defs"]["Part"]["required"] == ["name", "weight"]
    assert schema["properties"]["title"] == {"type": "string"}
    assert "description" not in json.dumps(schema)


@pytest.mark.parametrize(
    "said",
    ['{"a": 1}', ' \n{"a": 1}\n', '```json\n{"a": 1}\n```', 'Sure! Here it is:\n```\n{"a": 1}\n```', 'It is {"a": 1}.'],
)
def test_the_object_is_found_in_what_is_said_around_it(said: str) -> None:
    assert json.loads(json_in(said)) == {"a": 1}


@pytest.mark.parametrize("said", ["", "no", "}{", "{"])
def test_where_there_is_no_object_none_is_made_up(said: str) -> None:
    with pytest.raises(msgspec.DecodeError):
        msgspec.json.decode(json_in(said), type=Annotated[dict[str, int], msgspec.Meta(min_length=1)])


@given(st.data())
def test_a_stream_means_the_same_however_it_is_cut(data: st.DataObject) -> None:
    stream = b': hello\r\nevent: x\ndata: {"a":\ndata: 1}\n\nretry: 5\n\ndata:two\r\n\r\ndata: three'
    cuts = sorted(data.draw(st.lists(st.integers(0, len(stream)), max_size=6)))
    pieces = [stream[start:end] for start, end in zip([0, *cuts], [*cuts, len(stream)], strict=True)]
    assert list(event_data(pieces)) == [b'{"a":\n1}', b"two"], "the last event never ended"


@given(st.text(alphabet="<think/> \nab", max_size=40), st.data())
def test_a_thought_is_left_out_however_it_is_cut(said: str, data: st.DataObject) -> None:
    cuts = sorted(data.draw(st.lists(st.integers(0, len(said)), max_size=6)))
    whole, cut = WithoutThoughts(), WithoutThoughts()
    pieces = [said[start:end] for start, end in zip([0, *cuts], [*cuts, len(said)], strict=True)]
    assert "".join(map(cut.add, pieces)) + cut.rest() == whole.add(said) + whole.rest()
