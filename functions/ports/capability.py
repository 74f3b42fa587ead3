"""Marks a Protocol as a capability: something an agent may be handed, and a cloud role must allow."""

from collections.abc import Callable
from typing import Any, TypeVar

C = TypeVar("C", bound=type[Any])

#: Every capability, with the kind of resource it acts on. A target that leaves one out fails a test.
CAPABILITIES: dict[type[Any], str] = {}


def capability(*, of: str) -> Callable[[C], C]:
    """Declare a Protocol a capability on one kind of resource, e.g. `of="collection"`.

    An agent asks for it by annotating a keyword-only parameter with it; `topology` checks that the
    workflow declares a resource of that kind under the parameter's name.
    """

    def mark(protocol: C) -> C:
        CAPABILITIES[protocol] = of
        return protocol

    return mark
