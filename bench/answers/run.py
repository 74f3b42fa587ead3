"""What the answers are worth: sentences that their source supports, citations that are right, questions answered.

    python bench/answers/run.py [--home FOLDER]

Asks the questions of bench/retrieval of the corpus that `make run` has read, through all the agents, and those of
off_topic.txt, which the corpus cannot answer. Where TROUPE_MODEL_URL names a model, everything is asked a second time
with it. Nothing that an answer says of itself is believed: each sentence is looked up in the stored passage that it
cites, and each citation is compared with the names that answer the question.
"""

import argparse
import os
import uuid
from collections.abc import Sequence
from pathlib import Path

import msgspec
from rich.console import Console
from rich.table import Table

from functions.adapters.models.settings import MODEL, PRICE, URL
from functions.documents.python_docs import read_python_docs
from functions.events.answer import CitedSentence, ResponseReady, UserMessage
from functions.events.common import Passage
from functions.events.event import AgentFailed
from functions.runtime.text import support
from local.process import LocalProcess
from local.workspace import TENANT, Workspace, workspace

ROOT = Path(__file__).parents[2]
QUESTIONS = ROOT / "bench" / "retrieval" / "questions.jsonl"
OFF_TOPIC = ROOT / "bench" / "retrieval" / "off_topic.txt"
SUPPORTED = 0.9  # of a sentence's words, numbers and negations agreeing, in one sentence of its source
TIMEOUT_S = 120.0


class Question(msgspec.Struct, frozen=True):
    """A question, and the dotted names that answer it; none for one that the corpus cannot answer."""

    question: str
    expected: tuple[str, ...] = ()


class Answer(msgspec.Struct, frozen=True, kw_only=True):
    """What became of a question, as counted.

    Attributes:
        answered: Whether it has a text with sources.
        failed: Whether the request ended in an error.
        degraded: Whether the answer says that something failed on the way.
        sentences: How many have a citation.
        verbatim: How many of them stand in the cited passage word for word.
        supported: How many of them the cited passage supports.
        citations: How many sources were cited.
        right: How many of them answer the question.
        first_right: Whether the first of them does.
    """

    answered: bool = False
    failed: bool = False
    degraded: bool = False
    sentences: int = 0
    verbatim: int = 0
    supported: int = 0
    citations: int = 0
    right: int = 0
    first_right: bool = False


def main() -> None:
    """Ask everything, once for each way to answer, and print one table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--home", type=Path, default=ROOT / ".troupe", help="where the corpus was read")
    home = parser.parse_args().home.resolve()
    model = os.environ.get(URL) and os.environ.get(MODEL, "a model")
    columns = {f"with {model}": _measured(home)} if model else {}
    for name in (URL, MODEL, PRICE):
        os.environ.pop(name, None)
    columns = {"without a model": _measured(home), **columns}
    table = Table("what", *columns)
    for name in next(iter(columns.values())):
        table.add_row(name, *(column[name] for column in columns.values()))
    Console().print(table)


def _measured(home: Path) -> dict[str, str]:
    """A column of the table: what is counted, and its share with the numbers behind it."""
    with workspace(home, None) as opened:
        opened.read_documents(lambda _done, _total: None)
        # What only a later Python documents, this one cannot find.
        names = {passage.name for passage in read_python_docs()}
        asked = [each for each in _questions() if names & set(each.expected)]
        with opened.process() as process:
            answers = [_answer(opened, process, each) for each in asked]
            beside = [_answer(opened, process, Question(each)) for each in OFF_TOPIC.read_text("utf-8").splitlines()]
    return {
        "questions answered": _share(sum(each.answered for each in answers), len(answers)),
        "questions beside the corpus that got no answer": _share(
            sum(not each.answered for each in beside), len(beside)
        ),
        "sentences that their citation supports": _share(*_sums(answers, "supported", "sentences")),
        "sentences that stand in it word for word": _share(*_sums(answers, "verbatim", "sentences")),
        "citations that are right": _share(*_sums(answers, "right", "citations")),
        "answers whose first citation is right": _share(*_sums(answers, "first_right", "answered")),
        "answers with a right citation": _share(sum(each.right > 0 for each in answers), _sums(answers, "answered")[0]),
        "answers that say something failed": _share(*_sums(answers, "degraded", "answered")),
        "requests that ended in an error": _share(sum(each.failed for each in answers), len(answers)),
    }


def _answer(opened: Workspace, process: LocalProcess, asked: Question) -> Answer:
    request = uuid.uuid4().hex
    process.submit("answer", UserMessage(text=asked.question), conversation=request, request=request)
    view = process.wait(request, timeout_s=TIMEOUT_S)
    if view is None or view.settlement is None:
        raise SystemExit(f"not settled: {asked.question}")
    if view.settlement.name == AgentFailed.__name__:
        return Answer(failed=True)
    response = msgspec.json.decode(view.settlement.data, type=ResponseReady)
    cited = {each.number: each for each in response.citations}
    passages = {each.id: each for each in opened.documents.read([c.passage for c in cited.values()], tenant=TENANT)}
    sources = [(each, passages[cited[each.citation].passage]) for each in response.sentences]
    right = [each.name in asked.expected for each in response.citations]
    return Answer(
        answered=bool(response.citations),
        degraded=response.degraded,
        sentences=len(sources),
        verbatim=sum(_stands_in(each, source) for each, source in sources),
        supported=sum(support(each.text, source.text) >= SUPPORTED for each, source in sources),
        citations=len(right),
        right=sum(right),
        first_right=bool(right and right[0]),
    )


def _stands_in(sentence: CitedSentence, source: Passage) -> bool:
    return " ".join(sentence.text.split()) in " ".join(source.text.split())


def _questions() -> list[Question]:
    return [msgspec.json.decode(line, type=Question) for line in QUESTIONS.read_text("utf-8").splitlines()]


def _sums(answers: Sequence[Answer], *fields: str) -> list[int]:
    return [sum(getattr(each, field) for each in answers) for field in fields]


def _share(part: int, whole: int) -> str:
    return f"{part / whole:.3f} ({part} of {whole})" if whole else "-"


if __name__ == "__main__":
    main()
