"""The form in which texts are compared with one another."""


def plain(text: str) -> str:
    """``text`` without regard to case, and with one space for each stretch of white space."""
    return " ".join(text.casefold().split())
