"""Which actions a stack declares: one TOML file, read once, with every problem of it at once and no value in any.

A secret never stands in the file. What does is a reference to it, which is looked up for each call.
"""

import re
import tomllib
from collections.abc import Callable, Iterator, Mapping
from collections.abc import Set as AbstractSet
from ipaddress import ip_address, ip_network
from pathlib import Path
from typing import Any
from urllib.parse import parse_qsl, urlsplit

import msgspec

from functions.adapters.actions.addresses import NOT_PUBLIC, Network
from functions.errors import TroupeError

FILE = "TROUPE_ACTIONS"
METHODS = ("POST", "PUT", "PATCH", "DELETE")
TEXT = "{text}"  # stands in a body for what the user wrote
SECONDS_LIMIT = 25.0  # of one call: an agent has 30, and what came of it is to be written down too
BYTES_LIMIT = 1024 * 1024
KEY_HOURS_LIMIT = 24 * 365.0
_NAME = re.compile(r"[a-z][a-z0-9-]{0,31}")
_HOST = re.compile(r"[a-z0-9]([a-z0-9._-]*[a-z0-9])?")
_HEADER = re.compile(r"[A-Za-z0-9!#$%&'*+.^_`|~-]+")
_REFERENCE = re.compile(r"secret:([A-Za-z_][A-Za-z0-9_]*)")
_SECRET = re.compile(r"auth|key|token|secret|password|cookie|credential|session|signature", re.IGNORECASE)
_SCHEME = re.compile(r"(?:bearer|basic|digest|token)\s", re.IGNORECASE)
#: What the call itself says, or what would change how it is read.
_OWN_HEADERS = frozenset(
    ("host", "content-length", "content-type", "content-encoding", "transfer-encoding", "connection", "keep-alive")
) | frozenset(("accept-encoding", "expect", "te", "trailer", "upgrade", "proxy-authorization", "proxy-connection"))


class ActionSettingsError(TroupeError):
    """The file of actions cannot be used; the message lists everything wrong with it."""


class SecretError(TroupeError):
    """A secret that is referred to cannot be had."""


class Target(msgspec.Struct, frozen=True, kw_only=True):
    """Where to connect.

    Attributes:
        secure: With TLS.
        path: With its query.
        private: Networks that may be connected to although they are not public.
    """

    secure: bool
    host: str
    port: int
    path: str
    private: tuple[Network, ...]

    @property
    def authority(self) -> str:
        """What the header Host says."""
        host = f"[{self.host}]" if ":" in self.host else self.host
        return host if self.port == (443 if self.secure else 80) else f"{host}:{self.port}"


class Header(msgspec.Struct, frozen=True):
    """A header's value: what stands in the file, and the secret that follows it, where there is one.

    Attributes:
        plain: E.g. `Bearer `.
        secret: The name that `secret:` refers to; empty where there is none.
    """

    plain: str
    secret: str = ""


class Action(msgspec.Struct, frozen=True, kw_only=True):
    """What one action sends, and where to.

    Attributes:
        url: In full.
        target: The same, to connect to.
        method: Of HTTP.
        body: Of the request, to be made JSON, with `{text}` where the user's words go.
        headers: By name.
        key_header: In which header the server is told the effect's key; empty where it honours none.
        key_lasts_s: How long the server remembers a key.
        timeout_s: Of a whole call.
        max_response_bytes: How much of an answer is read.
    """

    url: str
    target: Target
    method: str
    body: Any
    headers: Mapping[str, Header]
    key_header: str
    key_lasts_s: float
    timeout_s: float
    max_response_bytes: int


def secret_value(name: str, environment: Mapping[str, str]) -> str:
    """What a reference stands for, as it is now: the variable, or the content of the file that `<name>_FILE` names.

    Raises:
        SecretError: It is not there, a header could not hold it, or its file is in a repository.
    """
    file = environment.get(f"{name}_FILE", "").strip()
    value = _in_file(Path(file), f"{name}_FILE") if file else environment.get(name, "")
    value = value.strip()
    if not value:
        raise SecretError(f"the secret {name} is not set: put it into the environment, or its file into {name}_FILE")
    if not (value.isascii() and value.isprintable()) or " " in value:
        raise SecretError(f"the secret {name} holds a space or a character that no key has: copy it again")
    return value


