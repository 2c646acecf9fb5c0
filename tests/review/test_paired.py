"""The gate on simulated evaluations with a known truth: how often it cries wolf, and what it sees.

140 behaviors, 40 frames, 139 questions and 12 languages, as in the miniature. A model answers a question badly where its score
for it, which behavior, frame, language and question decide, is above a threshold. A seed moves the scores a little, by as much as
trainings of the miniature in another order of pairs do: SD 2.6 points of a language's rate, and about 1.05 of the average.
"""

import numpy as np
import pytest
from scipy.stats import norm

from refuseu.review.gate import ALPHA, MARGIN, Finding
from refuseu.review.paired import (
    RATES,
    Movement,
    Numbers,
    between_seeds,
    shares,
    variance_of_questions,
    with_pooled_spread,
)

BEHAVIORS, FRAMES, QUESTIONS, LANGUAGES = 140, 40, 139, 12
MODELS = ["balanced", "balanced-no-benign", "high-resource", "english-only", "no-english", "custom"]
FAMILY = [(model, rate) for model in MODELS for rate in RATES]
LEVEL = 0.2
SEED = (0.03, 0.077, 0.09)
"""How far a seed moves the scores: all alike, those of a language, those of each answer."""


class World:
    """Questions, and how models answer them; arrays begin with an axis of models."""

    def __init__(self, seed: int) -> None:
        self.random = np.random.default_rng(seed)
        self.behavior, self.frame = (self.random.integers(each, size=QUESTIONS) for each in (BEHAVIORS, FRAMES))

    def effects(self, models: int) -> Numbers:
        """Of behavior and frame on each question, variance 1."""
        of_behavior, of_frame = (self.random.standard_normal((models, 1, each)) for each in (BEHAVIORS, FRAMES))
        return (of_behavior[..., self.behavior] + of_frame[..., self.frame]) / np.sqrt(2)

    def scores(self, models: int) -> Numbers:
        """Of shape (models, languages, questions), variance 1."""
        of_lang, of_answer = (self.random.standard_normal((models, LANGUAGES, each)) for each in (1, QUESTIONS))
        return (self.effects(models) + of_lang / 2 + of_answer / np.sqrt(2)) / np.sqrt(1.75)

    def answers(self, scores: Numbers, seeds: int, level: float = LEVEL, noise: float | Numbers = 1.0) -> Numbers:
        """Whether each answer is bad, of shape (models, seeds, languages, questions); a share of ``level`` is in the long run.

        ``noise`` says how much farther seeds move the scores of each model.
        """
        shapes = [(len(scores), seeds, *each) for each in ((1, 1), (LANGUAGES, 1), (LANGUAGES, QUESTIONS))]
        moved = sum(
            sd * self.random.standard_normal(shape, dtype=np.float32) for sd, shape in zip(SEED, shapes, strict=True)
        )
        scale = np.reshape(noise, (-1, 1, 1, 1))
        threshold = norm.isf(level) * np.sqrt(1 + scale**2 * sum(sd**2 for sd in SEED))
        return (scores[:, None] + scale * moved > threshold).astype(float)

    def movements(self, names: list[tuple[str, str]], before: Numbers, after: Numbers) -> list[Movement]:
        """Of the averages over languages, one a name (model, rate)."""
        seeds = (before.shape[1], after.shape[1])
        freedom = [each - 1 for each in seeds]
        spread = (between_seeds(before) * freedom[0] + between_seeds(after) * freedom[1]) / max(sum(freedom), 1)
        rates = [100 * shares(side).mean(axis=-1) for side in (before, after)]
        variance = variance_of_questions(before, after, [self.behavior, self.frame])
        return [
            Movement(rate, model, None, old, new, 1e4 * var, FRAMES - 1, seeds, 1e4 * sd, sum(freedom))
            for (model, rate), old, new, var, sd in zip(names, *rates, variance, spread, strict=True)
        ]


def gate(world: World, seeds: tuple[int, int], changed: float = 0.0, noisy: float = 1.0) -> list[Finding]:
    """Every rate of every model before and after a training anew, in which no truth changed.

    Args:
        world: The questions.
        seeds: How many on each side.
        changed: The SD of the truth's change by behavior and frame; on average over all behaviors and frames it is none.
        noisy: How much farther seeds move the last model than the others.
    """
    before = world.scores(len(FAMILY))
    after = (before + changed * world.effects(len(FAMILY))) / np.sqrt(1 + changed**2)
    noise = np.array([noisy if model == MODELS[-1] else 1.0 for model, _ in FAMILY])
    sides = (world.answers(each, count, noise=noise) for each, count in zip((before, after), seeds, strict=True))
    return Finding.all(with_pooled_spread(world.movements(FAMILY, *sides)), ALPHA)


def test_the_simulated_seeds_move_as_far_as_those_of_the_miniature() -> None:
    world = World(1)
    answers = world.answers(world.scores(200), 5)
    cells = answers.mean(axis=-1)
    assert 100 * np.sqrt(cells.var(axis=1, ddof=1).mean()) == pytest.approx(2.6, abs=0.15)
    assert 100 * np.sqrt(between_seeds(answers).mean()) == pytest.approx(1.05, abs=0.1)
    assert answers.mean() == pytest.approx(LEVEL, abs=0.01)


@pytest.mark.parametrize(
    ("seeds", "changed", "noisy"),
    [((3, 3), 0.0, 1.0), ((3, 1), 0.0, 1.0), ((3, 3), 0.2, 1.0), ((3, 3), 0.0, 2.5)],
    ids=["reseed", "reseed with one seed", "other behaviors and the same average", "one model moves farther"],
)
def test_where_no_truth_changed_at_most_one_gate_in_twenty_alarms(
    seeds: tuple[int, int], changed: float, noisy: float
) -> None:
    world = World(2)
    alarms = [any(each.regressed for each in gate(world, seeds, changed, noisy)) for _ in range(40)]
    assert np.mean(alarms) <= ALPHA


@pytest.fixture(autouse=True)
def no_collection(monkeypatch: pytest.MonkeyPatch) -> None:
    """statsmodels collects garbage each time that it corrects p-values, which takes longer than all else here."""
    monkeypatch.setattr("gc.collect", lambda: 0)


@pytest.fixture(scope="module")
def unchanged() -> list[Finding]:
    return gate(World(3), (5, 5))


def noticed(unchanged: list[Finding], rise: float, times: int = 100) -> float:
    """How often a rise (0-1) of one rate of one model in all languages is seen at five seeds, beside all that do not change."""
    world, others = World(4), [each.moved for each in unchanged[1:]]
    before = world.scores(times)
    sides = world.answers(before, 5), world.answers(before, 5, LEVEL + rise)
    rises = world.movements([FAMILY[0]] * times, *sides)
    return float(np.mean([Finding.all(with_pooled_spread([each, *others]), ALPHA)[0].regressed for each in rises]))


def test_five_points_in_all_languages_are_noticed_in_four_of_five_comparisons(unchanged: list[Finding]) -> None:
    assert noticed(unchanged, 0.05) >= 0.8


def test_what_stands_as_seen_from_is_seen_and_half_of_it_is_not(unchanged: list[Finding]) -> None:
    seen_from = float(np.mean([each.seen_from for each in unchanged]))
    assert seen_from < MARGIN
    assert 0.7 <= noticed(unchanged, seen_from / 100) <= 0.9
    assert noticed(unchanged, seen_from / 200) <= 0.4
