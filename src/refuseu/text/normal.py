"""The forms in which texts and names are compared. They are stored and shown as they came.

The same word can be written in two ways: "é" as one character (NFC, as most keyboards write it), or as "e" and an accent (NFD, as
some editors, file names and old exports have it). Readers see no difference, and comparisons should not either.
"""

import unicodedata


def composed(text: str) -> str:
    """Return ``text`` in Unicode's composed form (NFC)."""
    return unicodedata.normalize("NFC", text)


def plain(text: str) -> str:
    """Return ``text`` composed, in lower case (``str.casefold``), with a single space for each stretch of white space."""
    # Case folding takes some characters apart again.
    return " ".join(composed(composed(text).casefold()).split())


def writable(text: str) -> bool:
    """Whether ``text`` can stand in a file: JSON can name halves of characters (surrogates) and NUL, which no text holds."""
    return not any(sign == "\0" or "\ud800" <= sign <= "\udfff" for sign in text)
