"""The headers of every response, whatever server stands in front."""

from collections.abc import Mapping
from typing import Final

ALWAYS: Final[Mapping[str, str]] = {
    "content-security-policy": "default-src 'self'; base-uri 'none'; form-action 'self'; frame-ancestors 'none'",
    "cross-origin-resource-policy": "same-origin",
    "referrer-policy": "no-referrer",
    "x-content-type-options": "nosniff",
}
NEVER_STORED: Final[Mapping[str, str]] = {"cache-control": "no-store"}


def headers_of(headers: Mapping[str, str], correlation: str) -> dict[str, str]:
    """The headers of a response to the call that is known by this id."""
    return {**NEVER_STORED, **headers, **ALWAYS, "x-request-id": correlation}
