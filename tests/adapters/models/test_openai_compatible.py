"""What becomes of a call, whatever the endpoint does."""

import logging
import threading
import traceback
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from email.utils import format_datetime
from itertools import repeat
from typing import Any

import pytest
from model_server import (
    KEY,
    NAME,
    ModelServer,
    Reply,
    answered,
    cut,
    decided,
    endless,
    failed,
    failed_slowly,
    failed_while_writing,
    hung_up,
    raw,
    refusal,
    silent,
    stalled,
    streamed,
    text,
    unless,
    whole,
)

from functions.adapters.models.bound import Call, Message
from functions.adapters.models.openai_compatible import TRIES, OpenAICompatible
from functions.errors import PermanentError
from functions.ports.models import ModelError

Connect = Callable[..., OpenAICompatible]
SCHEMA = {"type": "object", "properties": {"a": {"type": "integer"}}, "required": ["a"], "additionalProperties": False}


class Asked:
    """One call, with what was shown of it and what it cost."""

    def __init__(self, chat: OpenAICompatible, *, booked: list[tuple[int, int]] | None = None, **given: Any) -> None:
        self.shown: list[str] = []
        self.booked: list[tuple[int, int]] = [] if booked is None else booked
        self.said = ""
        self.error: ModelError | None = None
        values: dict[str, Any] = {
            "messages": (Message("system", "Be brief."), Message("user", "Is it?")),
            "schema": None,
            "max_tokens": 50,
            "left_s": 60.0,
            "check": lambda: None,
        }
        call = Call(**(values | given), show=self.shown.append, book=lambda *used: self.booked.append(used))
        try:
            self.said = chat.complete(call)
        except ModelError as error:
            self.error = error

    @property
    def reason(self) -> str:
        return self.error.reason if self.error else ""


def test_what_the_model_writes_is_shown_piece_by_piece_and_returned_whole(
    server: ModelServer, connect: Connect
) -> None:
    server.replies = [text("It is so, na\u00efvely \u2014 \U0001f600.")]
    asked = Asked(connect())
    assert asked.said == "It is so, na\u00efvely \u2014 \U0001f600."
    assert len(asked.shown) > 1
    assert "".join(asked.shown) == asked.said


def test_the_tokens_that_the_endpoint_counted_are_booked(server: ModelServer, connect: Connect) -> None:
    server.replies = [text("Yes.", usage={"prompt_tokens": 31, "completion_tokens": 7, "total_tokens": 38})]
    assert Asked(connect()).booked == [(31, 7)]


@pytest.mark.parametrize(
    "usage",
    [
        None,
        {"prompt_tokens": 0, "completion_tokens": 0},
        {"prompt_tokens": None, "completion_tokens": None},
        {"prompt_tokens": -5, "completion_tokens": -5},
    ],
)
def test_where_the_endpoint_counts_nothing_more_is_booked_than_there_was(
    server: ModelServer, connect: Connect, usage: dict[str, Any] | None
) -> None:
    server.replies = [text("one two three four five six", usage=usage)]
    ((read, written),) = Asked(connect()).booked
    assert read >= len(["Be", "brief.", "Is", "it?"])
    assert written >= len(["one", "two", "three", "four", "five", "six"])


def test_a_call_that_is_stopped_meanwhile_is_cut_off_and_what_came_of_it_is_booked(
    server: ModelServer, connect: Connect
) -> None:
    seen: list[int] = []

    def check() -> None:
        seen.append(1)
        if len(seen) > 3:
            raise PermanentError("stopped")

    server.replies = [streamed("abcdefgh")]
    booked: list[tuple[int, int]] = []
    with pytest.raises(PermanentError, match="stopped"):
        Asked(connect(), check=check, booked=booked)
    ((_, written),) = booked
    assert written > 0
    assert len(seen) == 4


def test_a_last_chunk_whose_choices_are_null_is_understood(server: ModelServer, connect: Connect) -> None:
    count = b'data: {"choices": null, "usage": {"prompt_tokens": 3, "completion_tokens": 1}}\n\n'
    server.replies = [raw(b'data: {"choices": [{"delta": {"content": "Yes."}}]}\n\n', count, b"data: [DONE]\n\n")]
    asked = Asked(connect())
    assert (asked.said, asked.booked) == ("Yes.", [(3, 1)])


def test_a_count_that_no_store_could_hold_is_not_believed(server: ModelServer, connect: Connect) -> None:
    server.replies = [text("Yes.", usage={"prompt_tokens": 10**18, "completion_tokens": 10**18})]
    ((read, written),) = Asked(connect()).booked
    assert read + written < 2**31


