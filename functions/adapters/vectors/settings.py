"""Which vector store a stack uses: read from the environment once, every problem at once, and no key read at all.

What travels is a reference to the key, `env:NAME`, which is looked up when a store is asked.
"""

import re
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Final, Literal

import msgspec

from functions.adapters.models.settings import ModelSettingsError, Secret, url_problems
from functions.errors import TroupeError
from functions.ports.vector_stores import VectorStore

if TYPE_CHECKING:
    from functions.adapters.vectors.placement import Checkpoint

STORE: Final = "TROUPE_VECTOR_STORE"
URL: Final = "TROUPE_VECTOR_URL"
KEY: Final = "TROUPE_VECTOR_KEY"
REGION: Final = "TROUPE_VECTOR_REGION"
DEFAULT: Final = "qdrant_edge"
#: What each product that runs in the process keeps, below the home folder.
KEPT: Final[Mapping[str, str]] = {"qdrant_edge": "collections", "faiss": "faiss", "milvus": "milvus.db"}
_REFERENCE: Final = re.compile(r"env:([A-Za-z_][A-Za-z0-9_]*)")
_REGION: Final = re.compile(r"(aws|gcp|azure)/([a-z0-9-]{1,63})")
_DEFAULT_REGION: Final = "aws/us-east-1"

Need = Literal["needed", "taken", "not taken"]


class VectorSettingsError(TroupeError):
    """The settings of the vector store cannot be used; the message lists everything wrong with them."""


class VectorSettings(msgspec.Struct, frozen=True, kw_only=True):
    """A product, and where it is.

    Attributes:
        product: E.g. `qdrant`.
        url: Of the service, or of several that share the points, separated by commas; empty where it runs in this
            process, or is always at the same place.
        key: Where its key is; None where it has none.
        region: Where new indexes are made, as `cloud/region`, for Pinecone.
    """

    product: str
    url: str = ""
    key: Secret | None = None
    region: str = _DEFAULT_REGION

    @property
    def urls(self) -> Sequence[str]:
        """Of all its services, each as it is called for good."""
        return [each.strip().rstrip("/") for each in self.url.split(",")] if self.url else []


EMBEDDED: Final = VectorSettings(product=DEFAULT)


class _Product(msgspec.Struct, frozen=True, kw_only=True):
    """What a product asks for, whether several services of it may share the points, and how one store is opened."""

    url: Need
    key: Need
    region: Need = "not taken"
    many: bool = False
    opened: Callable[[VectorSettings, Path], VectorStore]


def vector_settings(environment: Mapping[str, str]) -> VectorSettings:
    """What the environment says; Qdrant's engine in this process where it says nothing.

    Raises:
        VectorSettingsError: With everything that is wrong.
    """
    given = {name: environment.get(name, "").strip() for name in (STORE, URL, KEY, REGION)}
    name = given[STORE] or DEFAULT
    product = _PRODUCTS.get(name)
    if product is None:
        raise VectorSettingsError(f"{STORE} is {name!r:.60}: choose one of {', '.join(sorted(_PRODUCTS))}")
    problems = [
        *_need_problems(given, product, name),
        *_key_problems(given[KEY], environment),
        *_place_problems(given, product, name),
    ]
    if problems:
        raise VectorSettingsError("the vector store cannot be used: " + "; ".join(problems))
    reference = _REFERENCE.fullmatch(given[KEY])
    key = Secret(reference[1], environment) if reference else None
    return VectorSettings(product=name, url=given[URL], key=key, region=given[REGION] or _DEFAULT_REGION)


def opened(settings: VectorSettings, home: Path) -> VectorStore:
    """The store; what it keeps on this machine is in a folder of `home`. Loads that product's library and no other's.

    Raises:
        NotSpreadError: Its points are on other services than those that are listed now.
        VectorStoreError: It cannot be opened.
    """
    if not (_PRODUCTS[settings.product].many and settings.url):
        return _PRODUCTS[settings.product].opened(settings, home)
    from functions.adapters.vectors.spread import opened_over, placing_file  # noqa: PLC0415 - see above

    return opened_over(placing_file(home, settings.product), settings.urls, _one_of(settings, home))


def moved(settings: VectorSettings, home: Path, told: "Callable[[Checkpoint], None]") -> int:
    """Bring the points to the services that are listed now, or go on with that; how many had to move.

    Nobody else may have the store open.

    Raises:
        VectorSettingsError: The product is in one place.
        PlacementError: Another change is under way, or a service is listed twice.
    """
    if not (_PRODUCTS[settings.product].many and settings.url):
        several = ", ".join(name for name, product in sorted(_PRODUCTS.items()) if product.many)
        raise VectorSettingsError(
            f"the points of {settings.product} are in one place: {URL} lists services that share them for {several}"
        )
    from functions.adapters.vectors.spread import moved_to, placing_file  # noqa: PLC0415 - see above

    return moved_to(placing_file(home, settings.product), settings.urls, _one_of(settings, home), told)


