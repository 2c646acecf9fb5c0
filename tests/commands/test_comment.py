"""The comment on a pull request as a reviewer reads it, and that GitHub takes it whatever the branch holds."""

import hashlib
import json
import os
import re
import subprocess
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner
from repository import ROOT

from refuseu.commands import comment as command
from refuseu.commands.comment import MOST_BYTES, Block, Parts, comment, gate, numbers, safe
from refuseu.experiment import LANGUAGES
from refuseu.review.changes import (
    ASR,
    RATES,
    Cell,
    Cells,
    cells_at,
    changes,
    headlines,
    heatmap,
    parameter_changes,
    parameters_at,
)
from refuseu.review.gate import Finding, Verdict
from refuseu.review.paired import RATES as GATED
from refuseu.review.paired import Movement

TWELVE = list(LANGUAGES)[:12]


def cell(model: str, language: str, asr: float | None, **others: float | None) -> Cell:
    """One with an ASR, or a range from 10 to 90 for ``None``."""
    bounds = (10.0, 90.0) if asr is None else (asr, asr)
    rest = dict.fromkeys((metric.name for metric in RATES), 0.0) | {"asr": asr} | others
    return Cell(model=model, language=language, asr_lower_bound=bounds[0], asr_upper_bound=bounds[1], **rest)


def cells(rates: dict[str, dict[str, float | None]], **others: float | None) -> dict[str, Cells]:
    """By model; ``rates`` are its ASR by language."""
    return {
        model: {lang: cell(model, lang, asr, **others) for lang, asr in own.items()} for model, own in rates.items()
    }


def test_a_headline_names_the_averages_before_and_now_and_the_language_that_is_worst_now() -> None:
    before = cells({"balanced": {"pl": 8.2, "sl": 5.0}, "same": {"pl": 1.0, "sl": 1.0}})
    after = cells({"balanced": {"pl": 8.2, "sl": 96.0}, "same": {"pl": 1.0, "sl": 1.0}})
    assert headlines(changes(before, after)).rows == [
        ["balanced", "6.6 → 52.1", "sl 5.0 → 96.0", "0.0", "0.0", "0.0", "0.0"]
    ]


def test_the_model_that_got_worse_most_in_any_rate_comes_first_and_what_improved_is_there_too() -> None:
    before = cells({"better": {"pl": 60.0}, "worse": {"pl": 10.0}, "refuses": {"pl": 50.0}}, over_refusal=4.0)
    after = cells({"better": {"pl": 20.0}, "worse": {"pl": 30.0}}, over_refusal=4.0)
    after |= cells({"refuses": {"pl": 1.0}}, over_refusal=71.0)
    found = changes(before, after)
    assert [each.model for each in found] == ["refuses", "worse", "better"]
    assert heatmap(ASR, found).rows == [["refuses", "🟦−49"], ["worse", "🟧+20"], ["better", "🟦−40"]]  # type: ignore[union-attr]


@pytest.mark.parametrize(
    ("before", "after", "shown"),
    [
        (10.0, 30.0, "🟧+20"),
        (10.0, 29.4, "🔸+19"),
        (10.0, 15.0, "🔸+5"),
        (10.0, 14.4, "+4"),
        (10.0, 5.0, "🔹−5"),
        (30.0, 10.0, "🟦−20"),
        (None, 10.0, "?"),
    ],
)
def test_a_difference_has_a_sign_and_a_mark(before: float | None, after: float, shown: str) -> None:
    found = changes(cells({"m": {"pl": before}}), cells({"m": {"pl": after}}))
    assert heatmap(ASR, found).rows == [["m", shown]]  # type: ignore[union-attr]


def test_less_than_half_a_point_and_a_range_that_stays_are_no_row() -> None:
    assert changes(cells({"m": {"pl": None, "sl": 1.0}}), cells({"m": {"pl": None, "sl": 1.04}})) == []
    found = changes(cells({"m": {"pl": None, "sl": 1.0}}), cells({"m": {"pl": None, "sl": 1.4}}))
    assert heatmap(ASR, found) is None


def test_for_a_rate_of_which_more_is_better_less_is_worse() -> None:
    consistency = next(metric for metric in RATES if metric.better == "higher")
    before, after = (cells({"m": {"pl": 0.0}}, **{consistency.name: value}) for value in (99.0, 60.0))
    assert heatmap(consistency, changes(before, after)).rows == [["m", "🟧−39"]]  # type: ignore[union-attr]


