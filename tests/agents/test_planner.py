import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from functions.agents.planner import MAX_QUERIES, MAX_QUERY_CHARACTERS, planner
from functions.events.answer import MAX_MESSAGE_CHARACTERS, PlanCreated, QuestionAsked


def queries(question: str, *earlier: str, **given: object) -> list[str]:
    asked = QuestionAsked(question=question, earlier=earlier, **given)
    planned = planner(asked)
    assert all(plan.asked == asked for plan in planned), "each part carries the question it belongs to"
    return [plan.query for plan in planned]


def test_a_plain_question_is_one_query() -> None:
    assert queries("How are lists sorted?") == ["How are lists sorted?"]


def test_a_question_of_several_clauses_is_searched_whole_and_by_clause() -> None:
    assert queries("How do I open a file and how do I delete a folder?") == [
        "How do I open a file and how do I delete a folder?",
        "How do I open a file",
        "how do I delete a folder?",
    ]


def test_two_questions_in_one_message_are_two_clauses() -> None:
    assert queries("What is a deque? What is a heap?")[1:] == ["What is a deque?", "What is a heap?"]


def test_what_belongs_together_is_not_taken_apart() -> None:
    assert queries("How do I read and write a file?") == ["How do I read and write a file?"]


@pytest.mark.parametrize("name", ["heapq.nlargest", "`sort_keys`", "concurrent.futures.ThreadPoolExecutor"])
def test_a_name_in_the_question_is_searched_by_itself(name: str) -> None:
    assert queries(f"What does {name} return?")[1:] == [name.strip("`")]


@pytest.mark.parametrize(
    "question", ["Are tuples faster, e.g. in Python 3.12, i.e. today?", "What does the `key` argument of sorted do?"]
)
def test_what_is_no_name_or_an_everyday_word_is_not_searched_by_itself(question: str) -> None:
    assert queries(question) == [question]


@pytest.mark.parametrize(
    "question",
    [
        "How do I sort it in reverse?",
        "And in reverse?",
        "What about strings?",
        "How about tuples of strings?",
        "Why?",
        "Is their order kept?",
        "Can I reverse those?",
        "How long does the same take?",
    ],
)
def test_a_follow_up_is_searched_with_what_it_refers_to(question: str) -> None:
    assert queries(question, "How do I sort a list?") == [f"{question} How do I sort a list?"]


@pytest.mark.parametrize(
    "question",
    [
        "How do I copy an object and everything inside it?",
        "Can I sort a list in place, reversing it?",
        "What does functools.cache do, and can it be cleared?",
        "How do large files get read so that they fit into memory?",
        "How are dictionaries merged?",
    ],
)
def test_a_question_that_stands_alone_is_not_mixed_with_the_one_before(question: str) -> None:
    assert queries(question, "Where is the cafeteria?")[0] == question


def test_a_chain_of_follow_ups_leads_back_to_what_they_are_about() -> None:
    asked = queries("Is it stable?", "What is a heap?", "How do I sort a list?", "And in reverse?")
    assert asked == ["Is it stable? And in reverse? How do I sort a list?"]


def test_a_follow_up_to_a_very_long_message_keeps_its_own_words() -> None:
    asked = queries("How do I sort it?", "list " * 4_000)
    assert asked[0].startswith("How do I sort it? list")
    assert len(asked[0]) <= MAX_QUERY_CHARACTERS


def test_the_second_round_asks_with_other_words() -> None:
    first = queries("How do I get the largest elements of a list?")
    second = queries("How do I get the largest elements of a list?", round=2, tried=tuple(first))
    assert second == ["largest elements list", "largest elements", "list"]


def test_the_second_round_of_a_follow_up_still_knows_what_it_is_about() -> None:
    assert queries("And reverse sorting?", "How do lists work?", round=2)[-1] == "reverse sorting How do lists work?"


@pytest.mark.parametrize("question", ["?", "How?", "  \n ?!", "the of and", "💥", "你好"])
def test_there_is_always_something_to_search_for(question: str) -> None:
    for number in (1, 2):
        assert all(query.strip() for query in queries(question, round=number))
        assert queries(question, round=number, tried=(question.strip(),))


def test_where_everything_was_tried_the_question_itself_is_searched_again() -> None:
    assert queries("heap", round=2, tried=("heap", "HEAP")) == ["heap"]


@pytest.mark.parametrize(
    "question", ["x" * MAX_MESSAGE_CHARACTERS, "a.b " * 5_000, " " * 19_990 + "sort", "a; " * 6_666, "`" * 20_000]
)
def test_the_longest_question_is_planned_within_bounds(question: str) -> None:
    for number in (1, 2):
        planned = queries(question, question, round=number)
        assert 1 <= len(planned) <= MAX_QUERIES
        assert all(0 < len(query) <= MAX_QUERY_CHARACTERS for query in planned)


@given(
    question=st.text(min_size=1).filter(str.strip),
    earlier=st.lists(st.text(min_size=1), max_size=3),
    number=st.integers(1, 2),
    tried=st.lists(st.text(), max_size=3),
)
def test_every_plan_keeps_its_contract(question: str, earlier: list[str], number: int, tried: list[str]) -> None:
    asked = QuestionAsked(question=question, earlier=tuple(earlier), round=number, tried=tuple(tried))
    planned = planner(asked)
    assert 1 <= len(planned) <= MAX_QUERIES
    folded = [plan.query.casefold() for plan in planned]
    assert len(set(folded)) == len(folded), "nothing is searched twice"
    for plan in planned:
        assert msgspec.json.decode(msgspec.json.encode(plan), type=PlanCreated) == plan
