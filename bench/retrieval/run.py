"""How often the passage a question is about is among the first, for us and for simpler ways to search.

    python bench/retrieval/run.py

The corpus is the standard library's documentation, the questions are those of questions.jsonl: written before
any ranking was looked at, and split in two by their hash. Only the tuning half was looked at while the ranking
was made. Questions whose answer the running Python does not document are left out and counted. Needs the
`bench` and `model` dependency groups; the first run encodes the corpus (minutes), later ones reuse that.
"""

import hashlib
import statistics
import time
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import TypeVar

import bm25s
import msgspec
import numpy as np
import Stemmer
from numpy.typing import NDArray
from rich.console import Console
from rich.table import Table

from functions.adapters.encoders.registry import registered
from functions.adapters.local.store import Store
from functions.collections.collection import VersionedCollection
from functions.collections.ranking import text_to_encode, words_of_passage
from functions.documents.python_docs import read_python_docs
from functions.events.common import Passage
from functions.ports.encoders import Encoder
from local.shelf import Shelf

HERE = Path(__file__).parent
TROUPE = HERE.parents[1] / ".troupe"
TENANT = "bench"
DEPTH = 10
FUSED_DEPTH = 100
FUSION_CONSTANT = 60
TUNING, HELD_OUT = "tuning", "held out"

#: From a question to the names, or the positions, of the passages found, best first.
NameSearch = Callable[[str], Sequence[str]]
PositionSearch = Callable[[str], Sequence[int]]
Item = TypeVar("Item")
Result = TypeVar("Result")


class Question(msgspec.Struct, frozen=True, kw_only=True):
    """A question, the dotted names that answer it (any of them will do), and how it is asked."""

    kind: str
    question: str
    expected: tuple[str, ...]

    @property
    def half(self) -> str:
        """Which half it belongs to, by its hash: nobody chose."""
        return HELD_OUT if hashlib.sha256(self.question.encode()).digest()[-1] % 2 else TUNING


def main() -> None:
    """Prepare the four searches, ask all of them everything, print two tables."""
    passages = list(read_python_docs())
    names = [passage.name for passage in passages]
    questions = _read_questions()
    asked = [question for question in questions if set(question.expected) & set(names)]
    encoders = registered(TROUPE, {})
    encoder = encoders.encoder(encoders.carried[0].version)
    vectors = _plain_vectors(encoder, passages)
    store = Store(TROUPE / "bench" / "retrieval")
    shelf = Shelf(store, encoders, encoder)
    collection = _filled(shelf, passages)

    bm25 = _bm25(passages)
    dense = _dense(encoder, vectors)
    fused = _fused(bm25, dense)
    searches: dict[str, NameSearch] = {
        "BM25 alone (bm25s)": lambda text: [names[at] for at in bm25(text)[:DEPTH]],
        "dense alone": lambda text: [names[at] for at in dense(text)[:DEPTH]],
        "reciprocal rank fusion": lambda text: [names[at] for at in fused(text)[:DEPTH]],
        "Troupe": lambda text: [found.name for found in collection.search(text, limit=DEPTH, tenant=TENANT)],
    }
    print(f"{len(passages)} passages; {len(asked)} of {len(questions)} questions have an answer among them")
    _print_table(asked, searches)
    _print_scores(asked, collection)
    shelf.close()
    store.close()


def _read_questions() -> list[Question]:
    lines = (HERE / "questions.jsonl").read_bytes().splitlines()
    return [msgspec.json.decode(line, type=Question) for line in lines]


def _plain_vectors(encoder: Encoder, passages: Sequence[Passage]) -> NDArray[np.float32]:
    """The vectors of name and text as they are, kept for the next run."""
    texts = [f"{passage.name}: {passage.text}" for passage in passages]
    file = TROUPE / "bench" / f"plain-{_digest([encoder.version, *texts])}.npy"
    if not file.exists():
        file.parent.mkdir(parents=True, exist_ok=True)
        np.save(file, _timed("plain texts", encoder.encode, texts))
    vectors: NDArray[np.float32] = np.load(file)
    return vectors


def _filled(shelf: Shelf, passages: Sequence[Passage]) -> VersionedCollection:
    """The collection as it ships, with these passages; kept for the next run."""
    read = [part for passage in passages for part in (text_to_encode(passage), words_of_passage(passage))]
    collection = shelf.open(f"retrieval-{_digest(read)}")
    if collection.count(tenant=TENANT) != len(passages):
        _timed("collection", lambda texts: collection.upsert(texts, tenant=TENANT), passages)
    return collection


