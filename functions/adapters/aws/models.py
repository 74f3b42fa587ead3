"""Models of Bedrock, asked with its Converse API: one form of a call for all of them.

What shaped this file: an answer comes whole, so that one who hangs cannot be told from one who writes. So a call is
made again only where nothing was done, and one that broke off or failed at the other end is booked as if all of it had
been used, and not made again: each costs. What a model does not take, instructions of their own or a temperature, it
says with status 400, and is not sent again.
"""

import re
from collections.abc import Mapping
from typing import Any, Final
from urllib.parse import quote

import msgspec

from functions.adapters.aws.client import BEDROCK, Aws, AwsError, NotReachedError, did_nothing
from functions.adapters.models.bound import Call, Message, estimated_read, estimated_tokens
from functions.adapters.models.prices import Price, UnknownPriceError, given_price, listed_price
from functions.adapters.models.protocol import WithoutThoughts
from functions.adapters.models.settings import MODEL, PRICE, URL, ModelSettingsError
from functions.adapters.rest import Reply
from functions.events.decoding import decoder
from functions.ports.models import ModelError

NAME: Final = "bedrock"  # in the place of a URL
MOST_TOKENS: Final = 100_000_000  # that any count is believed to be
_CUT_OFF: Final = frozenset({"max_tokens", "model_context_window_exceeded"})
_REFUSED: Final = frozenset({"guardrail_intervened", "content_filtered"})
_ENDED: Final = frozenset({"end_turn", "stop_sequence"})
_NO_SYSTEM: Final = re.compile(r"system (?:message|prompt|role)", re.IGNORECASE)
_NOTHING_DONE: Final = frozenset({400, 401, 403, 404, 409, 413, 429})
_LATER: Final = frozenset({"ThrottlingException", "TooManyRequestsException", "ModelNotReadyException"})


class BedrockSettings(msgspec.Struct, frozen=True, kw_only=True):
    """A model of Bedrock.

    Attributes:
        model: Its id, or that of an inference profile, or its ARN.
        price: Of a million tokens.
    """

    model: str
    price: Price


def bedrock_settings(environment: Mapping[str, str]) -> BedrockSettings | None:
    """What the environment says; None where the model is not one of Bedrock.

    Raises:
        ModelSettingsError: With everything that is wrong.
    """
    if environment.get(URL, "").strip() != NAME:
        return None
    model, given = environment.get(MODEL, "").strip(), environment.get(PRICE, "").strip()
    problems = [] if model else [f"{MODEL} is not set: give the id of a model or of an inference profile"]
    price = Price(read=0, written=0)
    try:
        if given or model:
            price = given_price(given) if given else listed_price(model)
    except UnknownPriceError as error:
        problems.append(str(error))
    if problems:
        raise ModelSettingsError("the model cannot be used: " + "; ".join(problems))
    return BedrockSettings(model=model, price=price)


class _Block(msgspec.Struct, frozen=True):
    text: str | None = None


class _Said(msgspec.Struct, frozen=True):
    content: tuple[_Block, ...] = ()


class _Output(msgspec.Struct, frozen=True):
    message: _Said = _Said()


class _Usage(msgspec.Struct, frozen=True, rename="camel"):
    input_tokens: int = 0
    output_tokens: int = 0
    cache_read_input_tokens: int = 0
    cache_write_input_tokens: int = 0


class _Answer(msgspec.Struct, frozen=True, rename="camel"):
    output: _Output
    stop_reason: str
    usage: _Usage = _Usage()

    @property
    def text(self) -> str:
        """Without what the model thought, whether it marked that or had a block of its own for it."""
        thoughts = WithoutThoughts()
        said = "".join(thoughts.add(block.text) for block in self.output.message.content if block.text)
        return said + thoughts.rest()


class _Dialect(msgspec.Struct, frozen=True, kw_only=True):
    """What a model takes, as far as it is known."""

    temperature: bool = True
    system: bool = True

    def without(self, complaint: str) -> "_Dialect | None":
        """This one without what Bedrock complains of; None where that is nothing that can be left out."""
        if self.temperature and "temperature" in complaint.lower():
            return msgspec.structs.replace(self, temperature=False)
        if self.system and _NO_SYSTEM.search(complaint):
            return msgspec.structs.replace(self, system=False)
        return None


