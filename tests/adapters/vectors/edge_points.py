"""A collection and points for the tests of Qdrant Edge."""

import uuid
from pathlib import Path

import numpy as np

from functions.ports.vector_stores import Layout, Point, Terms

LAYOUT = Layout(
    name="documents_v1_small.1", encoder="small.1", dimension=4, fields={"tenant": "keyword", "expires_at": "number"}
)


def id_of(number: int) -> str:
    return str(uuid.UUID(int=number))


def point(number: int, text: str = "") -> Point:
    return Point(
        id=id_of(number),
        vector=np.array([1, number % 7, number % 3, 0], np.float32),
        terms=Terms((number % 2**32,), (1.0,)),
        fields={"tenant": "t", "expires_at": 1e9 + number, "text": text or f"text {number}"},
    )


def folder(parent: Path) -> Path:
    return parent / LAYOUT.name
