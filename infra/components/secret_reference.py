"""A secret that somebody put into the cloud's store. A stack knows where it is, and never what it is."""

from collections.abc import Mapping
from dataclasses import dataclass

from infra.components.common import Common


@dataclass(frozen=True, kw_only=True)
class SecretReferencesArgs:
    """References.

    Attributes:
        references: The name or ARN of each, by what it is for.
    """

    common: Common
    references: Mapping[str, str]
