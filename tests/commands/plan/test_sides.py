from pathlib import Path

import pytest
from parameter_files import Content
from planned import books_of, changed

from refuseu.commands.plan.sides import ASKS, drawn_sides


def test_every_category_has_as_many_asks_as_are_drawn(tmp_path: Path) -> None:
    books = books_of(changed(tmp_path, lambda params, profile: None))
    assert {len(asks) for book in books.values() for asks in book.behaviors.values()} == {ASKS}


def test_of_few_questions_train_keeps_one_of_every_ask(tmp_path: Path) -> None:
    sides = drawn_sides(changed(tmp_path, lambda params, profile: None), 30)
    assert sides.total() == 30
    assert sides["train"] >= 10 and 5 <= sides["test"] <= 15


def test_a_real_models_run_in_four_languages(tmp_path: Path) -> None:
    """As docs/real-model.md counted them: 45, 15 and 32 of 101 questions."""

    def edit(params: Content, profile: Content) -> None:
        params["styles"] = dict(list(params["styles"].items())[:5])
        profile["split"].update(test_per_cell=1, dev_per_category=2)

    sides = drawn_sides(changed(tmp_path, edit), 101)
    for part, counted in (("train", 45), ("dev", 15), ("test", 32)):
        assert sides[part] == pytest.approx(counted, rel=0.2), part


def test_questions_whose_asks_nobody_knows_hold_nothing_back(tmp_path: Path) -> None:
    def edit(_: Content, profile: Content) -> None:
        profile["models"]["writer"] = {"engine": "openai", "model": "a-model"}
        profile["rainbow-teaming"]["mutator"] = {"kind": "llm", "model": "writer", "max_new_tokens": 9}

    sides = drawn_sides(changed(tmp_path, edit), 5000)
    assert sides == {"test": 140, "dev": 4 * 14, "train": 5000 - 196}
