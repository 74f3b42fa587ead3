"""What the process that has the collections does for them in the background: fills, removes and compares versions.

What is wanted stands in the catalog and in a folder, so that it survives whoever wants it, and a restart.
"""

import logging
import threading
import time
from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path
from typing import Self

from functions.collections.lifecycle import remove_dropped
from functions.collections.migration import fill
from functions.collections.opening import made
from functions.collections.recoding import recode
from functions.errors import TroupeError
from functions.ports.catalog import Entry
from functions.ports.vector_stores import Layout, NoSuchCollectionError
from local.comparing import Kept, answer, wanted_of

LOOK_S = 0.25  # how long what a command wants may go unnoticed
AFTER_FAILURE_S = 5.0
INDEX_LOOK_S = 60.0  # how long points may be searched without an index; so often a store is asked whether it wants one
INDEX_AFTER_FAILURE_S = 600.0
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
        self._working: dict[str, threading.Thread] = {}  # by what each does
        self._indexing = threading.Thread()
        self._index_at = 0.0

    def __enter__(self) -> Self:
        self.start()
        return self

    def __exit__(self, *_: object) -> None:
        self.stop()

    def start(self) -> None:
        """Go on with whatever is wanted, from now on."""
        self._index_at = time.monotonic() + INDEX_LOOK_S  # nothing slows what is asked first
        self._looking.start()

    def stop(self) -> None:
        """Come to an end after the batch in work; what is not done is for the next start.

        An index that is being built is not waited for: it is cut off when the store is closed.
        """
        self._stopping.set()
        until = time.monotonic() + STOP_S
        self._ended(self._looking, until)  # from then on, nothing more begins
        for thread in self._working.values():
            self._ended(thread, until)

    @staticmethod
    def _ended(thread: threading.Thread, until: float) -> None:
        thread.join(max(until - time.monotonic(), 0.0))
        if thread.is_alive():  # an index is being built, say: it may be cut off at any point
            log.warning("the %s was still at work after %g s, and goes on at the next start", thread.name, STOP_S)

    def _look(self) -> None:
        pause_s = 0.0
        while not self._stopping.wait(pause_s):
            pause_s = LOOK_S
            try:
                entries = self._kept.catalog.entries()
                for entry in entries:
                    self._begin_each(entry)
                self._index_each(entries)
                if wanted_of(self._home):
                    self._begin("comparison of versions", partial(answer, self._home, self._kept))
            except (TroupeError, OSError) as error:
                pause_s = AFTER_FAILURE_S
                log.error("the collections cannot be looked after, which is tried again: %s", error)  # noqa: TRY400 - it says it all
            except Exception:
                pause_s = AFTER_FAILURE_S
                log.exception("the collections cannot be looked after, which is tried again")

    def _begin_each(self, entry: Entry) -> None:
        name = entry.name
        if any(version.phase == "new" for version in entry.versions):
            making = partial(made, entry, catalog=self._kept.catalog, store=self._kept.store)
            self._begin(f"making of {name}", making)
        for number in (version.number for version in entry.versions if version.phase == "filling"):
            self._begin(f"filling of version {number} of {name}", partial(self._fill, name, number))
        if entry.dropping:
            dropped = partial(remove_dropped, self._kept.catalog, self._kept.store, name)
            self._begin(f"removal of what was dropped of {name}", dropped)

    def _index_each(self, entries: Sequence[Entry]) -> None:
        """A thread for all whole versions, one after another; one that is being filled is indexed by who fills it."""
        if time.monotonic() < self._index_at or self._indexing.is_alive():
            return
        self._index_at = time.monotonic() + INDEX_LOOK_S
        whole = [version.layout for entry in entries for version in entry.versions if version.phase == "whole"]
        self._indexing = threading.Thread(target=self._index, args=(whole,), name="indexing", daemon=True)
        self._indexing.start()

    def _index(self, layouts: Sequence[Layout]) -> None:
        for layout in layouts:
            if self._stopping.is_set():
                return
            try:
                self._kept.store.optimize(layout)
            except NoSuchCollectionError:
                log.debug("%s is not made yet, or was dropped", layout.name)
            except (TroupeError, OSError) as error:
                self._index_at = time.monotonic() + INDEX_AFTER_FAILURE_S
                if not self._stopping.is_set():  # else the store was closed
                    log.error("%s is not indexed, which is tried again: %s", layout.name, error)  # noqa: TRY400 - it says it all
            except Exception:
                log.exception("%s is not indexed, which is tried again", layout.name)

    def _begin(self, what: str, work: Callable[[], object]) -> None:
        """In a thread of its own, unless it is at work: where one thing takes long or fails, the others go on."""
        running = self._working.get(what)
        if running is None or not running.is_alive():
            self._working[what] = threading.Thread(target=self._work, args=(what, work), name=what, daemon=True)
            self._working[what].start()

    def _work(self, what: str, work: Callable[[], object]) -> None:
        try:
            work()
        except (TroupeError, OSError) as error:
            log.error("the %s failed, which is tried again: %s", what, error)  # noqa: TRY400 - it says it all
            self._stopping.wait(AFTER_FAILURE_S)
        except Exception:
            log.exception("the %s failed, which is tried again", what)
            self._stopping.wait(AFTER_FAILURE_S)

    def _fill(self, name: str, number: int) -> None:
        kept = self._kept
        log.info("version %d of %s is being filled", number, name)
        ended = fill(
            name,
            number,
            catalog=kept.catalog,
            store=kept.store,
            recode=partial(recode, encoders=kept.encoders, blobs=kept.blobs),
            now=kept.now,
            wait=self._stopping.wait,
        )
        log.info("version %d of %s is %s", number, name, ended)
