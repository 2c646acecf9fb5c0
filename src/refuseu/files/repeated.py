"""Lists in which nothing may stand twice."""

from collections.abc import Sequence
from typing import Any


def distinct(values: list[str]) -> list[str]:
    """``values``, where each stands once.

    Raises:
        ValueError: for the first that stands twice.
    """
    second = first_repeated(values)
    if second is not None:
        raise ValueError(f"{values[second]!r} stands twice")
    return values


def first_repeated(values: Sequence[Any]) -> int | None:
    """The position of the first value that stood before; ``None`` where all differ."""
    return next((place for place, value in enumerate(values) if value in values[:place]), None)
