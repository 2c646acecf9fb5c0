"""``dvc exp run -S`` writes a whole file anew; the files stand in DVC's own style, so that it changes what was set alone."""

import shutil
from difflib import ndiff
from pathlib import Path

import pytest
from dvc.utils.hydra import apply_overrides
from repository import ROOT

PROFILES = sorted(path.relative_to(ROOT).as_posix() for path in (ROOT / "profiles").glob("*.yaml"))


def changes(name: str, override: str, folder: Path) -> list[str]:
    """The lines that DVC takes away (``- ``) and adds (``+ ``) when it sets a parameter."""
    shutil.copy2(ROOT / name, folder / "file.yaml")
    before = (folder / "file.yaml").read_text(encoding="utf-8")
    apply_overrides(folder / "file.yaml", [override])
    after = (folder / "file.yaml").read_text(encoding="utf-8")
    return [line for line in ndiff(before.splitlines(), after.splitlines()) if line[0] in "+-"]


@pytest.mark.parametrize("name", ["params.yaml", *PROFILES])
def test_a_setting_that_is_new_adds_its_own_line(name: str, tmp_path: Path) -> None:
    assert changes(name, "+a_new_one=2", tmp_path) == ["+ a_new_one: 2"]


@pytest.mark.parametrize(
    ("override", "lines"),
    [
        ("seed=2", ["- seed: 1", "+ seed: 2"]),
        ("profile=smoke", ["- profile: miniature", "+ profile: smoke"]),
        ("train.languages=[pl,cs]", ["-   - en", "+   - cs"]),
        ("+train.configs.custom.benign_share=0.5", ["-     custom: {}", "+     custom:", "+       benign_share: 0.5"]),
        ("+eval.models.mine.folder=/a/b", ["-   models: {}", "+   models:", "+     mine:", "+       folder: /a/b"]),
        ("categories.S1=Other", ["-   S1: Violent Crimes", "+   S1: Other"]),
        (
            "published.revision=abc",
            [
                "-   revision: # a commit of the dataset; nothing takes the newest one",
                "+   revision: abc # a commit of the dataset; nothing takes the newest one",
            ],
        ),
    ],
)
def test_an_experiment_changes_what_it_sets_and_no_comment(override: str, lines: list[str], tmp_path: Path) -> None:
    found = changes("params.yaml", override, tmp_path)
    assert sorted(found) == sorted(lines)


def test_a_list_may_be_set_and_what_stands_after_it_stays(tmp_path: Path) -> None:
    found = changes("params.yaml", "languages=[en,de]", tmp_path)
    assert found == [f"- - {code}" for code in ("fr", "it", "es", "pt", "pl", "cs", "sk", "sl", "lt", "lv")]
