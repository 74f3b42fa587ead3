"""The OpenAPI 3.1 document of the table of routes, on one target: its workflows are part of the types."""

import re
from collections.abc import Iterable, Mapping, Sequence
from typing import Annotated, Any

import msgspec

from functions import VERSION
from functions.api.messages import NewMessage
from functions.api.problems import PROBLEM_JSON, TITLES, Problem
from functions.api.replies import JSON
from functions.api.routing import VISIBLE, Answer, Name, Parameter, Route
from functions.api.target import Target, takes_messages
from functions.api.views import Request

REF = "#/components/schemas/{name}"
ALWAYS = (400, 405, 406, 500, 503)  # what any call may answer with
HEADERS = {"Location": "Where the request is.", "X-Request-ID": "As it was sent, or as it was made."}
REQUEST_ID = Parameter(
    name="X-Request-ID",
    type=Annotated[str, msgspec.Meta(min_length=1, max_length=128, pattern=VISIBLE)],
    expected="1 to 128 visible ASCII characters",
    description="Correlates, and nothing else: it is returned, and travels in every event of the request.",
)


def document(target: Target, routes: Sequence[Route]) -> dict[str, Any]:
    """The whole document, as data."""
    types = _Types(_types_of(routes), target)
    paths: dict[str, dict[str, Any]] = {}
    for route in routes:
        paths.setdefault(route.path, {})[route.method.lower()] = _operation(types, route, secured=target.secured)
    return {
        "openapi": "3.1.0",
        "info": {"title": "Troupe", "version": VERSION, "license": {"name": "Apache-2.0"}},
        "paths": paths,
        "components": {"schemas": types.schemas, "securitySchemes": {"key": {"type": "http", "scheme": "bearer"}}},
    }


def body_schema(openapi: Mapping[str, Any], route: Route) -> Mapping[str, Any]:
    """The schema of a route's body, with everything that it refers to."""
    operation = openapi["paths"][route.path][route.method.lower()]
    return {**operation["requestBody"]["content"][JSON]["schema"], "components": openapi["components"]}


class _Types:
    """The schemas of every type that the routes name, and of the answers of the workflows."""

    def __init__(self, types: Iterable[Any], target: Target) -> None:
        plans = target.plans.values()
        answers = list(dict.fromkeys(plan.workflow.answer for plan in plans))
        listed = [*types, *answers]
        found, schemas = msgspec.json.schema_components(listed, ref_template=REF)
        self._of = dict(zip(listed, found, strict=True))
        self.schemas: dict[str, Any] = msgspec.to_builtins(schemas)  # JSON's own types only
        for schema in self.schemas.values():
            schema["description"] = schema.get("description", "").partition("\n\n")[0]
        asked = sorted(plan.workflow.name for plan in plans if takes_messages(plan))
        self._properties(NewMessage)["workflow"]["enum"] = asked
        answer = {"anyOf": [*(self.schema(each) for each in answers), {"type": "null"}]}
        self._properties(Request)["answer"] = answer

    def schema(self, kind: Any) -> Any:  # noqa: ANN401 - whatever the table names
        """The schema of a type, most often a reference."""
        return self._of[kind]

    def _properties(self, struct: type[msgspec.Struct]) -> dict[str, Any]:
        properties: dict[str, Any] = self.schemas[self.schema(struct)["$ref"].rpartition("/")[2]]["properties"]
        return properties


def _types_of(routes: Sequence[Route]) -> list[Any]:
    answers = [answer.type for route in routes for answer in route.answers if answer.type is not None]
    bodies = [route.body for route in routes if route.body is not None]
    parameters = [parameter.type for route in routes for parameter in (*route.query, *route.headers, REQUEST_ID)]
    return list(dict.fromkeys([*answers, *bodies, *parameters, Name, Problem]))


def _operation(types: _Types, route: Route, *, secured: bool) -> dict[str, Any]:
    needs_key = secured and not route.open
    operation: dict[str, Any] = {
        "operationId": route.name,
        "summary": route.summary,
        "parameters": [
            *(_path_parameter(types, name) for name in re.findall(r"\{(\w+)\}", route.path)),
            *(_parameter(types, each, "query") for each in route.query),
            *(_parameter(types, each, "header") for each in (*route.headers, REQUEST_ID)),
        ],
        "responses": {
            **{str(answer.status): _answer(types, answer) for answer in route.answers},
            **{str(status): _problem(types, status) for status in _problems(route, needs_key=needs_key)},
        },
    }
    if route.body is not None:
        operation["requestBody"] = {"required": True, "content": {JSON: {"schema": types.schema(route.body)}}}
    if needs_key:
        operation["security"] = [{"key": []}]
    return operation


def _problems(route: Route, *, needs_key: bool) -> list[int]:
    of_target = (401,) if needs_key else (421,)
    return sorted({*ALWAYS, *of_target, *route.problems})


def _path_parameter(types: _Types, name: str) -> Mapping[str, Any]:
    return {"name": name, "in": "path", "required": True, "schema": types.schema(Name)}


def _parameter(types: _Types, parameter: Parameter, where: str) -> Mapping[str, Any]:
    described = {"name": parameter.name, "in": where, "description": parameter.description}
    return {**described, "schema": types.schema(parameter.type)}


def _answer(types: _Types, answer: Answer) -> Mapping[str, Any]:
    shown: dict[str, Any] = {
        "description": answer.description,
        "headers": {
            name: {"description": HEADERS[name], "required": True, "schema": {"type": "string"}}
            for name in (*answer.headers, "X-Request-ID")
        },
    }
    if answer.type is not None:
        shown["content"] = {answer.media: {"schema": types.schema(answer.type)}}
    return shown


def _problem(types: _Types, status: int) -> Mapping[str, Any]:
    return {"description": TITLES[status], "content": {PROBLEM_JSON: {"schema": types.schema(Problem)}}}
