"""What the process that has the collections does for them in the background: fills, removes and compares versions.

What is wanted stands in the catalog and in a folder, so that it survives whoever wants it, and a restart.
"""

import logging
import threading
import time
from functools import partial
from pathlib import Path
from typing import Self

from functions.collections.lifecycle import remove_dropped
from functions.collections.migration import fill
from functions.collections.opening import made
from functions.collections.recoding import recode
from functions.errors import TroupeError
from functions.ports.catalog import Entry
from local.comparing import Kept, answer

LOOK_S = 0.25  # how long what a command wants may go unnoticed
AFTER_FAILURE_S = 5.0
STOP_S = 10.0

log = logging.getLogger("troupe.collections")


class Filling:
    """Looks after what is kept, for as long as its `with` statement lasts.

    Args:
        kept: The collections; the caller closes them, later.
        home: Of the workspace.
    """

    def __init__(self, kept: Kept, home: Path) -> None:
        self._kept = kept
        self._home = home
        self._stopping = threading.Event()
        self._looking = threading.Thread(target=self._look, name="collections", daemon=True)
        self._filling: dict[tuple[str, int], threading.Thread] = {}

    def __enter__(self) -> Self:
        self.start()
        return self

    def __exit__(self, *_: object) -> None:
        self.stop()

    def start(self) -> None:
        """Go on with whatever is wanted, from now on."""
        self._looking.start()

    def stop(self) -> None:
        """Come to an end after the batch in work; what is not done is for the next start."""
        self._stopping.set()
        until = time.monotonic() + STOP_S
        for thread in (self._looking, *self._filling.values()):
            thread.join(max(until - time.monotonic(), 0.0))
            if thread.is_alive():  # an index is being built, say: it may be cut off at any point
                log.warning("%s was still at work after %g s, and goes on at the next start", thread.name, STOP_S)

    def _look(self) -> None:
        pause_s = 0.0
        while not self._stopping.wait(pause_s):
            pause_s = LOOK_S
            try:
                for listed in self._kept.catalog.entries():
                    entry = made(listed, catalog=self._kept.catalog, store=self._kept.store)
                    self._fill_each(entry)
                    if entry.dropping:
                        remove_dropped(self._kept.catalog, self._kept.store, entry.name)
                answer(self._home, self._kept)
            except (TroupeError, OSError) as error:
                pause_s = AFTER_FAILURE_S
                log.error("the collections cannot be looked after, which is tried again: %s", error)  # noqa: TRY400 - it says it all
            except Exception:
                pause_s = AFTER_FAILURE_S
                log.exception("the collections cannot be looked after, which is tried again")

    def _fill_each(self, entry: Entry) -> None:
        """A thread for each version: where one stands still, the others go on."""
        for version in entry.versions:
            key = (entry.name, version.number)
            running = self._filling.get(key)
            if version.phase == "filling" and (running is None or not running.is_alive()):
                thread = threading.Thread(target=self._fill, args=key, name=f"filling-{version.number}", daemon=True)
                self._filling[key] = thread
                thread.start()

    def _fill(self, name: str, number: int) -> None:
        kept = self._kept
        log.info("version %d of %s is being filled", number, name)
        try:
            ended = fill(
                name,
                number,
                catalog=kept.catalog,
                store=kept.store,
                recode=partial(recode, encoders=kept.encoders, blobs=kept.blobs),
                now=kept.now,
                wait=self._stopping.wait,
            )
        except Exception:
            log.exception("version %d of %s is not filled, which is tried again", number, name)
            self._stopping.wait(AFTER_FAILURE_S)
        else:
            log.info("version %d of %s is %s", number, name, ended)
