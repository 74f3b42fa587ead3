"""What a message asks to be found out, and when it asks for more than an answer."""

from pathlib import Path

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from functions.runtime.briefs import brief_of, wants_research

BENCH = Path(__file__).parents[2] / "bench"


@pytest.mark.parametrize(
    "text",
    [
        "Compare asyncio, threading and multiprocessing",
        "compare json with pickle in depth",
        "Please compare the csv, json and pickle modules for settings.",
        "Can you compare lists, sets and dicts?",
        "Vergleiche asyncio, threading und multiprocessing",
        "Write a literature review on garbage collection",
        "give me a short overview of asyncio",
        "I need a report on memory leaks",
        "Could you please write me a short, technical survey of compression?",
        "A detailed comparison of gzip, bz2 and lzma",
        "Research how coroutines are cancelled",
        "research: context managers",
        "Do some research on sockets",
        "Explain in depth how garbage collection works",
        "How do I open a socket? How do I wrap it in TLS? How do I close it again?",
    ],
)
def test_a_report_a_comparison_or_many_questions_want_research(text: str) -> None:
    assert wants_research(text)


@pytest.mark.parametrize(
    "text",
    [
        "How do I sort a list?",
        "Compare asyncio and threading",
        "compare two floats with tolerance",
        "compare strings ignoring case, accents and punctuation",
        "What is the difference between a list, a tuple and a set?",
        "How do I compare lists, sets and dicts?",
        "How do I write a report on disk usage?",
        "write a report of open files to a socket",
        "research papers are kept where?",
        "Research",
        "Explain json.dumps",
        "summary of asyncio",
        "Hi? Are you there? How do I sort a list?",
        "How do I sort a list? And how do I reverse it?",
        "What does unittest report on failures?",
        "",
        "?",
    ],
)
def test_an_ordinary_message_wants_none(text: str) -> None:
    assert not wants_research(text)


def test_no_question_of_the_retrieval_bench_wants_research() -> None:
    asked = (BENCH / "retrieval" / "questions.jsonl").read_text("utf-8").splitlines()
    questions = [msgspec.json.decode(line)["question"] for line in asked]
    questions += (BENCH / "retrieval" / "off_topic.txt").read_text("utf-8").splitlines()
    assert len(questions) > 150
    assert [question for question in questions if wants_research(question)] == []


def test_every_question_of_the_research_bench_does() -> None:
    questions = (BENCH / "research" / "questions.txt").read_text("utf-8").splitlines()
    assert [question for question in questions if not wants_research(question)] == []


@pytest.mark.parametrize(
    ("text", "subjects", "aspect"),
    [
        ("Compare asyncio, threading, and multiprocessing.", ("asyncio", "threading", "multiprocessing"), ""),
        ("compare json and pickle for storing objects", ("json", "pickle"), "storing objects"),
        ("Compare urllib with the http.client module", ("urllib", "http.client"), ""),
        ("compare gzip vs bz2 / lzma in terms of the speed", ("gzip", "bz2", "lzma"), "speed"),
        ("What is the main difference between a list and a tuple?", ("list", "tuple"), ""),
        ("compare json, JSON and pickle", ("JSON", "pickle"), ""),
    ],
)
def test_a_comparison_has_its_subjects_and_its_aspect(text: str, subjects: tuple[str, ...], aspect: str) -> None:
    brief = brief_of(text)
    assert (brief.form, brief.subjects, brief.aspect) == ("comparison", subjects, aspect)


@pytest.mark.parametrize(
    ("text", "topic", "subjects"),
    [
        ("Write a report on sorting, heaps and bisection", "sorting, heaps and bisection", 3),
        ("Write a report on garbage collection and weak references", "garbage collection and weak references", 2),
        ("Write a report on temporary files and directories", "temporary files and directories", 0),
        ("Research context managers.", "context managers", 0),
        ("Explain in depth how imports work", "imports", 0),
        ("Give me an overview of working with dates", "dates", 0),
    ],
)
def test_a_report_has_its_topic_and_the_subjects_that_it_lists(text: str, topic: str, subjects: int) -> None:
    brief = brief_of(text)
    assert (brief.form, brief.topic, len(brief.subjects)) == ("report", topic, subjects)


def test_questions_are_the_ones_that_ask_something() -> None:
    brief = brief_of("Hello there. What is a socket? Really? How do I close one? What is a socket?")
    assert (brief.form, brief.subjects) == ("questions", ("What is a socket?", "How do I close one?"))


@given(st.text(max_size=300))
def test_any_text_has_a_brief(text: str) -> None:
    assert brief_of(text).form in ("comparison", "report", "questions", "question")
