"""Personal data out of texts, and back: the `Tokenizer` port, and the `Reveal` capability."""

from collections.abc import Callable, Sequence
from datetime import datetime, timedelta

from functions.personal.keys import Key
from functions.personal.recognition import Found, found
from functions.ports.personal import TOKEN, Original, Vault


class PersonalTokenizer:
    """Puts tokens in the place of personal data, and originals into a vault, where there is one.

    Args:
        keys: The first one makes tokens and seals; all of them open what was sealed.
        vault: Where originals go; without one they go nowhere.
        ttl: How long they are kept there.
        regions: See `recognition.found`.
        now: The time, in UTC.
    """

    def __init__(
        self,
        keys: Sequence[Key],
        *,
        vault: Vault | None,
        ttl: timedelta,
        regions: Sequence[str],
        now: Callable[[], datetime],
    ) -> None:
        self._keys = tuple(keys)
        self._vault = vault
        self._ttl = ttl
        self._regions = tuple(regions)
        self._now = now

    def tokenized(self, texts: Sequence[str], *, tenant: str, keep: bool) -> Sequence[str]:
        """See `Tokenizer.tokenized`."""
        originals: dict[str, str] = {}
        tokenized = [self._tokenized(text, tenant, originals) for text in texts]
        if keep and self._vault is not None and originals:
            self._vault.put(self._sealed(originals, tenant), tenant=tenant)
        return tokenized

    def revealed(self, text: str, *, tenant: str) -> str:
        """The text with the originals of this tenant in the place of their tokens, as far as they are still kept."""
        tokens = list(dict.fromkeys(TOKEN.findall(text)))
        if self._vault is None or not tokens:
            return text
        kept = self._vault.get(tokens, tenant=tenant, now=self._now())
        originals = {each.token: self._opened(each, tenant) for each in kept}
        return TOKEN.sub(lambda match: originals.get(match[0]) or match[0], text)

    def _tokenized(self, text: str, tenant: str, originals: dict[str, str]) -> str:
        pieces, end = [], 0
        for each in found(text, self._regions):
            token = self._token(each, tenant)
            originals[token] = text[each.start : each.end]
            pieces += [text[end : each.start], token]
            end = each.end
        return "".join([*pieces, text[end:]])

    def _token(self, each: Found, tenant: str) -> str:
        return self._keys[0].token(tenant, each.kind, each.value)

    def _sealed(self, originals: dict[str, str], tenant: str) -> list[Original]:
        expires_at = self._now() + self._ttl
        return [
            Original(token=token, sealed=self._keys[0].sealed(value, tenant=tenant, token=token), expires_at=expires_at)
            for token, value in originals.items()
        ]

    def _opened(self, original: Original, tenant: str) -> str | None:
        opened = (key.opened(original.sealed, tenant=tenant, token=original.token) for key in self._keys)
        return next((each for each in opened if each is not None), None)


class TenantReveal:
    """The `Reveal` capability of one tenant."""

    def __init__(self, tokenizer: PersonalTokenizer, tenant: str) -> None:
        self._tokenizer = tokenizer
        self._tenant = tenant

    def revealed(self, text: str) -> str:
        """See `Reveal.revealed`."""
        return self._tokenizer.revealed(text, tenant=self._tenant)
