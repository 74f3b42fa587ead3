"""Which vector store a stack says that it uses."""

import subprocess
import sys
from collections.abc import Mapping
from contextlib import closing
from pathlib import Path

import pytest
from stored import LAYOUT, THREE

from functions.adapters.models.settings import Secret
from functions.adapters.vectors.settings import VectorSettings, VectorSettingsError, opened, vector_settings

CLOUD = {"TROUPE_VECTOR_URL": "https://vectors.example.com:6333", "TROUPE_VECTOR_KEY": "env:MY_KEY", "MY_KEY": "s3cret"}


def test_without_a_word_it_is_qdrants_engine_in_this_process() -> None:
    assert vector_settings({}) == vector_settings({"TROUPE_VECTOR_STORE": " "}) == VectorSettings(product="qdrant_edge")


def test_a_store_elsewhere_is_a_product_a_place_and_a_reference() -> None:
    for product in ("qdrant", "weaviate", "milvus"):
        given = vector_settings({"TROUPE_VECTOR_STORE": product, **CLOUD})
        assert (given.product, given.url) == (product, CLOUD["TROUPE_VECTOR_URL"])
        assert given.key is not None
        assert (given.key.name, given.key.value()) == ("MY_KEY", "s3cret")
        assert "s3cret" not in repr(given)


def test_a_server_near_by_needs_no_key() -> None:
    given = {"TROUPE_VECTOR_STORE": "qdrant", "TROUPE_VECTOR_URL": "http://localhost:6333"}
    assert vector_settings(given) == VectorSettings(product="qdrant", url="http://localhost:6333")


@pytest.mark.parametrize(
    ("given", "said"),
    [
        ({"TROUPE_VECTOR_STORE": "chroma"}, r"is 'chroma': choose one of faiss, milvus, .*qdrant_edge, weaviate"),
        ({"TROUPE_VECTOR_STORE": "qdrant"}, "TROUPE_VECTOR_URL is not set, and qdrant needs it"),
        ({"TROUPE_VECTOR_STORE": "pinecone"}, "TROUPE_VECTOR_KEY is not set, and pinecone needs it"),
        (CLOUD, r"TROUPE_VECTOR_URL is set, and qdrant_edge takes none.*TROUPE_VECTOR_KEY is set, and qdrant_edge"),
        ({"TROUPE_VECTOR_STORE": "faiss", "TROUPE_VECTOR_REGION": "aws/x"}, "TROUPE_VECTOR_REGION is set, and faiss"),
        ({**CLOUD, "TROUPE_VECTOR_STORE": "qdrant", "MY_KEY": ""}, "refers to MY_KEY, which is not set"),
        ({**CLOUD, "TROUPE_VECTOR_STORE": "qdrant", "MY_KEY": "a b"}, "MY_KEY holds a space"),
        (
            {**CLOUD, "TROUPE_VECTOR_STORE": "qdrant", "TROUPE_VECTOR_URL": "http://vectors.example.com"},
            r"in the clear to vectors\.example\.com",
        ),
        (
            {"TROUPE_VECTOR_STORE": "weaviate", "TROUPE_VECTOR_URL": "vectors:8080"},
            r"is no http or https URL: give the service's URL, e\.g\. http://127\.0\.0\.1:8080$",
        ),
        (
            {"TROUPE_VECTOR_STORE": "milvus", "TROUPE_VECTOR_URL": "vectors:19530"},
            r"is no http or https URL: give the service's URL, e\.g\. http://127\.0\.0\.1:19530$",
        ),
        (
            {"TROUPE_VECTOR_STORE": "chroma", "TROUPE_VECTOR_URL": "vectors", "TROUPE_VECTOR_KEY": "plain"},
            r"STORE is 'chroma': choose one .*KEY is no reference.*URL is no http",
        ),
        (
            {"TROUPE_VECTOR_STORE": "qdrant", "TROUPE_VECTOR_URL": "http://a:1, ftp://b,http://u:p@c, http://a:1/,"},
            r"number 2 of \S+ is no http or https.*number 3 of \S+ holds a user.*number 4 of \S+ stands.*number 5 of",
        ),
        (
            {**CLOUD, "TROUPE_VECTOR_STORE": "pinecone", "TROUPE_VECTOR_URL": "https://a,https://b"},
            "TROUPE_VECTOR_URL lists 2 services, and pinecone takes one",
        ),
        (
            {**CLOUD, "TROUPE_VECTOR_STORE": "pinecone", "TROUPE_VECTOR_REGION": "eu-west-1"},
            "TROUPE_VECTOR_REGION is 'eu-west-1': expected aws/, gcp/ or azure/",
        ),
        ({"TROUPE_VECTOR_NAMESPACE": "prod"}, "TROUPE_VECTOR_NAMESPACE is set, and qdrant_edge takes none"),
        (
            {**CLOUD, "TROUPE_VECTOR_STORE": "qdrant", "TROUPE_VECTOR_NAMESPACE": "prod.eu"},
            r"TROUPE_VECTOR_NAMESPACE is 'prod\.eu': expected 1 to 32 of a-z, 0-9 and '-'",
        ),
    ],
)
def test_what_cannot_be_used_is_told_with_what_would_be(given: Mapping[str, str], said: str) -> None:
    with pytest.raises(VectorSettingsError, match=said):
        vector_settings(given)