def test_parameters_are_named_with_both_values_and_long_ones_where_they_part() -> None:
    old, new = {"a": "1", "same": "x", "gone": "y"}, {"a": "2", "same": "x", "new": "z"}
    assert parameter_changes(old, new) == ["a: 1 → 2", "new: – → z", "gone: y → –"]
    languages = ", ".join(TWELVE)
    line = parameter_changes({"languages": f"[{languages}]"}, {"languages": f"[{languages}, nl]"})
    assert line == ["languages: …l, lt, lv] → …l, lt, lv, nl]"]
    many = parameter_changes({}, {f"key{number}": "1" for number in range(40)})
    assert (len(many), many[-1]) == (16, "and 25 more")


def verdict(models: list[str], languages: list[str]) -> Verdict:
    """All rates of all models worse in all languages."""

    def moved(lang: str | None, number: int) -> list[Movement]:
        after = 50 + number / 10
        return [Movement(rate, model, lang, 1.0, after, 1.0, 39, (3, 3), 1.0, 24) for rate in GATED for model in models]

    cells = [each for number, lang in enumerate(languages) for each in moved(lang, number)]
    return Verdict(*(Finding.all(each, 0.05) for each in (moved(None, 0), cells)), 0.05, 5.0, [])


def written(monkeypatch: pytest.MonkeyPatch, models: list[str], languages: list[str]) -> str:
    """The comment where everything got worse in every model and language."""
    worst = [
        cells({model: dict.fromkeys(languages, 1.0 + 90 * late) for model in models}, **others)
        for late, others in enumerate(
            ({}, {"unparsed_rate": 30.0, "over_refusal": 80.0, "language_consistency": -50.0, "knowledge": -60.0})
        )
    ]
    monkeypatch.setattr(command, "cells_at", lambda revision: worst[revision is None])
    parts = Parts()
    parts.add(
        "Parameters", lambda: [Block("Parameters", "\n".join(parameter_changes({}, dict.fromkeys(models, "x" * 500))))]
    )
    parts.add("Models", lambda: numbers("main"))
    parts.add("Gate", lambda: gate(verdict(models, languages)))
    return parts.markdown("## Evaluation against main: worse")


def test_a_bad_pull_request_is_told_whole_in_two_screens(monkeypatch: pytest.MonkeyPatch) -> None:
    """18 models x 12 languages, every rate worse in each: 77,675 characters once."""
    text = written(monkeypatch, [f"only-model-{number}" for number in range(18)], TWELVE)
    assert len(text.encode()) < MOST_BYTES and "Too long" not in text
    unfolded = re.sub(r"<details>.*?</details>", "", text, flags=re.DOTALL)
    assert len(unfolded.splitlines()) <= 100
    assert text.count("<details>") == text.count("</details>") == text.count("<summary>")


