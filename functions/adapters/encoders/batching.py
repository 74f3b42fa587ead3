"""Calls that come at the same time share one batch: an `Encoder` around another one.

A call that comes while none is at work begins at once: alone, it is never delayed. Those that come meanwhile are
encoded together when that one is done, by the first of them: there is no thread of its own and no timer.
Whoever has waited for as long as a call may be delayed stops waiting, and is encoded alone.
"""

import threading
from collections import deque
from collections.abc import Sequence
from typing import TYPE_CHECKING, Final, Literal

from functions.ports.encoders import Encoder, EncoderError, EncoderUnavailableError

if TYPE_CHECKING:  # listing encoders loads no numpy
    import numpy as np
    from numpy.typing import NDArray

MOST_TEXTS: Final = 32
MOST_WAIT_S: Final = 0.05


class BatchingEncoder:
    """Puts the texts of calls from several threads together. Safe to use from all of them.

    Args:
        encoder: Makes the vectors; it has to be safe to call from several threads, and is closed with this one.
        most_texts: Of a batch. A call with more of them has nothing to gain, and goes past the others.
        most_wait_s: How long a call waits for its batch to begin, at most.
    """

    def __init__(self, encoder: Encoder, *, most_texts: int = MOST_TEXTS, most_wait_s: float = MOST_WAIT_S) -> None:
        self._encoder = encoder
        self._most_texts = most_texts
        self._most_wait_s = most_wait_s
        self._waiting: deque[_Call] = deque()
        self._has_batch = False
        self._calls = 0
        self._is_closed = False
        self._changed = threading.Condition()

    @property
    def version(self) -> str:
        """See `Encoder.version`."""
        return self._encoder.version

    @property
    def dimension(self) -> int:
        """See `Encoder.dimension`."""
        return self._encoder.dimension

    def encode(self, texts: Sequence[str]) -> "NDArray[np.float32]":
        """See `Encoder.encode`. What goes wrong with a text goes wrong for its own caller only."""
        with self._changed:
            if self._is_closed:
                raise EncoderError(f"the encoder {self.version} was closed")
            self._calls += 1
        try:
            if len(texts) > self._most_texts:
                return self._encoder.encode(texts)
            return self._shared(_Call(texts))
        finally:
            with self._changed:
                self._calls -= 1
                self._changed.notify_all()

    def close(self) -> None:
        """Take no more calls, let those that are at work end, and close the encoder."""
        with self._changed:
            was_closed, self._is_closed = self._is_closed, True
            self._changed.wait_for(lambda: not self._calls)
        close = getattr(self._encoder, "close", None)
        if close is not None and not was_closed:
            close()

    def _shared(self, call: "_Call") -> "NDArray[np.float32]":
        match self._turn(call):
            case "leads":
                self._lead()
            case "alone":
                return self._encoder.encode(call.texts)
            case "done":
                pass
        return call.result()

    def _turn(self, call: "_Call") -> Literal["leads", "alone", "done"]:
        """Wait until the call is the first of the next batch, or was part of another's, or has waited enough."""
        with self._changed:
            self._waiting.append(call)
            self._changed.wait_for(lambda: call.is_done or self._is_next(call), self._most_wait_s)
            if not call.is_done and self._is_next(call):
                self._has_batch = True
                return "leads"
            if call in self._waiting:
                self._waiting.remove(call)
                self._changed.notify_all()  # who stood behind it may be the next now
                return "alone"
            self._changed.wait_for(lambda: call.is_done)  # its batch has begun
            return "done"

    def _is_next(self, call: "_Call") -> bool:
        return not self._has_batch and self._waiting[0] is call

    def _lead(self) -> None:
        with self._changed:
            batch = self._taken()
        try:
            self._encode(batch)
        finally:
            with self._changed:
                for call in batch:
                    call.is_done = True
                self._has_batch = False
                self._changed.notify_all()

    def _taken(self) -> "list[_Call]":
        """The first of those that wait, as many as fit into a batch."""
        batch = [self._waiting.popleft()]
        room = self._most_texts - len(batch[0].texts)
        while self._waiting and len(self._waiting[0].texts) <= room:
            batch.append(self._waiting.popleft())
            room -= len(batch[-1].texts)
        return batch

    def _encode(self, batch: "Sequence[_Call]") -> None:
        try:
            vectors = self._encoder.encode([text for call in batch for text in call.texts])
        except EncoderUnavailableError as error:  # one after another, they would wait for the same a second time
            for call in batch:
                call.error = error
        except Exception as error:  # noqa: BLE001 - whatever it is, it goes to the caller whose text it is about
            if len(batch) == 1:
                batch[0].error = error
            else:
                for call in batch:
                    self._encode([call])
        else:
            start = 0
            for call in batch:
                call.vectors = vectors[start : start + len(call.texts)]
                start += len(call.texts)


class _Call:
    """One call, and what came of it."""

    def __init__(self, texts: Sequence[str]) -> None:
        self.texts = texts
        self.is_done = False
        self.vectors: NDArray[np.float32] | None = None
        self.error: Exception | None = None

    def result(self) -> "NDArray[np.float32]":
        if self.vectors is not None:
            return self.vectors
        if isinstance(self.error, EncoderUnavailableError):  # which its whole batch shares
            raise EncoderUnavailableError(str(self.error)) from self.error
        raise self.error or EncoderError("the batch that this call was part of was interrupted: call again")
