"""The same program without components: what a plain one would register."""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any
from unittest import mock

import pulumi


@contextmanager
def without_components() -> Iterator[None]:
    """Components register nothing, and nothing is below them."""
    providers: list[pulumi.ProviderResource] = []

    register = pulumi.ComponentResource.__init__

    def made(self: Any, kind: str, *given: Any, **more: Any) -> None:  # noqa: ANN401
        if not kind.startswith("troupe:"):
            register(self, kind, *given, **more)
        for each in given:
            if isinstance(each, pulumi.ResourceOptions) and isinstance(each.providers, list):
                providers.extend(each.providers)

    options, asks = pulumi.ResourceOptions.__init__, pulumi.InvokeOptions.__init__

    def plain(self: Any, parent: Any = None, depends_on: Any = None, **more: Any) -> None:  # noqa: ANN401
        if isinstance(parent, pulumi.ComponentResource):
            parent, more["provider"] = None, providers[-1]
        if isinstance(depends_on, list):
            depends_on = [each for each in depends_on if not isinstance(each, pulumi.ComponentResource)]
        options(self, parent=parent, depends_on=depends_on, **more)

    def plainly_asked(self: Any, parent: Any = None, **more: Any) -> None:  # noqa: ANN401
        if parent is not None:
            more["provider"] = providers[-1]
        asks(self, **more)

    with (
        mock.patch.object(pulumi.ComponentResource, "__init__", made),
        mock.patch.object(pulumi.ComponentResource, "register_outputs", return_value=None),
        mock.patch.object(pulumi.ResourceOptions, "__init__", plain),
        mock.patch.object(pulumi.InvokeOptions, "__init__", plainly_asked),
    ):
        yield
