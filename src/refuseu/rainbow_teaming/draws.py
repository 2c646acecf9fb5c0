"""Draws that stay as they are where something else changes.

A generator that is used in turn gives every later draw another number as soon as one draw is left out or its list is longer.
Here each thing has a number of its own in each draw, a hash of the draw's seed and the thing's name, so that an edit of one cell
of the archive leaves the draws of all others as they were.
"""

import math
from collections.abc import Callable, Sequence
from hashlib import sha256
from itertools import repeat
from typing import TypeVar

T = TypeVar("T")


def uniform(seed: str, name: str = "") -> float:
    """Return the number of ``name`` in the draw ``seed``: uniform between 0 and 1, and never one of both."""
    return ((int.from_bytes(sha256(f"{seed}\0{name}".encode()).digest()[:8]) >> 12) + 0.5) / 2**52


def drawn(items: Sequence[T], seed: str, name: Callable[[T], str], weights: Sequence[float] | None = None) -> T:
    """Return one of ``items``, each with a probability in proportion to its weight (0 or more; without weights all the same).

    It is the item with the largest u ** (1 / weight), u being its own uniform number (Efraimidis & Spirakis 2006, Weighted random
    sampling with a reservoir, algorithm A; one item is taken). An item that is added, removed or weighted anew changes those
    draws alone in which it wins. Items of equal names share a number, and the first of them wins.
    """
    weighed = zip(items, repeat(1.0) if weights is None else weights, strict=weights is not None)
    return max(
        ((math.log(uniform(seed, name(item))) / weight, item) for item, weight in weighed if weight > 0),
        key=lambda scored: scored[0],
    )[1]
