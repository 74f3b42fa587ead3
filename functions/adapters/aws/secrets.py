"""Settings whose values are secrets of Secrets Manager: fetched when one is first asked for, then kept in this process.

A setting that is a secret is read like any other: whoever reads it does not know where it comes from. Where a service
says that a value is wrong, it is fetched again, since it may have been changed.
"""

import threading
import time
from collections.abc import Callable, Iterator, Mapping
from typing import Final

import msgspec

from functions.adapters.aws.client import SECRETS, Aws, AwsError
from functions.errors import TroupeError
from functions.events.decoding import decoder

AGAIN_S: Final = 30.0  # a value that is refused is not fetched again before: it may just be wrong
_WHY: Final = {
    "ResourceNotFoundException": "there is none: make it, or name another one in the stack's settings",
    "InvalidRequestException": "it was deleted, or has no value yet: restore it, or give it a value",
    "AccessDeniedException": "this function's role may not read it: deploy again, or allow its key",
}


class SecretError(TroupeError):
    """A secret that a setting refers to could not be had."""


class SecretAwayError(SecretError):
    """Nobody can say for the moment what a secret is."""


class SecretSettings(Mapping[str, str]):
    """The environment, with secrets in front of it. Safe to use from several threads.

    Args:
        environment: Every other setting.
        secrets: ARNs by the setting that each stands for.
        aws: Fetches them.
        elapsed: Seconds that only go forward.
    """

    def __init__(
        self,
        environment: Mapping[str, str],
        secrets: Mapping[str, str],
        aws: Aws,
        elapsed: Callable[[], float] = time.monotonic,
    ) -> None:
        self._environment = environment
        self._secrets = secrets
        self._aws = aws
        self._elapsed = elapsed
        self._fetching = threading.Lock()
        self._fetched: dict[str, tuple[str, float]] = {}
        self._refused: set[str] = set()

    def __repr__(self) -> str:
        return f"<settings, and the secrets {', '.join(sorted(self._secrets)) or 'none'}>"

    def __getitem__(self, name: str) -> str:
        """The value of a setting.

        Raises:
            KeyError: It is not set.
            SecretError: It is a secret that could not be had.
        """
        if name not in self._secrets:
            return self._environment[name]
        with self._fetching:
            if name not in self._fetched or name in self._refused:
                self._fetched[name] = (self._newest(name), self._elapsed())
                self._refused.discard(name)
            return self._fetched[name][0]

    def __contains__(self, name: object) -> bool:
        return name in self._secrets or name in self._environment

    def __iter__(self) -> Iterator[str]:
        return iter({*self._environment, *self._secrets})

    def __len__(self) -> int:
        return len({*self._environment, *self._secrets})

    def refused(self, name: str) -> None:
        """Somebody did not take the value of a setting: it is fetched again, where that was not just done."""
        with self._fetching:
            if name in self._fetched and self._elapsed() - self._fetched[name][1] >= AGAIN_S:
                self._refused.add(name)

    def table(self, name: str) -> Mapping[str, str]:
        """A secret that is one JSON object of several; empty where it is not set.

        Raises:
            SecretError: It could not be had, or is something else.
        """
        try:
            return decoder(dict[str, str]).decode(self.get(name, "{}"))
        except msgspec.MsgspecError:
            pass  # what was wrong with it would be shown with a part of it
        raise SecretError(f"the secret of {name} is no JSON object of texts: give it one value for each name")

    def _newest(self, name: str) -> str:
        """As it is now, or as it was where nobody can say: one wrong key is not to shut out whoever has another."""
        try:
            return self._value(name)
        except SecretAwayError:
            if name not in self._fetched:
                raise
            return self._fetched[name][0]

    def _value(self, name: str) -> str:
        arn = self._secrets[name]
        try:
            found = self._aws.call(SECRETS, "GetSecretValue", {"SecretId": arn})
        except AwsError as error:
            why = _WHY.get(error.code, f"it could not be read ({error.code or error.said})")
            kind = SecretError if error.code in _WHY else SecretAwayError
            raise kind(f"{name} refers to the secret {arn}: {why}") from None
        value = found.get("SecretString")
        if not isinstance(value, str):
            raise SecretError(f"{name} refers to the secret {arn}, which holds bytes: expected text")
        return value


class TableSettings(Mapping[str, str]):
    """Settings, with those of one secret that is a table in front of them, as it is whenever one is read.

    Args:
        settings: Which have the secret.
        name: Of the secret.
        others: Every other setting.
    """

    def __init__(self, settings: SecretSettings, name: str, others: Mapping[str, str]) -> None:
        self._settings = settings
        self._name = name
        self._others = others

    def __repr__(self) -> str:
        return f"<settings, and those of the secret {self._name}>"

    def __getitem__(self, name: str) -> str:
        return {**self._others, **self._settings.table(self._name)}[name]

    def __iter__(self) -> Iterator[str]:
        return iter({*self._others, *self._settings.table(self._name)})

    def __len__(self) -> int:
        return len({*self._others, *self._settings.table(self._name)})

    def refused(self, _: str) -> None:
        """Somebody did not take a value of the table: see `SecretSettings.refused`."""
        self._settings.refused(self._name)
