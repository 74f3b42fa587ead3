"""The folder of one machine, opened whole: real store and collections, and an encoder that needs no model."""

import os
import shutil
import sqlite3
from collections.abc import Sequence
from contextlib import closing
from pathlib import Path

import pytest
from local_fakes import asked, settled
from shelves import carried
from small_encoder import SmallEncoder

from functions.adapters.local.catalog import LocalCatalog
from functions.adapters.local.store import Store
from functions.adapters.models.breaker import Breaker
from functions.adapters.vectors.settings import VectorSettingsError
from functions.agents.response_builder import NOTHING_FOUND
from functions.collections.lifecycle import LifecycleError, begin
from functions.documents.sync import Report
from functions.errors import TroupeError
from functions.events.answer import ResponseReady
from functions.events.common import Passage
from functions.events.ingest import DocumentsReceived, SentDocument
from functions.ports.encoders import UnknownEncoderError
from local import workspace as module
from local.workspace import home_folder, workspace


class Library:
    """Documentation of one module, in place of Python's."""

    source, fingerprint, size = "python:heapq", "1", 1

    def read(self) -> Sequence[Passage]:
        text = "Find the n largest elements in a dataset."
        return [Passage(id="a" * 32, name="heapq.nlargest", source=self.source, text=text)]


@pytest.fixture(autouse=True)
def _no_model(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "registered", lambda *_: carried(SmallEncoder()))
    monkeypatch.setattr(module, "python_documents", lambda: (Library(),))


@pytest.fixture
def home(tmp_path: Path) -> Path:
    return tmp_path / "home"


def folder(tmp_path: Path, name: str, text: str) -> str:
    made = tmp_path / name
    made.mkdir()
    (made / "page.md").write_text(text, "utf-8")
    return str(made)


def read(home: Path, docs: str | None) -> Report:
    with workspace(home, docs) as opened:
        return opened.read_documents(lambda _done, _total: None)


def ask(home: Path, docs: str | None, text: str) -> ResponseReady:
    with workspace(home, docs) as opened:
        opened.read_documents(lambda _done, _total: None)
        with opened.process() as process:
            return asked(process, text)


def test_without_a_folder_the_standard_library_answers(home: Path) -> None:
    response = ask(home, None, "What are the n largest elements in a dataset?")
    assert response.text == "heapq.nlargest: Find the n largest elements in a dataset. [1]"


def test_a_folder_of_ones_own_answers_from_its_files(home: Path, tmp_path: Path) -> None:
    docs = folder(tmp_path, "docs", "# Office\n\nThe office opens at nine. Bring a badge.\n")
    response = ask(home, docs, "When does the office open?")
    assert "The office opens at nine. [1]" in response.text
    assert [(each.name, each.source) for each in response.citations] == [("Office", "page.md")]


def test_another_folder_is_another_collection_and_the_first_is_not_read_again(home: Path, tmp_path: Path) -> None:
    office = folder(tmp_path, "office", "# Office\n\nThe office opens at nine.\n")
    garden = folder(tmp_path, "garden", "# Garden\n\nThe garden closes at six.\n")
    assert ask(home, office, "When does the office open?").citations
    assert ask(home, garden, "When does the office open?").text == NOTHING_FOUND
    again = read(home, office)
    assert (again.added, again.changed, again.unchanged, again.written) == ([], [], 1, 0)


def test_a_folder_of_the_same_name_elsewhere_is_another_one(home: Path, tmp_path: Path) -> None:
    one, two = tmp_path / "one", tmp_path / "two"
    one.mkdir()
    two.mkdir()
    assert read(home, folder(one, "docs", "The office opens at nine.")).added == ["page.md"]
    assert read(home, folder(two, "docs", "The garden closes at six.")).added == ["page.md"]
    assert read(home, str(one / "docs")).removed == []


