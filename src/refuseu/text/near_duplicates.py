"""Near-duplicates by the exact Jaccard similarity of character 5-grams (shingles), in memory that does not grow with the pairs.

Two texts whose similarity reaches a threshold have at least one of their rarest shingles in common (prefix filter: Chaudhuri et
al. 2006, Bayardo et al. 2007), and the position of that shingle limits how many others they can share (positional filter: Xiao et
al. 2008). Candidates are therefore found by a sparse product over the rarest shingles, a block of rows at a time, and only pairs
that may reach the threshold are compared in full. The filters lose no pair.
"""

from array import array
from collections import defaultdict
from collections.abc import Iterable, Iterator, Sequence
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from refuseu.text.normal import plain

if TYPE_CHECKING:
    from scipy.sparse import csr_array

Numbers = np.ndarray[tuple[int], np.dtype[Any]]

SHINGLE = 5
"""Characters in a shingle."""
BLOCK = 4_000_000
"""Entries of a product, or of the rows that are compared, that are held at once: about 200 MB of memory in all."""
SAMPLE = 50
"""One text in so many is compared without a threshold, which gives a lower bound of the highest similarity."""
ROUNDING = 1e-6
"""Less than one shingle, and more than the rounding error of a threshold times a number of shingles."""


class Near(NamedTuple):
    """Pairs of texts, as three columns of equal length."""

    ours: Numbers
    """Position in the first list of texts."""
    theirs: Numbers
    """Position in the second list of texts."""
    similarity: Numbers
    """Jaccard similarity, 0-1."""


def similar_pairs(ours: Sequence[str], theirs: Sequence[str], threshold: float) -> list[tuple[int, int, float]]:
    """Return (position in ``ours``, position in ``theirs``, similarity) of all pairs that reach ``threshold`` (> 0), in order."""
    blocks = Comparison(ours, theirs).near(threshold)
    return sorted(pair for block in blocks for pair in zip(*(column.tolist() for column in block), strict=True))


def shingles(text: str) -> set[str]:
    """Return the character 5-grams of ``text`` in the form of ``plain``; a shorter text is one shingle."""
    characters = plain(text)
    return {characters[start : start + SHINGLE] for start in range(max(1, len(characters) - SHINGLE + 1))}


def clusters(count: int, pairs: Iterable[tuple[int, int]]) -> list[int]:
    """Return for each of ``count`` positions the smallest position that ``pairs`` connect it with (union-find)."""
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


class Comparison:
    """Compares every text of ``ours`` with every text of ``theirs``."""

    def __init__(self, ours: Sequence[str], theirs: Sequence[str]) -> None:
        row = {text: number for number, text in enumerate(dict.fromkeys((*ours, *theirs)))}
        self._matrix = _by_rarity(list(row))
        self._sizes = np.diff(self._matrix.indptr)
        self._ours, self._theirs = (np.array([row[text] for text in texts], dtype=np.int64) for texts in (ours, theirs))

    def near(self, threshold: float) -> Iterator[Near]:
        """Yield the pairs that share a shingle and reach ``threshold`` (0-1), in blocks whose order is not defined."""
        for ours, theirs, at_most in self._candidates(threshold, self._ours):
            may = at_most >= threshold
            yield from self._reaching(threshold, ours[may], theirs[may])

    def highest(self) -> float:
        """Return the highest similarity (0-1) of a pair; 0 where there is nothing to compare."""
        # At the threshold 0 a prefix is the whole text, so the upper bound of each pair is its similarity.
        floor = _greatest(self._candidates(0.0, self._ours[::SAMPLE]))
        return _greatest(self.near(floor))

    def _candidates(self, threshold: float, rows: Numbers) -> Iterator[Near]:
        """Yield the pairs that share one of the rarest shingles, with an upper bound of their similarity.

        ``rows`` are the rows of the matrix that are compared with ``theirs``.
        """
        prefix = _Prefix(self._matrix, threshold)
        across = prefix.matrix[self._theirs].T.tocsr()
        costs = prefix.matrix[rows] @ np.diff(across.indptr).astype(np.int64)
        for block in _blocks(np.minimum(costs, len(self._theirs))):
            shared = (prefix.matrix[rows[block]] @ across).tocoo()
            ours, theirs = shared.row + block.start, shared.col
            one, other = rows[ours], self._theirs[theirs]
            at_most = prefix.shared_at_most(one, other, shared.data)
            yield Near(ours, theirs, _jaccard(at_most, self._sizes[one], self._sizes[other]))

    def _reaching(self, threshold: float, ours: Numbers, theirs: Numbers) -> Iterator[Near]:
        """Yield those of the pairs that reach ``threshold``, compared by all their shingles."""
        sizes = self._sizes[self._ours[ours]] + self._sizes[self._theirs[theirs]]
        for block in _blocks(sizes):
            one, other = self._ours[ours[block]], self._theirs[theirs[block]]
            shared = self._matrix[one].multiply(self._matrix[other]).sum(axis=1)
            similarity = _jaccard(shared, self._sizes[one], self._sizes[other])
            reached = similarity >= threshold
            if reached.any():
                yield Near(ours[block][reached], theirs[block][reached], similarity[reached])


