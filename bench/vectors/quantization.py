"""What smaller vectors lose: recall@10 of a scan with fewer bytes a number, with and without a second look.

    python bench/vectors/quantization.py [--points 100000]

Every point is looked at, so that what is lost is the quantization's loss alone. A second look takes the best 2, 4 or 10
times as many and sorts them by their whole vectors.
"""

import argparse
from collections.abc import Callable, Sequence

import data
import faiss
import numpy as np
from numpy.typing import NDArray
from rich.console import Console
from rich.table import Table

LIMIT = 10
LOOKS = (1, 2, 4, 10)

#: From questions and how many, to the rows found for each.
Search = Callable[[NDArray[np.float32], int], NDArray[np.int64]]


def main() -> None:
    """Measure, and print the table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--points", type=int, default=data.REAL, help="how many")
    count = parser.parse_args().points
    files = data.prepared(count)
    vectors, questions = np.load(files.points), np.load(files.questions)
    exact = _rows(faiss.IndexFlatIP(vectors.shape[1]), vectors)
    truth = exact(questions, LIMIT)
    searches: dict[str, Search] = {
        "32-bit floats": exact,
        "8-bit integers (scalar)": _rows(_scalar(vectors), vectors),
        "1 bit (sign)": _binary(vectors),
    }
    bytes_a_vector = dict(zip(searches, (4 * vectors.shape[1], vectors.shape[1], vectors.shape[1] // 8), strict=True))
    table = Table(
        "vectors", "bytes each", *(f"best {LIMIT * each} sorted again" if each > 1 else "as found" for each in LOOKS)
    )
    for name, search in searches.items():
        recalls = [_recall(_looked_at(search, vectors, questions, each), truth) for each in LOOKS]
        table.add_row(name, f"{bytes_a_vector[name]:,}", *(f"{each:.3f}" for each in recalls))
    print(f"recall@10 of {len(questions):,} questions among {count:,} points")
    Console(width=120).print(table)


def _scalar(vectors: NDArray[np.float32]) -> faiss.Index:
    index = faiss.IndexScalarQuantizer(
        vectors.shape[1], faiss.ScalarQuantizer.QT_8bit_uniform, faiss.METRIC_INNER_PRODUCT
    )
    index.train(vectors)
    return index


def _rows(index: faiss.Index, vectors: NDArray[np.float32]) -> Search:
    index.add(vectors)

    def search(questions: NDArray[np.float32], limit: int) -> NDArray[np.int64]:
        rows: NDArray[np.int64] = index.search(questions, limit)[1]
        return rows

    return search


def _binary(vectors: NDArray[np.float32]) -> Search:
    """By how many signs differ."""
    index = faiss.IndexBinaryFlat(vectors.shape[1])
    index.add(np.packbits(vectors > 0, axis=1))

    def search(questions: NDArray[np.float32], limit: int) -> NDArray[np.int64]:
        rows: NDArray[np.int64] = index.search(np.packbits(questions > 0, axis=1), limit)[1]
        return rows

    return search


def _looked_at(
    search: Search, vectors: NDArray[np.float32], questions: NDArray[np.float32], times: int
) -> Sequence[NDArray[np.int64]]:
    found = search(questions, LIMIT * times)
    return [rows[np.argsort(-(vectors[rows] @ each))[:LIMIT]] for rows, each in zip(found, questions, strict=True)]


def _recall(found: Sequence[NDArray[np.int64]], truth: NDArray[np.int64]) -> float:
    return sum(len(set(some) & set(true)) for some, true in zip(found, truth, strict=True)) / truth.size


if __name__ == "__main__":
    main()
