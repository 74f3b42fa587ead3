"""What UTF-8 carries of a text: half of a pair of surrogates, which JSON and names of files may hold, is none of it."""


def storable(text: str) -> str:
    """The text with `?` in the place of every lone surrogate."""
    return text if text.isascii() else text.encode("utf-8", "replace").decode("utf-8")
