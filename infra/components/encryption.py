"""The key of a stack, where one is wanted: everything that is kept or queued is encrypted with it."""

from dataclasses import dataclass
from typing import Protocol

import pulumi

from infra.components.common import Common


@dataclass(frozen=True, kw_only=True)
class EncryptionArgs:
    """The stack, which has no key yet."""

    common: Common


class Encryption(Protocol):
    """The key that was made."""

    key: pulumi.Output[str]
