"""What files say of themselves as works."""

import io

import pypdf
import pytest
from hypothesis import given
from hypothesis import strategies as st

from functions.documents.metadata import MAX_AUTHORS, MAX_CHARACTERS, authors_of, work_of
from functions.documents.reader_process import READERS, ReaderProcess
from functions.events.common import Work


def markdown(front: str, body: str = "# First\n\ntext\n") -> Work:
    return work_of(".md", f"---\n{front}\n---\n{body}".encode())


def html(head: str, body: str = "<p>text</p>") -> Work:
    return work_of(".html", f"<html><head>{head}</head><body>{body}</body></html>".encode())


def pdf(**said: str) -> Work:
    writer, held = pypdf.PdfWriter(), io.BytesIO()
    writer.add_blank_page(72, 72)
    writer.add_metadata({f"/{name}": value for name, value in said.items()})
    writer.write(held)
    return work_of(".pdf", held.getvalue())


class TestMarkdown:
    def test_front_matter_says_what_a_bibliography_wants(self) -> None:
        front = (
            "title: 'My guide'\nauthor: Ada Byron\ndate: 2024-05-01T10:00:00Z\nversion: 1.2\nurl: https://example.org/g"
        )
        assert markdown(front) == Work(
            title="My guide",
            authors=("Ada Byron",),
            published="2024-05-01",
            version="1.2",
            location="https://example.org/g",
        )

    @pytest.mark.parametrize(
        "front",
        [
            "authors: [Ada Byron, 'Bo Li']",
            "authors:\n  - Ada Byron\n  - name: Bo Li",
            "author: Ada Byron and Bo Li",
            "author: Ada Byron <ada@example.org>; Bo Li",
        ],
    )
    def test_several_authors_in_any_of_the_usual_ways(self, front: str) -> None:
        assert markdown(front).authors == ("Ada Byron", "Bo Li")

    def test_the_first_heading_stands_in_for_a_missing_title(self) -> None:
        assert markdown("tags: [a]").title == "First"
        assert work_of(".md", b"intro\n\n# Top #\n\n# Next\n").title == "Top"

    def test_a_date_in_words_stays_as_it_is_written(self) -> None:
        assert markdown("date: May 2024").published == "May 2024"
        assert markdown("date: 2024/5/1").published == "2024-05-01"


class TestHtml:
    def test_the_tags_of_libraries_come_before_those_of_anybody(self) -> None:
        work = html(
            "<title>A page - Site</title><meta name='author' content='Webmaster'>"
            "<meta name='citation_title' content='A paper'><meta name='citation_author' content='Ada Byron'>"
            "<meta name='Citation_Author' content='Bo Li'><meta name='citation_publication_date' content='2024/05/01'>"
            "<link rel='canonical' href='https://example.org/paper'>"
        )
        assert work == Work(
            title="A paper",
            authors=("Ada Byron", "Bo Li"),
            published="2024-05-01",
            location="https://example.org/paper",
        )

    def test_dublin_core_and_plain_tags_are_read_too(self) -> None:
        plain = html("<title>T &amp; U</title><meta name=author content='Ada'><meta name=date content=2024>")
        assert plain == Work(title="T & U", authors=("Ada",), published="2024")
        core = html(
            "<meta name='DC.title' content='T'><meta name='dc.creator' content='A'>"
            "<meta name='dc.date' content='2023-01'>"
        )
        assert core == Work(title="T", authors=("A",), published="2023-01")

    def test_what_stands_in_the_body_is_the_text_not_the_work(self) -> None:
        assert html("", "<meta name=author content=Eve><svg><title>icon</title></svg>") == Work()
        assert work_of(".html", b"<title>T</title><body><meta name=author content=Eve>") == Work(title="T")

    @pytest.mark.parametrize("address", ["javascript:alert(1)", "/relative", "file:///etc/passwd", ""])
    def test_only_a_web_address_is_one(self, address: str) -> None:
        assert html(f"<link rel=canonical href='{address}'>").location == ""


class TestPdfRstText:
    def test_a_pdf_says_who_and_when(self) -> None:
        work = pdf(Title="A paper", Author="Ada Byron; Bo Li", CreationDate="D:20240501103000Z")
        assert (work.title, work.authors, work.published) == ("A paper", ("Ada Byron", "Bo Li"), "2024-05-01")

    @pytest.mark.parametrize("title", ["Microsoft Word - draft.doc", "untitled", "paper.dvi", "  "])
    def test_a_title_that_a_program_made_is_none(self, title: str) -> None:
        assert pdf(Title=title).title == ""

    def test_rst_has_a_title_and_fields(self) -> None:
        text = b"=====\nTitle\n=====\n\n:Author: Ada Byron\n:Date: 2024-05-01\n:Version: 3\n\ntext\n"
        assert work_of(".rst", text) == Work(title="Title", authors=("Ada Byron",), published="2024-05-01", version="3")

    def test_plain_text_says_nothing_of_itself(self) -> None:
        assert work_of(".txt", b"title: no\n") == Work()


@pytest.mark.parametrize("suffix", READERS)
@pytest.mark.parametrize("data", [b"", b"\0\1\2", b"%PDF-1.7 broken", b"---\n", b"<meta", b"\xff\xfe\0"])
def test_a_broken_file_says_nothing(suffix: str, data: bytes) -> None:
    assert work_of(suffix, data).authors == ()


@given(st.text(max_size=500))
def test_what_is_said_is_one_visible_line_of_bounded_length(said: str) -> None:
    works = [
        markdown(f"title: {said}\nauthor: {said}"),
        html(f"<title>{said}</title><meta name=author content='{said}'>"),
    ]
    for work in works:
        for shown in (work.title, *work.authors, work.published, work.version, work.location):
            assert shown == " ".join(shown.split())
            assert len(shown) <= MAX_CHARACTERS
            assert "\u202e" not in shown
            assert "\x1b" not in shown


def test_authors_are_bounded_and_each_once() -> None:
    assert authors_of("Ada", "Ada <a@b.c>", "Bo (bo@b.c)") == ("Ada", "Bo")
    assert len(authors_of(*(f"author {n}" for n in range(500)))) == MAX_AUTHORS


def test_the_process_that_parses_returns_the_work_with_the_text() -> None:
    with ReaderProcess() as parser:
        parsed = parser.parse(".md", b"---\ntitle: T\nauthor: Ada\n---\ntext\n")
    assert parsed.work == Work(title="T", authors=("Ada",))
    assert parsed.sections[0].headings == ("T",)


def test_an_author_line_of_blanks_does_not_keep_the_parser_busy() -> None:
    page = f'<head><meta name="author" content="Ada{" " * 190_000}Byron"></head><p>text</p>'
    with ReaderProcess(max_seconds=10.0) as parser:
        assert parser.parse(".html", page.encode()).work.authors == ("Ada Byron",)
