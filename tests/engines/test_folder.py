from pathlib import Path

import pytest
import torch
from tiny import EXAMPLES, TINY

from refuseu.engines.folder import assert_configured, weights_hash, whole
from refuseu.engines.local import TransformersEngine
from refuseu.errors import UserError
from refuseu.training.base import build_model, build_tokenizer

FILES = ("model.safetensors", "tokenizer.json", "config.json", "chat_template.jinja")


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    tokenizer = build_tokenizer(EXAMPLES, TINY)
    torch.manual_seed(1)
    build_model(tokenizer, TINY).save_pretrained(tmp_path)
    tokenizer.save_pretrained(tmp_path)
    return tmp_path


@pytest.mark.parametrize("name", FILES)
def test_all_that_decides_an_answer_is_in_the_hash(name: str, folder: Path) -> None:
    before = weights_hash(folder)
    (folder / "README.md").write_text("a card decides nothing")
    assert weights_hash(folder) == before
    (folder / name).write_bytes((folder / name).read_bytes() + b" ")
    assert weights_hash(folder) != before


@pytest.mark.parametrize("name", FILES[:3])
def test_a_folder_that_is_not_whole_is_named_and_the_hub_not_asked(name: str, folder: Path) -> None:
    (folder / name).unlink()
    with pytest.raises(
        UserError, match=r"holds no (\*|config|tokenizer)\.(safetensors|json); 'dvc repro' or 'dvc pull'"
    ):
        TransformersEngine(folder, 1)


@pytest.mark.parametrize("name", FILES[:3])
@pytest.mark.parametrize("kept", [0, 0.5])
def test_a_damaged_file_is_one_sentence(name: str, kept: float, folder: Path) -> None:
    content = (folder / name).read_bytes()
    (folder / name).write_bytes(content[: int(kept * len(content))])
    with pytest.raises(UserError, match=r"not a readable model \(.+\); 'dvc checkout' brings the last good one back"):
        TransformersEngine(folder, 1)


def test_what_is_whole_passes(folder: Path) -> None:
    with whole(folder):
        pass


def test_a_model_of_no_config_is_named_with_all_that_was_made_with_it(tmp_path: Path) -> None:
    for name in ("balanced", "old"):
        (tmp_path / name).mkdir()
    (tmp_path / ".DS_Store").touch()
    assert_configured(tmp_path, ["balanced", "old", "new"])
    assert_configured(tmp_path / "nowhere", [])
    with pytest.raises(UserError) as error:
        assert_configured(tmp_path, ["balanced"])
    assert error.value.message == (
        f"{tmp_path}/old: no config of train.configs has this name; add it there, or take the model away with all that was "
        f"made with it: 'rm -r {tmp_path}/old metrics/dpo/old.json plots/dpo/old.json'"
    )
