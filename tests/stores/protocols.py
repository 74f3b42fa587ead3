"""What requests and answers of the services that are not run here have to look like: recorded/*.schema.json.

Each schema holds the parts that are used of a service's published description, call by call: `<method> <path>`, with
the names of path parameters in braces, and under it what the request's query and body are, and the answer's body.
"""

import functools
import json
import re
from pathlib import Path
from typing import Any

import jsonschema
from http_service import Answer, Asked

RECORDED = Path(__file__).parent / "recorded"
ERRORS = 400


@functools.cache
def schema_of(service: str) -> dict[str, Any]:
    return json.loads((RECORDED / f"{service}.schema.json").read_text(encoding="utf-8"))  # type: ignore[no-any-return]


def call_of(service: str, method: str, path: str) -> str:
    """The call of the description that this request makes; an error where there is none."""
    for call in schema_of(service)["calls"]:
        named, template = call.split(" ")
        if named == method and re.fullmatch(re.sub(r"\{\w+\}", "[^/]+", template), path):
            return str(call)
    raise LookupError(f"{service} has no call {method} {path}")


def problem_of(service: str, asked: Asked, answer: Answer | None = None) -> str:
    """What is wrong with a request, or with the answer to it; empty where nothing is."""
    try:
        call = schema_of(service)["calls"][call_of(service, asked.method, asked.path)]
    except LookupError as error:
        return str(error)
    if answer is not None:
        part = "error" if answer.status >= ERRORS else "answer"
        return _wrong(service, call.get(part, {}), answer.body)
    query: dict[str, Any] = {}
    for name, value in asked.query:
        query.setdefault(name, []).append(value)
    return _wrong(service, call.get("query", {"maxProperties": 0}), query) or _wrong(
        service, call.get("body", {"type": "null"}), asked.body
    )


def _wrong(service: str, schema: dict[str, Any], given: object) -> str:
    whole = {**schema, "$defs": schema_of(service).get("$defs", {})}
    errors = jsonschema.Draft202012Validator(whole).iter_errors(given)
    return "; ".join(f"{error.json_path}: {error.message:.200}" for error in errors)
