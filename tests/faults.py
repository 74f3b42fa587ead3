"""What goes wrong in a test."""


class DownError(Exception):
    """What a dependency raises."""


class ShutdownError(BaseException):
    """The process dies here: nothing catches it."""


def down(times: int) -> list[BaseException | None]:
    """A dependency that fails so often."""
    return [DownError("the shelf is down")] * times
