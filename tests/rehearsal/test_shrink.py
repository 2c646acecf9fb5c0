"""The sizes of a rehearsal: few rows, and all else as the profile says it."""

from pathlib import Path

import pytest
import yaml
from repository import ROOT

from refuseu.parameters import load_all
from refuseu.real_model import set_values
from refuseu.rehearsal.shrink import STEPS, longest, sizes


def test_the_languages_are_english_and_the_one_with_the_longest_rows() -> None:
    assert longest(["de", "lv", "lt", "en"]) == ["en", "lt"]
    assert longest(["en"]) == ["en"]


def test_only_sizes_change() -> None:
    profile = yaml.safe_load((ROOT / "profiles/paper-8b.yaml").read_text())
    changed = sizes(load_all(ROOT, "paper-8b"), profile)["profiles/paper-8b.yaml"]
    assert changed["rainbow-teaming"]["mutator"] == {**profile["rainbow-teaming"]["mutator"], "questions_per_slot": 4}
    assert changed["dpo"].pop("steps") == STEPS
    assert changed["dpo"] == {key: value for key, value in profile["dpo"].items() if key != "epochs"}
    assert changed["eval"]["knowledge"]["tests"] == [
        {"name": "global-mmlu", "limit": 2},
        {"name": "belebele", "limit": 2},
    ]
    assert changed["eval"]["max_new_tokens"] == profile["eval"]["max_new_tokens"]
    assert set(changed) == {"rainbow-teaming", "split", "dpo", "eval"}


@pytest.mark.parametrize("name", sorted(path.stem for path in ROOT.glob("profiles/*.yaml")))
def test_every_profile_can_be_read_in_its_small_size(name: str, tmp_path: Path) -> None:
    (tmp_path / "profiles").mkdir()
    for file in ("params.yaml", "dvc.yaml", f"profiles/{name}.yaml"):
        (tmp_path / file).write_text((ROOT / file).read_text(encoding="utf-8"), encoding="utf-8")
    whole = load_all(ROOT, name)
    set_values(tmp_path, sizes(whole, yaml.safe_load((ROOT / f"profiles/{name}.yaml").read_text())))
    small = load_all(tmp_path)
    assert small.models == whole.models and small.languages == ["en", "lt"]
    assert (len(small.categories), len(small.styles), len(small.train.runs)) == (2, 2, 1)
    assert not {"S4", "S12"} & small.categories.keys()