class BedrockChat:
    """The `Chat` of one model. Safe to use from several threads.

    Args:
        aws: The client that signs.
        settings: Which model.
    """

    def __init__(self, aws: Aws, settings: BedrockSettings) -> None:
        self._aws = aws
        self._settings = settings
        self._dialect = _Dialect()

    @property
    def model(self) -> str:
        """See `Chat.model`."""
        return self._settings.model

    @property
    def price(self) -> Price:
        """See `Chat.price`."""
        return self._settings.price

    def complete(self, call: Call) -> str:
        """See `Chat.complete`; the text is shown whole, once it is there."""
        answer = self._asked(call)
        call.book(*_used(answer, call))
        call.check()
        return self._said(answer, call)

    def _asked(self, call: Call) -> _Answer:
        """The answer, to the call as the model takes it."""
        while True:
            dialect = self._dialect
            try:
                return self._sent(call, dialect)
            except AwsError as error:
                simpler = dialect.without(error.said) if error.code == "ValidationException" else None
                if simpler is None:
                    raise self._failed(error, call) from None
                self._dialect = simpler

    def _sent(self, call: Call, dialect: _Dialect) -> _Answer:
        return self._aws.send(
            BEDROCK,
            "POST",
            f"/model/{quote(self.model, safe='-_.~')}/converse",
            headers={"content-type": "application/json"},
            body=msgspec.json.encode(_body(call, dialect)),
            read=_read,
            within_s=call.left_s,
            again=did_nothing,
        )

    def _failed(self, error: AwsError, call: Call) -> ModelError:
        if isinstance(error, NotReachedError):
            return ModelError(f"{self.model} was not asked: {error.said}", reason="unreachable")
        said = f"{self.model} was not answered for ({error.code}: {error.said})"
        if error.code in _LATER:
            return ModelError(said, reason="rate limited")
        if error.status in _NOTHING_DONE:
            return ModelError(f"{said}: see that {MODEL} is right, and that the role may invoke it", reason="rejected")
        call.book(estimated_read(call.messages, call.schema), call.max_tokens)  # it may have written, to the end
        if error.status == 0:
            return ModelError(f"{self.model} gave no answer in time: {error.said}", reason="timeout")
        return ModelError(said, reason="server error")

    def _said(self, answer: _Answer, call: Call) -> str:
        text = answer.text
        if answer.stop_reason in _REFUSED:
            raise ModelError(f"{self.model} refused to answer", reason="refused")
        if text:
            call.show(text)
        if answer.stop_reason in _CUT_OFF:
            raise ModelError(
                f"{self.model} was cut off: it came to no end within what it was allowed", reason="truncated"
            )
        if answer.stop_reason not in _ENDED or not text.strip():
            raise ModelError(f"{self.model} said nothing that can be used ({answer.stop_reason})", reason="malformed")
        return text


def _body(call: Call, dialect: _Dialect) -> dict[str, Any]:
    (instructions, *others) = call.messages
    told = instructions.content
    if call.schema:
        schema = msgspec.json.encode(call.schema).decode()
        told += f"\n\nAnswer with one JSON object of this JSON Schema and nothing else: {schema}"
    if not dialect.system:
        others[0] = Message(others[0].role, f"{told}\n\n{others[0].content}")
    return {
        "messages": [{"role": each.role, "content": [{"text": each.content}]} for each in others],
        **({"system": [{"text": told}]} if dialect.system else {}),
        "inferenceConfig": {"maxTokens": call.max_tokens, **({"temperature": 0} if dialect.temperature else {})},
    }


def _read(reply: Reply) -> _Answer:
    return decoder(_Answer).decode(reply.body)


def _used(answer: _Answer, call: Call) -> tuple[int, int]:
    """Tokens read, with those of a cache, and written: as Bedrock counts them, or more than there were."""
    usage = answer.usage
    read = usage.input_tokens + usage.cache_read_input_tokens + usage.cache_write_input_tokens
    if read <= 0:
        read = estimated_read(call.messages, call.schema)
    written = usage.output_tokens if usage.output_tokens > 0 else estimated_tokens(answer.text)
    return min(read, MOST_TOKENS), min(written, MOST_TOKENS)
