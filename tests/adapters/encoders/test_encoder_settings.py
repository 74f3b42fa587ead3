from collections.abc import Callable
from pathlib import Path

import pytest

from functions.adapters.encoders.registry import registered
from functions.adapters.encoders.settings import EncoderSettingsError, Endpoint, endpoints
from tests.embeddings_server import KEY, embeddings_server

LARGE = """
[large]
url = "https://models.example/v1/"
model = "org/Text-Embedding_3:large"
revision = "2024-01"
dimension = 3072
key = "env:LARGE_KEY"
"""

Read = Callable[..., tuple[Endpoint, ...]]


@pytest.fixture
def read(tmp_path: Path) -> Read:
    def read_file(text: str, **environment: str) -> tuple[Endpoint, ...]:
        file = tmp_path / "encoders.toml"
        file.write_text(text, "utf-8")
        return endpoints({"TROUPE_ENCODERS": str(file), **environment})

    return read_file


def test_nothing_is_declared_where_no_file_is_named() -> None:
    assert endpoints({}) == endpoints({"TROUPE_ENCODERS": " "}) == ()


def test_a_version_names_model_dimension_revision_precision_and_pooling(read: Read) -> None:
    (large,) = read(LARGE, LARGE_KEY=KEY)
    assert large.version == "org-text-embedding-3-large-3072.2024-01.served.served"
    (other,) = read(LARGE + 'precision = "fp16"\npooling = "cls"', LARGE_KEY=KEY)
    assert other.version == "org-text-embedding-3-large-3072.2024-01.fp16.cls"


@pytest.mark.parametrize(
    ("given", "posted"),
    [
        ("https://models.example/v1", "https://models.example/v1/embeddings"),
        ("https://models.example/v1/embeddings/", "https://models.example/v1/embeddings"),
        ("https://models.example/a?version=2", "https://models.example/a/embeddings?version=2"),
    ],
)
def test_a_base_url_or_the_whole_of_it_may_be_given(read: Read, given: str, posted: str) -> None:
    (large,) = read(LARGE.replace("https://models.example/v1/", given), LARGE_KEY=KEY)
    assert large.url == posted


def test_everything_that_is_wrong_is_said_at_once(read: Read) -> None:
    wrong = """
        [Large]
        url = "ftp://models.example"
        model = ""
        dimension = 0
        key = "sk-secret"
        size = 3
        [other]
        url = "http://models.example/v1"
        model = "m"
        revision = "A.B"
        dimension = true
        key = "env:OTHER_KEY"
        max_texts = 1.5
        shortened = "no"
        [unset]
        url = "https://models.example/v1"
        model = "m"
        revision = "1"
        dimension = 8
        key = "env:UNSET_KEY"
    """
    with pytest.raises(EncoderSettingsError) as caught:
        read("flat = 1\n" + wrong)
    for problem in [
        "flat: is no table", "Large: a name is made of", "Large: size is not known", "Large: url is no http",
        "Large: model must be", "Large: revision must be", "Large: key must be a reference such as env:",
        "Large: dimension must be a whole number from 1 to 65536", "other: url would send the key in the clear",
        "other: revision must be", "other: dimension must be", "other: max_texts must be", "other: shortened must be",
        "unset: UNSET_KEY, which key refers to, is not set",
    ]:  # fmt: skip
        assert problem in str(caught.value)
    assert "sk-secret" not in str(caught.value)


@pytest.mark.parametrize("value", ["7", "[1]", "{ a = 1 }", "2024-01-01"])
def test_a_value_of_another_kind_is_a_problem_and_no_crash(read: Read, value: str) -> None:
    with pytest.raises(EncoderSettingsError, match="large: model must be text"):
        read(LARGE.replace('"org/Text-Embedding_3:large"', value), LARGE_KEY=KEY)


@pytest.mark.parametrize("text", ["no toml", "a = '\ud800'".encode("utf-8", "surrogatepass").decode("latin-1"), "["])
def test_a_file_that_is_no_toml_is_named(read: Read, text: str) -> None:
    with pytest.raises(EncoderSettingsError, match=r"encoders\.toml"):
        read(text)


def test_a_file_that_is_not_there_is_named(tmp_path: Path) -> None:
    with pytest.raises(EncoderSettingsError, match=r"TROUPE_ENCODERS names .*, which cannot be read"):
        endpoints({"TROUPE_ENCODERS": str(tmp_path / "gone.toml")})


def test_an_endpoint_is_carried_under_its_name_and_encodes(tmp_path: Path) -> None:
    file = tmp_path / "encoders.toml"
    with embeddings_server() as server:
        file.write_text(
            f'[house]\nurl = "{server.url}"\nmodel = "small-model"\nrevision = "1"\ndimension = 256\n'
            'key = "env:HOUSE_KEY"\n'
        )
        encoders = registered(tmp_path, {"TROUPE_ENCODERS": str(file), "HOUSE_KEY": KEY})
        version = encoders.version_of("house")
        assert version == "small-model-256.1.served.served"
        assert encoders.encoder(version).encode(["a text", "another"]).shape == (2, 256)
        encoders.close()


def test_a_key_is_in_no_representation_of_the_settings(read: Read) -> None:
    assert KEY not in repr(read(LARGE, LARGE_KEY=KEY))
