"""A stack file is read whole or refused whole, with everything that is wrong with it at once."""

from collections.abc import Callable, Mapping

import pytest
from hypothesis import given
from hypothesis import strategies as st

from functions.errors import TroupeError
from infra.naming import Names
from infra.settings import Settings, SettingsError, key_of, read, schema

NAMES = Names(project="troupe", stack="dev")
#: What every stack has to say: who may ask, and where vectors are reached.
LEAST: Mapping[str, object] = {"secrets": {"api-keys": "troupe/dev/api-keys"}, "network": {"vpc": True}}
KEY = "sk-live4242424242424242"


def reading(**changes: object) -> Settings:
    return read({**LEAST, **changes}, NAMES)


def refused(names: Names = NAMES, **changes: object) -> list[str]:
    with pytest.raises(SettingsError) as caught:
        read({**LEAST, **changes}, names)
    return caught.value.problems


def test_a_file_that_says_the_least_is_a_stack() -> None:
    assert reading().secrets == {"api-keys": "troupe/dev/api-keys"}


def test_every_setting_of_a_file_is_read() -> None:
    found = reading(
        region="us-east-1",
        agents={"retriever": {"memoryMb": 2048, "timeoutSeconds": 60, "concurrency": 20, "warm": 2}},
        delivery={"attempts": 4, "backoffMinSeconds": 0.5, "backoffMaxSeconds": 30, "maxAgeSeconds": 600},
        logRetentionDays=365,
        model={"kind": "bedrock", "id": "some-model", "usdPerMillion": [0.1, 0.4]},
    )
    assert (found.region, found.log_retention_days, found.delivery.backoff_min_s) == ("us-east-1", 365, 0.5)
    assert (found.agents["retriever"].memory_mb, found.agents["retriever"].timeout_s) == (2048, 60)
    assert found.model is not None
    assert found.model.usd_per_million == (0.1, 0.4)


values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=12) | st.dates(),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=8), inner, max_size=3),
    max_leaves=6,
)


def _of(part: Mapping[str, object]) -> st.SearchStrategy[object]:
    """Values that are near to what a part of the schema takes, and some that are not."""
    if "$ref" in part:
        part = schema()["$defs"][str(part["$ref"]).rsplit("/", 1)[1]]
    if "anyOf" in part:
        return st.one_of([_of(each) for each in part["anyOf"]])  # type: ignore[attr-defined]
    if "enum" in part:
        return st.sampled_from(list(part["enum"])) | values  # type: ignore[call-overload]
    if "properties" in part:
        every = {name: _of(each) for name, each in part["properties"].items()}  # type: ignore[attr-defined]
        return st.fixed_dictionaries({}, optional=every) | values
    if isinstance(part.get("additionalProperties"), dict):
        names = st.sampled_from(["retriever", "documents", "model", "api-keys", "vectors", "no-such"]) | st.text(
            max_size=5
        )
        return st.dictionaries(names, _of(part["additionalProperties"]), max_size=3) | values  # type: ignore[arg-type]
    if part.get("type") == "array":
        return st.lists(st.sampled_from(["answer", "research", "https://a.example.org", "*", 1.5]), max_size=3) | values
    if part.get("type") in ("integer", "number"):
        return st.integers(min_value=-5, max_value=100_000) | st.floats() | values
    if part.get("type") == "boolean":
        return st.booleans() | values
    texts = [
        "eu-central-1",
        "aws",
        "stack",
        "https://x.example.com",
        "https://u:p@[",
        "gpt-5-mini",
        KEY,
        "pyproject.toml",
        "../x",
    ]
    return st.sampled_from(texts) | values


@given(_of(schema()).filter(lambda each: isinstance(each, dict)))
def test_any_values_are_settings_or_one_error(given: Mapping[str, object]) -> None:
    try:
        assert isinstance(read(given, NAMES), Settings)
    except TroupeError as error:
        assert isinstance(error, SettingsError)
        assert error.problems
        assert KEY not in str(error)
