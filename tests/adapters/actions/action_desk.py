"""Attempts of deliveries that invoke an action, on a store that is closed and opened again as a crash does."""

import sqlite3
import tomllib
from collections.abc import Callable, Mapping
from datetime import timedelta
from functools import partial
from pathlib import Path
from typing import Any

from action_server import ActionServer, toml
from harness import Clock

from functions.adapters.actions.bound import BoundActions
from functions.adapters.actions.settings import Action, read_actions
from functions.adapters.local.effects import LocalEffects
from functions.adapters.local.store import Store
from functions.runtime.delivery import Binding
from functions.runtime.workflow import Budget


def _accepted(connection: sqlite3.Connection, request: str) -> None:
    connection.execute(
        "INSERT INTO request (tenant, request, conversation, workflow, status, accepted, deadline, envelope)"
        " VALUES ('default', ?, 'c1', 'answer', 'running', 0, 0, '')",
        (request,),
    )


class Desk:
    """One store, one clock."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.clock = Clock()
        self.store = Store(folder)
        for request in ("r1", "r1-again"):
            self.store.write(partial(_accepted, request=request))
        self.environment: dict[str, str] = {}
        self.wrap: Callable[[LocalEffects], Any] = lambda effects: effects

    @property
    def effects(self) -> LocalEffects:
        return LocalEffects(self.store, self.clock, tenant="default")

    def restart(self) -> None:
        self.store.close()
        self.store = Store(self.folder)

    def attempt(self, server: ActionServer, settings: Mapping[str, str] | None = None, **given: Any) -> BoundActions:
        """The capability of one attempt."""
        resolve = {"resolve": given.pop("resolve")} if "resolve" in given else {}
        values = {
            "tenant": "default",
            "conversation": "c1",
            "request": "r1",
            "key": "k",
            "origin": "k",
            "agent": "caller",
            "attempt": 1,
            "until": self.clock() + timedelta(seconds=30),
            "budget": Budget(),
        }
        return BoundActions(
            self.declared(toml(server, **(settings or {}))),
            effects=self.wrap(self.effects),
            binding=Binding(**(values | given)),
            environment=self.environment,
            now=self.clock,
            **resolve,
        )

    def declared(self, text: str) -> Mapping[str, Action]:
        return read_actions(tomllib.loads(text), self.environment, "actions.toml")

    def statuses(self) -> list[str]:
        return [each.status for each in self.effects.effects()]
