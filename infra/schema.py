"""What editors and readers are told about stack files, made from the structs: `python -m infra.schema` writes both.

The JSON Schema is of draft 7, which the YAML language server completes from in every editor.
"""

import json
import re
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, Final, NamedTuple

import msgspec

from infra import settings as structs
from infra.aws.limits import REGIONS
from infra.settings import key_of, schema
from infra.shapes import expected

ROOT: Final = Path(__file__).parents[1]
SCHEMA: Final = ROOT / "infra" / "stack.schema.json"
PAGE: Final = ROOT / "docs" / "aws-settings.md"
TABLE: Final = re.compile(r"(?<=<!-- made by `python -m infra.schema` -->\n).*?(?=<!-- end -->)", re.DOTALL)

_ATTRIBUTE: Final = re.compile(r"^ {8}(\w+): (.+?)(?=^ {8}\w+: |\Z)", re.DOTALL | re.MULTILINE)
_PULUMI: Final = {
    "secretsprovider": {"type": "string"},
    "encryptedkey": {"type": "string"},
    "encryptionsalt": {"type": "string"},
    "environment": {},
}


class Row(NamedTuple):
    """One setting, as a page says it."""

    key: str
    default: str
    takes: str
    what: str


def stack_schema() -> dict[str, Any]:
    """The JSON Schema of a file `Pulumi.<stack>.yaml`."""
    given = schema()
    every = {name: _draft_7(part) for name, part in _documented("Settings", given)["properties"].items()}
    every["region"]["enum"] = sorted(REGIONS)
    config = {
        "type": "object",
        "properties": {f"troupe:{key}": part for key, part in every.items()},
        "patternProperties": {"^(?!troupe:)": {}},
        "additionalProperties": False,
    }
    return {
        "$schema": "http://json-schema.org/draft-07/schema#",
        "title": "A stack of Troupe",
        "type": "object",
        "properties": {"config": config, **_PULUMI},
        "additionalProperties": False,
        "definitions": {name: _draft_7(_documented(name, part)) for name, part in given["$defs"].items()},
    }


def rows() -> list[Row]:
    """Every setting there is, in the order of the structs."""
    return list(_rows("Settings", schema(), ""))


def table() -> str:
    """The rows as Markdown."""
    lines = [f"| `{row.key}` | {row.default} | {row.takes} | {row.what} |" for row in rows()]
    return "\n".join(["| setting | left out | takes | what it is |", "|---|---|---|---|", *lines, ""])


def _rows(name: str, part: Mapping[str, Any], before: str) -> Iterator[Row]:
    for key, each in _documented(name, part)["properties"].items():
        named, within = _named(each)
        default = _default(each) if key not in part["required"] else "**has to be given**"
        yield Row(f"{before}{key}", default, _takes(within), each["description"])
        if named:
            yield from _rows(named, within, f"{before}{key}{_each(each)}.")


def _named(part: Mapping[str, Any]) -> tuple[str, Mapping[str, Any]]:
    """The struct that a part is, or is a mapping of, by its name; and the part itself, when it is given at all."""
    given = next((each for each in part.get("anyOf", ()) if each != {"type": "null"}), part)
    ref = given.get("$ref") or _values(given).get("$ref")
    name = str(ref).rpartition("/")[2] if ref else ""
    return name, schema()["$defs"][name] if name else given


def _values(part: Mapping[str, Any]) -> Mapping[str, Any]:
    """Of a mapping: what its values are."""
    values = part.get("additionalProperties")
    return values if isinstance(values, dict) else {}


def _each(part: Mapping[str, Any]) -> str:
    return ".<name>" if "$ref" in _values(part) else ""


def _default(part: Mapping[str, Any]) -> str:
    default = part.get("default")
    if default in (None, "", (), [], {}):
        return ""
    return "see below" if isinstance(default, dict) else f"`{json.dumps(default)}`"


def _takes(part: Mapping[str, Any]) -> str:
    return expected(part).replace("|", "\\|")


def _documented(name: str, part: Mapping[str, Any]) -> dict[str, Any]:
    """An object of the schema, with what the struct's docstring says of each of its attributes."""
    kind = getattr(structs, name)
    said = {key_of(attribute): " ".join(text.split()) for attribute, text in _attributes(kind)}
    properties = {key: {**each, "description": said[key]} for key, each in part["properties"].items()}
    return {**part, "description": (kind.__doc__ or "").partition("\n")[0], "properties": properties}


def _attributes(kind: type[msgspec.Struct]) -> list[tuple[str, str]]:
    _, _, attributes = (kind.__doc__ or "").partition("Attributes:\n")
    return _ATTRIBUTE.findall(attributes)


def _draft_7(part: Any) -> Any:  # noqa: ANN401 - whatever a schema holds
    """The same in an older draft: no neighbours of a reference, and another word for a list of known length."""
    if isinstance(part, list | tuple):
        return [_draft_7(each) for each in part]
    if not isinstance(part, dict):
        return part
    made = {key: _draft_7(each) for key, each in part.items()}
    if "prefixItems" in made:
        made = {**made, "items": made.pop("prefixItems")}
    if "$ref" in made:
        ref = {"$ref": made.pop("$ref").replace("#/$defs/", "#/definitions/")}
        return {"allOf": [ref], **made} if made else ref
    return made


def write() -> None:
    """Write both files anew."""
    SCHEMA.write_text(written(), "utf-8")
    PAGE.write_text(TABLE.sub(lambda _: table(), PAGE.read_text("utf-8")), "utf-8")


def written() -> str:
    """The schema as its file has it."""
    return json.dumps(stack_schema(), indent=2, ensure_ascii=False) + "\n"


if __name__ == "__main__":
    write()
