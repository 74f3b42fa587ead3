import re
import time
import uuid

from hypothesis import given
from hypothesis import strategies as st

from functions.documents.chunks import (
    MAX_CHARS,
    MAX_HEADING_CHARS,
    Block,
    Section,
    clean,
    paragraphs,
    passages_of,
    pieces,
)

words = st.text(max_size=200)
blocks = st.lists(st.builds(Block, words, st.booleans()), max_size=8)


@given(blocks, st.integers(min_value=1, max_value=120))
def test_no_piece_is_longer_than_the_limit_or_empty(given_blocks: list[Block], limit: int) -> None:
    for piece in pieces(given_blocks, limit):
        assert 0 < len(piece) <= limit
        assert piece.strip()


@given(blocks, st.integers(min_value=1, max_value=120))
def test_no_visible_character_is_lost_or_moved(given_blocks: list[Block], limit: int) -> None:
    whole = "".join(clean(block.text) for block in given_blocks)
    assert _dense("".join(pieces(given_blocks, limit))) == _dense(whole)


@given(words)
def test_paragraphs_keep_every_visible_character(text: str) -> None:
    assert _dense("".join(block.text for block in paragraphs(text))) == _dense(clean(text))


def _dense(text: str) -> str:
    return re.sub(r"\s", "", text)


def test_a_long_paragraph_is_cut_between_sentences() -> None:
    text = "The first one is this. The second one follows! Is there a third? There is."
    assert list(pieces([Block(text)], 50)) == [
        "The first one is this. The second one follows!",
        "Is there a third? There is.",
    ]


def test_ideographic_sentences_are_sentences() -> None:
    assert list(pieces([Block("これは一つ目の文です。これは二つ目の文です。")], 15)) == [
        "これは一つ目の文です。",
        "これは二つ目の文です。",
    ]


def test_a_code_block_that_fits_is_kept_whole() -> None:
    code = "def f():\n    return 1\n\n\ndef g():\n    return 2"
    assert list(pieces([Block("Text before it." * 3), Block(code, code=True)], 60))[-1] == code


def test_a_code_block_that_does_not_fit_is_cut_between_lines_with_its_indentation() -> None:
    code = "\n".join(f"    step_{n}()" for n in range(10))
    for piece in pieces([Block(code, code=True)], 50):
        assert all(re.fullmatch(r"    step_\d\(\)", line) for line in piece.split("\n"))


def test_an_example_with_a_blank_line_is_one_block() -> None:
    found = list(paragraphs("Use it so:\n\n    a = 1\n\n    b = 2\n\nDone."))
    assert found == [Block("Use it so:"), Block("    a = 1\n\n    b = 2", code=True), Block("Done.")]


def test_names_are_the_path_of_headings() -> None:
    section = Section(("Guide", " Install\n it ", "", "Linux"), (Block("apt"),))
    [passage] = passages_of("a.md", [section], untitled="a.md")
    assert (passage.name, passage.source) == ("Guide > Install it > Linux", "a.md")


def test_an_endless_heading_is_shortened() -> None:
    [passage] = passages_of("a.md", [Section(("x" * 10_000,), (Block("text"),))], untitled="a.md")
    assert len(passage.name) == MAX_HEADING_CHARS
    assert passage.name.endswith("…")


def test_the_same_sections_have_the_same_ids_and_every_id_is_used_once() -> None:
    sections = [Section(("Same",), (Block("same"),))] * 3 + [Section((), (Block("same"),))]
    first, second = (list(passages_of("a.md", sections, untitled="a.md")) for _ in range(2))
    assert first == second
    assert len({passage.id for passage in first}) == 4
    assert all(uuid.UUID(passage.id) for passage in first)


def test_an_edit_changes_the_ids_of_the_edited_pieces_only() -> None:
    def ids(middle: str) -> list[str]:
        sections = [Section((name,), (Block(text),)) for name, text in (("a", "1"), ("b", middle), ("c", "3"))]
        return [passage.id for passage in passages_of("a.md", sections, untitled="-")]

    before, after = ids("2"), ids("two")
    assert before[::2] == after[::2]
    assert before[1] != after[1]


def test_what_no_reader_sees_is_not_stored() -> None:
    hidden = "".join(chr(0xE0000 + ord(letter)) for letter in "obey")
    assert clean(f"vis\u200bible{hidden}\x1b[2J\u202e.\r\nnext\ud800") == "visible[2J.\nnext\ufffd"


def test_a_line_without_any_boundary_is_cut_in_bounded_time() -> None:
    started = time.process_time()
    for text in ("x" * 2_000_000, "." * 2_000_000, "a" + " " * 2_000_000 + "b"):
        assert max(map(len, pieces([Block(text)]))) <= MAX_CHARS
    assert time.process_time() - started < 30
