"""What a delivery may have of a model: no more than its request's budget and its own time."""

import json
from collections.abc import Callable
from datetime import UTC, datetime, timedelta

import msgspec
import pytest

from functions.adapters.models.bound import MARGIN_S, BoundModel, Call, estimated_tokens
from functions.adapters.models.prices import Price
from functions.ports.models import ModelError
from functions.ports.spending import Spent
from functions.ports.stops import Scope, Stop
from functions.runtime.guard import RefusedError
from functions.runtime.workflow import Budget

NOW = datetime(2026, 1, 5, 9, 0, tzinfo=UTC)


class Shape(msgspec.Struct):
    queries: list[str]


class Chat:
    """Says what it is told to, for 100 tokens read and 10 written."""

    model = "small"
    price = Price(read=1_000_000, written=2_000_000)

    def __init__(self, *says: str | ModelError) -> None:
        self.says = list(says)
        self.calls: list[Call] = []

    def complete(self, call: Call) -> str:
        self.calls.append(call)
        call.book(100, 10)
        said = self.says.pop(0)
        if isinstance(said, ModelError):
            raise said
        for letter in said:
            call.show(letter)
        return said


class Ledger:
    def __init__(self, tokens: int = 0, micros: int = 0) -> None:
        self.sum = Spent(tokens, micros)

    def spent(self) -> Spent:
        return self.sum

    def reserve(self, spent: Spent, *, within: Spent) -> bool:
        total = self.sum + spent
        if total.tokens > within.tokens or total.micros > within.micros:
            return False
        self.sum = total
        return True

    def spend(self, spent: Spent) -> None:
        self.sum += spent


class Page:
    def __init__(self) -> None:
        self.text = ""
        self.ended = 0

    def grow(self, text: str) -> None:
        self.text += text

    def end(self) -> None:
        self.ended += 1


def bound(chat: Chat, ledger: Ledger | None = None, page: Page | None = None, **given: object) -> BoundModel:
    values: dict[str, object] = {
        "budget": Budget(),
        "until": NOW + timedelta(seconds=30),
        "now": lambda: NOW,
        "stopped": lambda: None,
    }
    return BoundModel(chat, spending=ledger or Ledger(), growing=page or Page(), **(values | given))  # type: ignore[arg-type]


def refused(ask: Callable[[], object]) -> str:
    with pytest.raises(ModelError) as error:
        ask()
    return error.value.reason


def test_what_is_written_is_seen_and_booked() -> None:
    ledger, page = Ledger(), Page()
    model = bound(Chat("Yes."), ledger, page)
    assert (model.name, model.write("Be brief.", "Is it?", max_tokens=50)) == ("small", "Yes.")
    assert (page.text, page.ended) == ("Yes.", 1)
    assert ledger.sum == Spent(110, 120)


def test_what_failed_is_booked_too_and_what_was_seen_of_it_stays() -> None:
    ledger, page = Ledger(), Page()
    assert refused(lambda: bound(Chat(ModelError("no", reason="refused")), ledger, page).write("", "", max_tokens=9))
    assert ledger.sum == Spent(110, 120)
    assert page.ended == 1


def test_a_decision_is_of_its_shape_and_nobody_sees_it_grow() -> None:
    page = Page()
    chat = Chat('{"queries": ["a"]}')
    assert bound(chat, page=page).decide("Plan.", "?", Shape, max_tokens=50) == Shape(queries=["a"])
    assert page.text == ""
    assert chat.calls[0].schema is not None
    assert chat.calls[0].schema["required"] == ["queries"]


@pytest.mark.parametrize("said", ["I think so.", '{"queries": [1]}', '{"queries": ["a"', "[]", "{}", ""])
def test_what_is_not_of_the_shape_is_sent_back_once_with_what_is_wrong(said: str) -> None:
    chat, ledger = Chat(said, '{"queries": ["a"]}'), Ledger()
    assert bound(chat, ledger).decide("Plan.", "?", Shape, max_tokens=50) == Shape(queries=["a"])
    *_, wrong, mended = chat.calls[1].messages
    assert (wrong.role, wrong.content) == ("assistant", said)
    assert json.dumps("queries") in mended.content
    assert ledger.sum.tokens == 220, "both calls are paid for"


def test_what_is_wrong_twice_is_malformed() -> None:
    chat = Chat("no", "no", "no")
    assert refused(lambda: bound(chat).decide("Plan.", "?", Shape, max_tokens=50)) == "malformed"
    assert len(chat.calls) == 2


def test_an_error_of_the_endpoint_is_not_mended() -> None:
    chat = Chat(ModelError("cut", reason="truncated"), "{}")
    assert refused(lambda: bound(chat).decide("Plan.", "?", Shape, max_tokens=50)) == "truncated"
    assert len(chat.calls) == 1


@pytest.mark.parametrize(
    "ledger", [Ledger(tokens=200_000), Ledger(tokens=199_990), Ledger(micros=1_000_000), Ledger(micros=10**9)]
)
def test_a_spent_budget_asks_nobody(ledger: Ledger) -> None:
    chat, before = Chat("Yes."), ledger.sum
    assert refused(lambda: bound(chat, ledger).write("Be brief.", "Is it?", max_tokens=50)) == "budget"
    assert chat.calls == []
    assert ledger.sum == before


def test_a_call_may_write_no_more_tokens_than_the_budget_leaves() -> None:
    chat = Chat("Yes.")
    bound(chat, Ledger(tokens=199_900)).write("Be", "it?", max_tokens=500)
    assert 16 <= chat.calls[0].max_tokens < 100


