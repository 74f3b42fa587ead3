"""Settings whose values are secrets: fetched late, kept, fetched again where they were refused."""

import json
from collections.abc import Iterator
from contextlib import closing

import pytest
from ministack import Emulator
from rest_server import Answer, Asked, Server, serving

from functions.adapters.aws.client import Aws
from functions.adapters.aws.secrets import AGAIN_S, SecretError, SecretSettings, TableSettings
from functions.adapters.models.bound import Call, Message
from functions.adapters.models.openai_compatible import OpenAICompatible
from functions.adapters.models.prices import Price
from functions.adapters.models.settings import ModelSettings, Secret
from functions.adapters.rest import Rest, StatusError
from functions.entry_points.aws.authorizer import SETTING, let_in
from functions.ports.models import ModelError

ARN = "arn:aws:secretsmanager:us-east-1:000000000000:secret:model-key-AbCdEf"


class Keeper:
    """A Secrets Manager that changes the value each time, and a clock."""

    def __init__(self, server: Server, aws: Aws) -> None:
        self.server = server
        self.aws = aws
        self.now = 100.0
        self.settings = SecretSettings({"PLAIN": "plain", "KEY": "hidden"}, {"KEY": ARN}, aws, lambda: self.now)
        server.script = self.answer

    def answer(self, _: Asked) -> Answer:
        return Answer(body=json.dumps({"SecretString": f"value-{len(self.server.asked)}"}).encode())


@pytest.fixture
def keeper() -> Iterator[Keeper]:
    with serving() as server:
        aws = Aws(
            {
                "AWS_REGION": "us-east-1",
                "AWS_ENDPOINT_URL": server.url,
                "AWS_ACCESS_KEY_ID": "A",
                "AWS_SECRET_ACCESS_KEY": "S",
            }
        )
        yield Keeper(server, aws)
        aws.close()


def test_a_secret_is_fetched_when_it_is_asked_for_and_once(keeper: Keeper) -> None:
    assert "KEY" in keeper.settings
    assert sorted(keeper.settings) == ["KEY", "PLAIN"]
    assert keeper.settings["PLAIN"] == "plain"
    assert keeper.server.asked == []
    assert [keeper.settings["KEY"], keeper.settings.get("KEY")] == ["value-1", "value-1"]
    assert [json.loads(asked.body) for asked in keeper.server.asked] == [{"SecretId": ARN}]


def test_a_setting_that_is_not_there_is_missing_as_in_the_environment(keeper: Keeper) -> None:
    assert keeper.settings.get("NONE", "default") == "default"
    with pytest.raises(KeyError):
        keeper.settings["NONE"]


def test_a_value_that_is_refused_is_fetched_again_but_not_at_every_call(keeper: Keeper) -> None:
    assert keeper.settings["KEY"] == "value-1"
    keeper.settings.refused("KEY")
    assert keeper.settings["KEY"] == "value-1"
    keeper.now += AGAIN_S
    keeper.settings.refused("KEY")
    assert keeper.settings["KEY"] == "value-2"
    keeper.settings.refused("KEY")
    assert keeper.settings["KEY"] == "value-2"


@pytest.mark.parametrize(("code", "stays"), [("InternalFailure", True), ("ResourceNotFoundException", False)])
def test_a_value_that_is_refused_stays_while_nobody_can_say_whether_it_changed(
    keeper: Keeper, code: str, *, stays: bool
) -> None:
    assert keeper.settings["KEY"] == "value-1"
    keeper.now += AGAIN_S
    keeper.settings.refused("KEY")
    keeper.server.script = lambda _: Answer(400, json.dumps({"__type": code}).encode())
    if stays:
        assert keeper.settings["KEY"] == "value-1"
        assert len(keeper.server.asked) == 2
        assert keeper.settings["KEY"] == "value-1"
        assert len(keeper.server.asked) == 2, "asked at every use"
    else:
        with pytest.raises(SecretError):
            keeper.settings["KEY"]


def test_a_service_that_refuses_a_key_is_asked_once_more_with_the_new_one(keeper: Keeper) -> None:
    with serving() as service:
        service.script = lambda asked: Answer(200 if asked.headers["authorization"] == "Bearer value-2" else 401)
        rest = Rest(service.url, product="Vectors", key=Secret("KEY", keeper.settings))
        assert keeper.settings["KEY"] == "value-1"
        keeper.now += AGAIN_S
        assert rest.send("GET", "/", answer=dict) == {}
        service.script = lambda _: Answer(401)
        with pytest.raises(StatusError, match="to the key KEY"):  # it was just looked up
            rest.send("GET", "/", answer=dict)
        keeper.now += AGAIN_S
        with pytest.raises(StatusError, match="to the key KEY"):  # the newest one is refused too
            rest.send("GET", "/", answer=dict)
        rest.close()
        keys = [asked.headers["authorization"].rpartition("-")[2] for asked in service.asked]
        assert keys == ["1", "2", "2", "2", "3"]