def test_the_whole_conversation_goes_over_one_connection(server: ModelServer, connect: Connect) -> None:
    chat = connect()
    for _ in range(3):
        assert Asked(chat).said == "Yes."
    assert len(server.bodies) == 3
    assert len(server.connections) == 1


def test_many_threads_may_ask_at_once(server: ModelServer, connect: Connect) -> None:
    server.replies = [text("Yes.")]
    chat, said = connect(), list[str]()
    threads = [threading.Thread(target=lambda: said.append(Asked(chat).said)) for _ in range(16)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert said == ["Yes."] * 16


def test_an_endpoint_that_cannot_stream_is_understood(server: ModelServer, connect: Connect) -> None:
    server.replies = [whole("Yes.")]
    asked = Asked(connect())
    assert (asked.said, asked.booked) == ("Yes.", [(100, 20)])


@pytest.mark.parametrize(
    ("written", "said"),
    [
        ("<think>Hm.\nWell.</think>\n\nYes.", "Yes."),
        ("\n<think></think>Yes.", "Yes."),
        ("Yes, <think> is a tag.", "Yes, <think> is a tag."),
        ("<thin", "<thin"),
        ("<b>Yes.</b>", "<b>Yes.</b>"),
    ],
)
def test_what_a_model_thinks_before_it_answers_is_left_out(
    server: ModelServer, connect: Connect, written: str, said: str
) -> None:
    server.replies = [streamed(written)]  # a character a chunk
    asked = Asked(connect())
    assert asked.said == said
    assert "".join(asked.shown) == said


def test_a_model_that_only_thinks_says_nothing(server: ModelServer, connect: Connect) -> None:
    server.replies = [text("<think>Hm. And then")]
    asked = Asked(connect())
    assert (asked.reason, asked.shown) == ("malformed", [])


def test_reasoning_that_comes_apart_is_not_shown_and_is_counted(server: ModelServer, connect: Connect) -> None:
    server.replies = [text("Let me think of it.", field="reasoning_content", usage=None)]
    asked = Asked(connect())
    assert (asked.reason, asked.shown) == ("malformed", [])
    assert asked.booked[0][1] >= 5


def test_a_model_that_goes_round_in_circles_is_cut_off(server: ModelServer, connect: Connect) -> None:
    server.replies = [endless("The following sentences are from the following document.\n")]
    asked = Asked(connect(), max_tokens=1_000_000)
    assert asked.reason == "truncated"
    assert len("".join(asked.shown)) < 10_000


def test_a_text_that_only_says_things_again_is_not_cut_off(server: ModelServer, connect: Connect) -> None:
    said = " ".join(f"Item {number} of the list is sorted in place, as every other item of it." for number in range(50))
    server.replies = [text(said)]
    assert Asked(connect(), max_tokens=2_000).said == said


# ----------------------------------------------------------------------------------------- what fails


@pytest.mark.parametrize(
    ("reply", "reason"),
    [
        (refusal(), "refused"),
        (text("I will", finish="content_filter"), "refused"),
        (text("It goes on", finish="length"), "truncated"),
        (endless(), "truncated"),
        (text(""), "malformed"),
        (text("", finish="tool_calls"), "malformed"),
        (raw(b"\x00\xff\xfe garbage \n\n more\n\n"), "malformed"),
        (raw(b'data: {"choices": "no"}\n\n'), "malformed"),
        (raw(b'data: {"choices": [{"delta": {"content": "\xff\xfe"}}]}\n\n'), "malformed"),
        (raw(b'data: {"choices": [{"delta": {"content": "\\ud800"}}]}\n\n'), "malformed"),
        (raw(*repeat(b"x" * 65_536, 20)), "malformed"),
        (answered(200, b"<html>Log in</html>", "text/html"), "malformed"),
        (answered(200, b"[1, 2", "application/json"), "malformed"),
        (failed_while_writing("It is", "the GPU fell off"), "server error"),
        (failed(501), "server error"),
        (failed(404, "The model does not exist"), "rejected"),
        (failed(400, "This model's maximum context length is 8 tokens.", "context_length_exceeded"), "rejected"),
        (failed(413, "Too large"), "rejected"),
        (answered(302, b"", location="http://127.0.0.1:9/"), "rejected"),
        (failed(429, "You exceeded your quota.", "insufficient_quota"), "rate limited"),
        (cut("It is"), "unreachable"),
        (streamed(["It is"], finish=None), "unreachable"),
    ],
)
def test_what_cannot_be_used_is_an_error_with_its_reason_and_is_not_asked_again(
    server: ModelServer, connect: Connect, reply: Reply, reason: str
) -> None:
    server.replies = [reply]
    asked = Asked(connect())
    assert asked.reason == reason
    assert NAME in str(asked.error)
    assert len(server.bodies) == 1


def test_an_answer_that_goes_silent_is_a_timeout_and_what_was_read_is_booked(
    server: ModelServer, connect: Connect
) -> None:
    server.replies = [stalled("It is so and so")]
    asked = Asked(connect(silence_s=0.2))
    assert asked.reason == "timeout"
    assert asked.booked[0][1] >= 4
    assert "".join(asked.shown) == "It is so and so"


def test_an_endpoint_that_never_answers_is_a_timeout_and_is_not_asked_again(
    server: ModelServer, connect: Connect
) -> None:
    server.replies = [silent]
    assert Asked(connect(silence_s=0.2)).reason == "timeout"
    assert len(server.bodies) == 1


def test_an_answer_that_drips_for_ever_ends_with_the_time_of_the_call(server: ModelServer, connect: Connect) -> None:
    server.replies = [endless(every_s=0.05)]
    asked = Asked(connect(), left_s=0.5, max_tokens=1_000_000)
    assert asked.reason == "timeout"
    assert asked.booked


@pytest.mark.parametrize(("status", "reason"), [(400, "rejected"), (503, "server error")])
def test_an_error_that_drips_for_ever_ends_with_the_time_of_the_call(
    server: ModelServer, connect: Connect, status: int, reason: str
) -> None:
    server.replies = [failed_slowly(status)]
    assert Asked(connect(), left_s=0.5, schema=SCHEMA).reason == reason
    assert len(server.bodies) == 1, "there was no time to ask again"


def test_a_silence_longer_than_the_call_ends_with_the_time_of_the_call(server: ModelServer, connect: Connect) -> None:
    server.replies = [stalled("It is")]
    assert Asked(connect(), left_s=0.3).reason == "timeout"


def test_the_next_call_is_untouched_by_one_whose_time_was_over(server: ModelServer, connect: Connect) -> None:
    chat = connect()
    server.replies = [endless(every_s=0.05), text("Yes.")]
    assert Asked(chat, left_s=0.3, max_tokens=1_000_000).reason == "timeout"
    assert Asked(chat).said == "Yes."


def test_an_endpoint_that_is_not_there_is_unreachable(connect: Connect) -> None:
    pauses: list[float] = []
    asked = Asked(connect(pauses, TROUPE_MODEL_URL="http://127.0.0.1:9/v1"))
    assert asked.reason == "unreachable"
    assert "TROUPE_MODEL_URL" in str(asked.error)
    assert len(pauses) == TRIES - 1
    assert asked.booked == [], "nobody read anything"


# ------------------------------------------------------------------------------------------ what is tried again


@pytest.mark.parametrize("reply", [failed(429), failed(500), failed(502), failed(503), failed(504), hung_up, cut()])
def test_what_passes_is_tried_again(server: ModelServer, connect: Connect, reply: Reply) -> None:
    server.replies = [reply, reply, text("Yes.")]
    pauses: list[float] = []
    asked = Asked(connect(pauses))
    assert (asked.said, len(pauses)) == ("Yes.", 2)
    assert "".join(asked.shown) == "Yes."


@pytest.mark.parametrize(
    ("reply", "reason"), [(failed(429), "rate limited"), (failed(503), "server error"), (hung_up, "unreachable")]
)
def test_what_does_not_pass_is_given_up(server: ModelServer, connect: Connect, reply: Reply, reason: str) -> None:
    server.replies = [reply]
    assert Asked(connect()).reason == reason
    assert len(server.bodies) == TRIES


@pytest.mark.parametrize("said", ["7", "date"])
def test_an_endpoint_is_not_asked_again_before_it_says(server: ModelServer, connect: Connect, said: str) -> None:
    after = format_datetime(datetime.now(UTC) + timedelta(seconds=8), usegmt=True) if said == "date" else said
    server.replies = [failed(429, retry_after=after), text("Yes.")]
    pauses: list[float] = []
    assert Asked(connect(pauses)).said == "Yes."
    assert 6 < pauses[0] < 9


@pytest.mark.parametrize(
    "said", ["soon", "-1", "Sun, 06 Nov 1994 08:49:37 GMT", "1e9", "", f"Sun, 06 Nov {10**20} 08:49:37 GMT"]
)
def test_a_time_to_wait_that_makes_no_sense_is_no_time(server: ModelServer, connect: Connect, said: str) -> None:
    server.replies = [failed(503, retry_after=said), text("Yes.")]
    pauses: list[float] = []
    assert Asked(connect(pauses)).said == "Yes."
    assert 0 <= pauses[0] < 2


def test_a_wait_that_ends_after_the_call_is_not_begun(server: ModelServer, connect: Connect) -> None:
    server.replies = [failed(429, retry_after="3600"), text("Yes.")]
    pauses: list[float] = []
    assert Asked(connect(pauses)).reason == "rate limited"
    assert pauses == []


# ------------------------------------------------------------------------------------------ dialects


@pytest.mark.parametrize(
    ("refused", "complaint"),
    [
        (
            lambda body: "max_tokens" in body,
            failed(400, "Unsupported parameter: 'max_tokens'. Use 'max_completion_tokens' instead."),
        ),
        (lambda body: "temperature" in body, failed(400, "Unsupported value: 'temperature' does not support 0.")),
        (lambda body: "stream_options" in body, failed(422, "extra fields not permitted: stream_options")),
        (lambda body: body["messages"][0]["role"] == "system", failed(400, "System role not supported")),
        (
            lambda body: body.get("response_format", {}).get("type") == "json_schema",
            answered(422, b'{"detail": [{"loc": ["body", "response_format"], "msg": "unexpected value"}]}'),
        ),
        (lambda body: "response_format" in body, failed(400, "Nobody knows what is wrong")),
    ],
)
def test_what_an_endpoint_does_not_take_is_left_out_then_and_later(
    server: ModelServer, connect: Connect, refused: Callable[[dict[str, Any]], bool], complaint: Reply
) -> None:
    server.replies = [unless(refused, complaint, decided({"a": 1}))]
    chat = connect()
    assert Asked(chat, schema=SCHEMA).said == '{"a": 1}'
    assert "Be brief." in server.prompt()
    before = len(server.bodies)
    assert Asked(chat, schema=SCHEMA).said == '{"a": 1}'
    assert len(server.bodies) == before + 1, "it was not asked in that way again"


def test_an_endpoint_is_asked_for_a_strict_shape_first_and_is_told_it_in_words_last(
    server: ModelServer, connect: Connect
) -> None:
    refuses = unless(lambda body: "response_format" in body, failed(400, "response_format"), decided({"a": 1}))
    server.replies = [refuses]
    Asked(connect(), schema=SCHEMA)
    asked = [body.get("response_format", {}).get("type") for body in server.bodies]
    assert asked == ["json_schema", "json_object", None]
    assert server.bodies[0]["response_format"]["json_schema"]["strict"] is True
    assert '"additionalProperties":false' not in server.prompt(0)
    assert '"additionalProperties":false' in server.prompt(2)


def test_a_complaint_that_nothing_answers_is_an_error_and_nothing_is_learnt_from_it(
    server: ModelServer, connect: Connect
) -> None:
    chat = connect()
    server.replies = [failed(400, "The model is asleep")]
    asked = Asked(chat, schema=SCHEMA)
    assert asked.reason == "rejected"
    assert "The model is asleep" in str(asked.error)
    server.replies = [decided({"a": 1})]
    assert Asked(chat, schema=SCHEMA).said
    assert server.bodies[-1]["response_format"]["type"] == "json_schema"


# ------------------------------------------------------------------------------------------ the key


@pytest.mark.parametrize(
    "reply",
    [
        text("Yes."),
        failed(400, f"Is {KEY} the key?"),
        failed(404, KEY),
        failed(500, KEY),
        failed_while_writing("It is", KEY),
        raw(b'data: {"choices": "' + KEY.encode() + b'"}\n\n'),
        hung_up,
        cut("It is"),
    ],
)
def test_the_key_is_in_no_log_and_no_error(
    server: ModelServer, connect: Connect, reply: Reply, caplog: pytest.LogCaptureFixture
) -> None:
    server.replies = [reply]
    chat = connect()
    with caplog.at_level(logging.DEBUG):
        asked = Asked(chat)
    said = [caplog.text, repr(chat), str(vars(chat))]
    if asked.error:
        said += [str(asked.error), repr(asked.error), "".join(traceback.format_exception(asked.error))]
    assert len(server.bodies) >= 1
    assert [each for each in said if KEY in each] == []


@pytest.mark.parametrize("key", ["sk-wrong-123456", ""])
def test_a_wrong_key_is_rejected_by_the_name_of_its_variable(server: ModelServer, connect: Connect, key: str) -> None:
    asked = Asked(connect(TROUPE_MODEL_KEY=key))
    assert asked.reason == "rejected"
    assert "TROUPE_MODEL_KEY" in str(asked.error)
    assert "sk-wrong" not in str(asked.error)
    assert len(server.bodies) == 1
