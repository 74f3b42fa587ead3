"""A service starts without the SDK, and without what only agents or the deploy need."""

import subprocess
import sys

import pytest

SERVICES = ["api", "authorizer", "desk", "keeper", "pusher", "socket", "sweeper", "uploads"]
HEAVY = ["boto3", "botocore", "jsonschema", "numpy", "onnxruntime", "pulumi", "pypdf", "starlette"]


@pytest.mark.parametrize("service", SERVICES)
def test_a_service_starts_without_the_sdk(service: str) -> None:
    module = f"functions.entry_points.aws.{service}"
    program = f"import {module} as m, sys; assert callable(m.handler); print(*(set({HEAVY!r}) & set(sys.modules)))"
    done = subprocess.run([sys.executable, "-c", program], check=True, capture_output=True, text=True)  # noqa: S603
    assert done.stdout.split() == []
