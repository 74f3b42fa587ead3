import os
import stat
from collections.abc import Callable
from datetime import timedelta
from pathlib import Path

import pytest

from functions.adapters.local.store import Store
from functions.adapters.local.vault import LocalVault
from functions.adapters.personal_settings import Mode, PersonalSettings, personal_settings
from functions.personal.tokenizer import PersonalTokenizer
from functions.ports.personal import PersonalDataError
from local.personal import key_file, opened_tokenizer

KEY = "0123456789abcdef" * 4


@pytest.fixture
def store(open_store: Callable[[], Store], tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Store:
    monkeypatch.setenv("XDG_CONFIG_HOME", str(tmp_path / "config"))
    return open_store()


def test_by_default_texts_stay_and_no_key_is_made(store: Store, tmp_path: Path) -> None:
    assert opened_tokenizer(personal_settings({}), store) is None
    assert not (tmp_path / "config").exists()


def test_everything_that_is_wrong_is_said_at_once_and_no_key_is_shown() -> None:
    wrong = {
        "TROUPE_PERSONAL_DATA": "hide",
        "TROUPE_PERSONAL_DATA_KEY": KEY,
        "TROUPE_PERSONAL_DATA_DAYS": "0",
        "TROUPE_PHONE_REGIONS": "DE,XX",
    }
    with pytest.raises(PersonalDataError) as refused:
        personal_settings(wrong)
    assert all(name in str(refused.value) for name in wrong)
    assert KEY not in str(refused.value)


@pytest.mark.parametrize("mode", ["vault", "forget"])
def test_one_variable_switches_it_on_with_a_key_of_this_machine_for_its_owner_alone(store: Store, mode: str) -> None:
    settings = personal_settings({"TROUPE_PERSONAL_DATA": mode})
    first, again = opened_tokenizer(settings, store), opened_tokenizer(settings, store)
    assert first is not None
    assert again is not None
    file = next(Path(key_file({"XDG_CONFIG_HOME": str(store.folder.parent / "config")}).parent).iterdir())
    assert stat.S_IMODE(file.stat().st_mode) == 0o600
    texts = [each.tokenized(["a@example.com"], tenant="t", keep=True)[0] for each in (first, again)]
    assert texts[0] == texts[1] != "a@example.com"
    assert len(store.read("SELECT * FROM original")) == (mode == "vault")


def test_a_key_and_its_name_are_on_disk_before_anything_is_of_it(store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    config, synced, sync = store.folder.parent / "config", list[str](), os.fsync

    def noted(descriptor: int) -> None:
        is_there = any(config.rglob("*.key"))
        if stat.S_ISDIR(os.fstat(descriptor).st_mode):
            synced.append("name" if is_there else "no name")
        elif not is_there:
            synced.append("key")
        sync(descriptor)

    monkeypatch.setattr(os, "fsync", noted)
    opened_tokenizer(PersonalSettings(mode="vault"), store)
    assert synced == ["key", "name"]


def test_a_key_that_others_can_read_is_refused(store: Store) -> None:
    settings = PersonalSettings(mode="vault")
    opened_tokenizer(settings, store)
    file = next((store.folder.parent / "config").rglob("*.key"))
    file.chmod(0o644)
    with pytest.raises(PersonalDataError, match="chmod 600"):
        opened_tokenizer(settings, store)


@pytest.mark.parametrize("mode", ["vault", "forget"])
def test_a_lost_key_is_said_and_not_replaced_whether_originals_are_kept_or_not(store: Store, mode: Mode) -> None:
    opened_tokenizer(PersonalSettings(mode=mode), store)
    file = next((store.folder.parent / "config").rglob("*.key"))
    file.unlink()
    with pytest.raises(PersonalDataError, match=r"no key of personal data in .*: bring that key back"):
        opened_tokenizer(PersonalSettings(mode=mode), store)
    assert not file.exists()


def test_a_new_key_comes_with_the_old_one_and_then_stays_the_one(store: Store) -> None:
    def opened(*keys: str) -> None:
        variables = {f"KEY_{place}": key for place, key in enumerate(keys)}
        given = ",".join(f"env:{name}" for name in variables)
        environment = {"TROUPE_PERSONAL_DATA": "forget", "TROUPE_PERSONAL_DATA_KEY": given, **variables}
        opened_tokenizer(personal_settings(environment), store)

    old, new, other = KEY, KEY[::-1], KEY.upper()
    opened(old)
    with pytest.raises(PersonalDataError, match=r"would make others.* bring that key back"):
        opened(new)
    with pytest.raises(PersonalDataError, match="empty folder") as refused:
        opened(new, other)
    assert KEY not in str(refused.value)
    opened(new, old)
    opened(new)
    with pytest.raises(PersonalDataError, match="would make others"):
        opened(old)


def test_the_old_key_stays_as_long_as_there_are_originals_of_it(store: Store) -> None:
    def opened(given: str) -> PersonalTokenizer | None:
        variables = {"OLD": KEY, "NEW": KEY[::-1]}
        settings = {"TROUPE_PERSONAL_DATA": "vault", "TROUPE_PERSONAL_DATA_KEY": given}
        return opened_tokenizer(personal_settings(settings | variables), store)

    tokenizer = opened("env:OLD")
    assert tokenizer is not None
    tokenizer.tokenized(["a@example.com"], tenant="t", keep=True)
    opened("env:NEW,env:OLD")
    with pytest.raises(
        PersonalDataError, match=r"sealed with the key [0-9a-f]{8}, which is not given: .*env:NEW,env:OLD"
    ):
        opened("env:NEW")
    LocalVault(store).expire(store.clock() + timedelta(days=8))
    opened("env:NEW")


def test_keys_are_references_and_each_that_is_missing_or_short_is_named(store: Store) -> None:
    environment = {
        "TROUPE_PERSONAL_DATA": "vault",
        "TROUPE_PERSONAL_DATA_KEY": "env:NEW_KEY, env:OLD_KEY",
        "OLD_KEY": "short",
    }
    with pytest.raises(PersonalDataError) as refused:
        opened_tokenizer(personal_settings(environment), store)
    assert "NEW_KEY cannot be used: it is not set" in str(refused.value)
    assert "OLD_KEY cannot be used: the key of personal data has 5 bytes" in str(refused.value)
    assert "short" not in str(refused.value).replace("OLD_KEY", "")
    assert opened_tokenizer(personal_settings({**environment, "NEW_KEY": KEY, "OLD_KEY": KEY[::-1]}), store)
