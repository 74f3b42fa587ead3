"""How much of the labelled sentences is recognised, by kind, and what the standard library's documentation holds.

Run as `PYTHONPATH=tests/personal python bench/personal/run.py`;
`--cases` prints what was missed, and what was taken for what it is not.
"""

import sys
import time
from collections import Counter

from labelled import REGIONS, scores, sentences

from functions.documents.python_docs import python_documents
from functions.personal.recognition import found


def main() -> None:
    """Print both tables."""
    print(f"{len(list(sentences()))} sentences\n")
    print("| kind | right | missed | wrong | precision | recall |\n|---|---|---|---|---|---|")
    for kind, score in scores().items():
        counts = f"{score.right} | {score.missed} | {score.wrong}"
        print(f"| {kind} | {counts} | {score.precision:.3f} | {score.recall:.3f} |")
        if "--cases" in sys.argv:
            print(*score.cases, sep="\n")
    texts = [passage.text for document in python_documents() for passage in document.read()]
    begun = time.process_time()
    taken = [each for text in texts for each in found(text, REGIONS)]
    took = time.process_time() - begun
    kinds = Counter(each.kind for each in taken)
    size = sum(map(len, texts))
    print(f"\nstandard library: {len(texts)} passages of {size} characters in {took:.1f} s: {dict(kinds)}")
    if "--cases" in sys.argv:
        print(Counter((each.kind, each.value) for each in taken))


if __name__ == "__main__":
    main()
