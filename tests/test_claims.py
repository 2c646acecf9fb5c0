"""What the pages say of results is what the committed files hold; the README has a test of its own."""

import json
from statistics import fmean
from typing import Any

import yaml
from repository import ROOT

from refuseu.experiment import LANGUAGES

ROWS: list[dict[str, Any]] = json.loads((ROOT / "plots/eval.json").read_text())
"""One row a (model, language)."""


def said(page: str) -> str:
    """The text of a page on one line, without the signs of its comments."""
    return " ".join((ROOT / page).read_text().replace("#", " ").split())


def account(stage: str) -> dict[str, Any]:
    content: dict[str, Any] = json.loads((ROOT / f"metrics/{stage}.json").read_text())
    return content


def test_no_model_of_the_miniature_is_near_unjudgeable() -> None:
    highest = max(ROWS, key=lambda row: row["unparsed_rate"])
    parameters = yaml.safe_load((ROOT / "params.yaml").read_text())
    assert highest["unparsed_rate"] < 100 * parameters["eval"]["max_unparsed"]
    model, language = highest["model"], LANGUAGES[highest["language"]].name
    assert f"all stay below the limit, `{model}` in {language} closest to it." in said("docs/metrics.md")
    share = f"the highest was {highest['unparsed_rate'] / 100:.2f} ({model}, in a language that it was not trained on)"
    assert share in said("params.yaml")
    assert model == "custom" and highest["language"] not in parameters["train"]["languages"]


def test_how_many_answers_are_too_short_to_tell_their_language() -> None:
    by_model: dict[str, list[float]] = {}
    for row in ROWS:
        by_model.setdefault(row["model"], []).append(row["language_undecided"])
    highest = max(ROWS, key=lambda row: row["language_undecided"])
    sentence = (
        f"{fmean(map(fmean, by_model.values())):.1f}% of them are undecided (none of the base's, at most "
        f"{max(map(fmean, by_model.values())):.1f}% of one model's, and {highest['language_undecided']:.1f}% of "
        f"`{highest['model']}`'s in {LANGUAGES[highest['language']].name})."
    )
    assert sentence in said("docs/metrics.md") and not any(by_model["base"])


def test_the_miniatures_answers_are_one_line_each() -> None:
    assert "one line each, so both rates are the same there" in said("docs/metrics.md")
    assert all(row["language_consistency"] == row["line_pass_rate"] for row in ROWS)


def test_nearly_half_of_dev_is_held_out() -> None:
    dev = account("split")["parts"]["dev"]
    assert "Nearly half of the miniature's dev questions" in said("docs/experiments.md")
    assert 0.4 < dev["held_out_questions"] / dev["questions"] < 0.5


def test_nearly_every_attack_makes_the_base_answer() -> None:
    search = account("rainbow-teaming")
    assert "Nearly every question in an attack style makes it answer" in said("docs/architecture.md")
    assert search["rejected"]["harmless"] < 0.02 * search["rows_in"]
