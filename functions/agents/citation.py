"""Writes the references: the bibliographic metadata of each source, as a line that a reader can look up."""

from collections.abc import Iterator

from functions.events.common import Passage
from functions.events.research import FindingsCollected, Reference, SourcesCited
from functions.runtime.agent import agent

MAX_AUTHORS = 3  # more are `et al.`
MAX_CHARACTERS = 300


@agent(memory_mb=256, timeout_s=10)
def citation(collected: FindingsCollected) -> SourcesCited:
    """One line a passage: authors, the place in the work, its title, its date, its version, where it is."""
    passages = [each.passage for each in collected.findings]
    references = tuple(Reference(passage=each.id, line=_line(each)) for each in passages)
    return SourcesCited(collected=collected.without_texts(), references=references)


def _line(passage: Passage) -> str:
    """Without a full stop behind it: the last part may be an address."""
    parts = (_one_line(part).rstrip(".") for part in _parts(passage))
    return ". ".join(part for part in parts if part)


def _parts(passage: Passage) -> Iterator[str]:
    """As a bibliography orders them; a passage without metadata has its name and where it was read."""
    work = passage.work
    yield ", ".join(work.authors) if len(work.authors) <= MAX_AUTHORS else f"{work.authors[0]} et al"
    place, location = _place(passage.name, work.title), work.location or passage.source
    yield place
    yield work.published or (f"changed {work.modified}" if work.modified else "")
    yield work.version
    yield location if location != place else ""


def _place(name: str, title: str) -> str:
    """The place in the work, where it is not the work itself: the name may begin with the title, or be all of it."""
    inner = name.removeprefix(f"{title} > ")
    is_whole = f"{title}:".startswith(f"{inner}:")
    return title if is_whole else f"{inner}. In: {title}" if title else inner


def _one_line(text: str) -> str:
    return " ".join(text.split())[:MAX_CHARACTERS]
