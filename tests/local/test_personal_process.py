"""Personal data in a real workspace: the test looks at every byte of the collections, the texts and the logs."""

import logging
import os
import time
import uuid
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import msgspec
import pytest
from local_fakes import PATIENCE_S, asked, settled
from shelves import carried
from small_encoder import SmallEncoder

from functions.adapters.local.erasing import pending
from functions.adapters.local.rights import LocalRights
from functions.adapters.local.store import Store
from functions.adapters.personal_settings import personal_settings
from functions.events.ingest import DocumentsReceived, SentDocument
from functions.ports.personal import TOKEN, PersonalDataError
from local import workspace as module
from local.personal import opened_tokenizer
from local.process import LocalProcess
from local.workspace import workspace

MAIL, PHONE, CARD, ADDRESS = "reception@example.com", "+1 202-555-0123", "4111 1111 1111 1111", "192.0.2.77"
SENT_MAIL, TOLD_MAIL = "canteen@example.org", "dentist@example.net"
ORIGINALS = [each.encode() for each in (MAIL, PHONE, CARD, ADDRESS, SENT_MAIL, TOLD_MAIL)]
LONG = f"The archive of {MAIL} is long. " + "It has many pages about nothing. " * 400


@pytest.fixture
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setattr(module, "registered", lambda *_: carried(SmallEncoder()))
    monkeypatch.setenv("XDG_CONFIG_HOME", str(tmp_path / "config"))
    monkeypatch.setenv("TROUPE_PERSONAL_DATA", "vault")
    docs = tmp_path / "docs"
    docs.mkdir()
    text = f"# Reception\n\nReception answers mail to {MAIL}.\n\n# Printer\n\nThe printer is at {ADDRESS}.\n"
    (docs / "office.md").write_text(f"{text}\n# Fees\n\nFees are paid by card {CARD}, questions to {PHONE}.\n", "utf-8")
    (docs / f"{MAIL}.txt").write_text(LONG, "utf-8")
    return tmp_path / "home"


@contextmanager
def at_work(home: Path) -> Iterator[LocalProcess]:
    with workspace(home, str(home.parent / "docs")) as opened:
        opened.read_documents(lambda _done, _total: None)
        with opened.process() as process:
            yield process


def sent(process: LocalProcess) -> None:
    document = SentDocument(name=SENT_MAIL, text=f"The canteen takes orders at {SENT_MAIL}.")
    name = uuid.uuid4().hex
    received = DocumentsReceived(documents=(document,))
    process.submit("ingest", received, conversation="collection:documents", request=name)
    settled(process, name)


def holding(folder: Path) -> list[tuple[str, bytes]]:
    """The files with an original in them."""
    return [
        (str(file.relative_to(folder)), original)
        for file in sorted(folder.rglob("*"))
        if file.is_file()
        for original in ORIGINALS
        if original in file.read_bytes() or original in str(file).encode()
    ]


def erased_from_files(store: Store) -> None:
    """Wait until the process has finished the erasure."""
    until = time.monotonic() + PATIENCE_S
    while pending(store):
        assert time.monotonic() < until, "the erasure was never finished"
        time.sleep(0.02)


