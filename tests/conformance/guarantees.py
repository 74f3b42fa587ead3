"""What a test proves: a guarantee has an id and one sentence, and docs/guarantees.md says which tests hold it."""

import pytest


def guarantee(name: str, sentence: str) -> pytest.MarkDecorator:
    """Marks the tests that prove this guarantee."""
    return pytest.mark.guarantee(name, sentence)
