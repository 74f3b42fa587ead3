"""Who calls: the tenant by its API key, and the id by which the caller knows the call."""

import hashlib
import hmac
import re
import uuid
from collections.abc import Mapping

from functions.api.problems import ProblemError, Wrong, wrong
from functions.errors import TroupeError

DEFAULT_TENANT = "default"
_TENANT = re.compile(r"[A-Za-z0-9_-]{1,64}")
_KEY = re.compile(r"[!-+\--~]{16,512}")  # visible ASCII but the comma, which parts one tenant from the next
MAX_CORRELATION = 128
_CORRELATION = re.compile(rf"[!-~]{{1,{MAX_CORRELATION}}}")


class Keys:
    """The API keys of a target, kept as digests only.

    Args:
        keys: By tenant; none lets everybody in as the default tenant.
    """

    def __init__(self, keys: Mapping[str, str]) -> None:
        self._digests = {tenant: _digest(key) for tenant, key in keys.items()}

    def __len__(self) -> int:
        """How many tenants have one."""
        return len(self._digests)

    def tenant(self, headers: Mapping[str, str]) -> str:
        """The tenant of a call.

        Raises:
            ProblemError: 401: no key, or a wrong one.
        """
        if not self._digests:
            return DEFAULT_TENANT
        scheme, _, key = headers.get("authorization", "").partition(" ")
        given = _digest(key.strip())
        # every digest is compared, so that the time tells nothing
        found = [tenant for tenant, digest in self._digests.items() if hmac.compare_digest(digest, given)]
        if scheme.lower() != "bearer" or not found:
            raise ProblemError(
                401, "this call needs an API key: send Authorization: Bearer …", headers={"www-authenticate": "Bearer"}
            )
        return found[0]


def _digest(key: str) -> bytes:
    return hashlib.sha256(key.encode("utf-8", "surrogateescape")).digest()


def read_keys(environment: Mapping[str, str]) -> Keys:
    """The keys in `TROUPE_API_KEY` and `TROUPE_API_KEYS`.

    Raises:
        TroupeError: With everything that is wrong with them; no key is ever part of a message.
    """
    pairs = []
    if key := environment.get("TROUPE_API_KEY", "").strip():
        pairs.append((DEFAULT_TENANT, key))
    for entry in filter(None, map(str.strip, environment.get("TROUPE_API_KEYS", "").split(","))):
        tenant, _, key = entry.partition("=")
        pairs.append((tenant.strip(), key.strip()))
    problems = [*_malformed(pairs), *_repeated(pairs)]
    if problems:
        raise TroupeError(f"the API keys in the environment cannot be used: {'; '.join(problems)}")
    return Keys(dict(pairs))


def _malformed(pairs: list[tuple[str, str]]) -> list[str]:
    problems = []
    for number, (tenant, key) in enumerate(pairs, 1):
        if not _TENANT.fullmatch(tenant):
            problems.append(
                f"entry {number} names no tenant: write tenant=key, the tenant in 1 to 64 letters, digits, - and _"
            )
        elif not _KEY.fullmatch(key):
            problems.append(f"the key of {tenant} is not 16 to 512 visible ASCII characters without commas")
    return problems


def _repeated(pairs: list[tuple[str, str]]) -> list[str]:
    problems = []
    if len({tenant for tenant, _ in pairs}) < len(pairs):
        problems.append("a tenant has two keys: give it one")
    if len({key for _, key in pairs}) < len(pairs):
        problems.append("two tenants have the same key: give each its own")
    return problems


def correlation(headers: Mapping[str, str]) -> str:
    """The caller's `X-Request-ID`, or one that is made.

    Raises:
        ProblemError: 400: it cannot be written to a log as it is.
    """
    given = headers.get("x-request-id")
    if given is None:
        return uuid.uuid4().hex
    if not _CORRELATION.fullmatch(given):
        detail = "expected 1 to 128 visible ASCII characters"
        raise wrong(400, "the headers", [Wrong(parameter="X-Request-ID", detail=detail)])
    return given
