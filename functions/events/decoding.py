"""Decoders of types, made one at a time.

msgspec looks at a type at its first use, and hands out what it has while it does: a second thread that comes meanwhile
ends the whole process. So every type that threads share is decoded through here, or was looked at here before.
"""

import threading
from typing import Any, TypeVar

import msgspec

T = TypeVar("T")

_making = threading.Lock()
_made: dict[Any, msgspec.json.Decoder[Any]] = {}


def decoder(kind: type[T]) -> msgspec.json.Decoder[T]:
    """The decoder of JSON into this type; safe to ask for from any thread."""
    found = _made.get(kind)
    if found is None:
        with _making:
            found = _made.setdefault(kind, msgspec.json.Decoder(kind))
    return found
