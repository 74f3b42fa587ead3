"""How long a report takes beside an answer, and how much of it stands in its sources.

    python bench/research/run.py [--home FOLDER] [--rounds 3] [--show 1]

Uses the corpus that `make run` has read. The reports are those that questions.txt asks for, the answers those to as
many questions of bench/retrieval; they take turns in one process. Milliseconds are of this machine and only say
whether the bound is met. Each sentence and each reference is held against the passage that the collection has under
the cited id, beside what the agents say of them.
"""

import argparse
import re
import statistics
import uuid
from collections.abc import Sequence
from pathlib import Path

import msgspec
from rich.console import Console
from rich.table import Table

from functions.events.answer import Citation, ResponseReady, UserMessage
from functions.events.common import Passage
from functions.ports.vectors import Collection
from functions.runtime.text import support
from local.process import LocalProcess
from local.workspace import TENANT, workspace

ROOT = Path(__file__).parents[2]
BOUND_MS = 5_000
SUPPORTED = 0.9


class Report(msgspec.Struct):
    """What one request left behind."""

    text: str
    took_ms: float
    subquestions: int
    response: ResponseReady


class Question(msgspec.Struct):
    """A question of bench/retrieval."""

    question: str


def main() -> None:
    """Measure and print one table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--home", type=Path, default=ROOT / ".troupe", help="where the corpus was read")
    parser.add_argument("--rounds", type=int, default=3, help="how often each is asked")
    parser.add_argument("--show", type=int, default=0, help="print so many reports")
    given = parser.parse_args()
    topics = (Path(__file__).parent / "questions.txt").read_text("utf-8").splitlines()
    questions = _questions(len(topics))
    with workspace(given.home.resolve(), None) as opened:
        opened.read_documents(lambda _done, _total: None)
        with opened.process() as process:
            _ask(process, "answer", questions[0])  # the first one warms the encoder
            pairs = [
                (_ask(process, "research", topic), _ask(process, "answer", question))
                for _ in range(given.rounds)
                for topic, question in zip(topics, questions, strict=True)
            ]
        reports, answers = [report for report, _ in pairs], [answer for _, answer in pairs]
        _print(reports, answers, opened.documents)
    for report in reports[: given.show]:
        print(f"\n{report.text}\n\n{report.response.text}\n")
        print("\n".join(f"[{each.number}] {each.reference}" for each in report.response.citations))
        print("\n".join(report.response.notes))


def _questions(count: int) -> list[str]:
    """As many questions of bench/retrieval, evenly spread."""
    lines = (ROOT / "bench" / "retrieval" / "questions.jsonl").read_text("utf-8").splitlines()
    asked = [msgspec.json.decode(line, type=Question).question for line in lines]
    return [asked[len(asked) * each // count] for each in range(count)]


def _ask(process: LocalProcess, workflow: str, text: str) -> Report:
    request = uuid.uuid4().hex
    process.submit(workflow, UserMessage(text=text), conversation=request, request=request)
    view = process.wait(request, timeout_s=60)
    if view is None or view.settled is None or view.settlement is None:
        raise SystemExit(f"not answered: {text}")
    searched = sum(each.agent == "searcher" for each in process.requests.deliveries(request, tenant=TENANT))
    return Report(
        text=text,
        took_ms=(view.settled - view.accepted).total_seconds() * 1000,
        subquestions=searched,
        response=msgspec.json.decode(view.settlement.data, type=ResponseReady),
    )


def _print(reports: Sequence[Report], answers: Sequence[Report], documents: Collection) -> None:
    distinct = list({report.text: report for report in reports}.values())
    ids = {each.passage for report in distinct for each in report.response.citations}
    stored = {passage.id: passage for passage in documents.read(ids, tenant=TENANT)}
    sentences = [
        (sentence.text, stored.get(report.response.citations[sentence.citation - 1].passage))
        for report in distinct
        for sentence in report.response.sentences
    ]
    references = [(each, stored.get(each.passage)) for report in distinct for each in report.response.citations]
    sections = sum(len(re.findall(r"^\d+\. ", report.response.text, re.MULTILINE)) for report in distinct)
    table = Table("what", "value", "of", "bound")
    for name, times in (("report", reports), ("answer, beside it", answers)):
        p50, p95 = _quantiles([each.took_ms for each in times])
        table.add_row(f"{name}: p50 and p95, ms", f"{p50:.0f}, {p95:.0f}", str(len(times)), f"{BOUND_MS}")
    for name, right, count in (
        ("sentences that stand in the stored passage", sum(_stands(*each) for each in sentences), len(sentences)),
        (
            "references that name the stored passage's work",
            sum(_is_right(*each) for each in references),
            len(references),
        ),
        ("sub-questions with a source", sections, sum(report.subquestions for report in distinct)),
        ("reports with every sub-question answered", sum(map(_is_full, distinct)), len(distinct)),
    ):
        table.add_row(name, f"{right / max(count, 1):.3f}", str(count), "")
    table.add_row("sentences a report", f"{len(sentences) / len(distinct):.1f}", str(len(distinct)), "")
    Console().print(table)


def _stands(sentence: str, passage: Passage | None) -> bool:
    said = sentence.replace("\u201c", "").replace("\u201d", "")
    return passage is not None and support(said, passage.text) >= SUPPORTED


def _is_right(citation: Citation, passage: Passage | None) -> bool:
    """Whether the reference has the name, the title, the authors and the version of what is stored."""
    if passage is None:
        return False
    work = passage.work
    place = passage.name.removeprefix(f"{work.title} > ")
    wanted = (place, work.title, work.version, *work.authors[:1], work.location or passage.source)
    return all(part.rstrip(".") in citation.reference for part in wanted)


def _is_full(report: Report) -> bool:
    return len(re.findall(r"^\d+\. ", report.response.text, re.MULTILINE)) == report.subquestions


def _quantiles(times: Sequence[float]) -> tuple[float, float]:
    ordered = sorted(times)
    return statistics.median(ordered), ordered[min(len(ordered) - 1, int(len(ordered) * 0.95))]


if __name__ == "__main__":
    main()
