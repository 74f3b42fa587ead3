"""Which model is used: read from the environment once, every problem at once, and the key never read at all.

What travels is a reference to the key: its value is looked up for each call, and whatever would print it is
refused or replaced here.
"""

import re
from collections.abc import Mapping
from ipaddress import ip_address
from urllib.parse import parse_qsl, urlsplit

import msgspec

from functions.adapters.models.prices import Price, UnknownPriceError, given_price, listed_price
from functions.errors import TroupeError

URL, MODEL, KEY, PRICE = "TROUPE_MODEL_URL", "TROUPE_MODEL", "TROUPE_MODEL_KEY", "TROUPE_MODEL_PRICE"
_CHAT = "/chat/completions"
_EXPECTED = "the endpoint's base URL, e.g. http://127.0.0.1:8080/v1"
_SECRET = re.compile(r"key|token|secret|password", re.IGNORECASE)


class ModelSettingsError(TroupeError):
    """The settings of the model cannot be used; the message lists everything wrong with them."""


class Secret:
    """A reference to a secret in the environment. It prints as the name of the variable."""

    __slots__ = ("_environment", "name")

    def __init__(self, name: str, environment: Mapping[str, str]) -> None:
        self.name = name
        self._environment = environment

    def __repr__(self) -> str:
        return f"<secret {self.name}>"

    def value(self) -> str:
        """What it refers to, as it is now; empty where the variable is not set.

        Raises:
            ModelSettingsError: It could not be sent in a header, whose error would print it.
        """
        value = self._environment.get(self.name, "").strip()
        if not (value.isascii() and value.isprintable()) or " " in value:
            raise ModelSettingsError(f"{self.name} holds a space or a character that no key has: copy the key again")
        return value

    def is_renewed(self, refused: str) -> bool:
        """Somebody did not take this value of it: whether it has another one, looked up anew where it is kept."""
        tell = getattr(self._environment, "refused", None)
        if tell is not None:
            tell(self.name)
        try:
            return self.value() != refused
        except ModelSettingsError:
            return False

    def hidden_in(self, text: str) -> str:
        """A text from elsewhere, with the name of the variable in the place of its value."""
        value = self._environment.get(self.name, "").strip()
        return text.replace(value, self.name) if value else text


class ModelSettings(msgspec.Struct, frozen=True, kw_only=True):
    """A model, where it is asked, and what that costs.

    Attributes:
        url: Of the endpoint, up to and with `/chat/completions`.
        model: As the endpoint knows it.
        key: Where the key is.
        price: Of a million tokens.
    """

    url: str
    model: str
    key: Secret
    price: Price


def model_settings(environment: Mapping[str, str]) -> ModelSettings | None:
    """What the environment says; None where it names no model.

    Raises:
        ModelSettingsError: With everything that is wrong.
    """
    given = {name: environment.get(name, "").strip() for name in (URL, MODEL, PRICE)}
    key = Secret(KEY, environment)
    if not any(given.values()):
        return None  # a key alone asks for nothing
    problems = [
        *url_problems(given[URL], setting=URL, key=KEY, has_key=bool(environment.get(KEY))),
        *_name_problems(given[MODEL]),
    ]
    try:
        key.value()
    except ModelSettingsError as error:
        problems.append(str(error))
    price = Price(read=0, written=0)
    try:
        if given[PRICE]:
            price = given_price(given[PRICE])
        elif given[MODEL]:
            price = listed_price(given[MODEL])
    except UnknownPriceError as error:
        problems.append(str(error))
    if problems:
        raise ModelSettingsError("the model cannot be used: " + "; ".join(problems))
    return ModelSettings(url=_endpoint(given[URL]), model=given[MODEL], key=key, price=price)


def url_problems(url: str, *, setting: str, key: str, has_key: bool, expected: str = _EXPECTED) -> list[str]:
    """Why a service's URL cannot be used, without a word of what might be a secret in it.

    Args:
        url: As it was given.
        setting: What it was given as.
        key: What a key is given as, where there is one.
        has_key: Whether one is.
        expected: What to give instead.
    """
    if not url:
        return [f"{setting} is not set: give {expected}"]
    try:
        parts = urlsplit(url)
        usable = parts.scheme in ("http", "https") and parts.hostname and (parts.port is None or parts.port > 0)
    except ValueError:
        usable, parts = None, urlsplit("")
    if not usable or not url.isprintable() or " " in url:
        return [f"{setting} is no http or https URL: give {expected}"]
    if "@" in parts.netloc:
        return [f"{setting} holds a user or a password: put the key into {key}, which is never shown"]
    if any(_SECRET.search(name) for name, _ in parse_qsl(parts.query, keep_blank_values=True)):
        return [f"{setting} holds a key in its query, which logs would show: put it into {key}"]
    if parts.scheme == "http" and has_key and not is_near(parts.hostname or ""):
        return [f"{setting} would send the key in the clear to {parts.hostname}: use https"]
    return []


def is_near(host: str) -> bool:
    """Whether what is sent to this host stays on this machine or in a private network, as far as its name tells."""
    try:
        return ip_address(host).is_private
    except ValueError:
        return "." not in host or host.endswith((".local", ".internal", ".localhost"))


def _name_problems(model: str) -> list[str]:
    if not model:
        return [f"{MODEL} is not set: give the name of the model, as the endpoint knows it"]
    return [] if model.isprintable() else [f"{MODEL} holds a character that no name has"]


def _endpoint(url: str) -> str:
    """The URL that is posted to, whether the base or the whole of it was given."""
    parts = urlsplit(url)
    path = parts.path.rstrip("/")
    return parts._replace(path=path if path.endswith(_CHAT) else path + _CHAT, fragment="").geturl()
