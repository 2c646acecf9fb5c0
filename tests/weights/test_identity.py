from pathlib import Path

import pytest
from tiny import save_untrained

from refuseu.core.errors import UserError
from refuseu.weights.identity import assert_configured, identity, weights_hash
from refuseu.weights.loading import load_tokenizer
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


def test_a_template_that_stands_above_the_models_own_is_in_the_hash(folder: Path) -> None:
    before = weights_hash(folder)
    (folder / "additional_chat_templates").mkdir()
    assert weights_hash(folder) == before
    (folder / "additional_chat_templates/default.jinja").write_text("another")
    chosen = load_tokenizer(ModelReference(folder)).get_chat_template()
    assert chosen == "another"
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


def test_models_that_are_not_trained_are_all_named_with_what_was_made_with_them(tmp_path: Path) -> None:
    for name in ("balanced/0", "balanced/1", "old/0", "old/1"):
        (tmp_path / name).mkdir(parents=True)
    for name in (".DS_Store", "balanced/.gitignore"):
        (tmp_path / name).touch()
    assert_configured(tmp_path, ["balanced/0", "balanced/1", "old/0", "old/1", "new/0"])
    assert_configured(tmp_path / "nowhere", [])
    (tmp_path / "balanced/config.json").touch()  # of a time when a config had one model
    with pytest.raises(UserError) as error:
        assert_configured(tmp_path, ["balanced/0"])
    one, file, old = f"{tmp_path}/balanced/1", f"{tmp_path}/balanced/config.json", f"{tmp_path}/old"
    assert error.value.message == (
        f"{one}, {file}, {old}: not trained by train.configs, train.single and train.seeds; add it there, or take it away with "
        f"all that was made with it: 'rm -r {one} metrics/dpo/balanced/1.json plots/dpo/balanced/1.json {file} {old} "
        "metrics/dpo/old plots/dpo/old'"
    )