@pytest.mark.parametrize("mode", ["vault", "forget"])
def test_no_original_reaches_a_collection_a_log_or_the_record_of_who_worked_when(
    home: Path, mode: str, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setenv("TROUPE_PERSONAL_DATA", mode)
    caplog.set_level(logging.DEBUG)
    with at_work(home) as process:
        sent(process)
        asked(process, f"Remember that the dentist has the address {TOLD_MAIL}")
        asked(process, f"Who answers {MAIL}?")
        asked(process, f"What is at {ADDRESS}?", conversation="c2")
    assert holding(home / "collections") == []
    assert holding(home / "texts") == []
    assert b"[EMAIL-" in b"".join(file.read_bytes() for file in (home / "collections").rglob("*") if file.is_file())
    assert not [each for each in ORIGINALS if each.decode() in caplog.text]
    store = Store(home)
    try:
        for table in ("delivery", "held", "original", "collection", "filling", "pace", "plan"):
            rows = repr(store.read(f"SELECT * FROM {table}")).encode()  # noqa: S608 - of those above
            assert not [each for each in ORIGINALS if each in rows], table
        assert bool(store.read("SELECT 1 FROM original")) == (mode == "vault")
        assert TOKEN.search(str(store.read("SELECT passage FROM held")))
    finally:
        store.close()


def test_a_question_that_names_an_address_finds_its_passage_and_the_answer_shows_it(home: Path) -> None:
    with at_work(home) as process:
        answer = asked(process, f"Who answers mail to {MAIL}?")
        assert f"Reception answers mail to {MAIL}." in answer.text
        assert not TOKEN.search(msgspec.json.encode(answer).decode())


def test_a_search_shows_originals_as_answers_do(home: Path) -> None:
    with workspace(home, str(home.parent / "docs")) as opened:
        opened.read_documents(lambda _done, _total: None)
        found = opened.search(f"Who answers mail to {MAIL}?", limit=10)
    assert f"Reception answers mail to {MAIL}." in found[0].text
    assert not TOKEN.search(msgspec.json.encode(found).decode())


def test_without_originals_answers_show_tokens(home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TROUPE_PERSONAL_DATA", "forget")
    with at_work(home) as process:
        answer = asked(process, "Who answers mail at the reception?")
    assert MAIL not in answer.text
    assert TOKEN.search(answer.text)


def test_another_tenant_gets_no_originals_even_of_a_token_that_it_knows(home: Path) -> None:
    with at_work(home) as process:
        asked(process, f"Remember that the dentist has the address {TOLD_MAIL}")
        token = TOKEN.findall(str(process._store.read("SELECT passage FROM held")))[0]
        asked(process, f"Remember that somebody wrote {token}", tenant="other")
        answer = asked(process, f"Who wrote {token}?", tenant="other")
    assert token in answer.text
    assert TOLD_MAIL not in answer.text


def test_what_a_memory_had_in_the_vault_goes_when_it_is_erased_unless_another_has_it_too(home: Path) -> None:
    with at_work(home) as process:
        asked(process, f"Remember that the dentist has the address {TOLD_MAIL}", conversation="first")
        asked(process, f"Remember that teeth are for {TOLD_MAIL} and {SENT_MAIL}", conversation="second")
        store = process._store
        tokens = set(TOKEN.findall(str(store.read("SELECT passage FROM held"))))
        assert len(tokens) == 2
        for conversation, left in (("first", 2), ("second", 0)):
            LocalRights(store, process._blobs, store.clock).erase(conversation, tenant="default")
            erased_from_files(store)
            kept = {token for (token,) in store.read("SELECT token FROM original")} & tokens
            assert len(kept) == left


def test_erased_originals_do_not_come_back(home: Path) -> None:
    with at_work(home) as process:
        asked(process, f"Remember that the dentist has the address {TOLD_MAIL}", conversation="told")
        store = process._store
        (token,) = TOKEN.findall(str(store.read("SELECT passage FROM held")))
        by = opened_tokenizer(personal_settings(os.environ), store)
        assert by is not None
        assert by.revealed(token, tenant="default") == TOLD_MAIL
        LocalRights(store, process._blobs, store.clock).erase("told", tenant="default")
        erased_from_files(store)
        assert by.revealed(token, tenant="default") == token


def test_a_missing_key_is_one_error_before_anything_is_stored(home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TROUPE_PERSONAL_DATA_KEY", "env:NOT_THERE")
    with pytest.raises(PersonalDataError, match="NOT_THERE"), at_work(home):
        pass
    assert not (home / "collections").exists()


def test_a_long_message_of_hostile_forms_is_answered(home: Path) -> None:
    with at_work(home) as process:
        assert asked(process, "Remember \u200b 1 1 1 @@ [EMAIL-[IP-x]] ::: " + "1 a@ " * 3_000).text
