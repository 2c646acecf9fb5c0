import shutil
from pathlib import Path

import pytest
import yaml
from click.testing import CliRunner
from parameter_files import write
from repository import ROOT

from refuseu.commands.config import main
from refuseu.experiment import LANGUAGES


@pytest.fixture
def runnable(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A repository's parameters and phrasebooks, and a place for its row store."""
    write(tmp_path)
    shutil.copytree(ROOT / "machines", tmp_path / "machines")
    (tmp_path / "data").mkdir()
    (tmp_path / "data" / "phrasebook").symlink_to(ROOT / "data" / "phrasebook")
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("REFUSEU_STORE", str(tmp_path / "rows.sqlite"))
    monkeypatch.delenv("REFUSEU_MACHINE", raising=False)
    return tmp_path


def test_what_is_in_order_is_passed_in_silence(runnable: Path) -> None:
    for name in ("balanced", "custom"):
        (runnable / "models" / "dpo" / name).mkdir(parents=True)
    result = CliRunner().invoke(main)
    assert (result.exit_code, result.output) == (0, "")


def test_a_language_that_the_identifier_does_not_know_is_named_before_any_stage(
    runnable: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(LANGUAGES, "nb", "Norwegian Bokmål")
    (runnable / "params.yaml").write_text(
        (runnable / "params.yaml").read_text().replace("languages:\n- en\n", "languages:\n- en\n- nb\n", 1)
    )
    result = CliRunner().invoke(main)
    assert result.exit_code == 1
    assert "languages: the identifier py3langid has no language 'nb'" in result.output


def test_a_category_that_no_phrasebook_has_is_named_before_any_stage(runnable: Path) -> None:
    text = (runnable / "params.yaml").read_text()
    (runnable / "params.yaml").write_text(text.replace("categories:\n", "categories:\n  S15: Fifteenth\n"))
    assert CliRunner().invoke(main).output == (
        "Error: data/phrasebook/en.yaml: behaviors.S15: missing; params.yaml names it, so every language needs it\n"
    )


def test_a_model_of_no_config_is_named_before_any_stage(runnable: Path) -> None:
    (runnable / "models/dpo/slavic/0").mkdir(parents=True)
    (runnable / "models/dpo/slavic/0/config.json").write_text("{}")
    assert "models/dpo/slavic: not trained by train.configs, train.single and train" in CliRunner().invoke(main).output


def test_a_row_store_that_is_none_is_named_before_any_stage(runnable: Path) -> None:
    (runnable / "rows.sqlite").write_bytes(b"no database " * 100)
    assert "rows.sqlite: not a row store" in CliRunner().invoke(main).output


def test_a_parameter_that_is_wrong_is_named_before_any_stage(runnable: Path) -> None:
    text = (runnable / "params.yaml").read_text()
    (runnable / "params.yaml").write_text(text.replace("reference: balanced", "reference: slavic"))
    assert CliRunner().invoke(main).output == (
        "Error: params.yaml or profiles/smoke.yaml: eval.reference: 'slavic' is not one of train.configs\n"
    )


def test_an_unknown_machine_is_named_before_any_stage(runnable: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("REFUSEU_MACHINE", "cluster")
    result = CliRunner().invoke(main)
    assert (result.exit_code, "REFUSEU_MACHINE must be one of: cpu" in result.output) == (1, True)


def test_a_model_that_cannot_be_had_here_is_named_before_any_stage(
    runnable: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("A_KEY", raising=False)
    path = runnable / "profiles" / "smoke.yaml"
    profile = yaml.safe_load(path.read_text())
    profile["models"]["ruler"] = {"engine": "openai", "model": "a-model", "key": "A_KEY"}
    profile["label"]["adjudicator"] = {"kind": "chat", "model": "ruler"}
    path.write_text(yaml.safe_dump(profile))
    result = CliRunner().invoke(main)
    assert result.exit_code == 1
    assert result.output == (
        "Error: models.ruler: the environment variable A_KEY holds no key; export A_KEY=… before the stage is run\n"
    )
