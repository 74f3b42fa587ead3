"""`troupe run` with a small encoder: for the tests that stop it as a user does."""

from shelves import carried
from small_encoder import SmallEncoder

from local import workspace
from ops import cli

workspace.registered = lambda *_: carried(SmallEncoder())
cli.main()
