"""What is written down stays true: links lead somewhere, named files exist, and no machine is named."""

import re
import tomllib
from collections.abc import Iterator
from functools import cache
from pathlib import Path
from urllib.parse import unquote

from markdown_it import MarkdownIt
from markdown_it.token import Token

ROOT = Path(__file__).parents[2]
THIS = Path(__file__)

GENERATED = {"uv.lock"}
HIDDEN_BUT_OURS = {".ci", ".github", ".gitignore", ".pre-commit-config.yaml"}
BUILT = {"__pycache__", "build", "dist", "node_modules"}

#: A folder of whoever wrote it; Azure Functions does keep its code in a fixed one.
SOMEBODYS_FOLDER = re.compile(r"(?<![\w.~}])/(?:root|work|Users|home(?!/site/wwwroot))/\w")
UNFINISHED = re.compile(r"(?:#|//|<!--|--|/\*)\s*(?:TODO|FIXME|XXX|HACK)\b")
#: What looks like a file of this tree, in the code spans of a page; `<name>` marks what the reader fills in.
OWN_FILE = re.compile(r"(?:functions|local|ops|infra|tests|docs|bench|\.ci|\.github)/[\w./-]*\w")


def test_no_file_names_a_folder_of_its_author() -> None:
    assert list(_lines_with(SOMEBODYS_FOLDER)) == []


def test_no_file_is_left_unfinished() -> None:
    assert list(_lines_with(UNFINISHED)) == []


def test_every_relative_link_leads_somewhere() -> None:
    broken = []
    for page in _pages():
        for link in _links(page):
            if re.match(r"[a-z][a-z0-9+.-]*:", link):
                continue
            target, _, anchor = unquote(link).partition("#")
            file = (page.parent / target).resolve() if target else page
            if not file.exists() or (anchor and file.suffix == ".md" and anchor not in _anchors(file)):
                broken.append(f"{page.relative_to(ROOT)}: {link}")
    assert broken == []


def test_every_file_that_a_page_names_exists() -> None:
    missing = [
        f"{page.relative_to(ROOT)}: {code}"
        for page in _pages()
        for code in _code_spans(page)
        if OWN_FILE.fullmatch(code) and not (ROOT / code).exists()
    ]
    assert missing == []


def test_every_dependency_is_explained() -> None:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())
    asked = [*project["project"]["dependencies"], *project["build-system"]["requires"]]
    asked += [each for group in project["dependency-groups"].values() for each in group]
    names = {re.split(r"[\[<>=~! ]", each)[0] for each in asked}
    explained = set(re.findall(r"^\| `([^`]+)`", (ROOT / "docs" / "dependencies.md").read_text(), re.MULTILINE))
    assert explained == names


def test_every_decision_is_in_the_index() -> None:
    folder = ROOT / "docs" / "adr"
    index = (folder / "README.md").read_text()
    assert [file.name for file in sorted(folder.glob("0*.md")) if f"({file.name})" not in index] == []


def _lines_with(pattern: re.Pattern[str]) -> Iterator[str]:
    for file in _files(ROOT):
        try:
            text = file.read_text(encoding="utf-8")
        except UnicodeDecodeError:
            continue  # a picture or a frozen sample
        for number, line in enumerate(text.splitlines(), 1):
            if pattern.search(line):
                yield f"{file.relative_to(ROOT)}:{number}: {line.strip()[:120]}"


def _files(folder: Path) -> Iterator[Path]:
    for each in sorted(folder.iterdir()):
        if each.name in BUILT or each.suffix == ".egg-info" or each.is_symlink():
            continue
        if each.name.startswith(".") and each.name not in HIDDEN_BUT_OURS:
            continue
        if each.is_dir():
            yield from _files(each)
        elif each.name not in GENERATED and each != THIS:
            yield each


def _pages() -> list[Path]:
    return [file for file in _files(ROOT) if file.suffix == ".md" and "tests" not in file.relative_to(ROOT).parts]


@cache
def _tokens(page: Path) -> list[Token]:
    return [
        token
        for block in MarkdownIt("gfm-like", {"linkify": False}).parse(page.read_text(encoding="utf-8"))
        for token in (block, *(block.children or ()))
    ]


def _links(page: Path) -> Iterator[str]:
    for token in _tokens(page):
        link = token.attrGet("href") if token.type == "link_open" else token.attrGet("src")
        if link:
            yield str(link)


def _code_spans(page: Path) -> Iterator[str]:
    return (token.content for token in _tokens(page) if token.type == "code_inline")


def _anchors(page: Path) -> set[str]:
    """The anchors that GitHub gives to headings."""
    tokens = _tokens(page)
    titles = [tokens[at + 1].content for at, token in enumerate(tokens) if token.type == "heading_open"]
    shown = [re.sub(r"<[^>]*>", "", title).lower() for title in titles]
    given = re.findall(r'<a id="([^"]+)">', page.read_text(encoding="utf-8"))
    return {*given, *(re.sub(r"[^\w\- ]", "", title).replace(" ", "-") for title in shown)}
