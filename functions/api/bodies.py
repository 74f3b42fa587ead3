"""Reading a JSON body: msgspec on the way that succeeds, and where it fails, everything that is wrong at once."""

from collections.abc import Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Any

import msgspec

from functions.api.problems import MAX_ERRORS, ProblemError, Wrong, wrong
from functions.events.answer import READABLE
from functions.events.decoding import decoder

if TYPE_CHECKING:
    from jsonschema.exceptions import ValidationError

JSON = "application/json"
MAX_BODY_BYTES = 1024**2

_KINDS = {
    "string": "text",
    "object": "an object",
    "array": "a list",
    "number": "a number",
    "integer": "a whole number",
    "boolean": "true or false",
    "null": "null",
}


def read_body(raw: bytes, content_type: str, kind: Any, schema: Mapping[str, Any]) -> Any:  # noqa: ANN401
    """The body, as the type and its JSON schema say.

    Raises:
        ProblemError: 415 where it is not declared to be JSON, 400 where it is none, 422 with everything that does
            not fit.
    """
    if content_type.partition(";")[0].strip().lower() != JSON:
        raise ProblemError(415, f"the body is not declared to be JSON: send Content-Type: {JSON}")
    try:
        found = decoder(kind).decode(raw)
    except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError):
        found = None
    errors = _errors(_json(raw), schema) if found is None else ()
    if errors:
        raise wrong(422, "the body", errors)
    if found is None:
        raise ProblemError(422, "the body does not have the shape that GET /openapi.json describes")
    return found


def too_large() -> ProblemError:
    """The body is larger than any call may bring."""
    return ProblemError(
        413,
        f"the body is larger than {MAX_BODY_BYTES // 1024**2} MiB: send it in parts",
        headers={"connection": "close"},
    )


def _json(raw: bytes) -> Any:  # noqa: ANN401 - whatever was sent
    try:
        return msgspec.json.decode(raw)
    except RecursionError as error:
        raise ProblemError(400, "the body is nested too deep") from error
    except (msgspec.MsgspecError, UnicodeDecodeError) as error:
        said = str(error).removeprefix("JSON is malformed: ")
        raise ProblemError(400, f"the body is no JSON: {said}") from error


def _errors(found: Any, schema: Mapping[str, Any]) -> Sequence[Wrong]:  # noqa: ANN401 - whatever was sent
    from jsonschema import Draft202012Validator  # noqa: PLC0415 - 100 ms, for bodies that are wrong

    validator = Draft202012Validator(dict(schema))
    errors: dict[Wrong, None] = {}
    for error in validator.iter_errors(found):
        errors.update(dict.fromkeys(_wrong(error)))
        if len(errors) >= MAX_ERRORS:
            break
    return sorted(errors, key=lambda each: str(each.pointer))[:MAX_ERRORS]


def _wrong(error: "ValidationError") -> Iterator[Wrong]:
    """What one error of jsonschema says, without the value that it is about."""
    found, wanted = error.instance, error.validator_value
    here = "".join(f"/{_escaped(str(step))}" for step in error.absolute_path)
    match error.validator:
        case "required":
            missing = error.message.split("'")[1]
            yield Wrong(pointer=f"{here}/{_escaped(missing)}", detail="is missing")
        case "additionalProperties":
            known = error.schema.get("properties", {}) if isinstance(error.schema, Mapping) else {}
            for name in found.keys() - known.keys():
                detail = f"is no field here: use {', '.join(known)}"
                yield Wrong(pointer=f"{here}/{_escaped(name[:80])}", detail=detail)
        case "type":
            yield Wrong(pointer=here, detail=f"is {_kind(found)}; expected {_KINDS.get(str(wanted), str(wanted))}")
        case "enum":
            yield Wrong(pointer=here, detail=f"is none of {', '.join(map(str, wanted))}")
        case "maxLength":
            yield Wrong(pointer=here, detail=f"has {len(found):,} characters, and at most {wanted:,} are taken")
        case "minLength" | "pattern":
            detail = "is blank" if wanted in (READABLE, 1) else "has characters that it may not have"
            yield Wrong(pointer=here, detail=detail)
        case "maxItems":
            yield Wrong(pointer=here, detail=f"has {len(found):,} entries, and at most {wanted:,} are taken")
        case "minItems":
            yield Wrong(pointer=here, detail=f"has {len(found):,} entries, and at least {wanted:,} are needed")
        case _:
            yield Wrong(pointer=here, detail="does not fit")


def _kind(found: object) -> str:
    match found:
        case None:
            return "null"
        case bool():
            return "true or false"
        case str():
            return "text"
        case int() | float():
            return "a number"
        case list():
            return "a list"
        case _:
            return "an object"


def _escaped(step: str) -> str:
    """As a JSON pointer has it (RFC 6901)."""
    return step.replace("~", "~0").replace("/", "~1")
