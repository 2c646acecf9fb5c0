import math

import pytest

from refuseu.experiment import Experiment
from refuseu.rainbow_teaming.archive import PATIENCE, Archive, Elite, bleu, self_bleu
from refuseu.rainbow_teaming.interfaces import Question


def elite(text: str, fitness: float) -> Elite:
    return Elite(Question(text), "answer", fitness, 1)


@pytest.fixture
def archive() -> Archive:
    """Cells (a, x) full, (a, y) half full, (b, x) and (b, y) empty."""
    archive = Archive(["a", "b"], ["x", "y"], elites_per_cell=2)
    for cell, text, fitness in ((("a", "x"), "one", 0.9), (("a", "x"), "two", 0.7), (("a", "y"), "three", 0.8)):
        archive.insert(cell, elite(text, fitness))
    return archive


def test_numbers(archive: Archive) -> None:
    assert archive.coverage() == 0.5
    assert archive.mean_fitness() == pytest.approx(0.8)
    assert archive.qd_score() == pytest.approx(1.7)
    fitness = {cell: archive.cell_fitness(cell) for cell in archive.cells}
    assert fitness == pytest.approx({("a", "x"): 0.8, ("a", "y"): 0.4, ("b", "x"): 0.0, ("b", "y"): 0.0})


def test_an_empty_archive() -> None:
    archive = Archive(["a"], ["x"], 2)
    assert (archive.coverage(), archive.mean_fitness(), archive.qd_score(), list(archive)) == (0.0, 0.0, 0.0, [])


def test_iteration_names_the_cell_of_every_elite(archive: Archive) -> None:
    assert [(cell, each.question.text) for cell, each in archive] == [
        (("a", "x"), "one"),
        (("a", "x"), "two"),
        (("a", "y"), "three"),
    ]


def test_rival_is_the_weakest_of_a_full_cell(archive: Archive) -> None:
    assert archive.rival(("a", "x")) == elite("two", 0.7)
    assert archive.rival(("a", "y")) is None
    assert archive.rival(("b", "x")) is None


def test_insert_replaces_the_weakest_and_the_oldest_of_equals(archive: Archive) -> None:
    archive.insert(("a", "x"), elite("four", 0.9))
    assert [each.question.text for each in archive.cells["a", "x"]] == ["one", "four"]
    archive.insert(("a", "x"), elite("five", 0.9))
    assert [each.question.text for each in archive.cells["a", "x"]] == ["four", "five"]


def test_parents_are_elites_or_seeds_while_there_are_none(archive: Archive) -> None:
    seed = Question("seed", "behavior")
    assert [parent.text for parent in archive.parents([seed])] == ["one", "two", "three"]
    assert Archive(["a"], ["x"], 1).parents([seed]) == [seed]


def test_the_texts_of_a_cell(archive: Archive) -> None:
    assert [archive.texts(cell) for cell in archive.cells] == [("one", "two"), ("three",), (), ()]


def test_weak_cells_are_drawn_by_the_softmax(archive: Archive) -> None:
    # exp(-0.8 / 0.4), exp(-0.4 / 0.4), 1, 1
    assert archive.weights(0.4) == pytest.approx([0.1353, 0.3679, 1, 1], abs=1e-4)
    assert archive.weights(0.01) == pytest.approx([0, 0, 1, 1], abs=1e-15)


def test_a_tiny_temperature_draws_the_weakest_cell() -> None:
    archive = Archive(["S1"], ["slang", "role_play"], 1)
    archive.insert(("S1", "slang"), elite("a", 1.0))
    archive.insert(("S1", "role_play"), elite("b", 0.9))
    assert archive.weights(1e-4) == [0, 1]


def test_a_cell_that_takes_nothing_any_more_is_drawn_no_more_unless_all_are_like_that() -> None:
    archive = Archive(["S1"], ["slang", "role_play"], 2)
    archive.insert(("S1", "slang"), elite("a", 1.0))
    slang, role_play = archive.cells
    for _ in range(PATIENCE - 1):
        archive.tried(role_play, False)
    assert archive.weights(0.5) == pytest.approx([math.exp(-1), 1])
    archive.tried(role_play, False)
    assert archive.weights(0.5) == [1, 0]
    for _ in range(PATIENCE):
        archive.tried(slang, False)
    assert archive.weights(0.5) == pytest.approx([math.exp(-1), 1])
    archive.tried(role_play, True)
    assert archive.weights(0.5) == [0, 1]


def test_a_row_a_cell() -> None:
    archive = Archive(["S1"], ["slang", "role_play"], 2)
    for text, fitness in (("a", 0.5), ("b", 0.75)):
        archive.insert(("S1", "slang"), elite(text, fitness))
    named = Experiment(languages=["en"], categories={"S1": "Violent Crimes"}, styles={"role_play": "Role play"})
    assert archive.rows(named) == [
        {"category": "S1 Violent Crimes", "style": "slang", "elites": 2, "best_fitness": 0.75},
        {"category": "S1 Violent Crimes", "style": "Role play", "elites": 0, "best_fitness": 0.0},
    ]


FOX, CAT = "the quick brown fox jumps", "seven cats sleep under that roof"


@pytest.mark.parametrize(
    ("candidate", "other", "expected"),
    [
        (FOX, FOX, 1.0),
        (FOX, CAT, 0.0),
        ("one two three", "one two three", 1.0),  # no quadruple, and none is missed
        # 3 of 4 words, 2 of 3 pairs, 1 of 2 triples, and 1/2 by smoothing for no quadruple of one
        ("one two three four", "one two three five", (3 / 4 * 2 / 3 * 1 / 2 * 1 / 2) ** 0.25),
    ],
)
def test_bleu(candidate: str, other: str, expected: float) -> None:
    assert bleu(candidate, other) == pytest.approx(expected)


def test_similar_elites_of_the_cell_are_those_above_the_limit() -> None:
    archive = Archive(["a"], ["x", "y"], 3)
    fox, cat = elite(FOX, 0.9), elite(CAT, 0.8)
    for each in (fox, cat):
        archive.insert(("a", "x"), each)
    assert archive.similar(("a", "x"), FOX, 0.99) == [fox]
    assert archive.similar(("a", "x"), "nothing of this kind", 0.0) == []
    assert archive.similar(("a", "y"), FOX, 0.0) == []


def test_insert_replaces_all_similar_elites_and_no_other(archive: Archive) -> None:
    first, second = archive.cells["a", "x"]
    archive.insert(("a", "x"), elite("four", 0.95), [first])
    assert [each.question.text for each in archive.cells["a", "x"]] == ["two", "four"]
    archive.insert(("a", "x"), elite("five", 0.99), [second, elite("four", 0.95)])
    assert [each.question.text for each in archive.cells["a", "x"]] == ["five"]


def test_self_bleu() -> None:
    assert self_bleu([FOX, FOX, FOX], 50, 1) == pytest.approx(1.0)
    assert self_bleu([FOX, CAT], 50, 1) == pytest.approx(0.0)
    assert self_bleu([FOX, FOX, CAT], 50, 1) == pytest.approx(2 / 3)


def test_self_bleu_of_fewer_than_two_is_zero() -> None:
    assert self_bleu([], 50, 1) == self_bleu([FOX], 50, 1) == self_bleu([FOX, FOX], 1, 1) == 0.0


def test_self_bleu_samples_by_the_seed() -> None:
    texts = [FOX, FOX, CAT]
    assert len({self_bleu(texts, 2, seed) for seed in range(20)}) == 2
    assert [self_bleu(texts, 2, seed) for seed in range(20)] == [self_bleu(texts, 2, seed) for seed in range(20)]
