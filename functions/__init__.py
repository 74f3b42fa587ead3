"""What runs: the same files on every cloud and on one machine."""

from typing import Final

#: The same as in pyproject.toml; a function's zip has no metadata of packages to read it from.
VERSION: Final = "0.1.0"
