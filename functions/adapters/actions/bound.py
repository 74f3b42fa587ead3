"""The capabilities `Invoke` and `ActionNames`: each effect put down before its call, made once, and put down after it.

What decides is what can have happened. Until the first byte is sent, nothing: that is retried. A 2xx says that it was
done. Another answer to a first call says that it was not, if it is one that refuses; everything else leaves it in
doubt, to be sent again under the same key where the server honours keys, and never where it does not.
"""

import time
from collections import Counter
from collections.abc import Callable, Iterable, Mapping, Sequence
from datetime import datetime, timedelta

import msgspec

from functions.adapters.actions.http import (
    AddressRefusedError,
    Answer,
    Connection,
    NoAnswerError,
    NotSentError,
    Resolve,
    connected,
    resolved,
)
from functions.adapters.actions.settings import Action, SecretError, secret_value, with_text
from functions.errors import PermanentError
from functions.events.envelope import digest
from functions.ports.actions import ActionError, ActionResult
from functions.ports.effects import Effect, Effects, Sent, renewed
from functions.runtime.delivery import Binding

MARGIN_S = 1.5  # of the delivery's time, kept to write down what came of the call
#: The server did nothing, and says to come again (RFC 6585, section 4; RFC 8470, section 5.2).
LATER = frozenset({425, 429})
#: It did nothing: it wants the request elsewhere (RFC 9110, sections 15.4.8 and 15.4.9).
ELSEWHERE = frozenset({307, 308})
TIMED_OUT, CONFLICT = 408, 409


class ActionList:
    """The `ActionNames` capability."""

    def __init__(self, names: Iterable[str]) -> None:
        self._names = sorted(names)

    def names(self) -> Sequence[str]:
        """See `ActionNames.names`."""
        return self._names


class BoundActions:
    """The `Invoke` capability of one attempt of one delivery."""

    def __init__(  # noqa: PLR0913 - each is another part of what a delivery is bound to
        self,
        actions: Mapping[str, Action],
        *,
        effects: Effects,
        binding: Binding,
        environment: Mapping[str, str],
        now: Callable[[], datetime],
        resolve: Resolve = resolved,
    ) -> None:
        self._actions = actions
        self._effects = effects
        self._binding = binding
        self._environment = environment
        self._now = now
        self._resolve = resolve
        self._invoked: Counter[str] = Counter()

    def invoke(self, action: str, text: str) -> ActionResult:
        """See `Invoke.invoke`."""
        settings = self._actions.get(action)
        if settings is None:
            names = ", ".join(sorted(self._actions))
            raise PermanentError(f"there is no action {action!r}: use one of {names}", reason="unknown action")
        self._invoked[action] += 1
        intent = Effect(
            key=digest(self._binding.origin, action, self._invoked[action]),
            request=self._binding.request,
            conversation=self._binding.conversation,
            action=action,
            status="sending",
            sent=_sent(settings, text),
            at=self._now(),
        )
        found = self._effects.find(intent.key)
        if found is not None and not _is_sent(renewed(found, intent, settings.key_lasts_s)):
            return _known(self._effects.begin(intent, key_lasts_s=settings.key_lasts_s), intent, settings)
        headers, secrets = self._headers(settings, intent)
        left_s = (self._binding.until - self._now() - timedelta(seconds=MARGIN_S)).total_seconds()
        if left_s <= 0:
            raise ActionError(f"the action {action} was not sent: the time of its delivery is over")
        ends = time.monotonic() + min(settings.timeout_s, left_s)
        try:
            with connected(settings.target, ends, resolve=self._resolve) as connection:
                return self._send(connection, intent, settings, headers, secrets)
        except AddressRefusedError as error:
            raise PermanentError(
                f"the action {action} was not sent: {error}; if that is meant, list it in actions.{action}.private",
                reason="address refused",
            ) from error
        except NotSentError as error:
            raise ActionError(f"the action {action} was not sent: {error}") from error

    def _headers(self, settings: Action, intent: Effect) -> tuple[dict[str, str], dict[str, str]]:
        """The headers to send, and the values of the secrets among them by their names."""
        wanted = {header.secret for header in settings.headers.values() if header.secret}
        try:
            secrets = {name: secret_value(name, self._environment) for name in sorted(wanted)}
        except SecretError as error:
            raise PermanentError(f"the action {intent.action} was not sent: {error}", reason="secret missing") from None
        headers = {name: each.plain + secrets.get(each.secret, "") for name, each in settings.headers.items()}
        return headers | ({settings.key_header: intent.key} if settings.key_header else {}), secrets

    def _send(
        self,
        connection: Connection,
        intent: Effect,
        settings: Action,
        headers: Mapping[str, str],
        secrets: Mapping[str, str],
    ) -> ActionResult:
        begun = self._effects.begin(intent, key_lasts_s=settings.key_lasts_s)
        if not _is_sent(begun):
            return _known(begun, intent, settings)
        try:
            answer = connection.exchange(
                settings.method, headers, intent.sent.body.encode(), max_bytes=settings.max_response_bytes
            )
        except NoAnswerError as error:
            raise self._doubtful(begun, settings, str(error)) from error
        result = _result(answer, secrets)
        if 200 <= answer.status < 300:  # noqa: PLR2004 - what HTTP calls successful
            self._effects.end(intent.key, "done", result)
            return result
        raise self._failed(begun, settings, result, answer.status)

    def _failed(self, begun: Effect, settings: Action, result: ActionResult, status: int) -> Exception:
        """What to raise for an answer that does not say that it was done."""
        said = f"{settings.target.host} answered {status}" + (f": {result.text[:200]}" if result.text else "")
        again = begun.status == "sending again"
        refuses = status in ELSEWHERE or (400 <= status < 500 and status != TIMED_OUT)  # noqa: PLR2004 - of HTTP
        if not refuses:
            return self._doubtful(begun, settings, said)
        if again:  # it refuses this call: of the one before, it says nothing
            if status in LATER or status == CONFLICT:
                return self._doubtful(begun, settings, said)
            self._effects.end(begun.key, "in doubt")
            return _in_doubt(begun, settings, said)
        self._effects.end(begun.key, "refused", result)
        if status in LATER:
            return ActionError(f"the action {begun.action} was not done: {said}")
        return PermanentError(f"the action {begun.action} was refused: {said}", reason="action refused")

    def _doubtful(self, begun: Effect, settings: Action, said: str) -> Exception:
        """What to raise where it may have been done: to be repeated under its key, or for a person to look at."""
        self._effects.end(begun.key, "in doubt")
        if not settings.key_header:
            return _in_doubt(begun, settings, said)
        return ActionError(
            f"whether the action {begun.action} was done is not known: {said}; a retry or a redrive sends it under the "
            f"same key, {begun.key}, under which its server does it once"
        )


