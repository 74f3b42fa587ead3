"""A passage as it is recorded beside the collections, for whoever asks what is held about a conversation."""

from collections.abc import Callable
from typing import Any

import msgspec

from functions.events.common import Passage
from functions.ports.personal import Tokenizer


def recorded(passage: Passage, tenant: str, tokenizer: Tokenizer | None) -> bytes:
    """As the collection stores it; its originals go to the vault with the point, not before.

    Args:
        passage: As an agent stores it.
        tenant: Whose.
        tokenizer: Takes personal data out of it; without one, it stays.
    """
    if tokenizer is None:
        return msgspec.json.encode(passage)
    said = _each(msgspec.to_builtins(passage), lambda text: tokenizer.tokenized([text], tenant=tenant, keep=False)[0])
    return msgspec.json.encode({**said, "id": passage.id})


def _each(said: Any, change: Callable[[str], str]) -> Any:  # noqa: ANN401 - whatever a passage consists of
    """The same with every text in it changed."""
    if isinstance(said, str):
        return change(said)
    if isinstance(said, dict):
        return {name: _each(value, change) for name, value in said.items()}
    return [_each(value, change) for value in said] if isinstance(said, list | tuple) else said
