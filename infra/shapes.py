"""Whether values have the shape that a JSON Schema says: each problem in words, and what can be used of the values."""

import sys
from collections.abc import Iterable, Iterator, Mapping
from difflib import get_close_matches
from functools import cache
from typing import Any, Final

from infra.problem import Problem, may_be_secret, shown

#: Stands where Pulumi decrypted something: the value itself is not read.
ENCRYPTED: Final = {"secure": ""}

_SECRETS: Final = "secrets"
_LONGEST_KEY: Final = 60
_TYPES: Final = {"boolean": "true or false", "string": "a text", "array": "a list", "object": "a mapping"}

Path = tuple[str | int, ...]


def checked(given: Mapping[str, object], schema: Mapping[str, Any]) -> tuple[dict[str, Any], list[Problem]]:
    """What can be used of these values, and what is wrong with the rest."""
    usable, found = _without_encrypted({str(key): _plain(value) for key, value in given.items()})
    while wrong := [each for error in _single(_validator()(schema).iter_errors(usable)) for each in _told(error)]:
        for path, problem in wrong:
            _remove(usable, path)
            if problem.key not in {each.key for each in found}:
                found.append(problem)
    return usable, found


@cache
def _validator() -> Any:  # noqa: ANN401 - jsonschema has no types
    """JSON Schema's, but for numbers, which are as msgspec takes them, and for texts, which are one line."""
    from jsonschema import Draft202012Validator, validators  # noqa: PLC0415 - slow, and for stack files only

    types = Draft202012Validator.TYPE_CHECKER.redefine_many(
        {
            "integer": lambda _, value: isinstance(value, int) and not isinstance(value, bool),
            "number": lambda _, value: _is_number(value),
            "string": lambda _, value: isinstance(value, str) and value.isprintable(),
        }
    )
    return validators.extend(Draft202012Validator, type_checker=types)


def _is_number(value: object) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool) and abs(value) <= sys.float_info.max


def _plain(value: object) -> Any:  # noqa: ANN401 - whatever a YAML file can hold
    """As JSON would have it: the date that YAML makes of some texts is none here."""
    if isinstance(value, Mapping):
        return {str(key): _plain(each) for key, each in value.items()}
    if isinstance(value, list | tuple):
        return [_plain(each) for each in value]
    if isinstance(value, float) and value.is_integer():
        return int(value)
    return value if isinstance(value, str | int | float) or value is None else str(value)


def _without_encrypted(given: dict[str, Any]) -> tuple[dict[str, Any], list[Problem]]:
    """Values without those that `pulumi config set --secret` made; a setting with one inside is left out whole."""
    encrypted = [key for key, value in given.items() if _is_encrypted(value)]
    what = (
        "holds a value that Pulumi encrypted, which would come into the state of the stack: "
        "put it into AWS Secrets Manager, and the name that it has there under secrets"
    )
    found = [Problem(_key((key,)), what) for key in encrypted]
    return {key: value for key, value in given.items() if key not in encrypted}, found


def _is_encrypted(value: object) -> bool:
    if isinstance(value, dict):
        return value.keys() == ENCRYPTED.keys() or any(_is_encrypted(each) for each in value.values())
    return isinstance(value, list) and any(_is_encrypted(each) for each in value)


def _single(errors: Iterable[Any]) -> Iterator[Any]:
    """Errors of single values: of a setting that may be left out, those that it has if it is not."""
    for error in errors:
        if error.validator == "anyOf":
            named = [at for at, each in enumerate(error.validator_value) if each != {"type": "null"}]
            yield from _single(each for each in error.context if each.schema_path[0] in named)
        else:
            yield error


def _told(error: Any) -> Iterator[tuple[Path, Problem]]:  # noqa: ANN401 - jsonschema has no types
    """What cannot be used because of an error, and why."""
    path: Path = tuple(error.absolute_path)
    if "propertyNames" in error.schema_path:
        yield _unknown((*path, error.instance), error.validator_value)
    elif error.validator == "additionalProperties":
        known = error.schema["properties"]
        for key in sorted(error.instance.keys() - known.keys()):
            yield _unknown((*path, key), known)
    elif error.validator == "required":
        for key in error.validator_value:
            if key not in error.instance:
                instead = expected(error.schema["properties"][key])
                yield path, Problem(_key((*path, key)), f"is not set: give {instead}")
    else:
        value = "not what is expected" if path[:1] == (_SECRETS,) else shown(error.instance)
        yield path, Problem(_key(path), f"is {value}: give {_instead(path, error.instance, error.schema)}")


def _unknown(path: Path, known: Iterable[str]) -> tuple[Path, Problem]:
    """A key that is not there is shown, the value under it is not."""
    near = get_close_matches(str(path[-1]), list(known), n=1)
    instead = f"did you mean {near[0]}?" if near else f"use {', '.join(sorted(known))}"
    return path, Problem(_key(path), f"is unknown: {instead}")


def _instead(path: Path, value: object, schema: Mapping[str, Any]) -> str:
    """What to give instead of a value."""
    if path == ("orchestration",) and value == "state-machine":
        return "events: the state machine is not there yet, and the same workflows run on the bus"
    if path[:1] == (_SECRETS,):
        return "the name or ARN that the secret has in AWS Secrets Manager"
    if isinstance(value, str) and not value.isprintable():
        return f"{expected(schema)}, in one line and of characters that can be seen"
    return expected(schema)


def expected(schema: Mapping[str, Any]) -> str:
    """What a schema takes, in words."""
    if "enum" in schema:
        return "one of " + ", ".join(str(each) for each in schema["enum"])
    kind = schema.get("type")
    if kind in ("integer", "number"):
        return ("a whole number" if kind == "integer" else "a number") + _range(schema)
    if "prefixItems" in schema:
        return f"a list of {len(schema['prefixItems'])} numbers"
    if "examples" in schema:
        return "e.g. " + " or ".join(schema["examples"])
    return _TYPES.get(str(kind), "a mapping") + (
        " with something in it" if schema.keys() & {"minItems", "minLength"} else ""
    )


def _range(schema: Mapping[str, Any]) -> str:
    words = {"minimum": "from", "exclusiveMinimum": "above", "maximum": "to"}
    return "".join(f" {word} {schema[key]:,.15g}" for key, word in words.items() if key in schema)


def _key(path: Path) -> str:
    return ".".join(_key_shown(str(each)) for each in path)


def _key_shown(key: str) -> str:
    fit = key.isascii() and key.isprintable() and 0 < len(key) <= _LONGEST_KEY and not may_be_secret(key)
    return key if fit else "…"


def _remove(values: Any, path: Path) -> None:  # noqa: ANN401 - whatever JSON can hold
    """Take out what a path leads to; of a list, the whole list. It may be gone already."""
    for at, step in enumerate(path):
        if not isinstance(values, dict) or step not in values:
            return
        if at == len(path) - 1 or isinstance(values[step], list):
            del values[step]
            return
        values = values[step]
