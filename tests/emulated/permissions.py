"""What AWS makes of a policy: our own reading of the rules of IAM, for what the emulator does not look at.

An identity's policies allow nothing but what a statement allows; a statement that denies wins. An operator or a part of
a policy that is not known here is an error, so that nothing is taken for allowed by mistake.
"""

import json
import re
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from typing import Any, Final

import msgspec

Values = tuple[str, ...]


class Asked(msgspec.Struct, frozen=True, kw_only=True):
    """One thing that somebody wants to do: AWS looks at each separately.

    Attributes:
        context: What conditions may ask for; a key that is absent has no value at all.
    """

    action: str
    resource: str
    context: Mapping[str, Values] = {}

    def __str__(self) -> str:
        said = ", ".join(f"{key}={'|'.join(values)}" for key, values in sorted(self.context.items()))
        return f"{self.action} on {self.resource}" + (f" ({said})" if said else "")


class Statement(msgspec.Struct, frozen=True, kw_only=True):
    """A statement of a policy.

    Attributes:
        sid: Its name, which is how tests speak of it.
        principals: Whom a resource's policy speaks of, e.g. `Service:events.amazonaws.com`; none in an identity's.
    """

    sid: str
    allows: bool
    actions: Values
    resources: Values = ("*",)
    principals: Values = ()
    conditions: Mapping[str, Mapping[str, Values]] = {}

    def covers(self, asked: Asked) -> bool:
        """Whether it speaks of this."""
        return (
            any(_is_like(asked.action.lower(), pattern.lower()) for pattern in self.actions)
            and any(_is_like(asked.resource, pattern) for pattern in self.resources)
            and all(
                _holds(operator, asked.context, key, expected)
                for operator, keys in self.conditions.items()
                for key, expected in keys.items()
            )
        )


def statements(policy: str | Mapping[str, Any]) -> list[Statement]:
    """The statements of a policy document."""
    document = json.loads(policy) if isinstance(policy, str) else policy
    return [_statement(each, number) for number, each in enumerate(_listed(document["Statement"]))]


def deciding(policy: Iterable[Statement], asked: Asked) -> Statement | None:
    """The statement that allows this; None where nothing does, or something denies it."""
    covering = [statement for statement in policy if statement.covers(asked)]
    if any(not statement.allows for statement in covering):
        return None
    return next(iter(covering), None)


def of_service(policy: Iterable[Statement], service: str) -> list[Statement]:
    """What a resource's policy says of a service of AWS."""
    names = {f"Service:{service}", "AWS:*", "*"}
    return [statement for statement in policy if names & set(statement.principals)]


def _statement(given: Mapping[str, Any], number: int) -> Statement:
    unknown = set(given) - {"Sid", "Effect", "Action", "Resource", "Principal", "Condition"}
    if unknown:
        raise ValueError(f"a statement has {sorted(unknown)}: say in permissions.py what IAM makes of it")
    return Statement(
        sid=given.get("Sid", f"statement {number + 1}"),
        allows={"Allow": True, "Deny": False}[given["Effect"]],
        actions=tuple(_listed(given["Action"])),
        resources=tuple(_listed(given.get("Resource", "*"))),
        principals=tuple(_principals(given.get("Principal", {}))),
        conditions={
            operator: {key: tuple(map(_text, _listed(values))) for key, values in keys.items()}
            for operator, keys in given.get("Condition", {}).items()
        },
    )


def _principals(given: str | Mapping[str, Any]) -> Iterator[str]:
    if isinstance(given, str):
        yield given
    else:
        yield from (f"{kind}:{name}" for kind, names in given.items() for name in _listed(names))


def _holds(operator: str, context: Mapping[str, Values], key: str, expected: Values) -> bool:
    """Whether a condition holds; keys are compared without regard to case."""
    actual = next((values for name, values in context.items() if name.lower() == key.lower()), None)
    every, plain = operator.startswith("ForAllValues:"), operator.rpartition(":")[2]
    is_optional, plain = plain.endswith("IfExists"), plain.removesuffix("IfExists")
    if plain == "Null":
        return (actual is None) == (expected == ("true",))
    compares, is_negative = _OPERATORS[plain]
    if not actual:
        return every or is_optional or is_negative
    held = [any(compares(value, each) for each in expected) != is_negative for value in actual]
    return all(held) if every else any(held)


def _is_like(value: str, pattern: str) -> bool:
    """With `*` for any characters and `?` for one."""
    parts = (".*" if part == "*" else "." if part == "?" else re.escape(part) for part in re.split(r"([*?])", pattern))
    return re.fullmatch("".join(parts), value, re.DOTALL) is not None


def _is_equal(value: str, expected: str) -> bool:
    return value == expected


def _is_same_truth(value: str, expected: str) -> bool:
    return value.lower() == expected.lower()


def _is_arn_like(value: str, pattern: str) -> bool:
    """Each of an ARN's six parts by itself."""
    parts, patterns = value.split(":", 5), pattern.split(":", 5)
    return len(parts) == len(patterns) and all(map(_is_like, parts, patterns))


_OPERATORS: Final[Mapping[str, tuple[Callable[[str, str], bool], bool]]] = {
    "StringEquals": (_is_equal, False),
    "StringNotEquals": (_is_equal, True),
    "StringLike": (_is_like, False),
    "StringNotLike": (_is_like, True),
    "ArnEquals": (_is_arn_like, False),  # AWS reads both alike
    "ArnLike": (_is_arn_like, False),
    "ArnNotEquals": (_is_arn_like, True),
    "ArnNotLike": (_is_arn_like, True),
    "Bool": (_is_same_truth, False),
}


def _listed(given: Any) -> Sequence[Any]:  # noqa: ANN401 - one thing or several, as a policy may have it
    return [given] if isinstance(given, str | bool | Mapping) else given


def _text(value: object) -> str:
    return str(value).lower() if isinstance(value, bool) else str(value)
