"""What DVC shows of the committed results fits a terminal, and holds numbers alone."""

import json
import subprocess
import sys
from pathlib import Path

from repository import ROOT

from refuseu.results.metrics import HEADLINE

WIDEST = 120
"""Columns of a terminal."""
DVC = Path(sys.executable).parent / "dvc"


def test_dvc_shows_a_row_a_model_in_a_terminals_width() -> None:
    shown = subprocess.run([DVC, "metrics", "show"], cwd=ROOT, capture_output=True, text=True, check=True).stdout
    header, *rows = shown.splitlines()
    models = json.loads((ROOT / "plots/eval/averages.json").read_text())
    assert header.split() == ["Path", *sorted(metric.headline for metric in HEADLINE)]
    assert sorted(row.split()[0] for row in rows) == sorted(f"metrics/eval/{model}.json" for model in models)
    assert max(map(len, shown.splitlines())) <= WIDEST


def test_metrics_are_rounded_averages_and_no_hashes() -> None:
    averages = json.loads((ROOT / "plots/eval/averages.json").read_text())
    for model, average in averages.items():
        found = json.loads((ROOT / f"metrics/eval/{model}.json").read_text())
        assert found.keys() == {metric.headline for metric in HEADLINE}
        for metric in HEADLINE:
            assert found[metric.headline] in _rounded(average[metric.name]), (model, metric.name)


def _rounded(number: float | None) -> set[float | None]:
    """To one decimal; the worst of languages is none where one of them is a range.

    The averages are kept with four decimals, so one that ends in 50 there was a little more or less than the half.
    """
    return {None} if number is None else {round(number + last, 1) for last in (-5e-5, 5e-5)}
