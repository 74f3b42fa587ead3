"""The `LanguageModel` port over any endpoint: within a request's budget and a delivery's time, and booked.

An endpoint only completes one chat. What a call may cost is worked out here before it is made, with more tokens
than it can have, and reserved, so that agents that ask at the same time do not spend the same money. As soon as it is
over, whatever came of it, what it did cost by the endpoint's own count stands in its place. A call that a crash cut off
keeps what was reserved for it: it may have cost that.
"""

import math
from collections.abc import Callable, Mapping, Sequence
from datetime import datetime
from typing import Any, Literal, Protocol

import msgspec

from functions.adapters.models.prices import MILLION, Price
from functions.adapters.models.protocol import json_in, schema_of
from functions.events.decoding import decoder
from functions.ports.models import ModelError, S
from functions.ports.spending import Growing, Spending, Spent
from functions.ports.stops import Stop
from functions.runtime.guard import RefusedError
from functions.runtime.workflow import Budget

# Three to five in English, three or more in code and Chinese; as few as one in a script that a vocabulary has not.
BYTES_OF_A_TOKEN = 2
TOKENS_OF_A_MESSAGE = 8  # for what marks its beginning, its role and its end
LEAST_TOKENS = 16  # with fewer left of a budget, no answer would come of a call
MARGIN_S = 1.5  # of the delivery's time, kept for the way without the model


class Message(msgspec.Struct, frozen=True):
    """A turn of a chat, as it is sent."""

    role: Literal["system", "user", "assistant"]
    content: str


class Call(msgspec.Struct, frozen=True, kw_only=True):
    """One chat to be completed.

    Attributes:
        messages: The first one has the instructions.
        schema: Of the JSON object that is asked for; None for text.
        max_tokens: How many may be written.
        left_s: In how many seconds it must be over, with every retry.
        show: Takes each piece of the text as it comes.
        book: Takes what was used once that is known: tokens read, tokens written. For a call that is made
            again, once more.
        check: Called with everything that comes of the answer; ends the call by raising, where it must not go on.
    """

    messages: tuple[Message, ...]
    schema: dict[str, Any] | None
    max_tokens: int
    left_s: float
    show: Callable[[str], None]
    book: Callable[[int, int], None]
    check: Callable[[], None]


class Chat(Protocol):
    """An endpoint with a model behind it; safe to use from any thread."""

    @property
    def model(self) -> str:
        """As the endpoint knows it."""
        ...

    @property
    def price(self) -> Price:
        """What a call costs."""
        ...

    def complete(self, call: Call) -> str:
        """What the model says.

        Raises:
            ModelError: It said nothing that can be used.
        """
        ...


def estimated_tokens(text: str) -> int:
    """More tokens than a text has, unless its vocabulary knows hardly any of its letters."""
    return math.ceil(len(text.encode(errors="replace")) / BYTES_OF_A_TOKEN)


def estimated_read(messages: Sequence[Message], schema: Mapping[str, Any] | None) -> int:
    """More tokens than a model reads of these messages."""
    told = msgspec.json.encode(schema).decode() if schema else ""
    return estimated_tokens(told) + sum(TOKENS_OF_A_MESSAGE + estimated_tokens(message.content) for message in messages)


class BoundModel:
    """The `LanguageModel` of one attempt of one delivery."""

    def __init__(  # noqa: PLR0913 - each is another part of what a delivery is bound to
        self,
        chat: Chat,
        *,
        spending: Spending,
        growing: Growing,
        budget: Budget,
        until: datetime,
        now: Callable[[], datetime],
        stopped: Callable[[], Stop | None],
    ) -> None:
        self._chat = chat
        self._spending = spending
        self._growing = growing
        self._budget = budget
        self._until = until
        self._now = now
        self._stopped = stopped

    @property
    def name(self) -> str:
        """See `LanguageModel.name`."""
        return self._chat.model

    def write(self, instructions: str, text: str, *, max_tokens: int) -> str:
        """See `LanguageModel.write`."""
        try:
            return self._complete(_opened(instructions, text), None, max_tokens, self._growing.grow)
        finally:
            self._growing.end()

    def decide(self, instructions: str, text: str, shape: type[S], *, max_tokens: int) -> S:
        """See `LanguageModel.decide`; what is not of the shape is sent back once, with what is wrong with it."""
        messages, schema = _opened(instructions, text), schema_of(shape)
        said = self._complete(messages, schema, max_tokens, _unseen)
        try:
            return _shaped(said, shape)
        except msgspec.MsgspecError as error:
            wrong = str(error)
        mended = (
            *messages,
            Message("assistant", said),
            Message(
                "user",
                f"That is wrong: {wrong}. Answer with one JSON object of this JSON Schema and nothing else: "
                f"{msgspec.json.encode(schema).decode()}",
            ),
        )
        said = self._complete(mended, schema, max_tokens, _unseen)
        try:
            return _shaped(said, shape)
        except msgspec.MsgspecError as error:
            raise ModelError(
                f"{self.name} was asked twice for {shape.__name__}, and did not give it: {error}", reason="malformed"
            ) from error

    def _complete(
        self,
        messages: tuple[Message, ...],
        schema: dict[str, Any] | None,
        max_tokens: int,
        show: Callable[[str], None],
    ) -> str:
        self._refuse_if_stopped()
        left_s = (self._until - self._now()).total_seconds() - MARGIN_S
        if left_s <= 0:
            raise ModelError(f"{self.name} was not asked: the delivery's time is over", reason="timeout")
        read = estimated_read(messages, schema)
        allowed = min(max_tokens, self._affordable(read))
        reserved, budget = self._cost(read, allowed), Spent(self._budget.tokens, self._budget.micros)
        if allowed < min(max_tokens, LEAST_TOKENS) or not self._spending.reserve(reserved, within=budget):
            raise ModelError(
                f"{self.name} was not asked: what the request's budget leaves is too little for it", reason="budget"
            )
        used: list[Spent] = []
        call = Call(
            messages=messages,
            schema=schema,
            max_tokens=allowed,
            left_s=left_s,
            show=show,
            book=lambda read, written: used.append(self._cost(read, written)),
            check=self._refuse_if_stopped,
        )
        try:
            return self._chat.complete(call)
        finally:
            self._spending.spend(sum(used, Spent()) - reserved)

    def _refuse_if_stopped(self) -> None:
        """No `ModelError`: there is no way without the model either."""
        stop = self._stopped()
        if stop is not None:
            raise RefusedError(str(stop), reason="stopped")

    def _affordable(self, read: int) -> int:
        """How many tokens may be written, once so many were read."""
        spent, price = self._spending.spent(), self._chat.price
        tokens = self._budget.tokens - spent.tokens - read
        micros = self._budget.micros - spent.micros - price.of(read, 0)
        if micros < 0:
            return 0
        return min(tokens, micros * MILLION // price.written) if price.written else tokens

    def _cost(self, read: int, written: int) -> Spent:
        return Spent(tokens=read + written, micros=self._chat.price.of(read, written))


def _opened(instructions: str, text: str) -> tuple[Message, ...]:
    return Message("system", instructions), Message("user", text)


def _unseen(_: str) -> None:
    """A decision is for the agent alone."""


def _shaped(said: str, shape: type[S]) -> S:
    return decoder(shape).decode(json_in(said))
