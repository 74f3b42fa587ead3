"""Documents that are put into the bucket under `documents/<tenant>/` are read: each begins a request."""

from dataclasses import dataclass

from infra.components.blob_store import BlobStore
from infra.components.event_route import EventRoute


@dataclass(frozen=True, kw_only=True)
class IngestArgs:
    """Where documents come in, and the route to who takes them."""

    blobs: BlobStore
    route: EventRoute
