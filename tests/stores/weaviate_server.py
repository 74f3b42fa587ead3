"""Weaviate's protocol over exact search: its schema, objects in batches, and as much of its GraphQL as is asked.

It takes and gives what tests/stores/recorded/weaviate.schema.json says. GraphQL is read by graphql-core, the library
that the language's reference implementation is ported to.
"""

import uuid
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import numpy as np
from graphql import GraphQLSyntaxError, parse
from graphql.language import FieldNode, OperationDefinitionNode, SelectionSetNode, ValueNode
from graphql.utilities import value_from_ast_untyped
from http_service import Answer, Asked, Service, served
from protocols import problem_of

KEY = "the-key-of-the-test"
MOST_RESULTS = 10_000

Object = dict[str, Any]


class Weaviate:
    """A server. What it refuses of a batch is told by `refuses`."""

    def __init__(self, *, most_deleted: int = MOST_RESULTS) -> None:
        self.classes: dict[str, dict[str, Any]] = {}
        self.objects: dict[str, dict[str, Object]] = {}
        self.most_deleted = most_deleted
        self.refuses: Callable[[Object], str] = lambda _: ""
        self.service = Service(self.handle)

    def handle(self, asked: Asked) -> Answer:
        if asked.headers.get("authorization") != f"Bearer {KEY}":
            return _problem(401, "anonymous access not enabled")
        if wrong := problem_of("weaviate", asked):
            return _problem(422, wrong)
        answer = self._answered(asked)
        wrong = problem_of("weaviate", asked, answer)
        return _problem(500, wrong) if wrong else answer

    def _answered(self, asked: Asked) -> Answer:
        kind, _, rest = asked.path.removeprefix("/v1/").partition("/")
        if kind == "schema":
            return self._schema(asked, rest)
        if kind == "batch":
            return self._stored(asked.body["objects"]) if asked.method == "POST" else self._deleted(asked.body)
        if kind == "objects":
            return self._merged(rest, asked.body["properties"])
        return self._queried(asked.body["query"])

    def _schema(self, asked: Asked, name: str) -> Answer:
        if asked.method == "POST":
            if asked.body["class"] in self.classes:
                return _problem(422, f"class name {asked.body['class']} already exists")
            self.classes[asked.body["class"]], self.objects[asked.body["class"]] = asked.body, {}
            return Answer(200, asked.body)
        if not name:
            return Answer(200, {"classes": list(self.classes.values())})
        if asked.method == "DELETE":
            self.classes.pop(name, None)
            self.objects.pop(name, None)
            return Answer(200)
        return Answer(200, self.classes[name]) if name in self.classes else Answer(404)

    def _stored(self, given: list[Object]) -> Answer:
        outcomes = []
        for each in given:
            why = self._wrong(each) or self.refuses(each)
            outcome = {"errors": {"error": [{"message": why}]}, "status": "FAILED"} if why else {"status": "SUCCESS"}
            outcomes.append({"class": each["class"], "id": each["id"], "result": outcome})
            if not why:
                self.objects[each["class"]][each["id"]] = each
        return Answer(200, outcomes)

    def _wrong(self, given: Object) -> str:
        declared = self.classes.get(given["class"])
        if declared is None:
            return f"class {given['class']} not found"
        kinds = {each["name"]: each["dataType"][0] for each in declared["properties"]}
        wrong = [name for name, value in given["properties"].items() if not _fits(value, kinds.get(name))]
        stored = next(iter(self.objects[given["class"]].values()), given)
        if len(stored["vector"]) != len(given["vector"]):
            wrong.append("vector lengths don't match")
        return f"invalid: {wrong}" if wrong else ""

    def _merged(self, path: str, properties: dict[str, Any]) -> Answer:
        name, _, id_ = path.partition("/")
        found = self.objects.get(name, {}).get(id_)
        if found is None:
            return Answer(404)
        self.objects[name][id_] = {**found, "properties": {**found["properties"], **properties}}
        return Answer(204)

    def _deleted(self, body: dict[str, Any]) -> Answer:
        name = body["match"]["class"]
        if name not in self.objects:
            return _problem(422, f"class: {name} doesn't exist")
        passed = [each["id"] for each in self.objects[name].values() if _passes(body["match"]["where"], each)]
        for each in passed[: self.most_deleted]:
            del self.objects[name][each]
        done = min(len(passed), self.most_deleted)
        results = {"matches": len(passed), "limit": self.most_deleted, "successful": done, "failed": 0}
        return Answer(200, {"match": body["match"], "output": "minimal", "dryRun": False, "results": results})

    def _queried(self, text: str) -> Answer:
        try:
            (operation,) = parse(text).definitions
        except GraphQLSyntaxError as error:
            return _graphql_problem(str(error))
        assert isinstance(operation, OperationDefinitionNode)
        (part,) = _fields(operation.selection_set)
        find = self._got if part.name.value == "Get" else self._counted
        found = {}
        for field in _fields(part.selection_set):
            if field.name.value not in self.classes:
                return _graphql_problem(
                    f'Cannot query field "{field.name.value}" on type "{part.name.value}ObjectsObj".'
                )
            given = {each.name.value: _value(each.value) for each in field.arguments or ()}
            if problem := _argument_problem(given):
                return _graphql_problem(problem)
            found[field.alias.value if field.alias else field.name.value] = find(field, given)
        return Answer(200, {"data": {part.name.value: found}})

    def _got(self, field: FieldNode, given: dict[str, Any]) -> list[Any]:
        name = field.name.value
        found = [each for each in self.objects[name].values() if _passes(given.get("where"), each)]
        if near := given.get("nearVector"):
            distance = self._distance(name, near["vector"])
            found.sort(key=distance)
        else:
            distance = None
            found.sort(key=lambda each: uuid.UUID(each["id"]).bytes)
        later = [each for each in found if each["id"] > given.get("after", "")]
        return [_shown(each, field.selection_set, distance) for each in later[: given["limit"]]]

    def _counted(self, field: FieldNode, given: dict[str, Any]) -> list[Any]:
        return [
            {"meta": {"count": sum(_passes(given.get("where"), e) for e in self.objects[field.name.value].values())}}
        ]

    def _distance(self, name: str, vector: list[float]) -> Callable[[Object], float]:
        asked = np.array(vector)

        def of(each: Object) -> float:
            stored = np.array(each["vector"])
            product = float(asked @ stored)
            if self.classes[name]["vectorIndexConfig"]["distance"] == "dot":
                return -product
            return 1 - product / float(np.linalg.norm(asked) * np.linalg.norm(stored))

        return of


