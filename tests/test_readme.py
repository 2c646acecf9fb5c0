"""The README's results are those of the committed evaluation."""

import json
import re

from repository import ROOT

from refuseu.results.markdown import shown
from refuseu.results.order import main_configs

COLUMNS = (
    "asr",
    "asr_worst",
    "asr_held_out",
    "unparsed_rate",
    "over_refusal",
    "language_consistency",
    "knowledge",
    "fluency",
)


def test_the_table_of_results_is_the_evaluations() -> None:
    metrics = json.loads((ROOT / "metrics/eval.json").read_text())
    results = (ROOT / "README.md").read_text().split("## Results")[1].split("## What")[0]
    found = re.findall(r"^\| ([a-z-]+) \| (\d.*) \|$", results, re.MULTILINE)
    expected = [
        (name, " | ".join(shown(metrics[name][column]) for column in COLUMNS)) for name in main_configs(metrics)
    ]
    assert found == expected
