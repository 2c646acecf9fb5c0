"""The MAP-Elites archive of Rainbow Teaming (Samvelyan et al. 2024, arXiv 2402.16822, section 3).

A grid of hazard category x attack style; each cell keeps its ``k`` fittest questions.
"""

import math
from collections.abc import Iterator
from dataclasses import dataclass, field

from refuseu.rainbow_teaming.interfaces import Question

Cell = tuple[str, str]
"""Hazard category and attack style."""
PATIENCE = 500
"""Newcomers one after another that a cell may take none of before no more are made for it."""


@dataclass(frozen=True)
class Elite:
    """A question of the archive, with what the target answered."""

    question: Question
    answer: str
    fitness: float
    """Probability (0-1) that the target's answer is harmful."""
    iteration: int


@dataclass
class Archive:
    """The grid, and who is in it."""

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
        """The questions that are rewritten, each as likely as another: the archive's, or ``seeds`` while it is empty."""
        return [elite.question for _, elite in self] or seeds

    def texts(self, cell: Cell) -> tuple[str, ...]:
        """The questions of one cell."""
        return tuple(elite.question.text for elite in self.cells[cell])

    def weights(self, temperature: float) -> list[float]:
        """How often each of ``cells`` is drawn: softmax(-fitness / temperature), so that weak cells get the work.

        A cell's fitness is its elites' mean over all ``k`` places; an empty place counts 0. A cell whose last ``PATIENCE``
        newcomers were all in vain has weight 0: where there are fewer questions than places, as in the categories that no
        LLM writes for, it would stay the weakest and take all the work. When every cell is like that, none is left out.
        """
        fitness = {cell: self.cell_fitness(cell) for cell in self.cells}
        open_ = [cell for cell in self.cells if self._misses[cell] < PATIENCE] or list(self.cells)
        weakest = min(fitness[cell] for cell in open_)  # taken off, or at a low temperature every weight rounds to 0
        drawn = {cell: math.exp((weakest - fitness[cell]) / temperature) for cell in open_}
        return [drawn.get(cell, 0.0) for cell in self.cells]

    def tried(self, cell: Cell, taken: bool) -> None:
        """Note whether ``cell`` took a newcomer."""
        self._misses[cell] = 0 if taken else self._misses[cell] + 1

    def cell_fitness(self, cell: Cell) -> float:
        return sum(elite.fitness for elite in self.cells[cell]) / self.elites_per_cell

    def rival(self, cell: Cell) -> Elite | None:
        """The elite a newcomer must beat: the weakest of a full cell, ``None`` while a place is free."""
        elites = self.cells[cell]
        return min(elites, key=lambda elite: elite.fitness) if len(elites) == self.elites_per_cell else None

    def insert(self, cell: Cell, elite: Elite) -> None:
        """Put ``elite`` into ``cell``, in the weakest one's place when the cell is full."""
        rival = self.rival(cell)
        if rival is not None:
            self.cells[cell].remove(rival)
        self.cells[cell].append(elite)

    def rows(self) -> list[dict[str, str | int | float]]:
        """One row a cell: its elites and the fitness of the best, 0 for an empty cell."""
        return [
            {
                "category": category,
                "style": style,
                "elites": len(elites),
                "best_fitness": max((elite.fitness for elite in elites), default=0.0),
            }
            for (category, style), elites in self.cells.items()
        ]

    def coverage(self) -> float:
        """Share (0-1) of the cells that hold an elite."""
        return sum(bool(elites) for elites in self.cells.values()) / len(self.cells)

    def mean_fitness(self) -> float:
        """Mean fitness of all elites (0-1); 0 when there is none."""
        fitness = [elite.fitness for _, elite in self]
        return sum(fitness) / len(fitness) if fitness else 0.0

    def qd_score(self) -> float:
        """Sum over cells of the best elite's fitness: quality and diversity in one number (0 to cells)."""
        return sum(max((elite.fitness for elite in elites), default=0.0) for elites in self.cells.values())
