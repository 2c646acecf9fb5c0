from typing import Any

import pytest
from pydantic import ValidationError

from refuseu.label.settings import Label

PROTOCOL = {"question": "all", "chosen": "all", "rejected": "any"}
SILENT = {"kind": "llama-guard-3", "model": "guard"}
LINES = {"kind": "chat", "model": "chat", "form": "lines"}
OF_ANSWERS = {"kind": "phrases"}
OF_BOTH = {"kind": "phrases", "questions": SILENT}


def label(question: str, **judges: dict[str, Any]) -> Label:
    return Label.model_validate(
        {**PROTOCOL, "question": question, "judges": judges, "adjudicator": {"kind": "nearest"}}
    )


@pytest.mark.parametrize(
    ("judges", "fault"),
    [
        ({"guard": SILENT}, "judges: none of them reports refusals, so no pair could be kept"),
        ({"guard": SILENT, "chat": LINES}, "judges: none of them reports refusals, so no pair could be kept"),
        (
            {"guard": SILENT, "phrases": OF_ANSWERS},
            "judges.phrases: judges answers alone, so no question could be kept",
        ),
    ],
)
def test_a_panel_that_could_keep_no_pair_is_refused(judges: dict[str, Any], fault: str) -> None:
    with pytest.raises(ValidationError, match=fault):
        label("all", **judges)


def test_a_panel_of_which_no_judge_knows_questions_is_refused_however_many_must_agree() -> None:
    with pytest.raises(ValidationError, match="judges answers alone"):
        label("any", phrases=OF_ANSWERS)


@pytest.mark.parametrize(("question", "phrases"), [("all", OF_BOTH), ("any", OF_ANSWERS)])
def test_a_guard_and_phrases_can_keep_pairs(question: str, phrases: dict[str, Any]) -> None:
    assert label(question, guard=SILENT, phrases=phrases).voters == ("guard", "phrases", "nearest")