def test_a_call_may_write_no_more_tokens_than_the_money_pays_for() -> None:
    chat = Chat("Yes.")
    bound(chat, Ledger(micros=1_000_000 - 200)).write("Be", "it?", max_tokens=500)
    allowed = chat.calls[0].max_tokens
    assert allowed >= 16
    assert chat.price.of(0, allowed) < 200


def test_a_model_that_costs_nothing_is_limited_by_tokens_alone() -> None:
    chat = Chat("Yes.")
    chat.price = Price(read=0, written=0)
    bound(chat, Ledger(micros=1_000_000)).write("Be", "it?", max_tokens=500)
    assert chat.calls[0].max_tokens == 500


def test_a_prompt_that_alone_is_past_the_budget_asks_nobody() -> None:
    chat = Chat("Yes.")
    assert refused(lambda: bound(chat).write("Be", "x" * 500_000, max_tokens=50)) == "budget"
    assert chat.calls == []


def test_a_second_call_sees_what_the_first_one_cost() -> None:
    chat, ledger = Chat("no", "no"), Ledger(tokens=199_850)
    assert refused(lambda: bound(chat, ledger).decide("P", "?", Shape, max_tokens=16)) == "budget"
    assert len(chat.calls) == 1


def test_a_call_sees_what_is_reserved_for_one_that_is_at_work() -> None:
    ledger, inner = Ledger(tokens=199_850), Chat("Yes.")

    class Asking(Chat):
        def complete(self, call: Call) -> str:
            reserved = ledger.sum
            assert refused(lambda: bound(inner, ledger).write("Be", "it?", max_tokens=100)) == "budget"
            assert ledger.sum == reserved
            return super().complete(call)

    bound(Asking("Yes."), ledger).write("Be", "it?", max_tokens=120)
    assert inner.calls == []
    assert ledger.sum.tokens == 199_960, "what was reserved, and not used, is given back"


def test_a_call_that_another_one_outran_is_not_made() -> None:
    class Outrun(Ledger):
        def spent(self) -> Spent:
            seen = self.sum
            self.sum = Spent(199_900)
            return seen

    chat = Chat("Yes.")
    assert refused(lambda: bound(chat, Outrun()).write("Be", "it?", max_tokens=500)) == "budget"
    assert chat.calls == []


def test_what_was_reserved_is_given_back_where_nothing_was_used() -> None:
    class Away(Chat):
        def complete(self, call: Call) -> str:
            del call
            raise ModelError("nobody is there", reason="unreachable")

    ledger = Ledger(7, 8)
    assert refused(lambda: bound(Away(), ledger).write("", "", max_tokens=9)) == "unreachable"
    assert ledger.sum == Spent(7, 8)


def test_what_a_call_may_cost_is_booked_before_it_is_made_for_a_crash_may_cut_it_off() -> None:
    ledger = Ledger()

    class Watching(Chat):
        def complete(self, call: Call) -> str:
            assert ledger.sum.tokens > call.max_tokens
            return super().complete(call)

    bound(Watching("Yes."), ledger).write("Be", "it?", max_tokens=50)


def test_a_call_is_given_the_time_that_the_delivery_has_left_and_some_is_kept() -> None:
    chat = Chat("Yes.")
    bound(chat, until=NOW + timedelta(seconds=10)).write("", "", max_tokens=50)
    assert 5 < chat.calls[0].left_s < 10


@pytest.mark.parametrize("left_s", [-5, 0, 1])
def test_without_time_nobody_is_asked(left_s: float) -> None:
    chat = Chat("Yes.")
    model = bound(chat, until=NOW + timedelta(seconds=left_s))
    assert refused(lambda: model.write("", "", max_tokens=50)) == "timeout"
    assert chat.calls == []


@pytest.mark.parametrize(
    "text", ["the quick brown fox", "\u4e8b\u5b9f" * 50, "x = f(y)[0] + {1: 2}", "\U0001f600" * 20]
)
def test_an_estimate_is_more_than_any_word_or_letter_count(text: str) -> None:
    assert estimated_tokens(text) >= max(len(text.split()), len(text) / 2)


STOP = Stop(scope=Scope(kind="stack"), reason="a leak", by="sam", at=NOW)


def test_no_model_is_asked_for_what_is_stopped() -> None:
    chat = Chat("Yes.")
    model = bound(chat, stopped=lambda: STOP)
    with pytest.raises(RefusedError, match="everything was stopped by sam: a leak") as refusal:
        model.write("Be brief.", "Is it?", max_tokens=5)
    assert refusal.value.reason == "stopped"
    assert chat.calls == []


def test_a_call_is_given_the_stop_switch_to_look_at() -> None:
    stops: list[Stop] = []
    chat = Chat("Yes.")
    bound(chat, stopped=lambda: stops[0] if stops else None).write("Be brief.", "Is it?", max_tokens=5)
    chat.calls[0].check()
    stops.append(STOP)
    with pytest.raises(RefusedError, match="everything was stopped"):
        chat.calls[0].check()


def test_a_call_has_no_more_time_than_its_attempt_and_none_is_made_once_that_is_over() -> None:
    chat = Chat("Yes.")
    bound(chat, until=NOW + timedelta(seconds=10)).write("Be brief.", "Is it?", max_tokens=5)
    assert chat.calls[0].left_s == 10 - MARGIN_S
    late = bound(chat, until=NOW + timedelta(seconds=MARGIN_S))
    assert refused(lambda: late.write("Be brief.", "Is it?", max_tokens=5)) == "timeout"
    assert len(chat.calls) == 1
