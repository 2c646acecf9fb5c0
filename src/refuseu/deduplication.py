"""Near-duplicates by the exact Jaccard similarity of character 5-grams, all pairs, by one sparse matrix product."""

from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from scipy.sparse import coo_array

SHINGLE = 5
"""Characters of a shingle."""


def similar_pairs(ours: Sequence[str], theirs: Sequence[str], threshold: float) -> list[tuple[int, int, float]]:
    """Positions (in ``ours``, in ``theirs``) of texts with a Jaccard similarity of at least ``threshold`` (> 0)."""
    similarity = similarities(ours, theirs)
    near = similarity.data >= threshold
    found = (part[near].tolist() for part in (similarity.row, similarity.col, similarity.data))
    return sorted(zip(*found, strict=True))


def similarities(ours: Sequence[str], theirs: Sequence[str]) -> "coo_array":
    """Jaccard similarity (0-1) of every text of ``ours`` with every text of ``theirs``, where it is not 0."""
    from scipy.sparse import coo_array
    from sklearn.feature_extraction.text import CountVectorizer

    if not ours or not theirs:
        return coo_array((len(ours), len(theirs)))
    matrix = CountVectorizer(analyzer=shingles, binary=True, dtype=np.int32).fit_transform([*ours, *theirs])
    shared = coo_array(matrix[: len(ours)] @ matrix[len(ours) :].T)
    sizes = matrix.sum(axis=1).A1
    union = sizes[: len(ours)][shared.row] + sizes[len(ours) :][shared.col] - shared.data
    return coo_array((shared.data / union, (shared.row, shared.col)), shape=shared.shape)


def shingles(text: str) -> set[str]:
    """Character 5-grams of ``text``, case and white space apart; a shorter text is a shingle by itself."""
    characters = plain(text)
    return {characters[start : start + SHINGLE] for start in range(max(1, len(characters) - SHINGLE + 1))}


def plain(text: str) -> str:
    return " ".join(text.casefold().split())


def clusters(count: int, pairs: Sequence[tuple[int, int]]) -> list[int]:
    """Union-find: the smallest position connected to each of ``count`` positions by ``pairs``."""
    root = list(range(count))

    def find(position: int) -> int:
        while root[position] != position:
            root[position] = root[root[position]]
            position = root[position]
        return position

    for one, other in pairs:
        low, high = sorted((find(one), find(other)))
        root[high] = low
    return [find(position) for position in range(count)]
