from pathlib import Path
from typing import Any

import pandas as pd
import pytest
from profile_texts import published
from published_set import pairs_of, published_row, write_set

from refuseu.core.errors import UserError
from refuseu.experiment import Experiment
from refuseu.rainbow_teaming.published import published_questions

EXPERIMENT = Experiment(
    languages=["en", "de"],
    categories={"S2": "Fraud", "S4": "Restricted"},
    styles={"slang": "Slang", "role_play": "Role play"},
)


def questions_of(folder: Path, *rows: dict[str, Any]) -> list[dict[str, Any]]:
    dev = [published_row("last", lang, category="nowhere") for lang in ("en", "de")]
    write_set(folder / "mine", pairs_of(rows, dev))
    return published_questions(published(folder), EXPERIMENT)[0].to_dict("records")


def test_category_and_style_are_known_by_key_or_name(tmp_path: Path) -> None:
    described = [("q1", "s2", "Role Play"), ("q2", "FRAUD", "slang"), ("q3", "S2", "haiku"), ("q4", "S2", "")]
    rows = [
        {**published_row(row_id, lang, category=category), "style": style}
        for row_id, category, style in described
        for lang in ("en", "de")
    ]
    found = [
        (each["question_id"], each["category"], None if pd.isna(each["style"]) else each["style"])
        for each in questions_of(tmp_path, *rows)
    ]
    names = ("train-q1", "train-q2", "train-q3", "train-q4")
    assert found == list(zip(names, ["S2"] * 4, ("role_play", "slang", None, None), strict=True))


def test_no_question_left_is_one_sentence_with_the_reasons(tmp_path: Path) -> None:
    rows = [published_row("q1", lang, category="S4") for lang in ("en", "de")]
    with pytest.raises(UserError) as error:
        questions_of(tmp_path, *rows)
    assert error.value.message == (
        "mine: no question is left (1 of a category that no model is shown, 1 of a category that params.yaml does not name); "
        "mend categories in params.yaml"
    )
