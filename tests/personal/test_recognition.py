import sys

import pytest
from hypothesis import given
from hypothesis import strategies as st
from labelled import REGIONS, scores, sentences

from functions.documents.python_docs import python_documents
from functions.personal.recognition import found

#: Measured: see docs/personal-data.md. What the recognition cannot do is in the set as well.
FLOORS = {
    "EMAIL": (1.0, 0.93),
    "PHONE": (0.92, 0.88),
    "CARD": (1.0, 0.93),
    "IBAN": (1.0, 0.96),
    "IP": (1.0, 0.96),
    "ID": (1.0, 0.87),
}


def values(text: str) -> list[tuple[str, str]]:
    return [(each.kind, text[each.start : each.end]) for each in found(text, REGIONS)]


@pytest.mark.parametrize("kind", FLOORS)
def test_precision_and_recall_on_the_labelled_sentences_do_not_fall(kind: str) -> None:
    precision, recall = FLOORS[kind]
    score = scores()[kind]
    assert score.precision >= precision, score.cases
    assert score.recall >= recall, score.cases


def test_the_labelled_set_is_large_and_holds_every_kind_and_sentences_without_any() -> None:
    rows = list(sentences())
    assert len(rows) > 300
    assert {kind for _, holds in rows for kind, _ in holds} == set(FLOORS)
    assert sum(not holds for _, holds in rows) > 80


@pytest.mark.slow
def test_the_standard_librarys_documentation_holds_addresses_of_its_examples_and_nothing_else() -> None:
    texts = [passage.text for document in python_documents() for passage in document.read()]
    taken = [each for text in texts for each in found(text, REGIONS)]
    assert {each.kind for each in taken} <= {"EMAIL", "IP"}
    assert len(taken) < 100


@pytest.mark.parametrize(
    "text",
    [
        *("127.0.0.1", "::1", "0.0.0.0", "::"),  # noqa: S104 - nothing binds to it
        *("255.255.255.0", "10.0.0.0/8", "2001:db8::/32", "224.0.0.1", "8.8.8.8"),
        *("version 1.2.3.4", "a::b", "x[::2]", "12:34:56", "1.0.0.127.in-addr.arpa", "1.3.6.1.4.1.311"),
        *("[EMAIL-mzxw6ytboi4dkmrq]", "[EMAIL-[PHONE-mzxw6ytboi4dkmrq]]", "", " ", "@", "a@b", "\udc80@\udc80"),
    ],
)
def test_what_is_nobodys_stays(text: str) -> None:
    assert values(text) == []


def test_addresses_for_documentation_are_found_like_any_other() -> None:
    assert values("from 192.0.2.7 and 2001:db8::7") == [("IP", "192.0.2.7"), ("IP", "2001:db8::7")]


def test_an_empty_line_parts_numbers_and_what_is_found_lies_where_it_does_in_the_text() -> None:
    assert values("card 4111 1111\n\n1111 1111") == []
    assert values("call 202-555-0123\n202-555-0124") == [("PHONE", "202-555-0123"), ("PHONE", "202-555-0124")]
    assert values("\tA\u200b \r\n  card 4111 1111\r\n\t1111 1111\r\n") == [("CARD", "4111 1111\r\n\t1111 1111")]


def test_a_card_is_no_phone_number_and_an_account_no_card() -> None:
    assert values("call 4111 1111 1111 1111") == [("CARD", "4111 1111 1111 1111")]
    assert values("DE89 3704 0044 0532 0130 00") == [("IBAN", "DE89 3704 0044 0532 0130 00")]


@pytest.mark.parametrize(
    ("one", "other"),
    [
        ("Call +1 202-555-0123", "call (202) 555-0123"),
        ("call \uff12\uff10\uff12-\uff15\uff15\uff15-\uff10\uff11\uff12\uff13", "call 202\u200b-555-0123"),
        ("a@EXAMPLE.com", "\uff41\uff20example.com"),
        ("DE89 3704 0044 0532 0130 00", "de89370400440532013000"),
        ("2001:db8:0::1", "2001:DB8::1"),
        ("::ffff:192.0.2.1", "192.0.2.1"),
        ("4111-1111-1111-1111", "4111111111111111"),
        ("417.044.640-21", "CPF 41704464021"),
        ("4111 1111 1111 1111", "4111 1111\n1111 1111"),
        ("4111 1111 1111 1111", "4111 1111 \r\n  1111\t1111"),
        ("DE89 3704 0044 0532 0130 00", "DE89 3704 0044\n0532 0130 00"),
        ("call 202-555-0123", "202-555-\n0123"),
        ("call 202-555-0123", "call 202-555-0123\n2. Then wait."),
    ],
)
def test_a_value_is_the_same_however_it_is_written(one: str, other: str) -> None:
    assert [each.value for each in found(one, REGIONS)] == [each.value for each in found(other, REGIONS)] != []


@given(
    st.text(alphabet=st.one_of(st.sampled_from("0123456789@.:+-()[] /aeDE\u200b\uff11"), st.characters()), max_size=200)
)
def test_what_is_found_lies_in_the_text_in_order_and_apart(text: str) -> None:
    end = 0
    for each in found(text, REGIONS):
        assert end <= each.start < each.end <= len(text)
        end = each.end


@pytest.mark.parametrize(
    "unit",
    ["a.", "1 ", "@", "a@", "1-", "12 ", ":", "1.", "A", "9", "+1 ", "(1", "x@a.", "DE89 ", " ", "\t", "1\n", "1 \n "],
)
def test_twice_the_text_is_at_most_about_twice_the_steps(unit: str) -> None:
    steps = [_calls(unit * (length // len(unit))) for length in (2_000, 4_000)]
    assert steps[1] <= 2.5 * steps[0] + 1_000


def test_a_megabyte_without_spaces_is_looked_through() -> None:
    """A pattern that backtracks over the whole run would not end before the test is ended for it."""
    assert values("a" * 500_000 + "@" + "b" * 500_000) == []
    assert values("1" * 1_000_000) == []


def _calls(text: str) -> int:
    """How many calls of functions, C's included, it takes to look through a text."""
    calls = 0

    def count(_frame: object, event: str, _argument: object) -> None:
        nonlocal calls
        calls += event in ("call", "c_call")

    found("warm up call 202-555-0123", REGIONS)
    sys.setprofile(count)
    try:
        found(text, REGIONS)
    finally:
        sys.setprofile(None)
    return calls
