"""The form in which texts are compared for equality."""


def plain(text: str) -> str:
    """Return ``text`` in lower case (``str.casefold``), with a single space for each stretch of white space."""
    return " ".join(text.casefold().split())
