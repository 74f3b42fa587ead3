"""What a stack's functions call by URL: a model, a vector store, the servers of declared actions."""

import tomllib
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Final
from urllib.parse import urlsplit

from functions.adapters.actions.settings import Action, read_actions

if TYPE_CHECKING:
    from infra.settings import Settings

ROOT: Final = Path(__file__).parents[1]
_PORTS: Final = {"http": 80, "https": 443}


def ports(settings: "Settings") -> tuple[int, ...]:
    """At which ports, beside that of HTTPS."""
    services = [urlsplit(url) for url in (settings.vectors.url, settings.model.url if settings.model else "") if url]
    found = {each.port or _PORTS[each.scheme] for each in services}
    return tuple(sorted({*found, *(action.target.port for action in actions(settings).values())} - {443}))


def actions(settings: "Settings") -> Mapping[str, Action]:
    """The declared actions, by name, as functions read them.

    Raises:
        OSError: Their file cannot be read.
        ValueError: It is no TOML.
        ActionSettingsError: With everything that is wrong in it.
    """
    if not settings.actions:
        return {}
    table = tomllib.loads((ROOT / settings.actions).read_text("utf-8"))
    return read_actions(table, _EverySecret(), settings.actions)


class _EverySecret(Mapping[str, str]):
    """An environment in which every secret is set: whether one is there shows when it is read."""

    def __getitem__(self, name: str) -> str:
        if name.endswith("_FILE"):
            raise KeyError(name)
        return "set"

    def __iter__(self) -> Iterator[str]:
        return iter(())

    def __len__(self) -> int:
        return 0
