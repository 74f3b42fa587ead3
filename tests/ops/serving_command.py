"""`troupe run` with a small encoder: for the tests that stop it as a user does."""

from small_encoder import SmallEncoder

from local import workspace
from ops import cli

workspace.built_encoder = lambda _: SmallEncoder()  # type: ignore[assignment]
cli.main()