def _fits(value: object, kind: str | None) -> bool:
    if kind == "text[]":
        return isinstance(value, list) and all(isinstance(each, str) for each in value)
    return isinstance(value, {"text": str, "number": int | float}.get(kind or "", ()))


def _fields(chosen: SelectionSetNode | None) -> list[FieldNode]:
    assert chosen is not None
    return [each for each in chosen.selections if isinstance(each, FieldNode)]


def _value(node: ValueNode) -> Any:  # noqa: ANN401 - JSON
    return value_from_ast_untyped(node)


def _argument_problem(given: dict[str, Any]) -> str:
    if "after" in given and given.keys() & {"where", "sort", "offset"}:
        return "where,sort cannot be set with after and limit parameters"
    if given.get("limit", 0) > MOST_RESULTS:
        return "query maximum results exceeded"
    return ""


def _shown(each: Object, chosen: SelectionSetNode | None, distance: Callable[[Object], float] | None) -> Object:
    shown: Object = {}
    for field in _fields(chosen):
        if field.name.value == "_additional":
            known = {"id": each["id"], "vector": each["vector"], "distance": distance(each) if distance else None}
            shown["_additional"] = {one.name.value: known[one.name.value] for one in _fields(field.selection_set)}
        else:
            shown[field.name.value] = each["properties"].get(field.name.value)
    return shown


def _passes(where: dict[str, Any] | None, each: Object) -> bool:
    """As the filterable index does it: `NotEqual` is everything but what is equal, and what is empty is null."""
    if where is None:
        return True
    operator = where["operator"]
    if operator in ("And", "Or"):
        return (all if operator == "And" else any)(_passes(one, each) for one in where["operands"])
    (path,) = where["path"]
    value = each["id"] if path in ("id", "_id") else each["properties"].get(path)
    values = value if isinstance(value, list) else [] if value is None else [value]
    wanted = next(where[name] for name in _VALUES if name in where)
    return _COMPARED[operator](values, wanted)


_VALUES = ("valueText", "valueTextArray", "valueNumber", "valueBoolean")
_COMPARED: dict[str, Callable[[list[Any], Any], bool]] = {
    "Equal": lambda values, wanted: wanted in values,
    "NotEqual": lambda values, wanted: wanted not in values,
    "ContainsAny": lambda values, wanted: any(each in wanted for each in values),
    "GreaterThan": lambda values, wanted: any(each > wanted for each in values),
    "GreaterThanEqual": lambda values, wanted: any(each >= wanted for each in values),
    "LessThan": lambda values, wanted: any(each < wanted for each in values),
    "LessThanEqual": lambda values, wanted: any(each <= wanted for each in values),
    "IsNull": lambda values, wanted: (not values) == wanted,
}


def _problem(status: int, message: str) -> Answer:
    return Answer(status, {"error": [{"message": message}]})


def _graphql_problem(message: str) -> Answer:
    return Answer(200, {"data": {}, "errors": [{"message": message, "path": None, "locations": []}]})


@contextmanager
def running(*, most_deleted: int = MOST_RESULTS) -> Iterator[Weaviate]:
    """A server without any class."""
    weaviate = Weaviate(most_deleted=most_deleted)
    with served(weaviate.service):
        yield weaviate
