"""Which vector store a stack uses: read from the environment once, every problem at once.

What travels is a reference to the key, `env:NAME`. Its value is looked at here to say whether it could be sent, is kept
nowhere, and is looked up again for each call.
"""

import importlib.util
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
NAMESPACE: Final = "TROUPE_VECTOR_NAMESPACE"
DEFAULT: Final = "qdrant_edge"
#: What each product that runs in the process keeps, below the home folder.
KEPT: Final[Mapping[str, str]] = {"qdrant_edge": "collections", "faiss": "faiss", "milvus": "milvus.db"}
_REFERENCE: Final = re.compile(r"env:([A-Za-z_][A-Za-z0-9_]*)")
_REGION: Final = re.compile(r"(aws|gcp|azure)/([a-z0-9-]{1,63})")
_NAMESPACE: Final = re.compile(r"[a-z0-9]([a-z0-9-]{0,30}[a-z0-9])?")
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
        namespace: What the collections of a service are kept under; empty where the home itself says it.
    """

    product: str
    url: str = ""
    key: Secret | None = None
    region: str = _DEFAULT_REGION
    namespace: str = ""

    @property
    def is_service(self) -> bool:
        """Whether others may keep their vectors there too: what runs in this process is in the home."""
        return bool(self.url) or self.product not in KEPT

    @property
    def place(self) -> str:
        """Which of all vector stores this is, in words that stay: what is in one is not in another."""
        return f"{self.product}:{self.namespace}" if self.is_service else self.product

    @property
    def urls(self) -> Sequence[str]:
        """Of all its services, each as it is called for good."""
        return [each.strip().rstrip("/") for each in self.url.split(",")] if self.url else []


EMBEDDED: Final = VectorSettings(product=DEFAULT)


def embedded(place: str) -> VectorSettings:
    """The settings of a place that is in this process (`VectorSettings.place`).

    Raises:
        VectorSettingsError: It is a service, which these settings do not lead to.
    """
    if place not in KEPT:
        raise VectorSettingsError(
            f"some of it is in {place.rstrip(':')}, which is not set: set {STORE} to that, and try again"
        )
    return VectorSettings(product=place)


class _Product(msgspec.Struct, frozen=True, kw_only=True):
    """What a product asks for, and how its store is opened in a folder.

    Attributes:
        url: Whether it has one.
        example: Of its URL.
        key: Whether it has one.
        region: Whether it has one.
        many: Whether several services of it may share the points.
        libraries: Of the group `stores`, that its adapter loads.
        embedded: The library that runs it in this process, where it has no URL.
        opened: One store.
    """

    url: Need
    example: str = "https://vectors.example.com"
    key: Need
    region: Need = "not taken"
    many: bool = False
    libraries: tuple[str, ...] = ()
    embedded: tuple[str, ...] = ()
    opened: Callable[[VectorSettings, Path], VectorStore]


def vector_settings(environment: Mapping[str, str]) -> VectorSettings:
    """What the environment says; Qdrant's engine in this process where it says nothing.

    Raises:
        VectorSettingsError: With everything that is wrong.
    """
    given = {name: environment.get(name, "").strip() for name in (STORE, URL, KEY, REGION, NAMESPACE)}
    name = given[STORE] or DEFAULT
    product = _PRODUCTS.get(name)
    problems = [
        *_need_problems(given, product, name),
        *_key_problems(given[KEY], environment),
        *_place_problems(given, product, name),
    ]
    if problems or product is None:
        raise VectorSettingsError("the vector store cannot be used: " + "; ".join(problems))
    reference = _REFERENCE.fullmatch(given[KEY])
    key = Secret(reference[1], environment) if reference else None
    return VectorSettings(
        product=name,
        url=given[URL],
        key=key,
        region=given[REGION] or _DEFAULT_REGION,
        namespace=given[NAMESPACE],
    )


def opened(settings: VectorSettings, home: Path) -> VectorStore:
    """The store; what it keeps on this machine is in a folder of `home`. Loads that product's library and no other's.

    Raises:
        NotSpreadError: Its points are on other services than those that are listed now.
        VectorSettingsError: That library is not installed.
        VectorStoreError: It cannot be opened.
    """
    if not (_PRODUCTS[settings.product].many and settings.url):
        return _one_of(settings, home)(settings.url)
    from functions.adapters.vectors.spread import opened_over, placing_file  # noqa: PLC0415 - see above

    one_of = _one_of(settings, home)
    return opened_over(placing_file(home, settings.product), settings.urls, one_of, _within(settings, one_of))


def moved(settings: VectorSettings, home: Path, told: "Callable[[Checkpoint], None]") -> int:
    """Bring the points to the services that are listed now, or go on with that; how many had to move.

    Nobody else may have the store open.

    Raises:
        VectorSettingsError: The product is in one place, or its library is not installed.
        PlacementError: Another change is under way, or a service is listed twice.
    """
    if not (_PRODUCTS[settings.product].many and settings.url):
        several = ", ".join(name for name, product in sorted(_PRODUCTS.items()) if product.many)
        raise VectorSettingsError(
            f"the points of {settings.product} are in one place: {URL} lists services that share them for {several}"
        )
    from functions.adapters.vectors.spread import moved_to, placing_file  # noqa: PLC0415 - see above

    one_of = _within(settings, _one_of(settings, home))  # what others keep there stays where it is
    return moved_to(placing_file(home, settings.product), settings.urls, one_of, told)


def _within(settings: VectorSettings, one_of: Callable[[str], VectorStore]) -> Callable[[str], VectorStore]:
    """What opens the part of a service that the namespace is; all of it, where none is said."""
    if not settings.namespace:
        return one_of
    from functions.adapters.vectors.namespaced import NamespacedStore  # noqa: PLC0415 - see above

    return lambda url: NamespacedStore(one_of(url), settings.namespace)


def _one_of(settings: VectorSettings, home: Path) -> Callable[[str], VectorStore]:
    """What opens the store at one URL, or in this process."""
    product = _PRODUCTS[settings.product]
    needed = [*product.libraries, *(() if settings.url else product.embedded)]
    missing = [each for each in needed if importlib.util.find_spec(each) is None]
    if missing:
        raise VectorSettingsError(
            f"{STORE} is {settings.product}, which needs {' and '.join(missing)}: run `uv sync --group stores`"
        )
    return lambda url: product.opened(msgspec.structs.replace(settings, url=url), home)


def _need_problems(given: Mapping[str, str], product: _Product | None, name: str) -> list[str]:
    if product is None:
        return [f"{STORE} is {name!r:.60}: choose one of {', '.join(sorted(_PRODUCTS))}"]
    problems = []
    for setting, need in (
        (URL, product.url),
        (KEY, product.key),
        (REGION, product.region),
        (NAMESPACE, "not taken" if product.url == "not taken" else "taken"),
    ):
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


def _place_problems(given: Mapping[str, str], product: _Product | None, name: str) -> list[str]:
    problems = []
    urls = VectorSettings(product=name, url=given[URL]).urls
    if product is not None and len(urls) > 1 and not product.many and product.url != "not taken":
        problems.append(f"{URL} lists {len(urls)} services, and {name} takes one")
    expected = f"the service's URL, e.g. {(product or _PRODUCTS['qdrant']).example}"
    for at, url in enumerate(urls):
        setting = URL if len(urls) == 1 else f"number {at + 1} of {URL}"
        problems += url_problems(url, setting=setting, key=KEY, has_key=bool(given[KEY]), expected=expected)
        if url and url in urls[:at]:
            problems.append(f"{setting} stands there before")
    if given[REGION] and not _REGION.fullmatch(given[REGION]):
        problems.append(f"{REGION} is {given[REGION]!r:.60}: expected aws/, gcp/ or azure/ and its region")
    if given[NAMESPACE] and not _NAMESPACE.fullmatch(given[NAMESPACE]):
        problems.append(
            f"{NAMESPACE} is {given[NAMESPACE]!r:.60}: expected 1 to 32 of a-z, 0-9 and '-', '-' not at an end"
        )
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
    "faiss": _Product(url="not taken", key="not taken", embedded=("faiss",), opened=_faiss),
    "milvus": _Product(
        url="taken",
        example="http://127.0.0.1:19530",
        key="taken",
        many=True,
        libraries=("pymilvus",),
        embedded=("milvus_lite",),
        opened=_milvus,
    ),
    "pinecone": _Product(
        url="taken", example="https://api.pinecone.io", key="needed", region="taken", opened=_pinecone
    ),
    "qdrant": _Product(url="needed", example="http://127.0.0.1:6333", key="taken", many=True, opened=_qdrant),
    "qdrant_edge": _Product(url="not taken", key="not taken", opened=_qdrant_edge),
    "weaviate": _Product(url="needed", example="http://127.0.0.1:8080", key="taken", many=True, opened=_weaviate),
}
