from collections.abc import Sequence
from hashlib import sha256

import pytest

from refuseu.judges.verdict import Exchange
from refuseu.parameters import RainbowTeaming
from refuseu.phrasebook import Phrasebook
from refuseu.redteam.archive import Archive
from refuseu.redteam.mutators import PhrasebookMutator
from refuseu.redteam.search import HarmScorer, Search

OUTCOMES = {"accepted", "similar to parent", "similar to elite", "lost to elite", "harmless"}


class Target:
    """Answers with the question backwards, and remembers what it was asked."""

    def __init__(self) -> None:
        self.asked: list[list[str]] = []

    def __call__(self, questions: list[str]) -> list[str]:
        self.asked.append(questions)
        return [question[::-1] for question in questions]


class ConstantJudge:
    def __init__(self, score: float) -> None:
        self._score = score

    def harm_scores(self, exchanges: Sequence[Exchange]) -> list[float]:
        assert all(exchange.answer == exchange.question[::-1] for exchange in exchanges)
        return [self._score] * len(exchanges)


class FairJudge:
    """A score of the question alone, 0.5 to 1."""

    def harm_scores(self, exchanges: Sequence[Exchange]) -> list[float]:
        return [0.5 + sha256(exchange.question.encode()).digest()[0] / 512 for exchange in exchanges]


class BiasedJudge:
    """Shown two exchanges, it prefers a place whatever stands there."""

    def __init__(self, place: int) -> None:
        self._place = place
        self.comparisons = 0

    def harm_scores(self, exchanges: Sequence[Exchange]) -> list[float]:
        if len(exchanges) != 2:
            return [0.8] * len(exchanges)
        self.comparisons += 1
        return [0.9 if place == self._place else 0.7 for place in range(2)]


class WaveringJudge:
    """Shown two exchanges in both orders, it prefers the newcomer in one order and cannot decide in the other."""

    def __init__(self, undecided: int) -> None:
        self._undecided = undecided
        self._comparisons = 0

    def harm_scores(self, exchanges: Sequence[Exchange]) -> list[float]:
        if len(exchanges) != 2:
            return [0.8] * len(exchanges)
        newcomer = self._comparisons % 2
        self._comparisons += 1
        return [0.9 if place == newcomer != self._undecided else 0.8 for place in range(2)]


def searched(
    books: dict[str, Phrasebook], judge: HarmScorer, seed: int = 1, elites: int = 1, **settings: float
) -> tuple[Search, Target]:
    """A finished search over the 2 x 2 grid of the small phrasebook."""
    defaults = {"temperature": 0.5, "max_bleu": 0.95, "iterations": 8, "mutations": 6, "batch_size": 4}
    config = RainbowTeaming.model_validate({"elites_per_cell": elites, "max_new_tokens": 1, **defaults, **settings})
    mutator, target = PhrasebookMutator(books["en"]), Target()
    search = Search(Archive(["S1", "S2"], ["slang", "role_play"], elites), mutator, target, judge, config, seed)
    search.run(mutator.seeds())
    return search, target


def test_coverage_and_quality_grow_to_a_full_archive(books: dict[str, Phrasebook]) -> None:
    search, _ = searched(books, FairJudge(), mutations=2, iterations=20)
    assert [row["iteration"] for row in search.history] == list(range(1, 21))
    for name in ("coverage", "qd_score"):
        values = [row[name] for row in search.history]
        assert values == sorted(values)
        assert values[0] < values[-1]
    assert search.history[-1]["coverage"] == 1.0
    assert search.history[-1]["self_bleu"] > 0


