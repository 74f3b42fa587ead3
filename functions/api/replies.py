"""The usual reply: JSON."""

from typing import Any

import msgspec

from functions.api.http import HttpResponse

JSON = "application/json"


def ok(body: Any) -> HttpResponse:  # noqa: ANN401 - whatever can be written as JSON
    """What was asked for."""
    return HttpResponse(status=200, headers={"content-type": JSON}, body=msgspec.json.encode(body))
