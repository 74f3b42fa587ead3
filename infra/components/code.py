"""The code of all functions. What is the same for several of them is uploaded once."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Protocol

import pulumi

from infra.bundling.bundles import Bundle
from infra.components.blob_store import BlobStore
from infra.components.common import Common


@dataclass(frozen=True, kw_only=True)
class CodeArgs:
    """What was bundled.

    Attributes:
        bundles: By function.
        runtime: That it is for.
        architecture: That it is for.
    """

    common: Common
    blobs: BlobStore
    bundles: Mapping[str, Bundle]
    runtime: str
    architecture: str


@dataclass(frozen=True, kw_only=True)
class Uploaded:
    """The code of one function.

    Attributes:
        bucket: Where it is.
        key: Where it is in that.
        digest: Of its bytes: where it stays the same, no version is published.
        handler: The entry point in it.
        layers: What else is unpacked for it.
    """

    bucket: pulumi.Input[str]
    key: pulumi.Input[str]
    digest: str
    handler: str
    layers: tuple[pulumi.Input[str], ...] = ()


class Code(Protocol):
    """By function."""

    functions: Mapping[str, Uploaded]
