"""`troupe run` that carries the encoders that a test names, small ones, in `ENCODERS`."""

import os
from functools import partial

from small_encoder import SmallEncoder

from functions.adapters.encoders.registry import Carried, CarriedEncoders
from local import workspace
from ops import cli

workspace.registered = lambda *_: CarriedEncoders(
    [
        Carried(name=name, version=f"{name}.version", dimension=256, open=partial(SmallEncoder, f"{name}.version"))
        for name in os.environ["ENCODERS"].split()
    ]
)
cli.main()
