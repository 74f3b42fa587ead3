"""When a point is no longer there: from the moment on that its payload says, whether it was swept or not."""

from functions.ports.vector_stores import NEVER, Fields, Range


def expired(now: float) -> Range:
    """What is no longer there at this time, in seconds since 1970."""
    return Range("expires_at", at_most=now)


def is_alive(fields: Fields, now: float) -> bool:
    """Whether a point that says this is still there."""
    expires_at = fields.get("expires_at", NEVER)
    return not isinstance(expires_at, int | float) or expires_at > now
