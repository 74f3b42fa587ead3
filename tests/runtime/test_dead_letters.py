"""What an error says in a dead letter."""

from functions.runtime.dead_letters import said


class SpeechlessError(Exception):
    def __str__(self) -> str:
        raise RuntimeError("no words")


def test_an_error_that_cannot_be_read_is_still_recorded() -> None:
    assert said(SpeechlessError()) == "SpeechlessError, whose message cannot be read"