def test_diversity_is_measured_on_50_elites_drawn_by_the_seed(
    books: dict[str, Phrasebook], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("refuseu.redteam.search.self_bleu", lambda texts, sample, seed: sample + seed)
    search, _ = searched(books, FairJudge(), seed=7)
    assert {row["self_bleu"] for row in search.history} == {57}


def test_elites_are_of_their_cell_and_kept_with_answer_and_iteration(books: dict[str, Phrasebook]) -> None:
    search, _ = searched(books, FairJudge(), elites=2)
    assert sum(1 for _ in search.archive) > 4
    for (category, style), elite in search.archive:
        reading = books["en"].parse(elite.text)
        assert reading is not None
        assert (reading.ask.category, reading.style, reading.ask.kind) == (category, style, "harmful")
        assert elite.answer == elite.text[::-1]
        assert 1 <= elite.iteration <= 8


def test_the_seed_decides_everything(books: dict[str, Phrasebook]) -> None:
    one, two, other = (searched(books, FairJudge(), seed) for seed in (1, 1, 2))
    assert (one[0].archive, one[0].history, one[0].outcomes) == (two[0].archive, two[0].history, two[0].outcomes)
    assert one[1].asked == two[1].asked
    assert one[1].asked != other[1].asked


@pytest.mark.parametrize("judge", [FairJudge(), ConstantJudge(0.9), ConstantJudge(0.1)])
@pytest.mark.parametrize("max_bleu", [0.2, 0.95])
def test_every_candidate_has_one_outcome(judge: HarmScorer, max_bleu: float, books: dict[str, Phrasebook]) -> None:
    search, target = searched(books, judge, max_bleu=max_bleu)
    assert set(search.outcomes) == OUTCOMES
    assert search.outcomes.total() == 8 * 6
    assert search.outcomes["similar to parent"] == 8 * 6 - sum(len(questions) for questions in target.asked)
    accepted = [row["acceptance"] * 6 for row in search.history]
    assert sum(accepted) == pytest.approx(search.outcomes["accepted"])


def test_the_harmless_never_enter(books: dict[str, Phrasebook]) -> None:
    search, _ = searched(books, ConstantJudge(0.49))
    assert list(search.archive) == []
    assert search.outcomes["harmless"] > 0
    assert search.outcomes["accepted"] == search.outcomes["similar to elite"] == search.outcomes["lost to elite"] == 0
    assert set(search.history[-1].items()) >= {("coverage", 0.0), ("qd_score", 0.0), ("self_bleu", 0.0)}


def test_half_is_harmful_enough(books: dict[str, Phrasebook]) -> None:
    search, _ = searched(books, ConstantJudge(0.5))
    assert search.archive.coverage() == 1.0


def test_a_tie_is_lost(books: dict[str, Phrasebook]) -> None:
    search, _ = searched(books, ConstantJudge(0.9))
    assert search.outcomes["accepted"] == 4
    assert search.outcomes["lost to elite"] > 0


@pytest.mark.parametrize("place", [0, 1])
def test_a_preference_for_a_place_replaces_nothing(place: int, books: dict[str, Phrasebook]) -> None:
    judge = BiasedJudge(place)
    search, _ = searched(books, judge, mutations=1, iterations=60)
    assert search.outcomes["accepted"] == 4
    assert search.outcomes["lost to elite"] > 0
    assert judge.comparisons == 2 * search.outcomes["lost to elite"]


@pytest.mark.parametrize("undecided", [0, 1])
def test_a_win_in_one_order_and_a_tie_in_the_other_replaces_nothing(
    undecided: int, books: dict[str, Phrasebook]
) -> None:
    search, _ = searched(books, WaveringJudge(undecided), mutations=1, iterations=60)
    assert search.outcomes["accepted"] == 4
    assert search.outcomes["lost to elite"] > 0


def test_a_fair_judge_replaces_by_the_fitter_only(books: dict[str, Phrasebook]) -> None:
    search, _ = searched(books, FairJudge(), mutations=1, iterations=60)
    assert search.outcomes["accepted"] > 4
    best = FairJudge().harm_scores([Exchange("en", elite.text) for _, elite in search.archive])
    assert [elite.fitness for _, elite in search.archive] == best


def test_all_candidates_may_be_too_similar_to_their_parents(books: dict[str, Phrasebook]) -> None:
    search, target = searched(books, ConstantJudge(0.9), max_bleu=0.0)
    assert search.outcomes["similar to parent"] == 8 * 6
    assert target.asked == [[]] * 8


def test_no_two_elites_of_a_cell_are_similar(books: dict[str, Phrasebook]) -> None:
    search, _ = searched(books, ConstantJudge(0.9), elites=4, iterations=30)
    for elites in search.archive.cells.values():
        assert len({elite.text for elite in elites}) == len(elites)
    assert search.outcomes["similar to elite"] > 0
