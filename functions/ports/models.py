"""Language models, as agents meet them: optional everywhere, and whatever fails leaves the extractive way."""

from typing import Protocol, TypeVar

import msgspec

from functions.errors import TroupeError
from functions.ports.capability import capability

S = TypeVar("S", bound=msgspec.Struct)


class ModelError(TroupeError):
    """The model gave nothing that can be used; an agent catches it, goes the extractive way and says so.

    Attributes:
        reason: Short and stable, fit to be shown to whoever asked: `unreachable`, `timeout`, `rate limited`,
            `refused`, `truncated`, `malformed`, `rejected`, `server error` or `budget`; an agent adds `unsupported`
            for a text of which nothing stands in its sources.
    """

    def __init__(self, message: str, *, reason: str) -> None:
        super().__init__(message)
        self.reason = reason


@capability(of="model")
class LanguageModel(Protocol):
    """Ask a model, on the budget of the delivery's request; what a call cost is booked before it returns."""

    @property
    def name(self) -> str:
        """As the endpoint knows it."""
        ...

    def write(self, instructions: str, text: str, *, max_tokens: int) -> str:
        """What the model writes; whoever watches the request sees it grow.

        Raises:
            ModelError: It could not be reached, refused, was cut off, or the budget is spent.
        """
        ...

    def decide(self, instructions: str, text: str, shape: type[S], *, max_tokens: int) -> S:
        """What the model decides, in this shape: the answer is validated against it, and nobody sees it grow.

        Raises:
            ModelError: As with `write`; `malformed` where it is not of that shape.
        """
        ...