@pytest.mark.parametrize("languages", [TWELVE, [f"language-{number}" for number in range(300)]])
def test_whatever_is_compared_github_takes_the_comment_and_what_is_left_out_is_named(
    languages: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    text = written(monkeypatch, [f"{'|`*<' * 100}{number}" for number in range(60)], languages)
    assert len(text.encode()) <= MOST_BYTES
    last = text.splitlines()[-1]
    assert last.startswith("Too long for a comment, so left out: ") and "Single languages that got worse" in last
    assert text.count("<details>") == text.count("</details>")


def test_a_block_is_there_as_a_whole_or_named() -> None:
    blocks = [Block("small", "one", folded=False), Block("large", "é" * MOST_BYTES), Block("last", "two")]
    text = comment("## Title", blocks)
    assert "one" in text and "two" in text and "é" not in text
    assert text.endswith("so left out: large. `make comment` and the gate print them.\n")


def test_what_a_branch_holds_is_shown_and_does_nothing() -> None:
    assert safe("<img src=x> | `a` @org/team\n# b") == "\\<img src=x\\> \\| \\`a\\` @\u200borg/team \\# b"


def typed(folder: Path, *arguments: str) -> None:
    names = {f"GIT_{role}_{what}": "a@b.c" for role in ("AUTHOR", "COMMITTER") for what in ("NAME", "EMAIL")}
    subprocess.run(["git", *arguments], cwd=folder, env={**os.environ, **names}, check=True, capture_output=True)


def lock_numbers(folder: Path) -> None:
    """A dvc.lock that names the numbers as they lie there."""
    digest = hashlib.md5((folder / "plots/eval.json").read_bytes()).hexdigest()
    outputs = [{"path": "plots/eval.json", "md5": digest}]
    lock = {"schema": "2.0", "stages": {"eval": {"cmd": "stages/run eval", "outs": outputs}}}
    (folder / "dvc.lock").write_text(f"{json.dumps(lock)}\n")


@pytest.fixture
def project(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The committed parameters, numbers and one figure at ``main``."""
    for name in ("params.yaml", "profiles/miniature.yaml", "plots/eval.json"):
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_bytes((ROOT / name).read_bytes())
    (tmp_path / "plots/figures").mkdir()
    (tmp_path / "plots/figures/figure2.png").write_bytes(b"\x89PNG before")
    (tmp_path / "plots/figures/figure3.png").write_bytes(b"\x89PNG same")
    lock_numbers(tmp_path)
    typed(tmp_path, "init", "-q", "-b", "main")
    typed(tmp_path, "add", "-A")
    typed(tmp_path, "commit", "-qm", "main")
    monkeypatch.chdir(tmp_path)
    return tmp_path


def test_a_model_that_got_worse_as_the_reviewer_reads_it(project: Path) -> None:
    rows: list[dict[str, Any]] = json.loads((project / "plots/eval.json").read_text())
    for row in rows:
        if row["model"] == "balanced" and row["language"] == "sl":
            row |= {"asr": 96.0, "asr_lower_bound": 96.0, "asr_upper_bound": 96.0}
    rows.append(rows[0] | {"model": "new|<b>@org"})
    (project / "plots/eval.json").write_text(json.dumps(rows))
    lock_numbers(project)
    params = project / "params.yaml"
    params.write_text(params.read_text().replace("benign_share: 0.18", "benign_share: 0.1"))
    (project / "plots/figures/figure2.png").write_bytes(b"\x89PNG now")
    result = CliRunner().invoke(command.main, ["main", "--out", ".cache/comment.md"])
    text = Path(".cache/comment.md").read_text(encoding="utf-8")
    assert result.exit_code == 2, "there is no evaluation in DVC to be judged"
    assert text.startswith("## Evaluation against main: not compared\n")
    assert "\n    train.benign_share: 0.18 → 0.1\n" in text
    assert re.search(r"^\| balanced \| \d+\.\d → \d+\.\d \| sl \d+\.\d → 96\.0 \|", text, re.MULTILINE)
    assert "17 models without a difference. Only now: new\\|\\<b\\>@\u200borg." in text
    assert text.count("| balanced |") == 2, "the headline and the differences"
    assert (
        "| ![figure2.png before](comment-before/figure2.png) | ![figure2.png](../plots/figures/figure2.png) |" in text
    )
    assert Path(".cache/comment-before/figure2.png").read_bytes() == b"\x89PNG before"
    assert "figure3" not in text


def test_where_nothing_changed_it_is_said(project: Path) -> None:
    CliRunner().invoke(command.main, ["main", "--out", "comment.md"])
    text = Path("comment.md").read_text(encoding="utf-8")
    assert "**Parameters**\n\nNone changed.\n" in text
    assert "**Models**\n\n18 models without a difference.\n" in text
    assert "Differences" not in text and "Figures" not in text


@pytest.mark.parametrize(
    ("content", "said"),
    [
        ("{", "plots/eval.json at 'the workspace' is not JSON"),
        ('[{"model": "m"}]', "plots/eval.json at 'the workspace': row 1: asr: missing"),
    ],
)
def test_numbers_of_another_day_are_refused_in_one_sentence(content: str, said: str, project: Path) -> None:
    (project / "plots/eval.json").write_text(content)
    lock_numbers(project)
    CliRunner().invoke(command.main, ["main", "--out", "comment.md"])
    text = Path("comment.md").read_text(encoding="utf-8")
    sentence = text.partition("**Models**\n\n")[2].splitlines()[0].replace("\\", "")
    assert sentence.startswith(said) and sentence.endswith("; the numbers of the two cannot be compared")


def test_parameters_are_read_with_their_profile(project: Path) -> None:
    found = parameters_at("main")
    assert (found["profile"], found["train.benign_share"]) == ("miniature", "0.18")
    assert found["languages"].startswith("[en, de, ")
    assert "dpo.beta" in " ".join(found)
    assert len(cells_at("main")) == 18
