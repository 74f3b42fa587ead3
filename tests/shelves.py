"""The shipped collections over an encoder that costs nothing."""

from functions.adapters.encoders.registry import Carried, CarriedEncoders
from functions.adapters.local.store import Store
from functions.adapters.vectors.settings import EMBEDDED, VectorSettings
from functions.ports.encoders import Encoder
from local.shelf import Shelf


def carried(encoder: Encoder) -> CarriedEncoders:
    """This encoder alone."""
    one = Carried(name="test", version=encoder.version, dimension=encoder.dimension, open=lambda: encoder)
    return CarriedEncoders([one])


def shelf_of(store: Store, encoder: Encoder, vectors: VectorSettings = EMBEDDED) -> Shelf:
    """The collections beside a store."""
    return Shelf(store, carried(encoder), encoder, vectors=vectors)