def test_what_was_remembered_survives_a_switch_of_folders(home: Path, tmp_path: Path) -> None:
    ask(home, folder(tmp_path, "office", "The office opens at nine."), "Remember that my favourite colour is teal.")
    response = ask(home, folder(tmp_path, "garden", "The garden closes at six."), "What is my favourite colour?")
    assert "my favourite colour is teal." in response.text


def test_an_edited_file_is_read_again(home: Path, tmp_path: Path) -> None:
    docs = folder(tmp_path, "docs", "The office opens at nine.")
    assert "nine" in ask(home, docs, "When does the office open?").text
    (Path(docs) / "page.md").write_text("The office opens at seven sharp.", "utf-8")
    assert "seven sharp" in ask(home, docs, "When does the office open?").text


def test_a_collection_that_was_removed_by_hand_is_read_anew(home: Path, tmp_path: Path) -> None:
    docs = folder(tmp_path, "docs", "The office opens at nine.")
    with workspace(home, docs) as opened:
        opened.read_documents(lambda _done, _total: None)
        collection = opened.documents.key
    shutil.rmtree(home / "collections" / collection)
    assert read(home, docs).written == 1
    assert ask(home, docs, "When does the office open?").citations


def test_a_home_from_before_there_was_a_catalog_is_read_as_it_is(home: Path, tmp_path: Path) -> None:
    docs = folder(tmp_path, "docs", "The office opens at nine.")
    assert read(home, docs).written == 1
    with closing(sqlite3.connect(home / "troupe.sqlite", isolation_level=None)) as connection:
        assert connection.execute("DELETE FROM collection").rowcount == 2
    with workspace(home, docs) as opened:
        assert opened.documents.key == f"{opened.corpus.name}_v1_small.1"
        assert not opened.read_documents(lambda _done, _total: None).has_news
    assert ask(home, docs, "When does the office open?").citations


