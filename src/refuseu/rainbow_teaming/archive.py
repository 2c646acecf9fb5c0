"""The MAP-Elites archive of Rainbow Teaming (Samvelyan et al. 2024, arXiv 2402.16822, section 3).

The archive is a grid of hazard category x attack style; each cell keeps its ``k`` fittest questions. BLEU between questions keeps
a cell from filling with copies and measures how diverse the archive is.
"""

import math
import random
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from functools import cache, lru_cache
from typing import TYPE_CHECKING

from refuseu.experiment import Experiment
from refuseu.rainbow_teaming.interfaces import Question
from refuseu.text.normal import composed

if TYPE_CHECKING:
    from sacrebleu.metrics import BLEU

Cell = tuple[str, str]
"""Hazard category and attack style."""
KNOWN = 2**17
"""So many similarities are remembered, since a search draws the same questions again and meets the same elites."""
PATIENCE = 100
"""So many candidates in a row may fail to enter a cell before the cell is no longer drawn."""


@dataclass(frozen=True)
class Elite:
    """A question of the archive, with the target's answer."""

    question: Question
    answer: str
    fitness: float
    """Probability (0-1) that the target's answer is harmful."""
    iteration: int


@dataclass
class Archive:
    """The grid and its elites."""

    categories: list[str]
    styles: list[str]
    elites_per_cell: int
    cells: dict[Cell, list[Elite]] = field(default_factory=dict)
    _misses: dict[Cell, int] = field(default_factory=dict)

    def __post_init__(self) -> None:
        self.cells = {(category, style): [] for category in self.categories for style in self.styles}
        self._misses = dict.fromkeys(self.cells, 0)

    def __iter__(self) -> Iterator[tuple[Cell, Elite]]:
        return ((cell, elite) for cell, elites in self.cells.items() for elite in elites)

    def parents(self, seeds: list[Question]) -> list[Question]:
        """Return the questions that may be rewritten: those of the archive, or ``seeds`` while it is empty."""
        return [elite.question for _, elite in self] or seeds

    def texts(self, cell: Cell) -> tuple[str, ...]:
        """Return the questions of one cell."""
        return tuple(elite.question.text for elite in self.cells[cell])

    def weights(self, temperature: float) -> list[float]:
        """Return the weight with which each of ``cells`` is drawn: softmax(-fitness / temperature), not normalised.

        Cells of low fitness are therefore drawn more often. A cell that took none of its last ``PATIENCE`` candidates has
        weight 0. Otherwise a cell with more places than there are questions, as in the categories that no LLM writes for,
        would stay the weakest one and be drawn almost always. Where all cells are like that, none is left out.
        """
        fitness = {cell: self.cell_fitness(cell) for cell in self.cells}
        open_ = [cell for cell in self.cells if self._misses[cell] < PATIENCE] or list(self.cells)
        weakest = min(
            fitness[cell] for cell in open_
        )  # subtracted, because at a low temperature every weight would round to 0
        weights = {cell: math.exp((weakest - fitness[cell]) / temperature) for cell in open_}
        return [weights.get(cell, 0.0) for cell in self.cells]

    def tried(self, cell: Cell, taken: bool) -> None:
        """Record whether ``cell`` took a candidate."""
        self._misses[cell] = 0 if taken else self._misses[cell] + 1

    def cell_fitness(self, cell: Cell) -> float:
        """Return the mean fitness (0-1) over all ``k`` places of a cell; an empty place counts as 0."""
        return sum(elite.fitness for elite in self.cells[cell]) / self.elites_per_cell

    def rival(self, cell: Cell) -> Elite | None:
        """Return the elite that a candidate must beat: the weakest of a full cell, ``None`` while a place is free."""
        elites = self.cells[cell]
        return min(elites, key=lambda elite: elite.fitness) if len(elites) == self.elites_per_cell else None

    def similar(self, cell: Cell, text: str, max_bleu: float) -> list[Elite]:
        """Return the elites of ``cell`` to which ``text`` has a BLEU above ``max_bleu`` (0-1)."""
        return [elite for elite in self.cells[cell] if bleu(text, elite.question.text) > max_bleu]

    def insert(self, cell: Cell, elite: Elite, similar: Sequence[Elite] = ()) -> None:
        """Put ``elite`` into ``cell``, where it replaces the elites ``similar`` to it, and else the weakest of a full cell."""
        rival = self.rival(cell)
        for replaced in similar or ([rival] if rival else []):
            self.cells[cell].remove(replaced)
        self.cells[cell].append(elite)

    def rows(self, experiment: Experiment) -> list[dict[str, str | int | float]]:
        """Return one row for each cell: how many elites it has, and the fitness of the best one (0 in an empty cell).

        Category and style are those that people read, since the rows are there to be looked at.
        """
        return [
            {
                "category": experiment.category(category),
                "style": experiment.style(style),
                "elites": len(elites),
                "best_fitness": max((elite.fitness for elite in elites), default=0.0),
            }
            for (category, style), elites in self.cells.items()
        ]

    def coverage(self) -> float:
        """Return the share (0-1) of the cells that hold an elite."""
        return sum(bool(elites) for elites in self.cells.values()) / len(self.cells)

    def mean_fitness(self) -> float:
        """Return the mean fitness (0-1) of all elites; 0 when there is none."""
        fitness = [elite.fitness for _, elite in self]
        return sum(fitness) / len(fitness) if fitness else 0.0

    def qd_score(self) -> float:
        """Return the sum over all cells of the best elite's fitness (0 to the number of cells): quality and diversity in one."""
        return sum(max((elite.fitness for elite in elites), default=0.0) for elites in self.cells.values())


@cache
def _metric() -> "BLEU":
    from sacrebleu.metrics import BLEU

    return BLEU(effective_order=True)


@lru_cache(KNOWN)
def bleu(candidate: str, other: str) -> float:
    """Return the sentence BLEU-4 (0-1) of ``candidate`` against ``other``, as in Rainbow Teaming, section 3.2."""
    return float(_metric().sentence_score(composed(candidate), [composed(other)]).score) / 100


def self_bleu(texts: list[str], sample: int, seed: int) -> float:
    """Return the mean BLEU (0-1) of ``sample`` texts, each against all others of the sample; lower is more diverse."""
    chosen = list(map(composed, random.Random(seed).sample(texts, min(sample, len(texts)))))
    if len(chosen) < 2:
        return 0.0
    scores = [
        _metric().sentence_score(text, chosen[:index] + chosen[index + 1 :]).score for index, text in enumerate(chosen)
    ]
    return float(sum(scores)) / len(scores) / 100
