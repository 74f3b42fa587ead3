"""The points of one version for another one: the same passages, encoded by its encoder."""

from collections.abc import Sequence

import msgspec

from functions.collections.points import passage_of
from functions.collections.ranking import text_to_encode
from functions.collections.words import terms_of_passage
from functions.errors import TroupeError
from functions.events.common import Passage
from functions.ports.blobs import Blobs
from functions.ports.encoders import Encoders
from functions.ports.vector_stores import Layout, Point


class LostTextError(TroupeError, LookupError):
    """The whole text of a point is no longer there."""


def recode(layout: Layout, points: Sequence[Point], *, encoders: Encoders, blobs: Blobs) -> Sequence[Point]:
    """The points for a version of this layout. Personal data was taken out when they were written, and stays out.

    Raises:
        UnknownEncoderError: The layout's encoder is not carried here.
        LostTextError: A text was too long for its point, and its blob is gone.
    """
    passages = [_whole(point, blobs) for point in points]
    vectors = encoders.encoder(layout.encoder).encode([text_to_encode(passage) for passage in passages])
    return [
        Point(
            id=point.id,
            vector=vector,
            terms=terms_of_passage(passage),
            fields={**point.fields, "encoder": layout.encoder},
        )
        for point, passage, vector in zip(points, passages, vectors, strict=True)
    ]


def _whole(point: Point, blobs: Blobs) -> Passage:
    passage, key = passage_of(point.fields), point.fields.get("blob")
    if not key:
        return passage
    try:
        return msgspec.structs.replace(passage, text=blobs.get(str(key)).decode())
    except KeyError as error:
        raise LostTextError(
            f"the text of {passage.id} ({passage.source}) is gone from the blobs, so that the point {point.id} cannot "
            "be encoded: write that document again, or delete it"
        ) from error
