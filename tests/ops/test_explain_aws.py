"""What `troupe explain --aws` says of an agent or a service: the whole of its policy, and what asks for each part."""

import pytest
from command import Troupe

from infra.aws.grants import policy
from ops.aws_policy import names, policy_of


@pytest.mark.parametrize("function", names())
def test_every_statement_of_a_function_is_told_with_what_asks_for_it(troupe: Troupe, function: str) -> None:
    ran = troupe("explain", function, "--aws")
    assert ran.code == 0
    for each in policy_of(function).allowed:
        assert each.sid in ran.out
        for said in (*each.actions, *each.resources, each.because, each.wildcard):
            assert said in ran.out


@pytest.mark.parametrize("function", ["retriever", "authorizer"])
def test_the_policy_document_is_printed_as_json(troupe: Troupe, function: str) -> None:
    assert troupe("explain", function, "--aws", "--json").json() == policy(policy_of(function).allowed)


def test_a_statement_names_the_parameter_behind_it(troupe: Troupe) -> None:
    allowed = {each.sid: each.because for each in policy_of("retriever").allowed}
    assert allowed["VersionsDocuments"] == 'documents: Annotated[Search, "documents"]'
    assert "functions/agents/retriever.py:" in troupe("explain", "retriever", "--aws").out


def test_a_name_that_nobody_has_is_answered_with_those_that_somebody_has(troupe: Troupe) -> None:
    ran = troupe("explain", "nobody", "--aws")
    assert ran.code == 2
    assert "retriever" in ran.err
    assert "authorizer" in ran.err
