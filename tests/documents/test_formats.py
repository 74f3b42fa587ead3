import io
import logging
import zipfile
import zlib

import pypdf
import pytest

from functions.documents.chunks import Block, Section
from functions.documents.document import Unreadable
from functions.documents.html import html_sections, read_html
from functions.documents.markdown import read_markdown
from functions.documents.pdf import MAX_PAGES, read_pdf
from functions.documents.text import decode, read_rst, read_text


def texts(sections: list[Section]) -> list[str]:
    return [block.text for section in sections for block in section.blocks]


def outline(sections: list[Section]) -> list[tuple[str, ...]]:
    return [section.headings for section in sections if section.blocks]


@pytest.fixture(autouse=True)
def _quiet_pypdf() -> None:
    logging.getLogger("pypdf").setLevel(logging.CRITICAL)


class TestText:
    @pytest.mark.parametrize(
        ("text", "encoding"),
        [
            ("Die Größe der Straße über München ist schön; voilà, déjà vu.", "cp1252"),
            ("A café in plain English.", "latin-1"),
            ("Привет, мир. Это проверка кодировки текста.", "koi8_r"),
            ("日本語のテキストです。これは文字コードのテストです。", "shift_jis"),
            ("plain", "utf-16"),
            ("plain", "utf-32"),
            ("marked", "utf-8-sig"),
        ],
    )
    def test_text_is_read_in_the_encoding_it_was_saved_in(self, text: str, encoding: str) -> None:
        assert decode(text.encode(encoding)) == text

    @pytest.mark.parametrize(
        "data",
        [b"abc\0def", b"\x89PNG\r\n\x1a\n\x01\x02", b"\x01\x02\x03\x04", b"\xff\xfe\x00\xd8\x00"],
        ids=["nul", "image", "controls", "half a surrogate pair"],
    )
    def test_binary_data_is_refused(self, data: bytes) -> None:
        with pytest.raises(Unreadable):
            read_text(data)

    def test_rst_titles_are_headings_in_the_order_of_their_styles(self) -> None:
        found = read_rst(b"====\nTop\n====\nintro\n\nSub\n---\none\n\nNext\n----\ntwo\n")
        assert outline(found) == [("Top",), ("Top", "Sub"), ("Top", "Next")]
        assert texts(found) == ["intro", "one", "two"]


class TestHtml:
    def test_hidden_text_is_not_read(self) -> None:
        page = """<title>T</title><p>seen</p><!-- no --><script>no</script><style>no</style><p hidden>no</p>
            <div aria-hidden="true">no</div><div style="color:red; DISPLAY : none">no <b>no</b></div>
            <span style="visibility:hidden">no</span><span style="font-size:0px">no</span>
            <span style="opacity: 0.0">no</span><template>no</template><p style="opacity:0.5">seen too</p>"""
        assert texts(html_sections(page)) == ["seen", "seen too"]

    def test_headings_nest_by_level_and_a_deeper_one_does_not_outlive_its_parent(self) -> None:
        page = "<h1>A</h1>1<h3>B</h3>2<h2>C</h2>3<h1>D</h1>4"
        assert outline(html_sections(page)) == [("A",), ("A", "B"), ("A", "C"), ("D",)]

    def test_the_title_stands_in_for_a_missing_first_heading(self) -> None:
        assert outline(html_sections("<title>T</title><p>a<h2>B</h2>b")) == [("T",), ("T", "B")]

    def test_code_keeps_its_lines_and_prose_does_not(self) -> None:
        [section] = html_sections("<p>a\n  b<br>c</p><pre>x\n  y</pre>")
        assert section.blocks == (Block("a b\nc"), Block("x\n  y", code=True))

    def test_lists_and_tables_are_lines(self) -> None:
        page = "<ul><li>one<li><p>two</p></li></ul><table><tr><th>a<th>b<tr><td>1<td>2</table>"
        assert texts(html_sections(page)) == ["- one\n- two", "a | b\n1 | 2"]

    def test_the_declared_encoding_is_believed_where_utf8_does_not_fit(self) -> None:
        page = '<meta charset="iso-8859-2"><p>Zażółć'
        assert texts(read_html(page.encode("iso-8859-2"))) == ["Zażółć"]
        assert texts(read_html(page.encode())) == ["Zażółć"]

    @pytest.mark.parametrize("declared", ["utf-16", "undefined", "rot13", "no-such-encoding"])
    def test_a_declaration_that_cannot_be_true_is_passed_over(self, declared: str) -> None:
        assert texts(read_html(f'<meta charset="{declared}"><p>caf\xe9 au lait'.encode("cp1252"))) == ["café au lait"]

    def test_a_page_may_nest_deeper_than_python_recurses(self) -> None:
        assert texts(html_sections("<div>" * 5_000 + "deep")) == ["deep"]


class TestMarkdown:
    def test_headings_code_lists_and_tables(self) -> None:
        found = read_markdown(b"# A\n\nsome *text*\n\n## B\n\n```sh\nx\n\ny\n```\n\n- 1\n- 2\n\n|a|\n|-|\n|b|\n")
        assert outline(found) == [("A",), ("A", "B")]
        assert texts(found) == ["some text", "x\n\ny\n", "- 1\n- 2", "a\nb"]

    def test_what_its_html_hides_is_hidden(self) -> None:
        text = b"seen <!-- no --> <span style='display:none'>no</span>\n\n<div hidden>\n\nno *no*\n\n</div>\n\nend"
        assert texts(read_markdown(text)) == ["seen", "end"]

    def test_front_matter_gives_a_title_and_no_text(self) -> None:
        found = read_markdown(b"---\ntitle: 'My guide'\ntags: [a]\n---\nintro\n\n## B\n\nb\n")
        assert outline(found) == [("My guide",), ("My guide", "B")]
        assert texts(found) == ["intro", "b"]

    def test_a_line_between_paragraphs_is_no_front_matter(self) -> None:
        assert texts(read_markdown(b"---\n\na\n\n***\n\nb\n")) == ["a", "b"]


