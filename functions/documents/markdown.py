"""Markdown, by way of the HTML that it stands for: what that hides, a comment say, is hidden here too."""

import re

from functions.documents.chunks import Section, clean
from functions.documents.html import html_sections
from functions.documents.text import decode

# Metadata between two lines of dashes at the very beginning.
_FRONT_MATTER = re.compile(r"\A---\n(.{0,20000}?)\n(?:---|\.\.\.)[ \t]*(?:\n|\Z)", re.DOTALL)
_TITLE = re.compile(r"""^title:[ \t]*["']?(.+?)["']?[ \t]*$""", re.MULTILINE)


def read_markdown(data: bytes) -> list[Section]:
    """CommonMark with tables, by its headings; the title of its front matter stands for a missing first one.

    Raises:
        Unreadable: It is binary data, or in no encoding that can be told.
    """
    from markdown_it import MarkdownIt  # noqa: PLC0415 - agents start cold, and few of them parse

    text, title = _without_front_matter(clean(decode(data)))
    sections = html_sections(MarkdownIt("commonmark").enable("table").render(text))
    if not title or any(section.headings[:1] == (title,) for section in sections):
        return sections
    return [Section((title, *section.headings), section.blocks) for section in sections]


def _without_front_matter(text: str) -> tuple[str, str]:
    found = _FRONT_MATTER.match(text)
    if found is None:
        return text, ""
    title = _TITLE.search(found[1])
    return text[found.end() :], title[1] if title else ""
