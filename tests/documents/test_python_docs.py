import os
import re
import subprocess
import sys
import time
from pathlib import Path

import msgspec
import pytest
from document_fakes import TENANT, FakeCollection, FakeLedger

from functions.documents import python_docs
from functions.documents.chunks import MAX_CHARS
from functions.documents.python_docs import (
    python_docs_fingerprint,
    python_documents,
    python_modules,
)
from functions.documents.sync import sync
from functions.events.common import Passage

READ = """
import msgspec, sys, threading
from functions.documents.python_docs import read_python_docs
read = list(read_python_docs())
assert threading.active_count() == 1
assert not {"antigravity", "this", "turtle"} & set(sys.modules)
sys.stdout.buffer.write(msgspec.msgpack.encode(read))
"""


def read_in_another_process(**environment: str) -> list[Passage]:
    """What a process reads that nothing has been imported into; fails where importing prints anything."""
    inherited = {name: value for name, value in os.environ.items() if name != "DISPLAY"}
    done = subprocess.run(  # noqa: S603 - this interpreter, on the program above
        [sys.executable, "-W", "always", "-c", READ],
        env=inherited | {"PYTHONPATH": os.pathsep.join(sys.path)} | environment,
        stdin=subprocess.DEVNULL,
        capture_output=True,
        check=False,
    )
    assert done.stderr == b""
    return msgspec.msgpack.decode(done.stdout, type=list[Passage])


@pytest.fixture(scope="module")
def passages() -> list[Passage]:
    return read_in_another_process(PYTHONHASHSEED="1")


@pytest.fixture(scope="module")
def names(passages: list[Passage]) -> set[str]:
    return {passage.name for passage in passages}


def test_the_whole_library_is_there(passages: list[Passage], names: set[str]) -> None:
    assert len(passages) > 5_000
    assert len({passage.source for passage in passages}) > 200
    wanted = {
        *("print", "open", "sorted", "dict.get", "str.split", "int.from_bytes", "str.maketrans", "OSError"),
        *("heapq.nlargest", "pathlib.Path.read_text", "os.walk", "time.sleep", "math.sqrt", "re.compile"),
        *("itertools.chain.from_iterable", "functools.lru_cache", "threading.Thread", "sqlite3.connect"),
        *("subprocess.run", "csv.reader", "unittest.mock.patch", "urllib.parse.urlparse", "heapq", "json"),
        *("argparse.ArgumentParser.add_argument", "logging.handlers.RotatingFileHandler", "enum.Enum"),
    }
    assert wanted - names == set()


def test_what_a_package_is_made_of_and_does_not_pass_on_is_left_out(passages: list[Passage]) -> None:
    sources = {passage.source.removeprefix("python:") for passage in passages}
    assert {"asyncio", "json", "json.tool", "unittest", "unittest.mock", "xml.etree.ElementTree"} <= sources
    assert not {"asyncio.staggered", "json.scanner", "unittest.util", "sqlite3.dbapi2"} & sources


def test_an_object_stands_under_the_name_it_is_documented_by(names: set[str]) -> None:
    kept_and_left = {
        "json.dumps": "json.encoder.dumps",
        "json.JSONEncoder": "json.encoder.JSONEncoder",
        "asyncio.gather": "asyncio.tasks.gather",
        "os.path.join": "posixpath.join",
        "collections.OrderedDict": "typing.OrderedDict",
        "concurrent.futures.ThreadPoolExecutor": "concurrent.futures.thread.ThreadPoolExecutor",
        "collections.abc.Mapping": "typing.Mapping",
        "random.choice": "random.Random.choice",
        "multiprocessing.Lock": "multiprocessing.context.BaseContext.Lock",
        "socket.socket.recv": "socket.SocketType.recv",
        "OSError": "IOError",
        "open": "io.open",
    }
    assert set(kept_and_left) - names == set()
    assert set(kept_and_left.values()) & names == set()


def test_a_passage_begins_with_the_call_as_one_would_write_it(passages: list[Passage]) -> None:
    first = {passage.name: passage.text.split("\n")[0] for passage in reversed(passages)}
    assert first["heapq.nlargest"] == "heapq.nlargest(n, iterable, key=None)"
    assert first["str.split"] == "str.split(sep=None, maxsplit=-1)"
    assert first["sorted"] == "sorted(iterable, /, *, key=None, reverse=False)"
    assert first["pathlib.Path.home"] == "pathlib.Path.home()"


