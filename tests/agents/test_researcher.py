import pytest
from hypothesis import given
from hypothesis import strategies as st
from research_fakes import Model

from functions.agents.researcher import MAX_CHARACTERS, MAX_HEADING_CHARACTERS, MAX_TOLD_CHARACTERS, researcher
from functions.events.research import MAX_SUBQUESTIONS, ResearchRequested, SubquestionPlanned


def plan(question: str, *earlier: str, model: Model | None = None) -> list[SubquestionPlanned]:
    return researcher(ResearchRequested(question=question, earlier=earlier), model=model)


def headings(parts: list[SubquestionPlanned]) -> list[str]:
    return [each.heading for each in parts[0].plan]


def queries(parts: list[SubquestionPlanned]) -> list[tuple[str, ...]]:
    return [each.queries for each in parts[0].plan]


def test_every_part_carries_the_whole_plan_and_its_place() -> None:
    parts = plan("Compare gzip, bz2 and lzma")
    assert [part.number for part in parts] == [0, 1, 2, 3]
    assert len({part.plan for part in parts}) == 1
    assert {part.question for part in parts} == {"Compare gzip, bz2 and lzma"}


def test_a_comparison_asks_about_each_subject_and_about_several_at_once() -> None:
    parts = plan("Compare json and pickle for storing objects")
    assert queries(parts) == [
        ("overview of json", "json storing objects"),
        ("overview of pickle", "pickle storing objects"),
        ("difference between json and pickle storing objects",),
    ]
    together = parts[0].plan[-1]
    assert (together.subjects, together.least) == (("json", "pickle"), 2)


def test_a_report_asks_about_each_thing_that_it_lists() -> None:
    assert headings(plan("Write a report on sorting, heaps and bisection")) == ["sorting", "heaps", "bisection"]


def test_a_topic_is_asked_about_from_several_sides() -> None:
    parts = plan("Research context managers")
    assert headings(parts)[0] == "Context managers"
    assert len(parts) > 2
    assert all("context managers" in query for each in queries(parts) for query in each)


def test_a_name_with_dots_is_searched_for_as_it_stands() -> None:
    assert ("overview of os.popen", "os.popen") in queries(plan("Compare os.system, os.popen and subprocess"))
    assert "asyncio.wait_for" in headings(plan("Research timeouts with asyncio.wait_for"))


def test_each_question_is_a_part_and_a_pronoun_is_searched_for_with_what_it_stands_for() -> None:
    parts = plan("How do I open a socket? How do I wrap it in TLS? What is a port?")
    assert queries(parts) == [
        ("How do I open a socket?",),
        ("How do I wrap it in TLS? How do I open a socket?",),
        ("What is a port?",),
    ]


def test_a_topic_of_one_word_is_searched_for_with_what_was_asked_before() -> None:
    assert queries(plan("Research limits", "How do I open a socket?"))[0] == (
        "overview of limits How do I open a socket?",
    )


def test_what_has_no_place_is_named() -> None:
    [first, *_] = parts = plan("Compare " + ", ".join(f"mod{n}" for n in range(9)))
    assert len(parts) == MAX_SUBQUESTIONS
    assert first.plan[-1].least == 2
    assert first.left_out == ("mod5", "mod6", "mod7", "mod8")


@pytest.mark.parametrize(
    "question",
    ["Vergleiche Listen und Tupel", "リストの並べ替えについて調べて", "Сравни списки", "?", "What is it?", "x"],
)
def test_a_question_in_any_language_or_none_has_a_plan(question: str) -> None:
    parts = plan(question)
    assert 1 <= len(parts) <= MAX_SUBQUESTIONS


@given(st.text(min_size=1, max_size=3_000).filter(str.strip))
def test_a_plan_is_bounded_whatever_is_asked(question: str) -> None:
    parts = plan(question)
    assert 1 <= len(parts) <= MAX_SUBQUESTIONS
    for each in parts[0].plan:
        assert 0 < len(each.heading) <= MAX_HEADING_CHARACTERS
        assert all(0 < len(query) <= MAX_CHARACTERS for query in each.queries)


TWO = {"subquestions": [{"heading": "Speed", "query": "heap speed"}, {"heading": "Use", "query": "heap use"}]}


def test_a_model_plans_where_there_is_one() -> None:
    model = Model(TWO)
    parts = plan("Research heaps", "earlier", model=model)
    assert (headings(parts), queries(parts)) == (["Speed", "Use"], [("heap speed",), ("heap use",)])
    assert model.asked == ["earlier\nResearch heaps"]
    assert parts[0].model_failures == ()


def test_a_model_is_told_no_more_of_a_long_request_than_it_takes() -> None:
    model = Model(TWO)
    plan(f"Research heaps {'x' * 20_000}", "y" * 20_000, model=model)
    assert len(model.asked[0]) < 2 * MAX_TOLD_CHARACTERS + 2


@pytest.mark.parametrize(
    ("model", "reason"),
    [
        (Model(failure="timeout"), "timeout"),
        (Model({"subquestions": []}), "malformed"),
        (Model({"subquestions": [{"heading": "a", "query": "..."}] * 4}), "malformed"),
    ],
)
def test_a_model_that_fails_or_plans_too_little_leaves_the_rule_and_the_reason(model: Model, reason: str) -> None:
    parts = plan("Compare gzip, bz2 and lzma", model=model)
    assert headings(parts)[:3] == ["gzip", "bz2", "lzma"]
    assert parts[0].model_failures == (reason,)


def test_a_model_that_plans_too_much_is_cut() -> None:
    many = {"subquestions": [{"heading": f"h{n}", "query": f"query {n}"} for n in range(20)]}
    assert len(plan("Research heaps", model=Model(many))) == MAX_SUBQUESTIONS
