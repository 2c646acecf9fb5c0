"""What the pages say of results is what the committed files hold; the README has a test of its own."""

import json
from typing import Any

from repository import ROOT

ROWS: list[dict[str, Any]] = json.loads((ROOT / "plots/eval.json").read_text())
"""One row a (model, language)."""


def said(page: str) -> str:
    """The text of a page on one line, without the signs of its comments."""
    return " ".join((ROOT / page).read_text().replace("#", " ").split())


def account(stage: str) -> dict[str, Any]:
    content: dict[str, Any] = json.loads((ROOT / f"metrics/{stage}.json").read_text())
    return content


def test_the_miniatures_answers_are_one_line_each() -> None:
    assert "one line each, so both rates are the same there" in said("docs/metrics.md")
    assert all(row["language_consistency"] == row["line_pass_rate"] for row in ROWS)


def test_many_dev_questions_are_held_out() -> None:
    dev = account("split")["parts"]["dev"]
    assert "Many of the miniature's dev questions ask for behaviors that training never sees" in said(
        "docs/experiments.md"
    )
    assert dev["held_out_questions"] > 0.2 * dev["questions"]
