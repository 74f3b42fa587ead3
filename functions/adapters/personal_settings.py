"""What becomes of personal data, as the environment says; every problem of it at once. Keys are references."""

from collections.abc import Mapping
from typing import Final, Literal, get_args

import msgspec

from functions.adapters.models.settings import Secret
from functions.ports.personal import PersonalDataError

MODE, KEY, DAYS, REGIONS = (
    "TROUPE_PERSONAL_DATA",
    "TROUPE_PERSONAL_DATA_KEY",
    "TROUPE_PERSONAL_DATA_DAYS",
    "TROUPE_PHONE_REGIONS",
)
Mode = Literal["keep", "vault", "forget"]
USUAL_MODE: Final[Mode] = "keep"
USUAL_DAYS = 7
MOST_DAYS = 3650
USUAL_REGIONS = ("US", "GB", "DE", "FR", "ES")


class PersonalSettings(msgspec.Struct, frozen=True, kw_only=True):
    """What becomes of personal data.

    Attributes:
        mode: `keep` leaves it in texts, `vault` keeps the originals apart and encrypted, `forget` keeps none.
        keys: References to the keys, the current one first; none for the key file of this machine.
        days: How long originals are kept.
        regions: See `recognition.found`.
    """

    mode: Mode = USUAL_MODE
    keys: tuple[Secret, ...] = ()
    days: int = USUAL_DAYS
    regions: tuple[str, ...] = USUAL_REGIONS


def personal_settings(environment: Mapping[str, str]) -> PersonalSettings:
    """What the environment says.

    Raises:
        PersonalDataError: With everything that is wrong.
    """
    problems: list[str] = []
    settings = PersonalSettings(
        mode=_mode(environment, problems),
        keys=_references(environment, problems),
        days=_days(environment, problems),
        regions=_regions(environment, problems),
    )
    if problems:
        raise PersonalDataError("personal data cannot be taken out of texts: " + "; ".join(problems))
    return settings


def _mode(environment: Mapping[str, str], problems: list[str]) -> Mode:
    given = environment.get(MODE, "").strip() or USUAL_MODE
    for mode in get_args(Mode):
        if given == mode:
            return mode  # type: ignore[no-any-return]
    problems.append(f"{MODE} is none of {', '.join(get_args(Mode))}: set it to one, or leave it out for {USUAL_MODE}")
    return USUAL_MODE


def _references(environment: Mapping[str, str], problems: list[str]) -> tuple[Secret, ...]:
    given = [each.strip() for each in environment.get(KEY, "").split(",") if each.strip()]
    if any(not each.startswith("env:") or not each.removeprefix("env:").isidentifier() for each in given):
        # what was given is not shown: it may be the key itself
        problems.append(f"{KEY} is no reference: set it to env:NAME, and the variable NAME to the key")
        return ()
    return tuple(Secret(each.removeprefix("env:"), environment) for each in given)


def _days(environment: Mapping[str, str], problems: list[str]) -> int:
    given = environment.get(DAYS, "").strip() or str(USUAL_DAYS)
    if not (given.isascii() and given.isdecimal() and 0 < int(given) <= MOST_DAYS):
        problems.append(f"{DAYS} is no whole number from 1 to {MOST_DAYS}: set it to one, or leave it out")
        return USUAL_DAYS
    return int(given)


def _regions(environment: Mapping[str, str], problems: list[str]) -> tuple[str, ...]:
    given = tuple(each.strip().upper() for each in environment.get(REGIONS, "").split(",") if each.strip())
    if not given:
        return USUAL_REGIONS
    from phonenumbers import SUPPORTED_REGIONS  # noqa: PLC0415 - slow, and not for all

    if wrong := [each for each in given if each not in SUPPORTED_REGIONS]:
        problems.append(f"{REGIONS} names {', '.join(wrong)}: use countries by their two letters, e.g. US,GB,DE")
    return given
