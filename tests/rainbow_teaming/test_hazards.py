from pathlib import Path

import pytest
import yaml
from repository import ROOT

from refuseu.core.errors import UserError
from refuseu.experiment import RESTRICTED
from refuseu.rainbow_teaming.hazards import read_hazards

CATEGORIES = {"S1": "First", "S4": "Fourth", "S12": "Twelfth", "X1": "Own"}


def read(tmp_path: Path, text: str) -> dict[str, str]:
    path = tmp_path / "hazards.yaml"
    path.write_text(text, encoding="utf-8")
    return read_hazards(path, CATEGORIES)


def test_a_category_is_its_name_and_definition_but_for_the_withheld_ones(tmp_path: Path) -> None:
    text = "S1: a first line\nS4: a line\nS12: a line\nX1: one's own\nX2: of no category"
    assert read(tmp_path, text) == {"S1": "First: a first line", "X1": "Own: one's own"}


@pytest.mark.parametrize("text", ["S1: a first line", "S1: a first line\nX1: ''", "S1: a first line\nX1: [a]"])
def test_a_category_without_a_definition_is_one_sentence(text: str, tmp_path: Path) -> None:
    with pytest.raises(UserError) as error:
        read(tmp_path, text)
    assert (
        error.value.message == f"{tmp_path / 'hazards.yaml'}: no definition of category X1 (Own); write a line 'X1: …'"
    )


def test_a_file_of_no_entries_and_a_missing_one_are_one_sentence(tmp_path: Path) -> None:
    with pytest.raises(UserError, match="no definition of category S1"):
        read(tmp_path, "- S1")
    with pytest.raises(UserError, match="cannot be read"):
        read_hazards(tmp_path / "none.yaml", CATEGORIES)


def test_the_projects_definitions_are_whole_and_hold_no_withheld_category() -> None:
    path = ROOT / "data/prompts/hazards.yaml"
    categories = yaml.safe_load((ROOT / "params.yaml").read_text(encoding="utf-8"))["categories"]
    assert set(read_hazards(path, categories)) == set(categories) - RESTRICTED
    assert not RESTRICTED & set(yaml.safe_load(path.read_text(encoding="utf-8")))
