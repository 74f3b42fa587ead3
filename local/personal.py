"""What takes personal data out of texts on one machine: the settings say what becomes of it.

The key is a reference, or a file that is made for this machine, outside the folder that it protects and for its owner
alone.
"""

import os
import secrets
import stat
from collections.abc import Mapping, Sequence
from contextlib import suppress
from datetime import timedelta
from pathlib import Path
from typing import TYPE_CHECKING

from functions.adapters.files import sync_folder
from functions.adapters.local.store import Store
from functions.adapters.local.vault import LocalVault, keep_key, key_of, seals_in
from functions.adapters.models.settings import ModelSettingsError
from functions.adapters.personal_settings import KEY, PersonalSettings
from functions.ports.personal import PersonalDataError

if TYPE_CHECKING:
    from functions.personal.keys import Key
    from functions.personal.tokenizer import PersonalTokenizer

KEY_FILE = "personal-data.key"
_BRING_BACK = (
    f"bring that key back to where it was, or name it in {KEY}, after a new one if you like (env:NEW,env:OLD); where "
    "it is lost, name an empty folder in TROUPE_HOME, and documents are read anew"
)


def opened_tokenizer(settings: PersonalSettings, store: Store) -> "PersonalTokenizer | None":
    """What takes personal data out of texts before anything is stored; None where it is kept in them.

    Raises:
        PersonalDataError: There is no key, one that cannot be used, or another one than made the tokens in the store.
    """
    if settings.mode == "keep":
        return None
    from functions.personal.tokenizer import PersonalTokenizer  # noqa: PLC0415 - slow, and not for all

    keys = _keys(settings, store)
    _keep_to(keys, store)
    return PersonalTokenizer(
        keys,
        vault=LocalVault(store) if settings.mode == "vault" else None,
        ttl=timedelta(days=settings.days),
        regions=settings.regions,
        now=store.clock,
    )


def _keys(settings: PersonalSettings, store: Store) -> "list[Key]":
    from functions.personal.keys import Key  # noqa: PLC0415 - slow, and not for all

    if not settings.keys:
        return [Key(_of_this_machine(key_file(os.environ), store))]
    problems, keys = [], []
    for reference in settings.keys:
        try:
            if not reference.value():
                raise PersonalDataError("it is not set")  # noqa: TRY301 - listed with the others
            keys.append(Key(reference.value().encode()))
        except (PersonalDataError, ModelSettingsError) as error:
            problems.append(f"the key in {reference.name} cannot be used: {error}")
    if problems:
        raise PersonalDataError("personal data cannot be taken out of texts: " + "; ".join(problems))
    return keys


def _keep_to(keys: "Sequence[Key]", store: Store) -> None:
    """Refuse keys that make other tokens than those in the store, unless one of them made those."""
    known = key_of(store)
    if known is not None and known not in {key.id for key in keys}:
        raise PersonalDataError(
            f"the tokens in the store are of the key {known.hex()}, and {_shown(keys)} would make others, which find "
            f"none of them: {_BRING_BACK}"
        )
    given = {key.id for key in keys}
    if lacking := sorted(seal.hex() for seal in seals_in(store, store.clock(), len(keys[0].id)) - given):
        raise PersonalDataError(
            f"originals in the store are sealed with the key {' and '.join(lacking)}, which is not given: name it in "
            f"{KEY} after the new one, env:NEW,env:OLD, until they have expired"
        )
    if known != keys[0].id:
        keep_key(store, keys[0].id)


def _shown(keys: "Sequence[Key]") -> str:
    return " and ".join(key.id.hex() for key in keys)


def key_file(environment: Mapping[str, str]) -> Path:
    """Where the key of this machine is, for whoever names no other."""
    home = environment.get("XDG_CONFIG_HOME") or Path.home() / ".config"
    return Path(home) / "troupe" / KEY_FILE


def _of_this_machine(file: Path, store: Store) -> bytes:
    """The key in the file, which is made where there is none; never a new one over tokens of another."""
    try:
        if not file.exists():
            if (known := key_of(store)) is not None:
                raise PersonalDataError(
                    f"there is no key of personal data in {file}, and the tokens in the store are of the key "
                    f"{known.hex()}: {_BRING_BACK}"
                )
            _make(file)
        if stat.S_IMODE(file.stat().st_mode) & 0o077:
            raise PersonalDataError(f"the key in {file} may be read by others: take their rights with `chmod 600`")
        return file.read_bytes().strip()
    except OSError as error:
        raise PersonalDataError(
            f"the key of personal data in {file} cannot be had ({error.strerror or error}): mend that, or name a key "
            f"in {KEY}, e.g. env:NAME"
        ) from error


def _make(file: Path) -> None:
    """Whole or not at all; of two processes that make one at a time, the first one's stays."""
    file.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
    draft = file.with_name(f"{file.name}.{secrets.token_hex(8)}")
    try:
        descriptor = os.open(draft, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
        with os.fdopen(descriptor, "w") as opened:
            opened.write(secrets.token_hex(32))
            opened.flush()
            os.fsync(opened.fileno())
        with suppress(FileExistsError):
            os.link(draft, file)
        sync_folder(file.parent)  # the tokens that are stored next are of this key
    finally:
        draft.unlink(missing_ok=True)
