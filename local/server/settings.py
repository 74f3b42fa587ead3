"""What the environment says about the server; every problem of it at once."""

from collections.abc import Mapping

from functions.errors import TroupeError
from functions.ports.requests import Limits

MAX_OPEN = "TROUPE_MAX_OPEN"
MAX_OPEN_OF_CONVERSATION = "TROUPE_MAX_OPEN_PER_CONVERSATION"


def read_limits(environment: Mapping[str, str], tenants: int) -> Limits:
    """How many requests may be open, as the environment says it; of several tenants, half of them for each.

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
    )
    if problems:
        raise TroupeError("; ".join(problems))
    return limits


def _count(environment: Mapping[str, str], name: str, usual: int, problems: list[str]) -> int:
    given = environment.get(name, "").strip()
    if not given:
        return usual
    if not (given.isascii() and given.isdecimal() and 0 < int(given) <= 1_000_000):  # noqa: PLR2004 - said below
        problems.append(f"{name} is no whole number from 1 to 1,000,000: set it to one, or leave it out for {usual}")
        return usual
    return int(given)