class _Prefix:
    """The rarest shingles of each text: so many that two texts that reach ``threshold`` have at least one in common."""

    def __init__(self, matrix: "csr_array", threshold: float) -> None:
        from scipy.sparse import csr_array

        self._sizes = np.diff(matrix.indptr)
        needed = np.ceil(threshold * self._sizes - ROUNDING).astype(np.int64)
        lengths = np.minimum(self._sizes - needed + 1, self._sizes)
        self._rest = self._sizes - lengths
        self._last = matrix.indices[matrix.indptr[:-1] + lengths - 1]
        place = np.arange(matrix.nnz) - np.repeat(matrix.indptr[:-1], self._sizes)
        held = place < np.repeat(lengths, self._sizes)
        starts = np.concatenate([[0], np.cumsum(lengths)])
        self.matrix = csr_array((matrix.data[held], matrix.indices[held], starts), shape=matrix.shape)

    def shared_at_most(self, one: Numbers, other: Numbers, shared: Numbers) -> Numbers:
        """Return how many shingles texts share at most that share ``shared`` of their rarest ones.

        All common shingles that are rarer than the ends of both prefixes are counted already. The text whose prefix ends first
        can add only the shingles after its prefix.
        """
        rest = np.where(self._last[one] <= self._last[other], self._rest[one], self._rest[other])
        at_most: Numbers = np.minimum(shared + rest, np.minimum(self._sizes[one], self._sizes[other]))
        return at_most


def _by_rarity(texts: list[str]) -> "csr_array":
    """Return which text (row) holds which shingle (column); the columns go from the rarest shingle to the most common one.

    The order of equally rare shingles does not matter: every order finds the same pairs.
    """
    from scipy.sparse import csr_array

    column: defaultdict[str, int] = defaultdict()
    column.default_factory = column.__len__
    columns, ends = array("i"), [0]
    for text in texts:
        columns.extend(map(column.__getitem__, shingles(text)))
        ends.append(len(columns))
    indices = np.array(columns)
    rank = np.empty(len(column), dtype=np.int32)
    rank[np.argsort(np.bincount(indices, minlength=len(column)))] = np.arange(len(column))
    matrix = csr_array((np.ones(len(indices), np.int32), rank[indices], ends), shape=(len(texts), len(column)))
    matrix.sort_indices()
    return matrix


def _greatest(blocks: Iterable[Near]) -> float:
    return float(max((block.similarity.max(initial=0.0) for block in blocks), default=0.0))


def _jaccard(shared: Numbers, one: Numbers, other: Numbers) -> Numbers:
    """Return the similarity (0-1) of sets of sizes ``one`` and ``other``; even rounded it never falls as ``shared`` grows."""
    similarity: Numbers = shared / (one + other - shared)
    return similarity


def _blocks(costs: Numbers) -> Iterator[slice]:
    """Yield slices that cover ``costs``: each has one entry, or as many as have a sum of at most ``BLOCK``."""
    ends = np.cumsum(costs)
    start = 0
    while start < len(costs):
        limit = ends[start] - costs[start] + BLOCK
        stop = max(start + 1, int(np.searchsorted(ends, limit, side="right")))
        yield slice(start, stop)
        start = stop
