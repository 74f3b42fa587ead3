from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from functions.adapters.local.blobs import LocalBlobs
from functions.adapters.local.retention import sweep
from functions.adapters.local.store import Store
from functions.adapters.local.vault import LocalVault
from functions.personal.keys import Key
from functions.personal.tokenizer import PersonalTokenizer, TenantReveal
from functions.ports.personal import TOKEN, PersonalDataError, Vault

NOW = datetime(2026, 1, 5, 9, 0, tzinfo=UTC)
OLD, NEW = Key(b"o" * 32), Key(b"n" * 32)
MINE, OTHER = "[ID-mzxw6ytboi4dkmrq]", "[ID-abcdefgh234567ab]"
TEXT = "Ask a@example.com or +1 202-555-0123."


@pytest.fixture
def store(tmp_path: Path) -> Iterator[Store]:
    opened = Store(tmp_path)
    yield opened
    opened.close()


def tokenizer(vault: Vault | None, *keys: Key, now: datetime = NOW) -> PersonalTokenizer:
    return PersonalTokenizer(keys or (NEW,), vault=vault, ttl=timedelta(days=7), regions=("US",), now=lambda: now)


def tokenized(by: PersonalTokenizer, text: str, *, tenant: str = "one", keep: bool = True) -> str:
    return by.tokenized([text], tenant=tenant, keep=keep)[0]


def test_equal_values_have_equal_tokens_within_a_tenant_and_others_between_tenants() -> None:
    by = tokenizer(None)
    first, same = tokenized(by, "a@example.com"), tokenized(by, "to a@EXAMPLE.COM")
    assert same == f"to {first}"
    assert TOKEN.fullmatch(first)
    assert tokenized(by, "a@example.com", tenant="two") != first
    assert tokenized(by, "b@example.com") != first


def test_what_is_a_token_already_stays() -> None:
    by = tokenizer(None)
    once = tokenized(by, TEXT)
    assert tokenized(by, once) == once
    assert "example.com" not in once
    assert "555" not in once


def test_originals_come_back_for_their_tenant_alone_as_they_were_written(store: Store) -> None:
    by = tokenizer(LocalVault(store))
    once = tokenized(by, TEXT)
    assert TenantReveal(by, "one").revealed(once) == TEXT
    assert TenantReveal(by, "two").revealed(once) == once


def test_a_question_leaves_nothing_in_the_vault(store: Store) -> None:
    by = tokenizer(LocalVault(store))
    once = tokenized(by, TEXT, keep=False)
    assert by.revealed(once, tenant="one") == once
    assert store.read("SELECT * FROM original") == []


def test_without_a_vault_originals_are_nowhere() -> None:
    by = tokenizer(None)
    assert by.revealed(tokenized(by, TEXT), tenant="one") == tokenized(by, TEXT)


def test_originals_expire_at_once_and_are_swept(store: Store) -> None:
    once = tokenized(tokenizer(LocalVault(store)), TEXT)
    later = NOW + timedelta(days=7)
    assert tokenizer(LocalVault(store), now=later).revealed(once, tenant="one") == once
    sweep(store, LocalBlobs(store.folder / "blobs"), later)
    assert store.read("SELECT * FROM original") == []


def test_an_original_that_is_stored_again_lives_as_long_as_the_later_of_both(store: Store) -> None:
    vault = LocalVault(store)
    once = tokenized(tokenizer(vault, now=NOW + timedelta(days=2)), TEXT)
    tokenized(tokenizer(vault), TEXT)
    assert tokenizer(vault, now=NOW + timedelta(days=8)).revealed(once, tenant="one") == TEXT


def test_the_store_never_sees_an_original(store: Store) -> None:
    tokenized(tokenizer(LocalVault(store)), TEXT)
    files = b"".join(file.read_bytes() for file in store.folder.rglob("*") if file.is_file())
    assert b"[EMAIL-" in files
    assert b"a@example.com" not in files
    assert b"555-0123" not in files


def test_after_a_new_key_the_old_one_opens_what_it_sealed_and_makes_no_tokens(store: Store) -> None:
    vault = LocalVault(store)
    before = tokenized(tokenizer(vault, OLD), TEXT)
    both = tokenizer(vault, NEW, OLD)
    assert both.revealed(before, tenant="one") == TEXT
    assert tokenized(both, before) == before
    assert tokenized(both, TEXT) == tokenized(tokenizer(None, NEW), TEXT) != before
    assert tokenizer(vault, NEW).revealed(before, tenant="one") == before


def test_a_seal_opens_only_under_its_key_its_tenant_and_its_token() -> None:
    sealed = NEW.sealed("a\udc80@example.com", tenant="one", token=MINE)
    assert NEW.opened(sealed, tenant="one", token=MINE) == "a\udc80@example.com"
    assert NEW.opened(sealed, tenant="two", token=MINE) is None
    assert NEW.opened(sealed, tenant="one", token=OTHER) is None
    assert NEW.opened(sealed[:-1] + bytes([sealed[-1] ^ 1]), tenant="one", token=MINE) is None
    assert OLD.opened(sealed, tenant="one", token=MINE) is None
    assert NEW.opened(b"", tenant="one", token=MINE) is None


def test_a_key_prints_nothing_of_its_secret_and_a_short_one_is_refused() -> None:
    assert "n" * 8 not in repr(NEW)
    with pytest.raises(PersonalDataError, match="31 bytes, at least 32"):
        Key(b"s" * 31)
