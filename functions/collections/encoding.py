"""What is made of passages before any version is written: no personal data in them, and vectors that can be stored."""

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING

import msgspec

from functions.collections.points import changed_work
from functions.collections.ranking import text_to_encode
from functions.events.common import Passage
from functions.ports.encoders import Encoders
from functions.ports.personal import Tokenizer
from functions.ports.vector_stores import Layout, PointsError

if TYPE_CHECKING:  # as in functions.ports.encoders
    import numpy as np
    from numpy.typing import NDArray

_TOLD = 5


class Vectors:
    """The vectors of passages, by encoder: made once for each, also where a version comes meanwhile."""

    def __init__(self, encoders: Encoders, passages: Sequence[Passage]) -> None:
        self._encoders = encoders
        self._passages = passages
        self._made: dict[str, NDArray[np.float32]] = {}

    def of(self, layout: Layout) -> "NDArray[np.float32]":
        """Those that a physical collection is made for.

        Raises:
            PointsError: Some are none.
            UnknownEncoderError: This process does not carry the encoder.
        """
        if layout.encoder not in self._made:
            encoder = self._encoders.encoder(layout.encoder)
            vectors = encoder.encode([text_to_encode(passage) for passage in self._passages])
            check_vectors(vectors, layout, [f"the passage {passage.id!r:.80}" for passage in self._passages])
            self._made[layout.encoder] = vectors
        return self._made[layout.encoder]


def check_vectors(vectors: "NDArray[np.float32]", layout: Layout, names: Sequence[str]) -> None:
    """Refuse what an encoder made, unless it can be stored and searched for.

    Raises:
        PointsError: Some are NaN, zero, or of another length.
    """
    import numpy as np  # noqa: PLC0415 - as in functions.ports.encoders

    expected = (len(names), layout.dimension)
    if np.shape(vectors) != expected:
        raise PointsError(
            f"the encoder {layout.encoder} made vectors of the shape {np.shape(vectors)}, expected {expected}: see "
            "that it is the one that the collection was made for; nothing was done"
        )
    lengths = (vectors.astype(np.float64) ** 2).sum(axis=1)
    wrong = [name for name, length in zip(names, lengths, strict=True) if not 0 < length < np.inf]
    if wrong:
        raise PointsError(
            f"the encoder {layout.encoder} made a vector of zeros, NaN or infinity of {', '.join(wrong[:_TOLD])} "
            f"({len(wrong)} in all): see that it is whole; nothing was done"
        )


def without_personal_data(passages: Sequence[Passage], tokenizer: Tokenizer, tenant: str) -> list[Passage]:
    """The passages with tokens in the place of personal data, in all that they say; their ids stay."""
    texts: dict[str, str] = {}
    for passage in passages:
        _changed(passage, lambda text: texts.setdefault(text, text))
    tokenized = tokenizer.tokenized(list(texts), tenant=tenant, keep=True)
    tokens = dict(zip(texts, tokenized, strict=True))
    return [_changed(passage, tokens.__getitem__) for passage in passages]


def _changed(passage: Passage, change: Callable[[str], str]) -> Passage:
    return msgspec.structs.replace(
        passage,
        name=change(passage.name),
        source=change(passage.source),
        text=change(passage.text),
        labels=tuple(change(each) for each in passage.labels),
        work=changed_work(passage.work, change),
    )


def check_passages(passages: Sequence[Passage]) -> None:
    """Refuse what is no passage, all of them named.

    Raises:
        PointsError: An id, a name, a source, a text or a label is no string.
    """
    wrong = [
        f"passage {number} ({passage.id!r:.40}): its {field} is a {type(value).__name__}, expected a string"
        for number, passage in enumerate(passages)
        for field, value in _strings(passage)
        if not isinstance(value, str)
    ]
    if wrong:
        more = f"; and {len(wrong) - _TOLD} more" if len(wrong) > _TOLD else ""
        raise PointsError(f"nothing was stored: {'; '.join(wrong[:_TOLD])}{more}")


def _strings(passage: Passage) -> Sequence[tuple[str, object]]:
    fields = [(field, getattr(passage, field)) for field in ("id", "name", "source", "text")]
    return [*fields, *(("label", each) for each in passage.labels)]
