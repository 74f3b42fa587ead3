"""Attempts of deliveries that invoke an action, on a store that is closed and opened again as a crash does."""

import tomllib
from collections.abc import Callable, Mapping
from datetime import timedelta
from typing import Any

from action_server import ActionServer, toml
from stacks import Stack

from functions.adapters.actions.bound import BoundActions
from functions.adapters.actions.settings import Action, read_actions
from functions.ports.effects import Effects
from functions.runtime.delivery import Binding
from functions.runtime.workflow import Budget


class Desk:
    """One stack, one clock."""

    def __init__(self, stack: Stack) -> None:
        self.stack = stack
        self.clock = stack.clock
        for request in ("r1", "r1-again"):
            self.stack.accept(request, tenant="default")
        self.environment: dict[str, str] = {}
        self.wrap: Callable[[Effects], Any] = lambda effects: effects

    @property
    def effects(self) -> Effects:
        return self.stack.effects("default")

    def restart(self) -> None:
        self.stack.restart()

    def erase(self) -> None:
        """The conversation of the request."""
        self.stack.erase("r1", tenant="default")

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
        binding = Binding(**(values | given))
        self.stack.accept(binding.request, binding.conversation, binding.tenant)
        return BoundActions(
            self.declared(toml(server, **(settings or {}))),
            effects=self.wrap(self.effects),
            binding=binding,
            environment=self.environment,
            now=self.clock,
            **resolve,
        )

    def declared(self, text: str) -> Mapping[str, Action]:
        return read_actions(tomllib.loads(text), self.environment, "actions.toml")

    def statuses(self) -> list[str]:
        return [each.status for each in self.effects.effects()]