def _in_file(file: Path, variable: str) -> str:
    if any((folder / ".git").exists() for folder in file.resolve().parents):
        raise SecretError(f"{variable} names a file inside a repository: keep it outside, where nobody commits it")
    try:
        return file.read_text("utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise SecretError(f"the file that {variable} names cannot be read ({type(error).__name__})") from error


def action_settings(environment: Mapping[str, str]) -> Mapping[str, Action]:
    """The actions of the file that `TROUPE_ACTIONS` names, by name; none where it names none.

    Raises:
        ActionSettingsError: With everything that is wrong.
    """
    named, table = _file(environment)
    return read_actions(table, environment, named) if named else {}


def action_names(environment: Mapping[str, str]) -> list[str]:
    """The names of the actions, for whoever may not read their secrets: whether they can be used is not looked at.

    Raises:
        ActionSettingsError: The file cannot be read.
    """
    _, table = _file(environment)
    given = table.get("actions", {})
    return sorted(name for name in given if _NAME.fullmatch(name)) if isinstance(given, dict) else []


def _file(environment: Mapping[str, str]) -> tuple[str, Mapping[str, Any]]:
    """The name of the file that the environment names, and what it holds; empty where it names none."""
    named = environment.get(FILE, "").strip()
    if not named:
        return "", {}
    try:
        with Path(named).open("rb") as file:
            return named, tomllib.load(file)
    except OSError as error:
        raise ActionSettingsError(
            f"{FILE} names {named}, which cannot be read ({error.strerror or error}): name a TOML file"
        ) from error
    except (ValueError, RecursionError) as error:  # tomllib's own error and that of UTF-8 are ValueErrors
        raise ActionSettingsError(f"{named} is no TOML: {error}") from error


def read_actions(table: Mapping[str, Any], environment: Mapping[str, str], named: str) -> Mapping[str, Action]:
    """The actions of a file that was read.

    Raises:
        ActionSettingsError: With everything that is wrong.
    """
    problems = [f"{_shown(key)} is no key of this file: use actions" for key in table if key != "actions"]
    actions: dict[str, Action] = {}
    given = table.get("actions", {})
    if not isinstance(given, dict) or not given:
        problems.append("actions is no table of actions: begin each one with [actions.<name>]")
        given = {}
    for name, settings in given.items():
        reader = _Reader(f"actions.{_shown(name)}", settings, environment)
        if not _NAME.fullmatch(name):
            reader.problem("", "is no name: use up to 32 lower-case letters, digits and -, a letter first")
        action = reader.action()
        problems += reader.problems
        if action is not None:
            actions[name] = action
    if problems:
        raise ActionSettingsError(f"the actions in {named} cannot be used: " + "; ".join(problems))
    return actions


class _Reader:
    """Reads one action, and collects what is wrong with it. What is not given has a default, what is wrong has none."""

    def __init__(self, place: str, settings: object, environment: Mapping[str, str]) -> None:
        self.problems: list[str] = []
        self._place = place
        self._environment = environment
        self._settings = settings if isinstance(settings, dict) else {}
        if not isinstance(settings, dict):
            self.problem("", "is no table: give at least its url")

    def problem(self, key: str, what: str) -> None:
        self.problems.append(f"{self._place}{'.' if key else ''}{key} {what}")

    def action(self) -> Action | None:
        for key in self._settings:
            if key not in KEYS:
                self.problem(_shown(key), f"is unknown: use {', '.join(KEYS)}")
        private = tuple(self._private())
        allowed = {each.lower().removesuffix(".") for each in self._strings("allow", "hosts, e.g. api.example.org")}
        headers = dict(self._headers())
        target = self._target(allowed, private, has_secrets=any(header.secret for header in headers.values()))
        action = Action(
            url=str(self._settings.get("url", "")),
            target=target or Target(secure=True, host="", port=443, path="/", private=()),
            method=self._one_of("method", METHODS),
            body=self._body(),
            headers=headers,
            key_header=self._key_header({name.lower() for name in headers}),
            key_lasts_s=self._number("idempotency_hours", 24.0, 0.01, KEY_HOURS_LIMIT) * 3600,
            timeout_s=self._number("timeout_s", 10.0, 0.1, SECONDS_LIMIT),
            max_response_bytes=int(self._number("max_response_bytes", 16_384, 0, BYTES_LIMIT)),
        )
        return None if self.problems else action

    def _target(self, allowed: AbstractSet[str], private: tuple[Network, ...], *, has_secrets: bool) -> Target | None:
        url = self._settings.get("url")
        if not isinstance(url, str) or not url.isascii() or not url.isprintable() or " " in url or "\\" in url:
            self.problem("url", "is no URL: give an https one, e.g. https://api.example.org/notes")
            return None
        try:
            parts = urlsplit(url)
            host, port = (parts.hostname or "").removesuffix("."), parts.port
        except ValueError:
            host, port, parts = "", None, urlsplit("")
        secure = parts.scheme == "https"
        if parts.scheme not in ("https", "http") or not _is_host(host) or port == 0:
            self.problem("url", "is no URL: give an https one, e.g. https://api.example.org/notes")
            return None
        if "@" in parts.netloc or parts.fragment:
            self.problem("url", "holds a user, a password or a fragment: put what is secret into headers")
        if any(_SECRET.search(name) for name, _ in parse_qsl(parts.query, keep_blank_values=True)):
            self.problem("url", "holds a secret in its query, which logs would show: put it into headers")
        if not secure and host not in allowed:
            self.problem("url", "is plain http: use https, or name its host in allow")
        elif "allow" in self._settings and host not in allowed:
            self.problem("allow", "does not name the host of url, which is then never called")
        if has_secrets and not secure and not _is_near(host, private):
            self.problem("url", "would send a secret in the clear: use https")
        path = (parts.path or "/") + (f"?{parts.query}" if parts.query else "")
        return Target(secure=secure, host=host, port=port or (443 if secure else 80), path=path, private=private)

    def _private(self) -> Iterator[Network]:
        for each in self._strings("private", "addresses and networks, e.g. 10.0.0.5 or 10.1.0.0/16"):
            try:
                network = ip_network(each)
            except ValueError:
                self.problem("private", "has an entry that is no address or network: use e.g. 10.0.0.5 or 10.1.0.0/16")
                continue
            if any(network.version == other.version and network.subnet_of(other) for other in NOT_PUBLIC):  # type: ignore[arg-type]
                yield network
            else:
                self.problem("private", "has an entry that is public or too wide: name only what is not public")

    def _headers(self) -> Iterator[tuple[str, Header]]:
        headers = self._settings.get("headers", {})
        if not isinstance(headers, dict):
            self.problem("headers", 'is no table: write headers = { Authorization = "Bearer secret:NAME" }')
            return
        if len({name.lower() for name in headers}) < len(headers):
            self.problem("headers", "has a header twice: headers do not differ by case")
        for name, value in headers.items():
            key = f"headers.{_shown(name)}"
            if not _HEADER.fullmatch(name) or name.lower() in _OWN_HEADERS:
                self.problem(key, "is no header that can be set here")
            elif not isinstance(value, str) or not value.isascii() or not value.isprintable():
                self.problem(key, "is no value of a header: use printable ASCII on one line")
            else:
                yield name, self._header(key, name, value)

    def _header(self, key: str, name: str, value: str) -> Header:
        reference = _REFERENCE.search(value)
        if reference is None:
            if _SECRET.search(name) or _SCHEME.match(value):
                self.problem(key, "holds a secret in plain sight: write secret:NAME in its place, which is looked up")
            return Header(value)
        if reference.end() != len(value):
            self.problem(key, "has something after its secret: write secret:NAME at its end")
        try:
            secret_value(reference[1], self._environment)
        except SecretError as error:
            self.problem(key, f"cannot be used: {error}")
        return Header(value[: reference.start()], reference[1])

    def _key_header(self, others: set[str]) -> str:
        name: object = self._settings.get("idempotency", "")
        if not isinstance(name, str) or (name and not _HEADER.fullmatch(name)) or name.lower() in _OWN_HEADERS | others:
            self.problem(
                "idempotency", "is no header of its own: use the one that the server reads, e.g. Idempotency-Key"
            )
            return ""
        if not name and "idempotency_hours" in self._settings:
            self.problem("idempotency_hours", "says nothing without idempotency: name the header too")
        return name

    def _body(self) -> Any:  # noqa: ANN401 - whatever JSON can hold
        body = self._settings.get("body", {"text": TEXT})
        try:
            encoded = msgspec.json.encode(body)
        except (TypeError, ValueError, RecursionError):
            self.problem(
                "body", f"is no JSON: use tables, lists, numbers and strings, with {TEXT} for the user's words"
            )
            return None
        if _REFERENCE.search(encoded.decode()):
            self.problem("body", "refers to a secret: only headers may")
        return body

    def _one_of(self, key: str, allowed: tuple[str, ...]) -> str:
        value = self._settings.get(key, allowed[0])
        if value not in allowed:
            self.problem(key, f"is not one of {', '.join(allowed)}")
        return str(value)

    def _number(self, key: str, default: float, least: float, most: float) -> float:
        value = self._settings.get(key, default)
        if isinstance(value, bool) or not isinstance(value, int | float) or not least <= value <= most:
            self.problem(key, f"is no number from {least:g} to {most:,.15g}")
            return default
        return value

    def _strings(self, key: str, what: str) -> list[str]:
        value = self._settings.get(key, [])
        if not isinstance(value, list) or not all(isinstance(each, str) for each in value):
            self.problem(key, f"is no list of {what}")
            return []
        return value


KEYS = (
    *("url", "method", "allow", "private", "idempotency", "idempotency_hours", "timeout_s", "max_response_bytes"),
    *("headers", "body"),
)


def with_text(body: Any, text: str) -> Any:  # noqa: ANN401 - whatever JSON can hold
    """A body with the user's words in the place of `{text}`: inside a string, so that they are never more than one."""
    change: Mapping[type, Callable[[Any], Any]] = {
        str: lambda string: string.replace(TEXT, text),
        list: lambda items: [with_text(item, text) for item in items],
        dict: lambda table: {key: with_text(value, text) for key, value in table.items()},
    }
    return change[type(body)](body) if type(body) in change else body


def _is_host(host: str) -> bool:
    try:
        ip_address(host)
    except ValueError:
        return _HOST.fullmatch(host) is not None and ".." not in host and len(host) <= 253  # noqa: PLR2004 - of DNS
    return True


def _is_near(host: str, private: tuple[Network, ...]) -> bool:
    """Whether a host is an address that the action lists as private, or this machine."""
    try:
        address = ip_address(host)
    except ValueError:
        return host == "localhost"
    return any(address in network for network in private)


def _shown(key: str) -> str:
    """A key of the file, fit to be printed: it may be anything."""
    return key if key.isascii() and key.isprintable() and len(key) <= 40 else "…"  # noqa: PLR2004 - a line's worth
