"""Questions for dev and test, written before the search.

A search keeps what its target answers harmfully. In a test of such questions the target's attack success rate would be 100 by
selection. So the mutator writes some questions of every cell first. The target is not asked them, and the search may not find
them again.
"""

import random
from collections.abc import Iterable, Iterator

from refuseu.rainbow_teaming.archive import Cell
from refuseu.rainbow_teaming.interfaces import Mutator, Question, Target
from refuseu.text.normal import plain

Reserve = dict[str, tuple[Cell, Question]]
"""Questions with their cells, by their ``plain`` text."""


def write_reserve(mutator: Mutator, cells: Iterable[Cell], per_cell: int, rng: random.Random) -> Reserve:
    """Return up to ``per_cell`` questions a cell, rewritten from seeds.

    A cell has fewer where the mutator wrote none, or the same one twice.
    """
    seeds, drawn = mutator.seeds(), [cell for cell in cells for _ in range(per_cell)]

    def targets() -> Iterator[Target]:
        for category, style in drawn:
            yield Target(rng.choice(seeds), category, style)

    written = zip(drawn, mutator.mutate(targets(), rng), strict=True)
    # The first of equal ones counts.
    return {plain(question.text): (cell, question) for cell, question in reversed(list(written)) if question}
