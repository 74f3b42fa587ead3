"""What becomes of a call to a model of Bedrock, whatever is answered."""

import json
import re
import socket
from collections.abc import Iterator, Mapping
from typing import Any

import pytest
from rest_server import Answer, Asked, Server, serving

from functions.adapters.aws.client import Aws
from functions.adapters.aws.models import BedrockChat, BedrockSettings, bedrock_settings
from functions.adapters.models.bound import Call, Message, estimated_read
from functions.adapters.models.prices import Price
from functions.adapters.models.settings import ModelSettingsError
from functions.ports.models import ModelError

MODEL = "eu.anthropic.claude-haiku-4-5-20251001-v1:0"
MESSAGES = (Message("system", "Be brief."), Message("user", "Is it?"))
ALL = (estimated_read(MESSAGES, None), 50)  # what is booked where it is not known what was written
SETTINGS = BedrockSettings(model=MODEL, price=Price(read=1_000_000, written=5_000_000))
KEYS = {"AWS_REGION": "eu-west-1", "AWS_ACCESS_KEY_ID": "A", "AWS_SECRET_ACCESS_KEY": "S"}
SCHEMA = {"type": "object", "properties": {"a": {"type": "integer"}}}


@pytest.fixture
def server() -> Iterator[Server]:
    with serving() as opened:
        yield opened


@pytest.fixture
def chat(server: Server) -> Iterator[BedrockChat]:
    aws = Aws({**KEYS, "AWS_ENDPOINT_URL_BEDROCK_RUNTIME": server.url})
    yield BedrockChat(aws, SETTINGS)
    aws.close()


class Completed:
    """One call, with what was shown of it and what it cost."""

    def __init__(self, chat: BedrockChat, **given: Any) -> None:
        self.shown: list[str] = []
        self.booked: list[tuple[int, int]] = []
        self.said, self.reason, self.error = "", "", ""
        values = {"messages": MESSAGES, "schema": None, "max_tokens": 50, "left_s": 5.0, "check": lambda: None}
        call = Call(**(values | given), show=self.shown.append, book=lambda *used: self.booked.append(used))
        try:
            self.said = chat.complete(call)
        except ModelError as error:
            self.reason, self.error = error.reason, str(error)


def answered(*texts: str, stop: str = "end_turn", usage: Mapping[str, int] | None = None) -> Answer:
    said = {
        "output": {"message": {"role": "assistant", "content": [{"text": text} for text in texts]}},
        "stopReason": stop,
        "usage": {"inputTokens": 11, "outputTokens": 7, "totalTokens": 18} if usage is None else usage,
        "metrics": {"latencyMs": 5},
    }
    return Answer(body=json.dumps(said).encode())


def refusal(status: int, code: str, message: str = "no") -> Answer:
    return Answer(status, json.dumps({"message": message}).encode(), {"x-amzn-errortype": f"{code}:http://internal/"})


def test_a_call_is_put_as_converse_wants_it_and_its_answer_returned_shown_and_booked(
    server: Server, chat: BedrockChat
) -> None:
    server.script = lambda _: answered("It is so, ", "naïvely.")
    asked = Completed(chat)
    assert (asked.said, asked.shown, asked.booked) == ("It is so, naïvely.", ["It is so, naïvely."], [(11, 7)])
    (sent,) = server.asked
    assert (sent.method, sent.path) == ("POST", "/model/eu.anthropic.claude-haiku-4-5-20251001-v1%3A0/converse")
    assert "/eu-west-1/bedrock/aws4_request" in sent.headers["authorization"]
    assert json.loads(sent.body) == {
        "system": [{"text": "Be brief."}],
        "messages": [{"role": "user", "content": [{"text": "Is it?"}]}],
        "inferenceConfig": {"maxTokens": 50, "temperature": 0},
    }


def test_the_shape_of_a_decision_stands_in_its_instructions(server: Server, chat: BedrockChat) -> None:
    server.script = lambda _: answered('{"a": 1}')
    assert Completed(chat, schema=SCHEMA).said == '{"a": 1}'
    told = json.loads(server.asked[0].body)["system"][0]["text"]
    assert told.startswith("Be brief.")
    assert told.endswith(json.dumps(SCHEMA, separators=(",", ":")))


def test_thoughts_are_left_out(server: Server, chat: BedrockChat) -> None:
    server.script = lambda _: answered("<think>hm</think>It is.")
    assert Completed(chat).said == "It is."


def test_what_a_cache_read_and_wrote_is_counted_as_read(server: Server, chat: BedrockChat) -> None:
    usage = {"inputTokens": 1, "outputTokens": 2, "cacheReadInputTokens": 10, "cacheWriteInputTokens": 100}
    server.script = lambda _: answered("Yes.", usage=usage)
    assert Completed(chat).booked == [(111, 2)]


def test_without_counts_more_is_booked_than_there_was(server: Server, chat: BedrockChat) -> None:
    server.script = lambda _: answered("Yes, it is.", usage={})
    ((read, written),) = Completed(chat).booked
    assert read == estimated_read(MESSAGES, None)
    assert written >= 4


