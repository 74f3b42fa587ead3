"""How a thread that committed something wakes a coroutine that waits for it."""

import asyncio


class Doorbell:
    """Rung from any thread, heard in the loop that it was made in; ringing twice before it is heard is once.

    Attributes:
        is_abandoned: Whether the client that it is for has left.
    """

    def __init__(self) -> None:
        self._loop = asyncio.get_running_loop()
        self._event = asyncio.Event()
        self._is_rung = False
        self.is_abandoned = False

    def ring(self) -> None:
        """Wake whoever listens; from any thread, also after the loop is gone."""
        if self._is_rung:
            return
        self._is_rung = True
        try:
            self._loop.call_soon_threadsafe(self._event.set)
        except RuntimeError:  # the loop is closed: nobody listens any more
            return

    async def heard(self, seconds: float) -> bool:
        """Whether it rang within so many seconds; what rings after this is for the next time."""
        try:
            async with asyncio.timeout(seconds):
                await self._event.wait()
        except TimeoutError:
            return False
        self._event.clear()
        self._is_rung = False  # before the caller looks at what changed, so that no change goes unheard
        return True
