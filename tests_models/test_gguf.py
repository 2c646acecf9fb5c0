"""A GGUF file becomes a model folder."""

import hashlib
from pathlib import Path

import pytest

from refuseu.base.gguf import convert, smollm2


def hashes(folder: Path) -> dict[str, str]:
    return {path.name: hashlib.sha256(path.read_bytes()).hexdigest() for path in sorted(folder.iterdir())}


def test_the_folder_is_whole_and_its_bytes_are_the_same_with_the_hub_in_reach(
    folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_OFFLINE", False)
    convert(smollm2(), tmp_path)
    assert {"config.json", "model.safetensors", "tokenizer.json", "chat_template.jinja"} <= hashes(folder).keys()
    assert hashes(tmp_path) == hashes(folder)


def test_the_model_answers(answers: list[str]) -> None:
    assert answers[0] == "The capital of France is Paris."
