import json
from pathlib import Path

import pytest
from tiny import save_untrained

from refuseu.core.errors import UserError
from refuseu.engines.transformers import TransformersEngine
from refuseu.weights.reference import ModelReference, readable

FILES = ("model.safetensors", "config.json", "tokenizer.json")
BASE = ModelReference("owner/name", "c0ffee")


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    save_untrained(tmp_path)
    return tmp_path


def test_a_whole_folder_is_its_own_reference_whatever_base_is_offered(folder: Path) -> None:
    assert ModelReference.read(folder) == ModelReference(folder)
    assert ModelReference.read(folder, BASE) == ModelReference(folder)


def test_a_pointer_names_a_repository_and_its_commit(tmp_path: Path) -> None:
    (tmp_path / "reference.json").write_text('{"source": "owner/name", "commit": "c0ffee"}', encoding="utf-8")
    assert ModelReference.read(tmp_path) == BASE


@pytest.mark.parametrize(
    "content",
    [
        b"[]",
        b"3",
        b'{"source": "owner/name"}',
        b'{"commit": "c0ffee"}',
        b'{"source": "owner/name", "commit": null}',
        b'{"source": "", "commit": "c0ffee"}',
        b'{"source": ["owner/name"], "commit": "c0ffee"}',
    ],
)
def test_a_damaged_pointer_is_one_sentence(content: bytes, tmp_path: Path) -> None:
    (tmp_path / "reference.json").write_bytes(content)
    with pytest.raises(UserError) as error:
        ModelReference.read(tmp_path)
    assert error.value.message == (
        f"{tmp_path}/reference.json: names no repository at a commit; "
        "'dvc checkout' brings the last good one back, 'dvc repro' a new one"
    )


@pytest.mark.parametrize("content", [b"", b"{", b"\xff"])
def test_a_pointer_that_is_no_json_is_one_sentence(content: bytes, tmp_path: Path) -> None:
    (tmp_path / "reference.json").write_bytes(content)
    with pytest.raises(
        UserError, match=r"reference\.json: cannot be read as JSON \(.+\); 'dvc checkout' brings the last good"
    ):
        ModelReference.read(tmp_path)


def test_an_adapter_is_one_on_the_base_and_needs_weights_alone(tmp_path: Path) -> None:
    (tmp_path / "adapter_config.json").write_text("{}", encoding="utf-8")
    with pytest.raises(UserError, match=r"holds no \*\.safetensors; 'dvc repro' or 'dvc pull' brings the model"):
        ModelReference.read(tmp_path, BASE)
    (tmp_path / "adapter_model.safetensors").touch()
    assert ModelReference.read(tmp_path, BASE) == ModelReference(tmp_path, base=BASE)
    with pytest.raises(UserError, match=r": is an adapter, of which the base is not known; name a folder with a whole"):
        ModelReference.read(tmp_path)


@pytest.mark.parametrize("name", FILES)
def test_a_folder_that_is_not_whole_is_named_and_the_hub_not_asked(name: str, folder: Path) -> None:
    (folder / name).unlink()
    wanted = "*.safetensors" if name == "model.safetensors" else name
    with pytest.raises(UserError) as error:
        ModelReference.read(folder)
    assert error.value.message == f"{folder}: holds no {wanted}; 'dvc repro' or 'dvc pull' brings the model"


@pytest.mark.parametrize("name", FILES)
@pytest.mark.parametrize("kept", [0, 0.5])
def test_a_damaged_file_is_one_sentence(name: str, kept: float, folder: Path) -> None:
    content = (folder / name).read_bytes()
    (folder / name).write_bytes(content[: int(kept * len(content))])
    with pytest.raises(UserError, match=r"not a readable model \(.+\); 'dvc checkout' brings the last good one back"):
        TransformersEngine(ModelReference.read(folder), "tiny", 1)


