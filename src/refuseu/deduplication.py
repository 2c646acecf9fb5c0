"""Near-duplicates by the exact Jaccard similarity of character 5-grams, all pairs, by one sparse matrix product."""

from collections.abc import Sequence

import numpy as np

SHINGLE = 5
"""Characters of a shingle."""


def similar_pairs(ours: Sequence[str], theirs: Sequence[str], threshold: float) -> list[tuple[int, int, float]]:
    """Positions (in ``ours``, in ``theirs``) of texts with a Jaccard similarity of at least ``threshold`` (> 0).

    Texts are case-folded and their white space is made single blanks; one of fewer than 5 characters has no shingle
    and is like nothing.
    """
    from sklearn.feature_extraction.text import CountVectorizer

    if not ours or not theirs:
        return []
    shingles = CountVectorizer(
        analyzer="char", ngram_range=(SHINGLE, SHINGLE), binary=True, preprocessor=plain, dtype=np.int32
    )
    matrix = shingles.fit_transform([*ours, *theirs])
    left, right = matrix[: len(ours)], matrix[len(ours) :]
    shared = (left @ right.T).tocoo()
    sizes = matrix.sum(axis=1).A1
    union = sizes[: len(ours)][shared.row] + sizes[len(ours) :][shared.col] - shared.data
    similarity = shared.data / union
    near = similarity >= threshold
    found = zip(shared.row[near].tolist(), shared.col[near].tolist(), similarity[near].tolist(), strict=True)
    return sorted(found)


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
