"""The research workflow in one process, with its threads: what a user gets."""

import threading
import uuid
from collections.abc import Callable, Iterator

import msgspec
import pytest
from local_fakes import answer_to, asked, wait_for
from memory_collection import MemoryCollection

from functions.adapters.local.store import Store
from functions.errors import PermanentError
from functions.events.answer import ResponseReady, UserMessage
from functions.events.common import Passage, Work
from functions.workflows.catalog import WORKFLOWS
from local.process import LocalProcess

ASK = "Write a report on sorting, heaps and compression"
SHELF = [
    Passage(
        id="sort",
        name="sorting",
        source="a.md",
        text="An overview of sorting: the sort is stable.",
        work=Work(title="A"),
    ),
    Passage(
        id="heap", name="heaps", source="b.md", text="An overview of heaps: the heap is a tree.", work=Work(title="B")
    ),
    Passage(id="gzip", name="compression", source="c.md", text="An overview of compression: less data to send."),
]


@pytest.fixture
def process(
    open_store: Callable[[], Store], documents: MemoryCollection, memories: MemoryCollection
) -> Iterator[LocalProcess]:
    """A process at work over these passages."""
    documents.upsert(SHELF, tenant="default")
    with LocalProcess(open_store(), WORKFLOWS, {"documents": documents, "memories": memories}, workers=4) as running:
        yield running


def researched(process: LocalProcess, text: str = ASK, *, conversation: str = "c1") -> ResponseReady:
    """The answer of the workflow `research` to a message."""
    request = uuid.uuid4().hex
    process.submit("research", UserMessage(text=text), conversation=conversation, request=request)
    return answer_to(process, request)


def test_a_report_comes_by_name_and_through_the_orchestrator_alike(process: LocalProcess) -> None:
    chosen, sent = researched(process), asked(process, ASK, conversation="c2")
    assert chosen.text == sent.text
    assert chosen.text.startswith("1. sorting\n")
    assert [each.reference for each in chosen.citations] == [
        "sorting. In: A. a.md",
        "heaps. In: B. b.md",
        "compression. c.md",
    ]
    assert not chosen.degraded


def test_the_searches_are_made_at_the_same_time(process: LocalProcess, documents: MemoryCollection) -> None:
    together = threading.Barrier(3)
    documents.during = lambda _: together.wait(60) and None
    assert len(researched(process).sentences) == 3


def test_the_citations_and_the_draft_are_made_between_the_searches_and_the_edit(process: LocalProcess) -> None:
    process.submit("research", UserMessage(text=ASK), conversation="c1", request="r1")
    answer_to(process, "r1")
    agents = [each.agent for each in process.requests.deliveries("r1", tenant="default")]
    assert agents[:2] == ["intake", "researcher"]
    assert agents[2:6] == ["searcher", "searcher", "searcher", "collector"]
    assert sorted(agents[6:8]) == ["citation", "synthesizer"]
    assert agents[8:] == ["editor"]


def test_one_lost_search_degrades_the_report(process: LocalProcess, documents: MemoryCollection) -> None:
    def fail(text: str) -> None:
        if "heaps" in text:
            raise PermanentError("the store is away")

    documents.during = fail
    response = researched(process)
    assert response.degraded
    assert [line for line in response.text.splitlines() if line[:1].isdigit()] == ["1. sorting", "2. compression"]
    assert any("heaps (" in note for note in response.notes)


def test_another_tenants_documents_are_not_researched(process: LocalProcess) -> None:
    process.submit("research", UserMessage(text=ASK), conversation="c1", request="r1", tenant="other")
    assert answer_to(process, "r1", tenant="other").citations == ()


@pytest.mark.parametrize(
    "text", ["Vergleiche sorting, heaps und compression", "比較してください: sorting と heaps", "?!"]
)
def test_a_request_in_any_language_is_answered(process: LocalProcess, text: str) -> None:
    response = researched(process, text)
    assert response.text
    assert all(any(sentence.text in each.text for each in SHELF) for sentence in response.sentences)


def test_a_message_that_comes_after_waits_for_the_report_and_knows_of_it(
    process: LocalProcess, documents: MemoryCollection
) -> None:
    begun, go_on = threading.Event(), threading.Event()

    def hold(_: str) -> None:
        begun.set()
        wait_for(go_on)

    documents.during = hold
    process.submit("research", UserMessage(text=ASK), conversation="c1", request="r1")
    wait_for(begun)
    process.submit("answer", UserMessage(text="Is it stable?"), conversation="c1", request="r2")
    view = process.requests.view("r2", tenant="default")
    assert view is not None
    assert view.status == "waiting"
    go_on.set()
    assert answer_to(process, "r2").making.queries[0] == f"Is it stable? {ASK}"


def test_a_report_too_large_to_travel_comes_back_whole(process: LocalProcess, documents: MemoryCollection) -> None:
    text = "An overview of sorting in many words. " + "Filler stands here in great length. " * 400
    documents.upsert([msgspec.structs.replace(SHELF[0], text=text, id=f"p{n}") for n in range(9)], tenant="default")
    assert "An overview of sorting in many words." in researched(process).text
