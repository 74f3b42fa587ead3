"""The errors a caller may meet, each with what to do about it in its message."""


class TroupeError(Exception):
    """Something a person can mend: the message names what happened, what was expected and what to do."""


class PermanentError(TroupeError):
    """Raised by an agent, or for it: trying again would not help, so it is given up at once.

    Attributes:
        reason: Short and stable, what dead letters are filtered by.
    """

    def __init__(self, message: str, *, reason: str = "permanent error") -> None:
        super().__init__(message)
        self.reason = reason
