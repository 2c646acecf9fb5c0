from pathlib import Path

import pytest
from tiny import save_untrained

from refuseu.core.errors import UserError
from refuseu.weights.identity import assert_configured, identity, weights_hash
from refuseu.weights.reference import ModelReference


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    save_untrained(tmp_path)
    return tmp_path


@pytest.mark.parametrize("name", ["model.safetensors", "tokenizer.json", "config.json", "chat_template.jinja"])
def test_all_that_decides_an_answer_is_in_the_hash(name: str, folder: Path) -> None:
    before = weights_hash(folder)
    (folder / "README.md").write_text("a card decides nothing")
    assert weights_hash(folder) == before
    (folder / name).write_bytes((folder / name).read_bytes() + b" ")
    assert weights_hash(folder) != before


def test_a_file_of_many_blocks_is_hashed_to_its_end(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "model.safetensors").write_bytes(b"abcdefg")
    whole = weights_hash(tmp_path)
    monkeypatch.setattr("refuseu.weights.identity.BLOCK", 2)
    assert weights_hash(tmp_path) == whole
    (tmp_path / "model.safetensors").write_bytes(b"abcdefG")
    assert weights_hash(tmp_path) != whole


def test_a_repository_is_its_commit_and_a_folder_its_contents(tmp_path: Path) -> None:
    (tmp_path / "model.safetensors").write_bytes(b"weights")
    assert identity(ModelReference("owner/name", "c0ffee")) == "owner/name@c0ffee"
    assert identity(ModelReference(tmp_path)) == weights_hash(tmp_path)


def test_an_adapter_is_its_base_and_its_own_contents(tmp_path: Path) -> None:
    (tmp_path / "adapter_model.safetensors").write_bytes(b"adapter")
    one, other = (ModelReference("owner/name", commit) for commit in ("c0ffee", "decade"))
    assert identity(ModelReference(tmp_path, base=one)) == f"owner/name@c0ffee+{weights_hash(tmp_path)}"
    assert identity(ModelReference(tmp_path, base=other)) != identity(ModelReference(tmp_path, base=one))


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
