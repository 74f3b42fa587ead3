import re
from datetime import date

import pytest

from functions.adapters.models.prices import PRICES, Price, UnknownPriceError, given_price, listed_price
from functions.adapters.models.settings import ModelSettings, ModelSettingsError, Secret, model_settings

GOOD = {"TROUPE_MODEL_URL": "https://models.example/v1", "TROUPE_MODEL": "gpt-4o-mini", "TROUPE_MODEL_KEY": "sk-secret"}


def read(**environment: str) -> ModelSettings:
    settings = model_settings(GOOD | environment)
    assert settings is not None
    return settings


def refused(**environment: str) -> str:
    with pytest.raises(ModelSettingsError) as error:
        model_settings(GOOD | environment)
    return str(error.value)


@pytest.mark.parametrize("environment", [{}, {"TROUPE_MODEL": " "}, {"TROUPE_MODEL_KEY": "sk-left-over"}])
def test_without_settings_there_is_no_model(environment: dict[str, str]) -> None:
    assert model_settings(environment) is None


@pytest.mark.parametrize(
    ("url", "endpoint"),
    [
        ("https://models.example/v1", "https://models.example/v1/chat/completions"),
        ("https://models.example/v1/", "https://models.example/v1/chat/completions"),
        ("https://models.example/v1/chat/completions", "https://models.example/v1/chat/completions"),
        ("https://models.example/d?api-version=1", "https://models.example/d/chat/completions?api-version=1"),
        ("http://127.0.0.1:8080/v1", "http://127.0.0.1:8080/v1/chat/completions"),
        ("http://[::1]:8080/v1", "http://[::1]:8080/v1/chat/completions"),
        ("http://llama:8080/v1", "http://llama:8080/v1/chat/completions"),
    ],
)
def test_the_base_url_or_the_whole_url_may_be_given(url: str, endpoint: str) -> None:
    assert read(TROUPE_MODEL_URL=url).url == endpoint


def test_everything_that_is_wrong_is_said_at_once() -> None:
    message = refused(
        TROUPE_MODEL_URL="ftp://x", TROUPE_MODEL="", TROUPE_MODEL_PRICE="cheap", TROUPE_MODEL_KEY="two words"
    )
    names = (
        "TROUPE_MODEL_URL is",
        "TROUPE_MODEL is not set",
        "TROUPE_MODEL_PRICE is 'cheap'",
        "TROUPE_MODEL_KEY holds",
    )
    assert [name for name in names if name not in message] == []


@pytest.mark.parametrize(
    "url", ["", "models.example/v1", "http://", "http://x:99999/v1", "https://a b/v1", "http://[::1/v1"]
)
def test_what_is_no_url_is_refused(url: str) -> None:
    assert "TROUPE_MODEL_URL" in refused(TROUPE_MODEL_URL=url)


@pytest.mark.parametrize(
    "url",
    [
        "https://me:hunter2@models.example/v1",
        "https://models.example/v1?api_key=hunter2",
        "https://models.example/v1?api-version=1&Token=hunter2",
    ],
)
def test_a_password_in_the_url_is_refused_and_not_shown(url: str) -> None:
    message = refused(TROUPE_MODEL_URL=url)
    assert "TROUPE_MODEL_KEY" in message
    assert "hunter2" not in message


@pytest.mark.parametrize("host", ["models.example", "8.8.8.8", "[2606:4700::1111]"])
def test_a_key_does_not_leave_in_the_clear(host: str) -> None:
    assert "in the clear" in refused(TROUPE_MODEL_URL=f"http://{host}/v1")
    assert read(TROUPE_MODEL_URL=f"http://{host}/v1", TROUPE_MODEL_KEY="").url


@pytest.mark.parametrize("key", ["two words", "with\nnewline", "caf\u00e9", "tab\there", "\x07bell"])
def test_a_key_that_no_header_takes_is_refused_without_being_shown(key: str) -> None:
    message = refused(TROUPE_MODEL_KEY=key)
    assert "TROUPE_MODEL_KEY" in message
    assert key not in message


def test_the_key_travels_as_a_reference_that_prints_its_name() -> None:
    settings = read()
    assert "sk-secret" not in f"{settings!r} {settings} {settings.key!r} {settings.key}"
    assert settings.key.value() == "sk-secret"


def test_a_key_that_is_changed_meanwhile_is_the_one_that_counts() -> None:
    environment = {"KEY": "old"}
    secret = Secret("KEY", environment)
    environment["KEY"] = "new\n"
    assert secret.value() == "new"
    assert secret.hidden_in("it is new") == "it is KEY"


def test_a_model_without_a_known_price_is_refused_until_one_is_given() -> None:
    assert "no price is known for the model 'tiny'" in refused(TROUPE_MODEL="tiny")
    assert read(TROUPE_MODEL="tiny", TROUPE_MODEL_PRICE="0/0").price == Price(read=0, written=0)


def test_a_given_price_counts_before_the_listed_one() -> None:
    assert read(TROUPE_MODEL_PRICE="3/4.5").price == Price(read=3_000_000, written=4_500_000)


@pytest.mark.parametrize("model", ["gpt-4o-mini", "gpt-4o-mini-2024-07-18"])
def test_a_snapshot_costs_what_its_model_does(model: str) -> None:
    assert listed_price(model) == Price(read=150_000, written=600_000)


@pytest.mark.parametrize("model", ["gpt-4o-mini-turbo", "gpt-4", "4o", "", "gpt-4o-mini-2024"])
def test_a_model_that_only_looks_like_a_listed_one_has_no_price(model: str) -> None:
    with pytest.raises(UnknownPriceError, match="TROUPE_MODEL_PRICE"):
        listed_price(model)


@pytest.mark.parametrize(
    "text", ["1", "1/", "/2", "-1/2", "1/2/3", "a/b", "nan/1", "inf/1", "1e3/1", "1,5/2", "1" * 9 + "/1"]
)
def test_what_is_no_price_is_refused(text: str) -> None:
    with pytest.raises(UnknownPriceError, match=re.escape(repr(text))):
        given_price(text)


def test_a_call_costs_what_its_tokens_cost_rounded_up() -> None:
    price = given_price("0.15/0.60")
    assert price.of(1_000_000, 1_000_000) == 750_000
    assert price.of(1, 0) == 1, "less than a millionth of a dollar is one"
    assert given_price("0/0").of(10_000, 10_000) == 0


def test_every_listed_price_is_dated_and_says_where_it_is_from() -> None:
    assert len({each.model for each in PRICES}) == len(PRICES)
    for each in PRICES:
        assert 0 < each.read < each.written
        assert date(2026, 1, 1) <= each.seen
        assert each.source
