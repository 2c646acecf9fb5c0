"""Questions for dev and test, written before the search.

A search keeps what its target answers harmfully. In a test of such questions the target's attack success rate would be 100 by
selection. So the mutator writes some questions of every cell first. The target is not asked them, and the search may not find
them again.
"""

from collections.abc import Iterable

from refuseu.rainbow_teaming.archive import Cell
from refuseu.rainbow_teaming.draws import drawn
from refuseu.rainbow_teaming.interfaces import Mutator, Question, Target
from refuseu.text.normal import plain

Reserve = dict[str, tuple[Cell, Question]]
"""Questions with their cells, by their ``plain`` text."""


def write_reserve(mutator: Mutator, cells: Iterable[Cell], per_cell: int, seed: int) -> Reserve:
    """Return up to ``per_cell`` questions a cell, rewritten from seeds.

    A cell has fewer where the mutator wrote none, or the same one twice.
    """
    seeds, targets = mutator.seeds(), []
    for category, style in cells:
        for number in range(per_cell):
            draw = f"{seed}-reserve-{category}-{style}-{number}"
            targets.append(Target(drawn(seeds, draw, lambda each: each.text), category, style, draw))
    written = list(zip(targets, mutator.mutate(targets), strict=True))
    # The first of equal ones counts.
    return {
        plain(question.text): ((target.category, target.style), question)
        for target, question in reversed(written)
        if question
    }