def _one_of(settings: VectorSettings, home: Path) -> Callable[[str], VectorStore]:
    return lambda url: _PRODUCTS[settings.product].opened(msgspec.structs.replace(settings, url=url), home)


def _need_problems(given: Mapping[str, str], product: _Product, name: str) -> list[str]:
    problems = []
    for setting, need in ((URL, product.url), (KEY, product.key), (REGION, product.region)):
        if need == "needed" and not given[setting]:
            problems.append(f"{setting} is not set, and {name} needs it")
        if need == "not taken" and given[setting]:
            problems.append(f"{setting} is set, and {name} takes none: unset it")
    return problems


def _key_problems(key: str, environment: Mapping[str, str]) -> list[str]:
    if not key:
        return []
    reference = _REFERENCE.fullmatch(key)
    if reference is None:  # and may be the key itself, so that it is not shown
        return [f"{KEY} is no reference: put the key into a variable of its own, and env:ITS_NAME here"]
    try:
        value = Secret(reference[1], environment).value()
    except ModelSettingsError as error:
        return [str(error)]
    return [] if value else [f"{KEY} refers to {reference[1]}, which is not set"]


def _place_problems(given: Mapping[str, str], product: _Product, name: str) -> list[str]:
    problems = []
    urls = VectorSettings(product=name, url=given[URL]).urls
    if len(urls) > 1 and not product.many and product.url != "not taken":
        problems.append(f"{URL} lists {len(urls)} services, and {name} takes one")
    for at, url in enumerate(urls):
        setting = URL if len(urls) == 1 else f"number {at + 1} of {URL}"
        problems += url_problems(url, setting=setting, key=KEY, has_key=bool(given[KEY]))
        if url and url in urls[:at]:
            problems.append(f"{setting} stands there before")
    if given[REGION] and not _REGION.fullmatch(given[REGION]):
        problems.append(f"{REGION} is {given[REGION]!r:.60}: expected aws/, gcp/ or azure/ and its region")
    return problems


def _qdrant_edge(_settings: VectorSettings, home: Path) -> VectorStore:
    from functions.adapters.vectors.qdrant_edge import EdgeStore  # noqa: PLC0415 - see `opened`, as below

    return EdgeStore(home / KEPT["qdrant_edge"])


def _qdrant(settings: VectorSettings, _home: Path) -> VectorStore:
    from functions.adapters.vectors.qdrant import QdrantStore  # noqa: PLC0415

    return QdrantStore(settings.url, key=settings.key)


def _milvus(settings: VectorSettings, home: Path) -> VectorStore:
    from functions.adapters.vectors.milvus import MilvusStore  # noqa: PLC0415

    return MilvusStore(settings.url or str(home / KEPT["milvus"]), settings.key)


def _faiss(_settings: VectorSettings, home: Path) -> VectorStore:
    from functions.adapters.vectors.faiss import FaissStore  # noqa: PLC0415

    return FaissStore(home / KEPT["faiss"])


def _pinecone(settings: VectorSettings, _home: Path) -> VectorStore:
    from functions.adapters.vectors import pinecone  # noqa: PLC0415

    if settings.key is None:
        raise VectorSettingsError("pinecone needs a key")
    cloud, _, region = settings.region.partition("/")
    url = settings.url or pinecone.URL
    return pinecone.PineconeStore(pinecone.PineconeSettings(key=settings.key, cloud=cloud, region=region, url=url))


def _weaviate(settings: VectorSettings, _home: Path) -> VectorStore:
    from functions.adapters.vectors import weaviate  # noqa: PLC0415

    return weaviate.WeaviateStore(weaviate.WeaviateSettings(url=settings.url, key=settings.key))


_PRODUCTS: Final[Mapping[str, _Product]] = {
    "faiss": _Product(url="not taken", key="not taken", opened=_faiss),
    "milvus": _Product(url="taken", key="taken", many=True, opened=_milvus),
    "pinecone": _Product(url="taken", key="needed", region="taken", opened=_pinecone),
    "qdrant": _Product(url="needed", key="taken", many=True, opened=_qdrant),
    "qdrant_edge": _Product(url="not taken", key="not taken", opened=_qdrant_edge),
    "weaviate": _Product(url="needed", key="taken", many=True, opened=_weaviate),
}