def _digest(texts: Sequence[str]) -> str:
    return hashlib.sha256("\0".join(texts).encode()).hexdigest()[:16]


def _timed(label: str, work: Callable[[Sequence[Item]], Result], items: Sequence[Item]) -> Result:
    started = time.perf_counter()
    result = work(items)
    print(f"{label}: {len(items) / (time.perf_counter() - started):.0f} passages/s")
    return result


def _bm25(passages: Sequence[Passage]) -> PositionSearch:
    """The peer library as its documentation uses it: English stop words and stemmer."""
    stemmer = Stemmer.Stemmer("english")
    texts = [f"{passage.name} {passage.text}" for passage in passages]
    index = bm25s.BM25()
    index.index(bm25s.tokenize(texts, stopwords="en", stemmer=stemmer, show_progress=False), show_progress=False)

    def search(text: str) -> list[int]:
        terms = bm25s.tokenize(text, stopwords="en", stemmer=stemmer, show_progress=False)
        found, _ = index.retrieve(terms, k=FUSED_DEPTH, show_progress=False)
        return [int(at) for at in found[0]]

    return search


def _dense(encoder: Encoder, vectors: NDArray[np.float32]) -> PositionSearch:
    def search(text: str) -> list[int]:
        cosines = vectors @ encoder.encode([text])[0]
        return [int(at) for at in np.argsort(-cosines, kind="stable")[:FUSED_DEPTH]]

    return search


def _fused(first: PositionSearch, second: PositionSearch) -> PositionSearch:
    """Both results by the sum of their reciprocal ranks, with the usual constant."""

    def search(text: str) -> list[int]:
        scores: Counter[int] = Counter()
        for found in (first(text), second(text)):
            for rank, at in enumerate(found, 1):
                scores[at] += 1 / (FUSION_CONSTANT + rank)
        return [at for at, _ in scores.most_common()]

    return search


def _print_table(questions: Sequence[Question], searches: Mapping[str, NameSearch]) -> None:
    table = Table("search", "questions", "hit@1", "hit@5", "MRR@10", "time of a query")
    rows = {name: [_asked(search, question) for question in questions] for name, search in searches.items()}
    reference = statistics.median(seconds for _, seconds in rows["dense alone"])
    for name, answers in rows.items():
        speed = statistics.median(seconds for _, seconds in answers) / reference
        for half in (TUNING, HELD_OUT, "all"):
            ranks = [rank for (rank, _), q in zip(answers, questions, strict=True) if half in (q.half, "all")]
            table.add_row(name, f"{half} ({len(ranks)})", *_figures(ranks), f"{speed:.2f}", end_section=half == "all")
    Console(width=110).print(table)
    shipped = sorted(seconds for _, seconds in rows["Troupe"])
    print(
        f"time: the median as a ratio to dense alone; Troupe's median here: {statistics.median(shipped) * 1e3:.1f} ms"
    )


def _asked(search: NameSearch, question: Question) -> tuple[int | None, float]:
    """The rank of the first expected name, from 1, and the seconds it took."""
    started = time.perf_counter()
    names = search(question.question)
    seconds = time.perf_counter() - started
    return next((rank for rank, name in enumerate(names, 1) if name in question.expected), None), seconds


def _figures(ranks: Sequence[int | None]) -> Iterator[str]:
    for depth in (1, 5):
        yield f"{sum(rank is not None and rank <= depth for rank in ranks) / len(ranks):.3f}"
    yield f"{sum(1 / rank for rank in ranks if rank) / len(ranks):.3f}"


def _print_scores(questions: Sequence[Question], collection: VersionedCollection) -> None:
    """How the best passage's score tells what the corpus can answer from what it cannot."""
    off_topic = (HERE / "off_topic.txt").read_text("utf-8").splitlines()
    groups = {"answerable": [question.question for question in questions], "off topic": off_topic}
    table = Table("score of the best passage", "lowest", "5%", "median", "95%", "highest")
    for name, texts in groups.items():
        scores = sorted(collection.search(text, limit=1, tenant=TENANT)[0].score for text in texts)
        cuts = np.quantile(scores, [0, 0.05, 0.5, 0.95, 1])
        table.add_row(name, *(f"{cut:.2f}" for cut in cuts))
    Console(width=110).print(table)


if __name__ == "__main__":
    main()
