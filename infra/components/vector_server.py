"""A Qdrant server of the stack's own, inside its network, on a volume that outlives it."""

from dataclasses import dataclass
from typing import Protocol

import pulumi

from infra.components.blob_store import BlobStore
from infra.components.common import Common
from infra.components.network import Network
from infra.settings import VectorSettings


@dataclass(frozen=True, kw_only=True)
class VectorServerArgs:
    """The server.

    Attributes:
        settings: How large.
        key: The reference of the key that it asks for; None for one that it makes itself.
    """

    common: Common
    settings: VectorSettings
    network: Network
    blobs: BlobStore
    key: str | None = None


class VectorServer(Protocol):
    """Where it is, for whoever stands in the network, and the reference of its key."""

    url: pulumi.Output[str]
    key: pulumi.Output[str]
