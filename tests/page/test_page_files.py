"""The page's files: nothing is missing, nothing is left over, nothing would need what the policy forbids."""

import re
from html.parser import HTMLParser
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
PAGE = ROOT / "local" / "page"


class _Elements(HTMLParser):
    """Every element's name, attributes and text."""

    def __init__(self) -> None:
        super().__init__()
        self.found: list[tuple[str, dict[str, str | None], str]] = []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.found.append((tag, dict(attrs), ""))

    def handle_data(self, data: str) -> None:
        if self.found:
            tag, attributes, _ = self.found[-1]
            self.found[-1] = (tag, attributes, data.strip())


@pytest.fixture
def elements() -> _Elements:
    parser = _Elements()
    parser.feed((PAGE / "index.html").read_text("utf-8"))
    return parser


def test_every_file_is_used_and_every_used_file_is_there(elements: _Elements) -> None:
    asked = {
        value for _, attributes, _ in elements.found for key, value in attributes.items() if key in {"src", "href"}
    }
    linked = {value.removeprefix("/page/") for value in asked if value and value.startswith("/page/")}
    imported = {
        name for file in PAGE.glob("*.js") for name in re.findall(r'from "\./([^"]+)"', file.read_text("utf-8"))
    }
    assert linked | imported | {"index.html"} == {file.name for file in PAGE.iterdir()}
    assert imported <= linked, "what is imported is preloaded, so that a browser need not find it file by file"


def test_there_is_no_inline_script_and_no_inline_style(elements: _Elements) -> None:
    for tag, attributes, text in elements.found:
        assert not (tag == "script" and text)
        assert tag != "style"
        assert not [name for name in attributes if name == "style" or name.startswith("on")]


def test_nothing_is_made_from_markup() -> None:
    made = re.compile(r"innerHTML|outerHTML|insertAdjacentHTML|document\.write|DOMParser|\beval\b|new Function")
    assert [file.name for file in PAGE.glob("*.js") if made.search(file.read_text("utf-8"))] == []


def test_nothing_comes_from_elsewhere() -> None:
    foreign = re.compile(r"(?:https?:)?//(?!www\.w3\.org/2000/svg)[\w-]+\.[\w.]+")
    found = {file.name: foreign.findall(file.read_text("utf-8")) for file in PAGE.iterdir()}
    assert {name: hosts for name, hosts in found.items() if hosts} == {}
