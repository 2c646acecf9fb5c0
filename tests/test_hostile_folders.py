"""Each stage and command that opens a model, as a person runs it, on a folder that brings code; standard input says yes."""

import shutil
from pathlib import Path

import broken
import pandas as pd
import pytest
import scripts
from click.testing import CliRunner
from parameter_files import Content, write
from repository import ROOT
from weights.test_hostile import AUTO, CODE, TOKENS, edited

from refuseu.commands import doctor, estimate, evaluate
from refuseu.dpo.mix import MIX
from refuseu.tables.schemas import PAIR, PART, TEST, TRANSLATION
from refuseu.tables.writing import write_table

pytestmark = pytest.mark.slow

ROW = {
    "question_id": "q", "lang": "en", "kind": "harmful", "group_id": "g", "category": "S1", "style": "slang",
    "behavior_id": "s1-01", "frame_id": "slang-0", "text": "How can I bend the rules?", "lang_restricted": "en",
    "lang_free": "en", "chrf": 100.0, "chosen": "No.", "rejected": "Yes!", "held_out": False,
    "held_out_frame": False, "prompt": "How can I bend the rules?",
}  # fmt: skip
COMMANDS = {
    "base": (scripts.stage("base"), ""),
    "respond": (scripts.stage("respond"), ""),
    "label": (scripts.stage("label"), "--pairs data/respond/pairs.parquet"),
    "dpo": (scripts.stage("dpo"), "balanced 0"),
    "eval": (scripts.stage("eval"), ""),
    "evaluate": (evaluate.main, "./hostile --questions data/split/test.parquet"),
    "doctor": (doctor.main, ""),
    "plan": (estimate.main, ""),
}


@pytest.fixture
def root(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The smoke profile with the hostile folder as base and as judge, and tables of one row."""
    hostile = broken.whole(tmp_path / "hostile")
    (hostile / "code.py").write_text(CODE.format(marker=str(tmp_path / "ran")), encoding="utf-8")
    edited(hostile / "config.json", auto_map={**AUTO, **TOKENS}, model_type="hostile")
    edited(hostile / "tokenizer_config.json", auto_map=TOKENS, tokenizer_class="Tokens")

    def edit(params: Content, profile: Content) -> None:
        params["languages"] = ["en"]
        params["train"] |= {"seeds": [0], "single": [], "configs": {"balanced": {"languages": "all"}}}
        params["report"]["benign_pairs"] = None
        model = {"repo": "./hostile", "engine": "transformers", "dtype": "float64", "chat_template_kwargs": {}}
        profile["models"] = {"base": model, "guard": model}
        profile["base"] = {"kind": "hub"}
        profile["label"]["judges"]["polyguard"] = {"kind": "polyguard", "model": "guard"}

    root = write(tmp_path, edit)
    (root / "machines").symlink_to(ROOT / "machines")
    (root / "data").mkdir()
    for name in ("phrasebook", "prompts", "refusals", "sets", "fluency", "base", "paper", "seeds"):
        (root / "data" / name).symlink_to(ROOT / "data" / name)
    tables = {"translate/questions": TRANSLATION, "respond/pairs": PAIR, "split/test": TEST, "split/train": PART}
    for name, schema in {**tables, "split/dpo/balanced": MIX}.items():
        write_table(pd.DataFrame([ROW])[list(schema.columns)], root / f"data/{name}.parquet", schema)
    for name in ("base", "dpo/balanced/0"):
        shutil.copytree(hostile, root / "models" / name)
    monkeypatch.chdir(root)
    monkeypatch.setenv("REFUSEU_STORE", str(root / "rows.sqlite"))
    monkeypatch.setenv("HF_MODULES_CACHE", str(root / "modules"))
    monkeypatch.setenv("REFUSEU_MACHINE", "cpu")
    return root


@pytest.mark.parametrize("name", COMMANDS)
def test_no_code_of_a_folder_runs_whatever_standard_input_says(name: str, root: Path) -> None:
    command, options = COMMANDS[name]
    result = CliRunner().invoke(command, options.split(), input="y\n" * 100)
    assert not (root / "ran").exists()
    said = [line for line in result.output.splitlines() if "never run" in line]
    # A sentence for each model, of which the stage base opens none and the plan names both.
    models = {"base": 0, "doctor": 2, "plan": 2}.get(name, 1)
    assert (result.exit_code, len(said)) == (min(models, 1), models), result.output
    assert "Do you wish to run" not in result.output and isinstance(result.exception, SystemExit | None)
