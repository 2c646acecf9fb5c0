"""Stages that are ended by signals and run again, as ``make torture`` has it, with ten kills."""

from pathlib import Path

import pytest
from repository import ROOT, copy_parts

pytestmark = pytest.mark.slow


def test_ten_kills_cost_no_more_than_the_requests_under_way(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.syspath_prepend(ROOT / "benchmarks")
    import torture

    copy_parts(tmp_path)
    tallies = torture.torture(tmp_path, 10, 1, ["respond"])
    every = tallies.values()
    assert sum(tally.kills for tally in every) == 10
    assert max(twice for tally in every for twice in tally.asked_twice) <= torture.CONCURRENCY
    assert min(twice for tally in every for twice in tally.asked_twice) >= 0
    assert sum(tally.other_bytes + tally.orphans + tally.tracebacks for tally in every) == 0
