"""What the agents make of a model's help, and that they are as good without it."""

import msgspec
import pytest
from agent_fakes import Model, Shelf, Talk, complete, context, evidence, found, joined, passage

from functions.agents.orchestrator import orchestrator
from functions.agents.planner import MAX_QUERIES, planner
from functions.agents.response_builder import response_builder
from functions.agents.summarizer import MAX_OFFERED, UNSUPPORTED, summarizer
from functions.agents.validator import validator
from functions.events.answer import (
    NO_MODEL,
    AnswerReady,
    Evidence,
    ModelUse,
    PlanCreated,
    QuestionAsked,
    ResponseReady,
    SupportLacking,
    ValidationComplete,
)
from functions.ports.models import ModelError

REASONS = (
    "unreachable", "timeout", "rate limited", "refused", "truncated", "malformed", "rejected", "server error", "budget",
)  # fmt: skip
SORT = evidence("Sort the list in ascending order.", relevance=0.9, passage=passage("", id="sort", name="list.sort"))
STABLE = evidence(
    "The sort is stable.", relevance=0.85, position=1, passage=passage("", id="sort", name="list.sort", score=0.8)
)
HEAP = evidence(
    "Find the n largest elements in a dataset.",
    relevance=0.8,
    passage=passage("", id="heap", name="heapq.nlargest", source="python:heapq", score=0.5),
)


def planned(model: Model | None, question: str = "How do I sort a list?", **given: object) -> list[PlanCreated]:
    return planner(QuestionAsked(question=question, **given), model=model)


def queries(plans: list[PlanCreated]) -> list[str]:
    return [plan.query for plan in plans]


def asked(*kept: Evidence, **given: object) -> ValidationComplete:
    return complete(*kept, **({"question": "How do I sort a list?"} | given))


def summed(*says: object, of: ValidationComplete | None = None) -> AnswerReady:
    return summarizer(of or asked(SORT, STABLE, HEAP), model=Model(*says))


def built(ready: AnswerReady) -> ResponseReady:
    return response_builder(ready, conversation=Talk())


# --------------------------------------------------------------------------------------------- the planner


def test_a_model_adds_queries_to_the_question_and_the_plan_says_so() -> None:
    plans = planned(Model({"queries": ["list.sort", "sorted builtin"]}))
    assert queries(plans) == ["How do I sort a list?", "list.sort", "sorted builtin"]
    assert {plan.asked.planning for plan in plans} == {ModelUse(name="small")}


def test_a_model_is_told_the_question_what_came_before_it_and_what_was_tried() -> None:
    model = Model({"queries": ["stable sort"]})
    plans = planned(model, "Is it stable?", earlier=("How do I sort a list?",), round=2, tried=("Is it stable?",))
    ((_, text),) = model.told
    assert all(part in text for part in ("Is it stable?", "How do I sort a list?", "Tried"))
    assert queries(plans)[0] == "stable sort"


@pytest.mark.parametrize(
    "said",
    [[], [""], [" ", "?!"], ["how do i SORT a list?"], ["the of and"]],
)
def test_queries_that_add_nothing_leave_the_plan_as_it_is_by_rule(said: list[str]) -> None:
    assert queries(planned(Model({"queries": said}))) == queries(planned(None))


def test_a_model_plans_no_more_than_the_rules_may() -> None:
    plans = planned(Model({"queries": [f"query {word}" for word in "one two three four five six".split()]}))  # noqa: SIM905
    assert len(plans) == MAX_QUERIES


def test_a_query_of_any_length_is_cut() -> None:
    assert max(map(len, queries(planned(Model({"queries": ["sort " * 10_000]}))))) <= 1_000


@pytest.mark.parametrize("reason", REASONS)
def test_where_the_model_fails_the_rules_plan_and_the_plan_says_why(reason: str) -> None:
    plans = planned(Model(ModelError("no", reason=reason)))
    assert queries(plans) == queries(planned(None))
    assert {plan.asked.planning for plan in plans} == {ModelUse(name="small", failed=reason)}


@pytest.mark.parametrize("said", [{"queries": ["stable sort"]}, ModelError("no", reason="refused")])
def test_a_failure_of_an_earlier_round_is_not_forgotten(said: object) -> None:
    failed = ModelUse(name="small", failed="timeout")
    plans = planned(Model(said), round=2, tried=("x",), planning=failed)
    assert {plan.asked.planning for plan in plans} == {failed}


def test_how_it_was_planned_reaches_the_answer_through_every_round() -> None:
    use = ModelUse(name="small", failed="timeout")
    shelf = Shelf(passage("Lists are sorted in place.", name="list.sort"))
    part = found(*shelf.stored.values(), planning=use)
    validated = validator(joined(part), documents=shelf, memories=Shelf())
    assert isinstance(validated, ValidationComplete)
    assert (validated.planning, validated.question) == (use, "how are lists sorted")
    lacking = SupportLacking(asked=part.asked, tried=("a",), validation=validated.validation)
    again = orchestrator(lacking, history=Talk(), conversation=Talk(), actions=None, context=context(left=1))
    assert isinstance(again, QuestionAsked)
    assert again.planning == use
    ended = orchestrator(lacking, history=Talk(), conversation=Talk(), actions=None, context=context(left=0))
    assert isinstance(ended, ValidationComplete)
    assert ended.planning == use


def test_a_query_that_a_model_made_up_is_no_measure_of_what_answers_the_question() -> None:
    near = passage("Sort the list in place.", name="list.sort", score=0.5)
    by_rule = found(near, query="sort list", question="Who won the cup in Paris?")
    by_model = found(near, query="sort list", question="Who won the cup in Paris?", planning=ModelUse(name="small"))
    shelf = Shelf(near)
    measured = [
        validator(joined(part), documents=shelf, memories=Shelf()).validation.evidence[0].relevance
        for part in (by_rule, by_model)
    ]
    assert measured[1] < measured[0]
    assert isinstance(validator(joined(by_model), documents=shelf, memories=Shelf()), SupportLacking)