def test_an_encoder_that_is_no_longer_carried_is_told_at_once(
    home: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    docs = folder(tmp_path, "docs", "The office opens at nine.")
    read(home, docs)
    another = SmallEncoder()
    another.version = "small.2"  # type: ignore[misc]
    monkeypatch.setattr(module, "registered", lambda *_: carried(another))
    with pytest.raises(UnknownEncoderError, match=r"small\.1 are asked for, which this process does not carry"):
        read(home, docs)


def test_a_folder_whose_name_is_no_unicode_can_be_read(home: Path, tmp_path: Path) -> None:
    docs = os.fsdecode(os.fsencode(tmp_path) + b"/caf\xe9")
    try:
        Path(docs).mkdir()
    except OSError:
        pytest.skip("this file system takes no such name")
    (Path(docs) / "page.md").write_text("The office opens at nine.", "utf-8")
    with workspace(home, docs) as opened:
        assert opened.corpus.title.encode("utf-8")
        assert opened.read_documents(lambda _done, _total: None).added == ["page.md"]


def test_everything_is_closed_when_the_workspace_is(home: Path) -> None:
    for _ in range(3):
        read(home, None)


def test_everything_is_closed_when_something_in_it_fails(home: Path) -> None:
    with pytest.raises(ZeroDivisionError), workspace(home, None):
        raise ZeroDivisionError
    read(home, None)


def test_a_workspace_in_use_is_refused(home: Path) -> None:
    with (
        workspace(home, None),
        pytest.raises(TroupeError, match=f"in use by process {os.getpid()}: stop that one, ask it with `--url`"),
        workspace(home, None),
    ):
        pass


def test_a_place_where_nothing_can_be_kept_is_refused_with_what_to_do(tmp_path: Path) -> None:
    taken = tmp_path / "file"
    taken.write_text("not a folder", "utf-8")
    with pytest.raises(TroupeError, match=r"cannot be used to keep things in.*TROUPE_HOME"), workspace(taken, None):
        pass


@pytest.mark.parametrize(("given", "expected"), [("/elsewhere", "/elsewhere"), ("", ".troupe"), (None, ".troupe")])
def test_the_home_is_where_troupe_home_says(monkeypatch: pytest.MonkeyPatch, given: str | None, expected: str) -> None:
    monkeypatch.delenv("TROUPE_HOME", raising=False)
    if given is not None:
        monkeypatch.setenv("TROUPE_HOME", given)
    assert home_folder() == Path(expected)


def test_a_document_that_was_sent_outlives_a_restart_and_the_reading_of_the_folder(home: Path, tmp_path: Path) -> None:
    docs = folder(tmp_path, "docs", "# Office\n\nThe office opens at nine.\n")
    sent = DocumentsReceived(documents=(SentDocument(name="canteen", text="The canteen opens at noon."),))
    with workspace(home, docs) as opened:
        opened.read_documents(lambda _done, _total: None)
        with opened.process() as process:
            process.submit("ingest", sent, conversation="c1", request="r1")
            view = settled(process, "r1")
    assert view.settlement is not None
    assert view.settlement.name == "DocumentsIngested"
    for _ in range(2):
        assert read(home, docs) == Report(unchanged=1)
        assert "The canteen opens at noon." in ask(home, docs, "When does the canteen open?").text
    (tmp_path / "docs" / "page.md").unlink()
    assert read(home, docs).removed == ["page.md"]
    assert "The canteen opens at noon." in ask(home, docs, "When does the canteen open?").text


def test_an_endpoint_is_asked_through_a_breaker(home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    settings = {"TROUPE_MODEL_URL": "http://127.0.0.1:9/v1", "TROUPE_MODEL": "m", "TROUPE_MODEL_PRICE": "0/0"}
    for name, value in settings.items():
        monkeypatch.setenv(name, value)
    with workspace(home, None) as opened, opened.process() as process:
        assert isinstance(process._chat, Breaker)


@pytest.mark.parametrize(("product", "library"), [("faiss", "faiss"), ("milvus", "milvus_lite")])
def test_another_vector_store_answers_the_same_and_the_documents_are_read_into_it(
    home: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, product: str, library: str
) -> None:
    pytest.importorskip(library, reason="it is in the group `stores`")
    docs = folder(tmp_path, "docs", "# Office\n\nThe office opens at nine.\n")
    in_edge = ask(home, docs, "When does the office open?")
    monkeypatch.setenv("TROUPE_VECTOR_STORE", product)
    assert read(home, docs).written == 1
    assert read(home, docs).written == 0, "they are there after a restart"
    assert ask(home, docs, "When does the office open?").text == in_edge.text
    monkeypatch.delenv("TROUPE_VECTOR_STORE")
    assert ask(home, docs, "When does the office open?").text == in_edge.text


def test_settings_of_a_vector_store_are_looked_at_before_anything_is_made(
    home: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("TROUPE_VECTOR_STORE", "qdrant")
    with pytest.raises(VectorSettingsError, match="TROUPE_VECTOR_URL is not set"):
        read(home, None)
    assert not home.exists()


def test_whoever_reads_documents_is_asked_for_an_encoder_before_it_has_to_write_with_it(home: Path) -> None:
    with workspace(home, None) as opened, closing(Store(home)) as beside:
        with pytest.raises(LifecycleError, match=f"process {os.getpid()} does not carry small.2"):
            begin(
                LocalCatalog(beside, "qdrant_edge"),
                opened.corpus.name,
                SmallEncoder("small.2"),
                rate=None,
                now=beside.clock(),
            )
        assert opened.read_documents(lambda _done, _total: None).added == ["python:heapq"]
    with closing(Store(home)) as beside:
        begin(LocalCatalog(beside, "qdrant_edge"), "python", SmallEncoder("small.2"), rate=None, now=beside.clock())


def test_whatever_is_wrong_with_settings_of_any_kind_is_said_at_once(
    home: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("TROUPE_VECTOR_STORE", "qdrant")
    monkeypatch.setenv("TROUPE_PERSONAL_DATA", "sometimes")
    with pytest.raises(TroupeError, match=r"(?s)TROUPE_PERSONAL_DATA is none of.*TROUPE_VECTOR_URL is not set"):
        read(home, None)
    assert not home.exists()