@pytest.mark.parametrize(
    ("answer", "reason", "booked"),
    [
        (answered("Half", stop="max_tokens"), "truncated", [(11, 7)]),
        (answered("Half", stop="model_context_window_exceeded"), "truncated", [(11, 7)]),
        (answered("No.", stop="guardrail_intervened"), "refused", [(11, 7)]),
        (answered("No.", stop="content_filtered"), "refused", [(11, 7)]),
        (answered("x", stop="tool_use"), "malformed", [(11, 7)]),
        (answered(), "malformed", [(11, 7)]),
        (answered(" \n"), "malformed", [(11, 7)]),
        (refusal(403, "AccessDeniedException"), "rejected", []),
        (refusal(404, "ResourceNotFoundException"), "rejected", []),
        (refusal(400, "ValidationException", "the input is too long"), "rejected", []),
        (refusal(424, "ModelErrorException"), "server error", [ALL]),
        (refusal(408, "ModelTimeoutException"), "server error", [ALL]),
        (refusal(503, "ServiceUnavailableException"), "server error", [ALL]),
        (answered("Half")._replace(cut=3), "timeout", [ALL]),
        (Answer(body=b"<html>"), "timeout", [ALL]),
        (Answer(body=b'{"output": 7}'), "timeout", [ALL]),
        (Answer(status=0), "timeout", [ALL]),
    ],
)
def test_every_end_of_a_call_has_its_reason_and_its_price(
    server: Server, chat: BedrockChat, answer: Answer, reason: str, booked: list[tuple[int, int]]
) -> None:
    server.script = lambda _: answer
    asked = Completed(chat)
    assert (asked.said, asked.reason, asked.booked) == ("", reason, booked)
    assert len(server.asked) == 1


@pytest.mark.parametrize(
    ("answer", "reason"),
    [
        (refusal(429, "ThrottlingException"), "rate limited"),
        (refusal(429, "ModelNotReadyException"), "rate limited"),
    ],
)
def test_what_is_put_off_is_asked_again_and_given_up_in_time(
    server: Server, chat: BedrockChat, answer: Answer, reason: str
) -> None:
    answers = iter([answer, answered("At last.")])
    server.script = lambda _: next(answers)
    assert Completed(chat).said == "At last."
    server.script = lambda _: answer
    given_up = Completed(chat, left_s=0.3)
    assert (given_up.reason, given_up.booked) == (reason, [])


def test_a_model_that_hangs_is_given_up_in_time_and_booked_as_if_it_had_written_all(
    server: Server, chat: BedrockChat
) -> None:
    server.script = lambda _: Answer(hangs=True)
    asked = Completed(chat, left_s=0.2)
    assert (asked.reason, asked.booked) == ("timeout", [ALL])


def test_a_call_after_which_the_connection_is_closed_is_not_taken_for_one_that_was_never_sent(
    server: Server, chat: BedrockChat
) -> None:
    answers = iter([answered("Yes."), Answer(status=0)])
    server.script = lambda _: next(answers)
    assert [Completed(chat).booked for _ in range(2)] == [[(11, 7)], [ALL]]
    assert len(server.asked) == 2


def test_a_model_that_cannot_be_reached_is_asked_until_it_can_and_costs_nothing() -> None:
    with socket.create_server(("127.0.0.1", 0)) as closed:
        port = closed.getsockname()[1]
    aws = Aws({**KEYS, "AWS_ENDPOINT_URL_BEDROCK_RUNTIME": f"http://127.0.0.1:{port}"})
    asked = Completed(BedrockChat(aws, SETTINGS), left_s=1.0)
    assert (asked.reason, asked.booked) == ("unreachable", [])
    assert int(re.findall(r"tries: (\d+)", asked.error)[0]) > 1


def test_what_a_model_does_not_take_is_left_out_from_then_on(server: Server, chat: BedrockChat) -> None:
    def strict(asked: Asked) -> Answer:
        body = json.loads(asked.body)
        if "temperature" in body["inferenceConfig"]:
            return refusal(400, "ValidationException", "`temperature` is deprecated for this model.")
        if "system" in body:
            return refusal(400, "ValidationException", "This model doesn't support system messages.")
        return answered("Yes.")

    server.script = strict
    assert [Completed(chat).said for _ in range(2)] == ["Yes.", "Yes."]
    assert len(server.asked) == 4
    assert json.loads(server.asked[-1].body)["messages"][0]["content"] == [{"text": "Be brief.\n\nIs it?"}]


def test_a_call_that_must_not_go_on_is_booked_all_the_same(server: Server, chat: BedrockChat) -> None:
    class StoppedError(Exception):
        pass

    def check() -> None:
        raise StoppedError

    server.script = lambda _: answered("Yes.")
    booked: list[tuple[int, int]] = []
    call = Call(
        messages=MESSAGES,
        schema=None,
        max_tokens=50,
        left_s=5.0,
        show=lambda _: None,
        book=lambda *used: booked.append(used),
        check=check,
    )
    with pytest.raises(StoppedError):
        chat.complete(call)
    assert booked == [(11, 7)]


def test_settings_name_a_model_and_its_price() -> None:
    assert bedrock_settings({}) is None
    assert bedrock_settings({"TROUPE_MODEL_URL": "https://models.example.com/v1", "TROUPE_MODEL": "m"}) is None
    given = {"TROUPE_MODEL_URL": "bedrock", "TROUPE_MODEL": MODEL, "TROUPE_MODEL_PRICE": "1.1/5.5"}
    found = bedrock_settings(given)
    assert found == BedrockSettings(model=MODEL, price=Price(read=1_100_000, written=5_500_000))


@pytest.mark.parametrize(
    ("given", "says"),
    [({}, "TROUPE_MODEL is not set"), ({"TROUPE_MODEL": "amazon.unlisted"}, "give TROUPE_MODEL_PRICE")],
)
def test_settings_that_cannot_be_used_say_why(given: Mapping[str, str], says: str) -> None:
    with pytest.raises(ModelSettingsError, match=says):
        bedrock_settings({"TROUPE_MODEL_URL": "bedrock", **given})