# ------------------------------------------------------------------------------------------ the summarizer


def test_a_model_is_told_the_question_and_the_numbered_sentences_and_that_they_are_no_instructions() -> None:
    model = Model("Sort the list in ascending order [1].")
    summarizer(asked(SORT, HEAP), model=model)
    ((instructions, text),) = model.told
    assert "never instructions" in instructions
    assert "How do I sort a list?" in text
    assert "[1] list.sort: Sort the list in ascending order." in text
    assert "[2] heapq.nlargest: Find the n largest elements in a dataset." in text


def test_what_the_model_writes_is_the_answer_with_its_citations() -> None:
    ready = summed("Sort the list in ascending order [1]. The sort of list.sort is stable [2].")
    assert [each.text for each in ready.written] == [
        "Sort the list in ascending order.",
        "The sort of list.sort is stable.",
    ]
    assert ready.writing == ModelUse(name="small")
    response = built(ready)
    assert response.text == "Sort the list in ascending order. [1] The sort of list.sort is stable. [1]"
    assert (response.making.method, response.making.model, response.degraded, response.notes) == (
        "model",
        "small",
        False,
        (),
    )


def test_a_sentence_of_two_sources_cites_both_and_its_best_one_first() -> None:
    ready = summed("The sort is stable, and the n largest elements are found by heapq.nlargest [2][3].")
    response = built(ready)
    assert response.text.endswith("[1][2]")
    assert [each.source for each in response.citations] == ["python:heapq", "python:builtins"]
    (sentence,) = response.sentences
    assert (sentence.citation, sentence.also) == (1, (2,))


@pytest.mark.parametrize(
    "wrong",
    [
        "Sort the list in descending order [1].",
        "Sort the list in ascending order.",
        "Sort the list in ascending order [9].",
        "Sort the list in ascending order [3].",
        "The sort is not stable [2].",
        "My instructions say to answer from numbered sentences [1].",
        "I am sorry, I cannot do that.",
    ],
)
def test_a_sentence_that_its_citation_does_not_say_is_left_out_counted_and_noted(wrong: str) -> None:
    ready = summed(f"The sort is stable [2]. {wrong}")
    assert [each.text for each in ready.written] == ["The sort is stable."]
    response = built(ready)
    assert (ready.unsupported, response.making.unsupported, response.degraded) == (1, 1, False)
    assert response.notes == ("Left out: 1 sentence of the model that its citations do not say.",)


def test_what_the_model_says_again_is_said_once() -> None:
    assert len(summed("The sort is stable [2]. The sort is stable [2]. The sort is stable. [2]").written) == 1


@pytest.mark.parametrize("said", ["Nothing of it is known.", "[1]", "...", "Paris won the cup [1]. It was fun [2]."])
def test_where_nothing_that_the_model_wrote_is_supported_the_sources_speak(said: str) -> None:
    ready = summed(said)
    assert (ready.written, ready.writing) == ((), ModelUse(name="small", failed=UNSUPPORTED))
    response = built(ready)
    without = built(summarizer(asked(SORT, STABLE, HEAP)))
    assert (response.text, response.sentences) == (without.text, without.sentences)
    assert response.degraded
    assert any("(unsupported)" in note for note in response.notes)


@pytest.mark.parametrize("reason", REASONS)
def test_where_the_model_fails_the_sources_speak_and_the_answer_says_why(reason: str) -> None:
    response = built(summed(ModelError("no", reason=reason)))
    without = built(summarizer(asked(SORT, STABLE, HEAP)))
    assert (response.text, response.citations, response.sentences) == (
        without.text,
        without.citations,
        without.sentences,
    )
    assert (response.making.method, response.making.model, response.degraded) == ("extractive", "small", True)
    assert response.notes == (
        f"Degraded: the model could not be used to write the answer ({reason}), so it is in the sources' own words.",
    )
    assert not without.degraded


def test_a_failure_of_the_plan_is_said_though_the_answer_is_written() -> None:
    failed = ModelUse(name="small", failed="timeout")
    response = built(summed("The sort is stable [2].", of=asked(SORT, STABLE, HEAP, planning=failed)))
    assert (response.making.method, response.degraded) == ("model", True)
    assert "Degraded: the model could not be used to plan the searches (timeout)" in response.notes[0]


@pytest.mark.parametrize(
    "of", [asked(SORT, sufficient=False), asked(sufficient=True), complete(SORT)], ids=["too little", "none", "unasked"]
)
def test_without_evidence_or_question_no_model_is_asked(of: ValidationComplete) -> None:
    ready = summed(of=of)
    assert (ready.written, ready.writing) == ((), NO_MODEL)


def test_a_model_is_offered_no_more_than_it_can_be_checked_against() -> None:
    model = Model("Nothing.")
    many = [evidence(f"word{n} other{n}.", passage=passage("", id=str(n), name=f"name{n}")) for n in range(50)]
    summarizer(asked(*many), model=model)
    assert f"[{MAX_OFFERED}]" in model.told[0][1]
    assert f"[{MAX_OFFERED + 1}]" not in model.told[0][1]


def test_events_of_before_there_were_models_are_still_understood() -> None:
    ready = AnswerReady(complete=complete(SORT), sentences=(SORT,))
    old = msgspec.to_builtins(ready)
    for name in ("written", "unsupported", "writing"):
        del old[name]
    for name in ("question", "earlier", "planning"):
        del old["complete"][name]
    assert msgspec.convert(old, AnswerReady) == ready
