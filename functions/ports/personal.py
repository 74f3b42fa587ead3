"""Personal data in texts: taken out before they are encoded or stored, given back where that is allowed."""

import re
from collections.abc import Sequence
from datetime import datetime
from typing import Final, Protocol

import msgspec

from functions.errors import TroupeError
from functions.ports.capability import capability

#: A token as it stands in texts: the kind of what it stands for, and 80 bits in base32.
TOKEN: Final = re.compile(r"\[(?:EMAIL|PHONE|CARD|IBAN|IP|ID)-[a-z2-7]{16}\]")


class PersonalDataError(TroupeError):
    """Personal data cannot be taken out of a text, or given back."""


class Original(msgspec.Struct, frozen=True, kw_only=True):
    """What a token stands for, encrypted.

    Attributes:
        token: As it stands in texts, e.g. `[EMAIL-mzxw6ytboi4dkmrq]`.
        sealed: The original, encrypted under a key that the vault does not hold.
        expires_at: From when on nobody can have it back.
    """

    token: str
    sealed: bytes
    expires_at: datetime


class Vault(Protocol):
    """Where originals are kept, by tenant; it sees none of them in the clear."""

    def put(self, originals: Sequence[Original], *, tenant: str) -> None:
        """Keep originals by token; one that is there already lives as long as the later of both."""
        ...

    def get(self, tokens: Sequence[str], *, tenant: str, now: datetime) -> Sequence[Original]:
        """Those of these tokens that are kept and not expired, in no particular order."""
        ...

    def expire(self, now: datetime) -> int:
        """Remove what is expired; how many that were."""
        ...


class Tokenizer(Protocol):
    """Takes personal data out of texts."""

    def tokenized(self, texts: Sequence[str], *, tenant: str, keep: bool) -> Sequence[str]:
        """The texts with a token in the place of each e-mail address, phone number, card and so on.

        Equal values of one tenant have equal tokens, those of two tenants do not; what is a token already stays.

        Args:
            texts: Of any length.
            tenant: Whose.
            keep: Whether originals may go to the vault: of what is stored they may, of a question not.

        Raises:
            PersonalDataError: The key cannot be had: nothing may be stored.
        """
        ...


@capability(of="collection")
class Reveal(Protocol):
    """Give originals back, within the tenant of the delivery: a permission of its own."""

    def revealed(self, text: str) -> str:
        """The text with the originals in the place of their tokens, as far as they are still kept."""
        ...
