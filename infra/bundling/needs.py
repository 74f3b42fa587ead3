"""Which packages a function needs: derived from what its agent's signature asks for, or listed for a service.

A package that another one imports is not named here: `infra/bundling/lock.py` adds it.
"""

from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any, Final

import msgspec

from functions.ports.actions import ActionNames, Invoke
from functions.ports.conversations import Append, History
from functions.ports.documents import Ingest
from functions.ports.models import LanguageModel
from functions.ports.personal import Reveal
from functions.ports.vectors import Lookup, Remove, Search, Upsert
from functions.runtime.workflow import Plan
from infra.components.service_function import deployed_services
from infra.environment import declared
from infra.settings import Settings

Packages = tuple[str, ...]

_EVERY: Final = ("msgspec", "pystemmer")  # events, and the words that agents compare
ENCODING: Final = ("numpy", "onnxruntime", "tokenizers")
_READING: Final = ("beautifulsoup4", "charset-normalizer", "markdown-it-py", "pypdf")
_PERSONAL: Final = ("cryptography", "phonenumbers", "python-stdnum")


class Needs(msgspec.Struct, frozen=True, kw_only=True):
    """What a function is made of, beside `functions/`.

    Attributes:
        entry_point: Its module in `functions.entry_points.aws`.
        packages: As the lock names them.
        encoders: The versions of those whose artefacts it opens.
    """

    entry_point: str
    packages: Packages
    encoders: tuple[str, ...] = ()

    @property
    def handler(self) -> str:
        """As Lambda is told where to begin."""
        return f"functions.entry_points.aws.{self.entry_point}.handler"


def agents(plans: Sequence[Plan], settings: Settings) -> dict[str, Needs]:
    """What the function of each agent needs, by the agent's name."""
    specs = {name: node.spec for plan in plans for name, node in plan.nodes.items()}
    encoders = tuple(sorted({each.encoder for each in declared(settings, plans).values()}))
    return {
        name: _needs("agent", (_PACKAGES[grant.capability](settings) for grant in spec.grants), encoders)
        for name, spec in sorted(specs.items())
    }


def services(settings: Settings) -> dict[str, Needs]:
    """What each function needs that is no agent's, by its name."""
    return {name: _needs(name, (_SERVICES[name](settings),)) for name in sorted(deployed_services(settings))}


def _needs(entry_point: str, asked: Iterable[Packages], encoders: tuple[str, ...] = ()) -> Needs:
    packages = {*_EVERY, *(name for names in asked for name in names)}
    return Needs(
        entry_point=entry_point,
        packages=tuple(sorted(packages)),
        encoders=encoders if packages.issuperset(ENCODING) else (),
    )


def _nothing(_settings: Settings) -> Packages:
    return ()


def _http(_settings: Settings) -> Packages:
    return ("httpx",)


def _model(settings: Settings) -> Packages:
    """Bedrock is asked by the client that signs, which needs no package."""
    return ("httpx",) if settings.model is not None and settings.model.kind == "openai" else ()


def _personal(settings: Settings) -> Packages:
    return () if settings.personal_data == "keep" else _PERSONAL


def _encodes(settings: Settings) -> Packages:
    return (*ENCODING, *_personal(settings))


def _reads(settings: Settings) -> Packages:
    return (*_READING, *_encodes(settings))


def _api(settings: Settings) -> Packages:
    """What is wrong with a body is found by jsonschema."""
    return ("jsonschema", *_personal(settings))


#: What each capability needs. A capability that is missing here fails a test.
_PACKAGES: Final[Mapping[type[Any], Callable[[Settings], Packages]]] = {
    ActionNames: _nothing,
    Append: _nothing,
    History: _nothing,
    Ingest: _reads,
    Invoke: _http,
    LanguageModel: _model,
    Lookup: _personal,
    Remove: _personal,
    Reveal: _personal,
    Search: _encodes,
    Upsert: _encodes,
}

#: The functions that are no agent's, each with an entry point of its own.
_SERVICES: Final[Mapping[str, Callable[[Settings], Packages]]] = {
    "api": _api,
    "authorizer": _nothing,
    "desk": _nothing,
    "uploads": _nothing,
    "keeper": _nothing,
    "pusher": _nothing,
    "socket": _nothing,
    "sweeper": _nothing,
}
