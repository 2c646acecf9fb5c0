"""The log of tried settings: one line a setting, whatever was tried before."""

import csv
import io
from types import SimpleNamespace
from typing import Any, cast

import pytest
from repository import ROOT

from refuseu.core.errors import UserError
from refuseu.results.outputs import Measurements
from refuseu.review.tried import COLUMNS, LOG, changed, line, with_lines

HEAD = {"seed": "1", "dpo.steps": "150", "train.configs.custom": "{}", "train.seeds": "[0]", "eval.confidence": "0.95"}


def test_what_differs_for_a_model_is_named_and_nothing_else() -> None:
    now = HEAD | {
        "dpo.steps": "100",
        "train.seeds": "[0, 1]",
        "eval.confidence": "0.9",
        "train.configs.mine.languages": "[pl]",
    }
    assert changed("balanced", HEAD, now) == "dpo.steps=100"
    assert changed("mine", HEAD, now) == "dpo.steps=100; train.configs.mine.languages=[pl]"
    assert changed("balanced", HEAD, {"seed": "1"}) == "dpo.steps="
    assert changed("balanced", HEAD, HEAD) == ""


class Found(SimpleNamespace):
    def __getitem__(self, name: str) -> float | None:
        value: float | None = getattr(self, name)
        return value


def scored(asr: float, **others: float | None) -> Measurements:
    known: dict[str, Any] = dict.fromkeys(COLUMNS) | {"asr_lower_bound": asr, "asr_low": asr - 2, "asr_high": asr + 3}
    return cast(Measurements, Found(**known | others))


def setting(config: str, seeds: str = "[0]") -> dict[str, str]:
    return {"commit": "abc", "profile": "miniature", "config": config, "seeds": seeds, "changed": "dpo.steps=100"}


def rows(log: str) -> list[dict[str, str]]:
    return list(csv.DictReader(io.StringIO(log)))


def test_a_line_has_the_scores_with_their_intervals() -> None:
    (found,) = rows(with_lines("", [line(setting("balanced"), scored(10.04, over_refusal=3.0))]))
    assert (found["asr"], found["asr_low"], found["asr_high"]) == ("10.0", "8.0", "13.0")
    assert (found["over_refusal"], found["over_refusal_low"], found["language_consistency"]) == ("3.0", "", "")
    assert found["changed"] == "dpo.steps=100"


def test_a_setting_is_one_line_and_what_was_tried_before_stays() -> None:
    first = with_lines("", [line(setting("balanced"), scored(10.0)), line(setting("custom"), scored(50.0))])
    again = with_lines(
        first, [line(setting("balanced"), scored(9.0)), line(setting("balanced", "[0, 1]"), scored(8.0))]
    )
    assert [(row["config"], row["seeds"], row["asr"]) for row in rows(again)] == [
        ("balanced", "[0]", "9.0"),
        ("custom", "[0]", "50.0"),
        ("balanced", "[0, 1]", "8.0"),
    ]
    assert again.splitlines()[0] == ",".join(COLUMNS)


def test_a_log_of_another_shape_is_refused() -> None:
    with pytest.raises(UserError, match="its first line is not"):
        with_lines("a,b\n1,2\n", [])


def test_the_committed_log_is_one() -> None:
    log = (ROOT / LOG).read_text()
    assert with_lines(log, []) == log
