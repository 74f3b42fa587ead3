"""The OpenAPI document is made from the table of routes, and says what docs/api.md says."""

import re
from pathlib import Path

import pytest
from api_fakes import Caller, Json, data

PAGE = Path(__file__).parents[2] / "docs" / "api.md"


@pytest.fixture
def document(caller: Caller) -> Json:
    return data(caller.get("/openapi.json"))


def test_every_call_of_the_page_is_in_the_document_and_the_reverse(document: Json) -> None:
    first = PAGE.read_text().partition("## Asking")[0]
    calls = re.findall(r"`(GET|POST|DELETE) (/[^`?]*)", first)
    assert {(method, path) for method, path in calls} == {
        (method.upper(), path) for path, methods in document["paths"].items() for method in methods
    }


def test_every_status_of_the_page_is_in_the_document_and_the_reverse(document: Json) -> None:
    rows = re.findall(r"^\| ([\d, ]+) \|", PAGE.read_text(), re.MULTILINE)
    stated = {status for row in rows for status in row.split(", ")}
    found = {
        status
        for methods in document["paths"].values()
        for operation in methods.values()
        for status in operation["responses"]
        if status >= "400"
    }
    assert stated == found | {"401"}, "401 is there where keys are set"


def test_the_workflows_are_part_of_the_types(document: Json) -> None:
    schemas = document["components"]["schemas"]
    assert schemas["NewMessage"]["properties"]["workflow"]["enum"] == ["answer", "single"]
    answers = schemas["Request"]["properties"]["answer"]["anyOf"]
    assert answers == [{"$ref": "#/components/schemas/Answered"}, {"type": "null"}]


def test_every_reference_leads_to_a_schema(document: Json) -> None:
    references = set(re.findall(r"#/components/schemas/([\w.]+)", str(document)))
    assert references <= document["components"]["schemas"].keys()


def test_every_limit_is_in_the_types(document: Json) -> None:
    schemas = document["components"]["schemas"]
    assert schemas["NewMessage"]["properties"]["text"]["maxLength"] == 20_000
    assert schemas["NewMessage"]["additionalProperties"] is False
    (wait,) = [each for each in document["paths"]["/requests/{request}"]["get"]["parameters"] if each["name"] == "wait"]
    assert (wait["schema"]["minimum"], wait["schema"]["maximum"]) == (0, 30)