def test_a_passage_names_its_module(passages: list[Passage]) -> None:
    by_name = {passage.name: passage.source for passage in passages}
    assert by_name["heapq.nlargest"] == "python:heapq"
    assert by_name["dict.get"] == "python:builtins"
    assert by_name["os.path.join"] == "python:os.path"


def test_what_is_inherited_unchanged_is_left_out(names: set[str]) -> None:
    assert {"int.bit_length", "int.to_bytes", "dict.get"} <= names
    assert {"bool.bit_length", "bool.to_bytes", "collections.OrderedDict.get"} & names == set()


def test_passages_are_bounded_and_ids_unique(passages: list[Passage]) -> None:
    assert max(len(passage.text) for passage in passages) <= MAX_CHARS
    assert len({passage.id for passage in passages}) == len(passages)


def test_nothing_of_this_process_enters_the_passages(passages: list[Passage]) -> None:
    text = "\n".join(passage.text for passage in passages)
    assert not re.search(r"\bat 0x[0-9a-f]{8,}", text)
    assert "environ({" not in text
    assert sys.prefix not in text
    assert sys.base_prefix == "/usr" or sys.base_prefix not in text


def test_every_process_reads_the_same_in_the_same_order(passages: list[Passage]) -> None:
    assert read_in_another_process(PYTHONHASHSEED="7", COLUMNS="40", HOME="/nowhere") == passages


def test_the_fingerprint_costs_nothing_and_imports_nothing() -> None:
    before = set(sys.modules)
    started = time.perf_counter()
    fingerprints = {python_docs_fingerprint() for _ in range(100)}
    assert time.perf_counter() - started < 0.1
    assert len(fingerprints) == 1
    assert len(python_documents()) == len(python_modules()) > 150
    assert set(sys.modules) == before


def test_the_documents_hold_the_corpus_and_a_second_start_reads_nothing(
    passages: list[Passage], monkeypatch: pytest.MonkeyPatch
) -> None:
    def stranger() -> None:
        """Put in place of the library's own, as debuggers and test runners do."""

    monkeypatch.setattr(sys, "excepthook", stranger)
    collection, ledger = FakeCollection(), FakeLedger()
    report = sync(python_documents(), collection, ledger, tenant=TENANT)
    left_out = {p.name for p in passages if p.id not in collection.points[TENANT]}
    assert "sys.excepthook" in left_out
    assert len(left_out) < 10
    assert collection.count(tenant=TENANT) == len(passages) - len(left_out)
    assert report.skipped == []
    documents = python_documents()
    assert sync(documents, collection, ledger, tenant=TENANT).unchanged == len(documents)
    assert all(not document.corpus for document in documents)


def test_a_file_that_is_named_like_a_module_of_the_library_is_not_run(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "wave.py").write_text("from pathlib import Path; Path(__file__).with_name('ran').touch()")
    monkeypatch.delitem(sys.modules, "wave", raising=False)
    assert [module.__name__ for module in python_docs._with_submodules("wave")] == ["wave"]
    monkeypatch.delitem(sys.modules, "wave")
    monkeypatch.syspath_prepend(tmp_path)
    assert list(python_docs._with_submodules("wave")) == []
    assert not (tmp_path / "ran").exists()


def test_a_python_without_docstrings_is_refused_instead_of_read_as_empty() -> None:
    code = "from functions.documents.python_docs import python_documents as d; d()[0].read()"
    command = [sys.executable, "-OO", "-c", code]
    ended = subprocess.run(command, capture_output=True, text=True, check=False)  # noqa: S603 - our own code
    assert "unset PYTHONOPTIMIZE, or leave out -OO" in ended.stderr


def test_every_passage_names_its_module_and_the_python_it_is_of(passages: list[Passage]) -> None:
    version = ".".join(map(str, sys.version_info[:3]))
    for passage in passages:
        module = passage.source.removeprefix("python:")
        assert passage.work.title == module or passage.work.title.startswith(f"{module}: ")
        assert passage.work.version.endswith(f" {version}")
    works = {passage.source: passage.work for passage in passages}
    assert works["python:heapq"].title == "heapq: Heap queue algorithm (a.k.a. priority queue)"
    assert works["python:json"].title == "json", "a sentence cut in its middle is no title"
    assert works["python:functools"].title == ("functools: Tools for working with functions and callable objects")


def test_whoever_a_module_names_as_its_author_is_named_without_an_address(passages: list[Passage]) -> None:
    authors = {passage.source: passage.work.authors for passage in passages}
    assert authors["python:logging"] == ("Vinay Sajip",)
    assert authors["python:heapq"] == ()
    assert len(authors["python:inspect"]) == 2
    assert not any("@" in name for names in authors.values() for name in names)
