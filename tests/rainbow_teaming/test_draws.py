from collections import Counter

import pytest

from refuseu.rainbow_teaming.draws import drawn, uniform

NAMES = [f"thing {number}" for number in range(20)]


def draws(items: list[str], weights: list[float] | None = None, count: int = 4000) -> list[str]:
    return [drawn(items, f"1-{number}", str, weights) for number in range(count)]


def test_numbers_are_uniform_and_never_at_an_end() -> None:
    numbers = [uniform(str(seed), "name") for seed in range(4000)]
    assert 0 < min(numbers) < 0.01 and 0.99 < max(numbers) < 1
    assert sum(numbers) / 4000 == pytest.approx(0.5, abs=0.02)
    assert uniform("a", "b") == uniform("a", "b") != uniform("ab")


def test_what_weighs_more_is_drawn_more_often_in_proportion() -> None:
    counts = Counter(draws(["one", "three", "none", "six"], [1, 3, 0, 6]))
    assert set(counts) == {"one", "three", "six"}
    assert [counts[name] / 4000 for name in ("one", "three", "six")] == pytest.approx([0.1, 0.3, 0.6], abs=0.03)


def test_without_weights_all_are_drawn_alike() -> None:
    assert [count / 4000 for count in Counter(draws(NAMES)).values()] == pytest.approx([0.05] * 20, abs=0.015)


def test_weights_of_any_size_decide() -> None:
    assert draws(["light", "heavy"], [1e-300, 2e-300], 300).count("heavy") == pytest.approx(200, abs=40)


def test_a_thing_more_changes_the_draws_alone_that_it_wins() -> None:
    before, after = draws(NAMES), draws([*NAMES[:7], "new", *NAMES[7:]])
    changed = [new for old, new in zip(before, after, strict=True) if old != new]
    assert set(changed) == {"new"} and 0.03 < len(changed) / 4000 < 0.07


def test_a_thing_that_weighs_more_now_changes_the_draws_alone_that_it_wins() -> None:
    weights = [1.0] * 20
    before, after = draws(NAMES, weights), draws(NAMES, [*weights[:-1], 2.0])
    assert {new for old, new in zip(before, after, strict=True) if old != new} == {NAMES[-1]}
