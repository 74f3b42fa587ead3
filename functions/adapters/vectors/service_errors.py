"""What the stores that are asked over REST raise where a call to their service came to nothing."""

from functions.adapters import rest
from functions.ports.vector_stores import RefusedError, UnavailableError, VectorStoreError


class StatusError(RefusedError):
    """A service understood a call and said no; the adapter tells what that means, where it is more than a refusal.

    Attributes:
        status: The HTTP status.
    """

    def __init__(self, message: str, status: int) -> None:
        super().__init__(message)
        self.status = status


def store_error(error: rest.RestError) -> VectorStoreError:
    """The port's error for one of `Rest`."""
    if isinstance(error, rest.StatusError):
        return StatusError(str(error), error.status)
    if isinstance(error, rest.NoAnswerError):
        return UnavailableError(str(error))
    if isinstance(error, rest.ClosedError):
        return VectorStoreError(str(error))
    return RefusedError(str(error))
