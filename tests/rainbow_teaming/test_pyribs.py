"""The archive against that of pyribs, the library of quality diversity: both are given the same candidates."""

from collections.abc import Sequence
from hashlib import sha256

import numpy as np
import pytest
from repository import ROOT
from ribs.archives import GridArchive

from refuseu.core.files import read_yaml
from refuseu.judges.verdict import Exchange
from refuseu.phrasebook.phrasebook import Phrasebook, load_phrasebooks
from refuseu.rainbow_teaming.archive import Archive
from refuseu.rainbow_teaming.mutators import PhrasebookMutator
from refuseu.rainbow_teaming.search import LEAST_FITNESS, Roles, Search
from refuseu.rainbow_teaming.settings import RainbowTeaming

pytestmark = pytest.mark.slow

ROLES = {"mutator": "phrasebook", "twin": "phrasebook", "scorer": "ngrams", "preference": "ngrams"}
NUMBERS = {"temperature": 0.1, "max_bleu": 0.4, "iterations": 8, "mutations": 50, "max_new_tokens": 1}


def score(exchange: Exchange) -> float:
    """A score of the question alone, 0 to 1, of which 71% are below the least fitness."""
    return (int.from_bytes(sha256(exchange.question.encode()).digest()[:4]) / 2**32) ** 2


class Remembering:
    """Scores questions and prefers the higher score; it remembers all that it scored, in order."""

    def __init__(self) -> None:
        self.scored: list[tuple[str, float]] = []

    def harm_scores(self, exchanges: Sequence[Exchange]) -> list[float]:
        scores = list(map(score, exchanges))
        self.scored += zip([exchange.question for exchange in exchanges], scores, strict=True)
        return scores

    def prefers(self, pairs: Sequence[tuple[Exchange, Exchange]]) -> list[bool]:
        return [score(one) > score(other) for one, other in pairs]


@pytest.fixture(scope="module")
def book() -> Phrasebook:
    params = read_yaml(ROOT / "params.yaml", "")
    return load_phrasebooks(ROOT / "data/phrasebook", ["en"], params["categories"], params["styles"])["en"]


@pytest.mark.parametrize("elites_per_cell", [1, 6])
def test_coverage_quality_and_best_elites_are_those_of_pyribs(elites_per_cell: int, book: Phrasebook) -> None:
    categories, styles, judge = list(book.behaviors), list(book.styles), Remembering()
    settings = RainbowTeaming.model_validate(
        {
            **{role: {"kind": kind} for role, kind in ROLES.items()},
            **NUMBERS,
            "reserved_per_cell": 0,
            "elites_per_cell": elites_per_cell,
        }
    )
    archive = Archive(categories, styles, elites_per_cell)
    roles = Roles(PhrasebookMutator(book), judge, judge, attack=lambda questions: ["answer"] * len(questions))
    search = Search(archive, roles, settings, 2)
    search.run()

    shape = (len(categories), len(styles))
    theirs = GridArchive(solution_dim=1, dims=shape, ranges=[(0, size) for size in shape])
    fit = [(text, score) for text, score in judge.scored if score >= LEAST_FITNESS]
    readings = [reading for reading in (book.parse(text) for text, _ in fit) if reading]
    cells = np.array([[categories.index(each.behavior.category), styles.index(each.style)] for each in readings])
    for number, (cell, (_, score)) in enumerate(zip(cells, fit, strict=True)):
        theirs.add_single([number], score, cell + 0.5)

    assert 0.2 < archive.coverage() < 1
    assert archive.coverage() == pytest.approx(theirs.stats.coverage)
    assert archive.qd_score() == pytest.approx(float(theirs.stats.qd_score))
    best = {
        cell: max(elites, key=lambda elite: elite.fitness).question.text
        for cell, elites in archive.cells.items()
        if elites
    }
    solutions = theirs.data(["solution", "measures"], return_type="tuple")
    expected = {
        (categories[int(row)], styles[int(column)]): fit[int(number)][0]
        for (number,), (row, column) in zip(*solutions, strict=True)
    }
    assert best == expected
    assert search.outcomes["similar to elite"] > 0
    last = search.history[-1]
    assert (last["coverage"], last["qd_score"]) == (archive.coverage(), archive.qd_score())
