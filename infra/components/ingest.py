"""Documents that are put into the bucket under `documents/<tenant>/` are read: each begins a request."""

from dataclasses import dataclass

from infra.components.blob_store import BlobStore
from infra.components.common import Common
from infra.components.function import Function


@dataclass(frozen=True, kw_only=True)
class IngestArgs:
    """Where documents come in, and who takes them."""

    common: Common
    blobs: BlobStore
    uploads: Function
