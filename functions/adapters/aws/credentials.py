"""Who a function is on AWS: keys in its environment, or, once SnapStart has woken it, from an address that gives them.

From that address they are good for a while, and fetched again before it is over. It is asked without TLS where it is
on this machine, as AWS has it, and by TLS anywhere else.
"""

import threading
from collections.abc import Callable, Mapping
from datetime import datetime, timedelta
from pathlib import Path
from urllib.parse import urlsplit

import msgspec

from functions.adapters.aws.signing import Credentials
from functions.adapters.models.settings import is_near
from functions.adapters.rest import Patience, Rest
from functions.errors import TroupeError
from functions.events.decoding import decoder

KEY_ID, SECRET, TOKEN = "AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY", "AWS_SESSION_TOKEN"
ADDRESS = "AWS_CONTAINER_CREDENTIALS_FULL_URI"
PASS, PASS_FILE = "AWS_CONTAINER_AUTHORIZATION_TOKEN", "AWS_CONTAINER_AUTHORIZATION_TOKEN_FILE"
EARLY = timedelta(minutes=5)  # before they end, they are fetched again
PATIENCE = Patience(call=5.0, answer=2.0, connect=1.0)


class NoCredentialsError(TroupeError):
    """Nothing says who this function is."""


class _Given(msgspec.Struct, frozen=True, rename="pascal"):
    access_key_id: str
    secret_access_key: str
    token: str
    expiration: datetime


class CredentialsOfEnvironment:
    """The credentials of this process, as they are now. Safe to use from several threads.

    Args:
        environment: Where they are, or where it stands who gives them.
        now: The time, in UTC.
    """

    def __init__(self, environment: Mapping[str, str], now: Callable[[], datetime]) -> None:
        self._environment = environment
        self._now = now
        self._fetching = threading.Lock()
        self._given: _Given | None = None

    def current(self) -> Credentials:
        """Those that a request is signed with now.

        Raises:
            NoCredentialsError: There are none.
            RestError: Who gives them did not.
        """
        found = self._environment
        if found.get(KEY_ID) and found.get(SECRET):
            return Credentials(found[KEY_ID], found[SECRET], found.get(TOKEN, ""))
        if not found.get(ADDRESS):
            raise NoCredentialsError(
                f"no credentials of AWS: {KEY_ID} and {SECRET} are not set, and neither is {ADDRESS}; "
                "run it where a role is, or set them"
            )
        with self._fetching:
            if self._given is None or self._given.expiration - self._now() < EARLY:
                self._given = _fetched(found)
            return Credentials(self._given.access_key_id, self._given.secret_access_key, self._given.token)


def _fetched(environment: Mapping[str, str]) -> _Given:
    parts = urlsplit(environment[ADDRESS])
    if parts.scheme != "https" and not is_near(parts.hostname or ""):
        raise NoCredentialsError(f"{ADDRESS} names a host that is far away, without TLS: it is not asked")
    headers = {"authorization": given} if (given := _pass(environment)) else {}
    rest = Rest(f"{parts.scheme}://{parts.netloc}", product="what gives the credentials", patience=PATIENCE)
    try:
        path = f"{parts.path or '/'}{'?' if parts.query else ''}{parts.query}"
        return rest.asked("GET", path, read=lambda reply: decoder(_Given).decode(reply.body), headers=headers)
    finally:
        rest.close()


def _pass(environment: Mapping[str, str]) -> str:
    """What is shown to whoever gives the credentials; from a file, since that is replaced from time to time."""
    file = environment.get(PASS_FILE)
    return Path(file).read_text().strip() if file else environment.get(PASS, "")