def _sent(settings: Action, text: str) -> Sent:
    body = msgspec.json.encode(with_text(settings.body, text)).decode()
    return Sent(method=settings.method, url=settings.url, body=body, key_header=settings.key_header)


def _is_sent(effect: Effect) -> bool:
    """Whether an effect is to be sent now."""
    return effect.status in ("sending", "sending again")


def _known(found: Effect, intent: Effect, settings: Action) -> ActionResult:
    """What is known of an effect that is not to be sent now."""
    if found.status == "in doubt":
        raise _in_doubt(found, settings, "an earlier call has no answer that is known")
    if found.sent.body != intent.sent.body:
        raise PermanentError(
            f"the action {intent.action} was done at {found.at:%Y-%m-%d %H:%M:%S} UTC with another text under the same "
            f"key, {found.key}: it is not done again",
            reason="effect changed",
        )
    return found.received or ActionResult(status=None)


def _in_doubt(effect: Effect, settings: Action, said: str) -> PermanentError:
    return PermanentError(
        f"whether the action {effect.action} was done is in doubt: it was sent at {effect.at:%Y-%m-%d %H:%M:%S} UTC "
        f"under the key {effect.key}, and {said}. It is not sent again. Look at {settings.target.host} whether it was "
        f"done, then run `troupe effects settle {effect.key} --done` or `--not-done`",
        reason="effect in doubt",
    )


def _result(answer: Answer, secrets: Mapping[str, str]) -> ActionResult:
    """What is kept of an answer."""
    if answer.encoding:
        return ActionResult(status=answer.status, cut=True)  # nobody asked for it compressed, and nobody unpacks it
    read = answer.body.decode(errors="replace").replace("\r\n", "\n")
    text = "".join(each for each in read if each.isprintable() or each in "\n\t")
    for name, value in secrets.items():
        text = text.replace(value, name)
    if answer.cut and secrets:  # the first part of one may be the end of what was read
        text = text[: -max(map(len, secrets.values()))]
    return ActionResult(status=answer.status, text=text.strip(), cut=answer.cut)