def a_pdf(*pages: str, content: bytes | None = None) -> bytes:
    """A PDF with a line of text a page, or with `content` as its one page's compressed stream."""
    streams = [content] if content is not None else [zlib.compress(_drawn(page)) for page in pages]
    kids = " ".join(f"{4 + 2 * n} 0 R" for n in range(len(streams)))
    objects = [
        b"<< /Type /Catalog /Pages 2 0 R >>",
        f"<< /Type /Pages /Kids [{kids}] /Count {len(streams)} >>".encode(),
        b"<< /Type /Font /Subtype /Type1 /BaseFont /Helvetica /Encoding /WinAnsiEncoding >>",
    ]
    for n, stream in enumerate(streams):
        objects.append(
            f"<< /Type /Page /Parent 2 0 R /MediaBox [0 0 612 792] /Contents {5 + 2 * n} 0 R "
            f"/Resources << /Font << /F1 3 0 R >> >> >>".encode()
        )
        head = f"<< /Length {len(stream)} /Filter /FlateDecode >>".encode()
        objects.append(head + b"\nstream\n" + stream + b"\nendstream")
    return _filed(objects)


def _drawn(line: str) -> bytes:
    return f"BT /F1 12 Tf 72 720 Td ({line}) Tj ET".encode()


def _filed(objects: list[bytes]) -> bytes:
    out = bytearray(b"%PDF-1.7\n")
    places = []
    for number, body in enumerate(objects, start=1):
        places.append(len(out))
        out += f"{number} 0 obj\n".encode() + body + b"\nendobj\n"
    start = len(out)
    out += f"xref\n0 {len(objects) + 1}\n0000000000 65535 f \n".encode()
    out += b"".join(f"{place:010} 00000 n \n".encode() for place in places)
    out += f"trailer << /Size {len(objects) + 1} /Root 1 0 R >>\nstartxref\n{start}\n%%EOF\n".encode()
    return bytes(out)


class TestPdf:
    def test_every_page_is_a_section_that_can_be_cited(self) -> None:
        found = read_pdf(a_pdf("first page", "", "third page"))
        assert outline(found) == [("page 1",), ("page 3",)]
        assert texts(found) == ["first page", "third page"]

    @pytest.mark.parametrize(
        ("data", "reason"),
        [
            (b"<html><p>text", "not a PDF"),
            (a_pdf("cut")[:200], "broken"),
            (b"%PDF-1.7\n" + b"\xfe" * 5000, "broken"),
            (b"%PDF-1.7\n" + b"[" * 100_000, "broken"),
            (a_pdf(""), "no text"),
        ],
        ids=["html", "cut off", "noise", "nested", "scan"],
    )
    def test_what_is_no_readable_pdf_is_refused_with_the_reason(self, data: bytes, reason: str) -> None:
        with pytest.raises(Unreadable, match=reason):
            read_pdf(data)

    def test_a_zip_bomb_named_pdf_is_never_unpacked(self) -> None:
        held = io.BytesIO()
        with zipfile.ZipFile(held, "w", zipfile.ZIP_DEFLATED) as archive:
            archive.writestr("a", b"\0" * 10_000_000)
        with pytest.raises(Unreadable, match="not a PDF"):
            read_pdf(held.getvalue())

    def test_a_decompression_bomb_is_refused(self) -> None:
        packer = zlib.compressobj(1)
        bomb = b"".join(packer.compress(b" " * 1_000_000) for _ in range(80)) + packer.flush()
        with pytest.raises(Unreadable, match="unpacks to more"):
            read_pdf(a_pdf(content=bomb))

    def test_an_encrypted_pdf_is_refused_and_one_without_a_password_is_read(self) -> None:
        for password, readable in (("secret", False), ("", True)):
            writer = pypdf.PdfWriter(clone_from=io.BytesIO(a_pdf("text")))
            writer.encrypt(password, owner_password="owner", algorithm="RC4-128")  # noqa: S106 - a test's own
            held = io.BytesIO()
            writer.write(held)
            if readable:
                assert texts(read_pdf(held.getvalue())) == ["text"]
            else:
                with pytest.raises(Unreadable, match="encrypted"):
                    read_pdf(held.getvalue())

    def test_a_pdf_that_claims_endless_pages_is_refused(self) -> None:
        kids = b"4 0 R " * (MAX_PAGES + 1)
        objects = [
            b"<< /Type /Catalog /Pages 2 0 R >>",
            b"<< /Type /Pages /Kids [" + kids + b"] /Count %d >>" % (MAX_PAGES + 1),
            b"null",
            b"<< /Type /Page /Parent 2 0 R /MediaBox [0 0 612 792] >>",
        ]
        with pytest.raises(Unreadable, match="5,001 pages"):
            read_pdf(_filed(objects))

    def test_words_cut_by_a_line_end_are_whole(self) -> None:
        stream = b"BT /F1 12 Tf 72 720 Td (a reason-) Tj 0 -14 Td (able end) Tj ET"
        assert texts(read_pdf(a_pdf(content=zlib.compress(stream)))) == ["a reasonable end"]
