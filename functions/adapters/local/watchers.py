"""Who waits for something to happen to a request: woken after the commit that did it, so that nobody polls."""

import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager

Wake = Callable[[], None]


class Watchers:
    """Callbacks by request. A callback is called from the thread that committed, and must neither block nor raise."""

    def __init__(self) -> None:
        self._changing = threading.Lock()
        self._watching: dict[tuple[str, str], list[Wake]] = {}

    @contextmanager
    def watching(self, request: str, *, tenant: str, wake: Wake) -> Iterator[None]:
        """Call `wake` at every change of this request, as long as the `with` statement lasts."""
        key = (tenant, request)
        with self._changing:
            self._watching.setdefault(key, []).append(wake)
        try:
            yield
        finally:
            with self._changing:
                self._watching[key].remove(wake)
                if not self._watching[key]:
                    del self._watching[key]

    def announce_all(self) -> None:
        """Any of them may have changed: another process wrote."""
        with self._changing:
            woken = [wake for wakes in self._watching.values() for wake in wakes]
        for wake in woken:
            wake()

    def announce(self, request: str, *, tenant: str) -> None:
        """A change of this request was committed."""
        if (tenant, request) not in self._watching:  # nearly always, and every delivery asks
            return
        with self._changing:
            woken = tuple(self._watching.get((tenant, request), ()))
        for wake in woken:
            wake()
