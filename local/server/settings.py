"""What the environment says about the server; every problem of it at once."""

from collections.abc import Mapping

from functions.errors import TroupeError
from functions.ports.requests import Limits

MAX_OPEN = "TROUPE_MAX_OPEN"
MAX_OPEN_OF_CONVERSATION = "TROUPE_MAX_OPEN_PER_CONVERSATION"
MAX_EVENTS = "TROUPE_MAX_EVENTS"
MAX_STORE_MB = "TROUPE_MAX_STORE_MB"
MIN_FREE_MB = "TROUPE_MIN_FREE_MB"
MOST = 10_000_000


def read_limits(environment: Mapping[str, str], tenants: int) -> Limits:
    """How much may be open and kept, as the environment says it; of several tenants, half of the requests for each.

    Raises:
        TroupeError: A number cannot be used.
    """
    usual = Limits()
    problems: list[str] = []
    open_at_once = _count(environment, MAX_OPEN, usual.open, problems)
    limits = Limits(
        open=open_at_once,
        of_tenant=open_at_once if tenants <= 1 else max(1, open_at_once // 2),
        of_conversation=_count(environment, MAX_OPEN_OF_CONVERSATION, usual.of_conversation, problems),
        events=_count(environment, MAX_EVENTS, usual.events, problems),
        store_mb=_count(environment, MAX_STORE_MB, usual.store_mb, problems),
        free_mb=_count(environment, MIN_FREE_MB, usual.free_mb, problems),
    )
    if problems:
        raise TroupeError("; ".join(problems))
    return limits


def _count(environment: Mapping[str, str], name: str, usual: int, problems: list[str]) -> int:
    given = environment.get(name, "").strip()
    if not given:
        return usual
    if not (given.isascii() and given.isdecimal() and 0 < int(given) <= MOST):
        problems.append(f"{name} is no whole number from 1 to {MOST:,}: set it to one, or leave it out for {usual}")
        return usual
    return int(given)
