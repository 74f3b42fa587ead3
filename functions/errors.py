"""The errors a caller may meet, each with what to do about it in its message."""


class TroupeError(Exception):
    """Something a person can mend: the message names what happened, what was expected and what to do."""
