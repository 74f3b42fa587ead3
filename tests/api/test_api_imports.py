"""The API loads no server and no validator: it starts cold behind a function, as an agent does."""

import subprocess
import sys

import pytest


@pytest.mark.parametrize("library", ["h11", "httpx", "jsonschema", "starlette", "uvicorn"])
def test_the_api_loads_no_library_of_a_server(library: str) -> None:
    program = f"import functions.api.api, sys; sys.exit({library!r} in sys.modules)"
    assert subprocess.run([sys.executable, "-c", program], check=False).returncode == 0  # noqa: S603 - our own text