def test_weights_of_another_shape_are_one_sentence(folder: Path) -> None:
    config = json.loads((folder / "config.json").read_text(encoding="utf-8"))
    (folder / "config.json").write_text(json.dumps({**config, "hidden_size": 32}), encoding="utf-8")
    with pytest.raises(UserError) as error:
        TransformersEngine(ModelReference.read(folder), "tiny", 1)
    shapes = "[293, 16] in the file, [293, 32] in the model"
    assert error.value.message == (
        f"{folder}: its weights do not fit config.json: 12 of another shape (lm_head.weight: {shapes}, "
        f"model.embed_tokens.weight: {shapes}, model.layers.0.input_layernorm.weight: [16] in the file, [32] in the model, …); "
        "'dvc checkout' brings the last good one back, 'dvc repro' a new one"
    )


def test_a_folder_that_does_not_exist_is_said_to(tmp_path: Path) -> None:
    with pytest.raises(UserError) as error:
        ModelReference.read(tmp_path / "no", BASE, "eval.models.mine")
    assert error.value.message == (
        f"eval.models.mine: {tmp_path}/no: there is no such folder; name a folder with a whole model in safetensors, or with an "
        "adapter on our base"
    )


@pytest.mark.parametrize("name", FILES)
def test_a_pointer_of_git_lfs_is_told_from_a_damaged_file(name: str, folder: Path) -> None:
    pointer = "version https://git-lfs.github.com/spec/v1\noid sha256:0123\nsize 12345\n"
    (folder / name).write_text(pointer, encoding="utf-8")
    with pytest.raises(UserError) as error:
        ModelReference.read(folder, entry="models.judge")
    assert error.value.message == (
        f"models.judge: {folder}: {name} is a Git LFS pointer and not the file itself; 'git lfs pull' in that folder brings it"
    )


def test_a_fault_of_the_device_keeps_its_name() -> None:
    with pytest.raises(MemoryError), readable(BASE):
        raise MemoryError


def test_a_fault_is_told_by_its_first_line_and_what_is_whole_passes(folder: Path) -> None:
    with readable(ModelReference(folder)):
        pass
    with pytest.raises(UserError) as error, readable(BASE):
        raise OSError("\nno such commit\nsee the documentation")
    assert error.value.message == (
        "owner/name: not a readable model (no such commit); mend its files where they come from, or name another model"
    )


def test_a_fault_without_words_is_called_by_its_kind(tmp_path: Path) -> None:
    with pytest.raises(UserError, match=r": not a readable model \(OSError\); "), readable(ModelReference(tmp_path)):
        raise OSError


@pytest.mark.parametrize("name", ["../outside.safetensors", "/outside.safetensors", "below/part.safetensors", ".."])
def test_an_index_that_names_weights_elsewhere_is_refused(name: str, folder: Path) -> None:
    index = {"weight_map": {"a": "model.safetensors", "b": name}}
    (folder / "model.safetensors.index.json").write_text(json.dumps(index))
    for entry in (None, "models.judge"):
        with pytest.raises(UserError) as raised:
            ModelReference.read(folder, entry=entry)
        assert (
            f"{folder}: model.safetensors.index.json names '{name}', which is no file of the model's"
            in raised.value.message
        )


@pytest.mark.parametrize(
    "content", ["", "[]", "{}", '{"weight_map": []}', '{"weight_map": {"a": "model.safetensors"}}']
)
def test_another_index_is_left_to_the_library_that_loads_it(content: str, folder: Path) -> None:
    (folder / "model.safetensors.index.json").write_text(content)
    assert ModelReference.read(folder) == ModelReference(folder)


@pytest.mark.parametrize("source", ["../outside", "/outside", "a/b/c", ".", "a/.."])
def test_a_pointer_to_a_folder_of_this_machine_is_refused(source: str, tmp_path: Path) -> None:
    (tmp_path / "reference.json").write_text(json.dumps({"source": source, "commit": "c0ffee"}))
    with pytest.raises(UserError, match=r"reference\.json: names no repository at a commit"):
        ModelReference.read(tmp_path)