def test_a_model_that_refuses_a_key_is_asked_once_more_with_the_new_one(keeper: Keeper) -> None:
    with serving() as service:
        service.script = lambda _: Answer(401)
        settings = ModelSettings(
            url=f"{service.url}/v1/chat/completions",
            model="m",
            key=Secret("KEY", keeper.settings),
            price=Price(read=0, written=0),
        )
        assert keeper.settings["KEY"] == "value-1"
        keeper.now += AGAIN_S
        chat = OpenAICompatible(settings, pause=lambda _: None)
        call = Call(
            messages=(Message("system", "Be brief."), Message("user", "Is it?")),
            schema=None,
            max_tokens=5,
            left_s=20.0,
            show=lambda _: None,
            book=lambda *_: None,
            check=lambda: None,
        )
        with pytest.raises(ModelError, match="401"):
            chat.complete(call)
        chat.close()
        assert [asked.headers["authorization"] for asked in service.asked] == ["Bearer value-1", "Bearer value-2"]


def test_a_caller_with_a_new_key_is_let_in(keeper: Keeper) -> None:
    def answer(_: Asked) -> Answer:
        number = len(keeper.server.asked)
        return Answer(body=json.dumps({"SecretString": f"alice=alices-own-long-key-{number}"}).encode())

    keeper.server.script = answer
    settings = SecretSettings({}, {SETTING: ARN}, keeper.aws, lambda: keeper.now)

    def tenant(number: int) -> str:
        event = {"headers": {"authorization": f"Bearer alices-own-long-key-{number}"}}
        found: str = let_in(event, settings)["context"]["tenant"]
        return found

    assert tenant(1) == "alice"
    keeper.now += AGAIN_S
    assert tenant(2) == "alice"
    assert tenant(1) == ""


def test_a_value_of_a_table_that_is_refused_is_fetched_again(keeper: Keeper) -> None:
    keeper.server.script = lambda _: Answer(
        body=json.dumps({"SecretString": json.dumps({"TOKEN": f"token-{len(keeper.server.asked)}"})}).encode()
    )
    table = TableSettings(keeper.settings, "KEY", {"FILE": "actions.toml"})
    assert (table["FILE"], table["TOKEN"], sorted(table), len(table)) == (
        "actions.toml",
        "token-1",
        ["FILE", "TOKEN"],
        2,
    )
    keeper.now += AGAIN_S
    table.refused("TOKEN")
    assert (table["TOKEN"], table.get("NONE")) == ("token-2", None)
    assert "token" not in repr(table)


@pytest.mark.parametrize(
    ("answer", "says"),
    [
        (Answer(400, b'{"__type":"ResourceNotFoundException","Message":"x"}'), "there is none: make it"),
        (Answer(400, b'{"__type":"AccessDeniedException","Message":"x"}'), "this function's role may not read it"),
        (Answer(400, b'{"__type":"DecryptionFailure","Message":"x"}'), r"could not be read \(DecryptionFailure\)"),
        (Answer(200, b'{"SecretBinary":"AAAA"}'), "holds bytes: expected text"),
    ],
)
def test_a_reference_to_nothing_is_one_line_that_says_what_to_do(keeper: Keeper, answer: Answer, says: str) -> None:
    keeper.server.script = lambda _: answer
    with pytest.raises(SecretError, match=f"KEY refers to the secret {ARN}.*{says}") as raised:
        keeper.settings["KEY"]
    assert "\n" not in str(raised.value)
    assert raised.value.__cause__ is None


def test_a_secret_of_several_values_is_one_json_object(keeper: Keeper) -> None:
    assert keeper.settings.table("NONE") == {}
    keeper.server.script = lambda _: Answer(body=json.dumps({"SecretString": '{"TOKEN": "t-1"}'}).encode())
    assert keeper.settings.table("KEY") == {"TOKEN": "t-1"}


def test_what_is_wrong_with_a_secret_of_several_values_is_told_without_it(keeper: Keeper) -> None:
    keeper.server.script = lambda _: Answer(body=json.dumps({"SecretString": '{"TOKEN": 7777777}'}).encode())
    with pytest.raises(SecretError, match="no JSON object of texts") as raised:
        keeper.settings.table("KEY")
    assert "7777777" not in f"{raised.value!r} {raised.value.__cause__!r}"


def test_settings_print_the_names_of_secrets_and_no_values(keeper: Keeper) -> None:
    assert keeper.settings["KEY"] == "value-1"
    assert repr(keeper.settings) == "<settings, and the secrets KEY>"


def test_a_real_secret_is_read_and_a_missing_one_is_told(emulator: Emulator, emulated: Aws, unique: str) -> None:
    with closing(emulator.client("secretsmanager")) as manager:
        arn = manager.create_secret(Name=unique, SecretString="s3cret")["ARN"]
    settings = SecretSettings({}, {"KEY": arn, "LOST": f"{arn}x"}, emulated)
    assert settings["KEY"] == "s3cret"
    with pytest.raises(SecretError, match=r"LOST refers to the secret .*: there is none"):
        settings["LOST"]