def test_all_that_is_wrong_is_told_at_once_and_no_key_with_it() -> None:
    wrong = {
        "TROUPE_VECTOR_STORE": "qdrant",
        "TROUPE_VECTOR_URL": "http://user:hunter2@vectors.example.com",
        "TROUPE_VECTOR_KEY": "hunter2",
        "TROUPE_VECTOR_REGION": "aws/eu-west-1",
    }
    with pytest.raises(VectorSettingsError, match=r"REGION is set.*KEY is no reference.*URL holds a user") as raised:
        vector_settings(wrong)
    assert "hunter2" not in str(raised.value)


@pytest.mark.parametrize(
    ("product", "library"), [("qdrant_edge", "qdrant_edge"), ("faiss", "faiss"), ("milvus", "milvus_lite")]
)
def test_a_store_in_this_process_keeps_its_collections_in_the_home(tmp_path: Path, product: str, library: str) -> None:
    pytest.importorskip(library, reason="it is in the group `stores`")
    for points in (THREE, THREE[:1]):
        with closing(opened(VectorSettings(product=product), tmp_path)) as store:
            store.create(LAYOUT)
            store.upsert(LAYOUT, points)
            assert store.count(LAYOUT) == 3


@pytest.mark.parametrize(
    ("product", "url", "library"),
    [("faiss", "", "faiss"), ("milvus", "", "pymilvus and milvus_lite"), ("milvus", "http://localhost:1", "pymilvus")],
)
def test_a_store_whose_library_is_not_installed_says_what_to_run(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, product: str, url: str, library: str
) -> None:
    for each in ("faiss", "milvus_lite", "pymilvus"):
        monkeypatch.setitem(sys.modules, each, None)
    with pytest.raises(VectorSettingsError, match=f"is {product}, which needs {library}: run `uv sync --group stores`"):
        opened(VectorSettings(product=product, url=url), tmp_path)


@pytest.mark.parametrize("product", ["qdrant", "weaviate", "pinecone"])
def test_a_service_is_opened_without_asking_it_anything(tmp_path: Path, product: str) -> None:
    settings = VectorSettings(product=product, url="https://vectors.invalid", key=Secret("MY_KEY", {"MY_KEY": "x"}))
    with closing(opened(settings, tmp_path)) as store:
        assert isinstance(store.searches_words, bool)


def test_settings_load_no_library() -> None:
    libraries = {"faiss", "httpx", "milvus_lite", "numpy", "pymilvus", "qdrant_client", "qdrant_edge"}
    code = f"import sys, functions.adapters.vectors.settings; print(sorted({libraries!r} & set(sys.modules)))"
    ran = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)  # noqa: S603
    assert ran.stdout == "[]\n"
