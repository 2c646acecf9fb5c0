from pathlib import Path
from typing import Any

import pytest
from evaluated import EVAL
from profile_texts import engines, with_sections
from pydantic import TypeAdapter, ValidationError

from refuseu.core.errors import UserError
from refuseu.engines import machine
from refuseu.engines.openai import OpenaiModel
from refuseu.engines.transformers import TransformersModel
from refuseu.engines.vllm import VllmMachine, VllmModel
from refuseu.eval.models import Served, evaluated_models, model_folders
from refuseu.eval.settings import EvalParameters, ExternalModel
from refuseu.mixes import Seeded
from refuseu.weights.reference import ModelReference

COMMIT = "0123456789012345678901234567890123456789"


def model_in(folder: Path, *files: str) -> Path:
    folder.mkdir(parents=True)
    for name in files or ("model.safetensors", "config.json", "tokenizer.json"):
        (folder / name).touch()
    return folder


def test_the_base_comes_first_then_the_configs_as_params_yaml_orders_them(tmp_path: Path) -> None:
    base, models = model_in(tmp_path / "base"), tmp_path / "dpo"
    trained = [Seeded("only-pl", 3), Seeded("balanced", 3), Seeded("balanced", 0)]
    for model in trained:
        model_in(models / model.folder)
    (models / ".DS_Store").touch()
    folders = model_folders(base, models, trained)
    assert list(folders.items()) == [
        (("base", 0), ModelReference(base)),
        (("only-pl", 3), ModelReference(models / "only-pl/3")),
        (("balanced", 3), ModelReference(models / "balanced/3")),
        (("balanced", 0), ModelReference(models / "balanced/0")),
    ]


def test_an_adapter_is_one_on_the_base(tmp_path: Path) -> None:
    base = model_in(tmp_path / "base")
    adapter = model_in(tmp_path / "dpo/balanced/1", "adapter_model.safetensors", "adapter_config.json")
    found = model_folders(base, tmp_path / "dpo", [Seeded("balanced", 1)])
    assert found[Seeded("balanced", 1)] == ModelReference(adapter, base=ModelReference(base))


def test_a_config_whose_model_is_missing_is_one_sentence(tmp_path: Path) -> None:
    base = model_in(tmp_path / "base")
    model_in(tmp_path / "dpo/balanced/0")
    with pytest.raises(
        UserError, match=r"balanced/1: there is no such folder; 'dvc repro' or 'dvc pull' brings the model"
    ):
        model_folders(base, tmp_path / "dpo", [Seeded("balanced", 0), Seeded("balanced", 1)])
    with pytest.raises(UserError, match=r"nowhere: no such folder; 'dvc repro' trains the models"):
        model_folders(base, tmp_path / "nowhere", [Seeded("balanced")])


def test_a_model_of_a_config_that_is_gone_stops_the_evaluation(tmp_path: Path) -> None:
    for name in ("balanced/0", "balanced/1"):
        model_in(tmp_path / name)
    with pytest.raises(
        UserError, match=r"balanced/1: not trained by .*rm -r .*/balanced/1 metrics/dpo/balanced/1.json"
    ):
        model_folders(Path("models/base"), tmp_path, [Seeded("balanced", 0)])


MODELS = {
    "base": {"engine": "transformers", "dtype": "float64"},
    "served": {"engine": "openai", "model": "a-model"},
    "local": {"engine": "transformers", "dtype": "float32", "repo": "org/name", "revision": COMMIT},
}


def parameters(models: dict[str, Any]) -> EvalParameters:
    """Of one config with two seeds, ``balanced``, and of one language, and with ``models`` of others."""
    return EvalParameters.model_validate(
        {
            "languages": ["en"],
            "categories": {"S1": "Violent Crimes"},
            "styles": {"slang": "Slang"},
            "models": MODELS,
            "label": {"judges": {"a": {"kind": "lexicon"}}, "question": "all", "chosen": "all", "rejected": "any"},
            "train": {
                "seeds": [0, 3],
                "languages": ["en"],
                "benign_share": 0.1,
                "configs": {"balanced": {"languages": "all"}},
                "single": ["en"],
            },
            "eval": {**EVAL, "models": models},
            "split.near_duplicate": 0.8,
        }
    )


def found(tmp_path: Path, models: dict[str, Any]) -> Any:
    """What ``eval.models`` adds to the base and the config."""
    if not (tmp_path / "base").is_dir():
        model_in(tmp_path / "base")
        for name in ("balanced/0", "balanced/3", "only-en/0"):
            model_in(tmp_path / "dpo" / name)
    own = engines(tmp_path, machine=with_sections(vllm=VLLM))
    all_models = evaluated_models(tmp_path / "base", tmp_path / "dpo", parameters(models), own)
    own_models = [("base", 0), ("balanced", 0), ("balanced", 3), ("only-en", 0)]
    assert list(all_models) == [*own_models, *((name, 0) for name in models)]
    assert all_models[Seeded("base")] == (ModelReference(tmp_path / "base"), FLOAT64)
    assert all_models[Seeded("balanced", 3)] == (ModelReference(tmp_path / "dpo/balanced/3"), FLOAT64)
    return [each for model, each in all_models.items() if model.name in models]


VLLM = VllmMachine(tensor_parallel=1, memory_fraction=0.4, chunk_size=8)
FLOAT64 = TransformersModel(engine="transformers", dtype="float64")


def test_a_repository_is_asked_with_the_engine_of_the_base(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(machine, "find_spec", lambda name: name)
    there = {"repo": "org/name", "revision": COMMIT}
    one, other = found(tmp_path, {"plain": there, "fast": {**there, "engine": "vllm", "dtype": "bfloat16"}})
    assert one == (ModelReference("org/name", COMMIT), FLOAT64.model_copy(update=there))
    assert other == (ModelReference("org/name", COMMIT), VllmModel(engine="vllm", dtype="bfloat16", **there))


def test_a_folder_is_a_model_or_an_adapter_on_our_base(tmp_path: Path) -> None:
    whole = model_in(tmp_path / "whole")
    adapter = model_in(tmp_path / "adapter", "adapter_model.safetensors", "adapter_config.json")
    models = {"whole": {"folder": str(whole), "dtype": "float32"}, "adapter": {"folder": str(adapter)}}
    assert found(tmp_path, models) == [
        (ModelReference(whole), TransformersModel(engine="transformers", dtype="float32")),
        (ModelReference(adapter, base=ModelReference(tmp_path / "base")), FLOAT64),
    ]


def test_a_model_of_the_profile_is_asked_as_it_stands_there(tmp_path: Path) -> None:
    served, local = found(tmp_path, {"mine": {"model": "served"}, "other": {"model": "local"}})
    assert served == Served("models.served", OpenaiModel.model_validate(MODELS["served"]))
    assert served.name == "served"
    assert local == (ModelReference("org/name", COMMIT), TransformersModel.model_validate(MODELS["local"]))


def test_a_model_may_stand_in_its_entry_as_a_whole(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """So a model that is only evaluated needs no place among the profile's, on which earlier stages depend."""
    monkeypatch.setattr(machine, "find_spec", lambda name: name)
    monkeypatch.setenv("MY_KEY", "secret")
    hosted = {"engine": "openai", "model": "gpt-4.1", "key": "MY_KEY"}
    weights = {"repo": "org/name", "revision": COMMIT, "engine": "vllm", "dtype": "bfloat16", "max_model_len": 512}
    served, local = found(tmp_path, {"mine": hosted, "other": weights})
    assert served == Served("eval.models.mine", OpenaiModel(engine="openai", model="gpt-4.1", key="MY_KEY"))
    assert served.name == "mine"
    assert local == (
        ModelReference("org/name", COMMIT),
        VllmModel(engine="vllm", dtype="bfloat16", max_model_len=512, repo="org/name", revision=COMMIT),
    )


@pytest.mark.parametrize(
    ("model", "sentence"),
    [
        (
            {"folder": "/no/such/place"},
            "eval.models.mine: /no/such/place: there is no such folder; name a folder with a whole model in safetensors, or with "
            "an adapter on our base",
        ),
        (
            {"repo": "org/name", "engine": "vllm"},
            "eval.models.mine: dtype: must be 'float32', 'bfloat16' or 'float16'",
        ),
        ({"folder": "/a", "dtpye": "float32"}, "eval.models.mine: dtpye: unknown key"),
        (
            {"engine": "openai", "model": "gpt", "key": "NO_SUCH_KEY"},
            "the environment variable NO_SUCH_KEY holds no key; export NO_SUCH_KEY=… before the stage is run",
        ),
        ({"model": "nobody"}, "models.nobody: the profile has no such model with a repo; it has base, local, served"),
        (
            {"repo": "org/name", "revision": COMMIT, "engine": "vllm", "dtype": "bfloat16"},
            "eval.models.mine: org/name: the engine vllm takes the package vllm, which is not installed; '.venv/bin/uv pip "
            "install -r requirements-gpu.lock' brings it",
        ),
        (
            {"model": "keyed"},
            "the environment variable NO_SUCH_KEY holds no key; export NO_SUCH_KEY=… before the stage is run",
        ),
    ],
)
def test_a_model_that_cannot_be_asked_is_one_sentence(
    model: dict[str, str], sentence: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(machine, "find_spec", lambda package: package != "vllm")
    monkeypatch.setitem(MODELS, "keyed", {"engine": "openai", "model": "a-model", "key": "NO_SUCH_KEY"})
    with pytest.raises(UserError) as error:
        found(tmp_path, {"mine": model})
    assert error.value.message == sentence


@pytest.mark.parametrize(
    ("model", "sentence"),
    [
        ({}, "must name one of repo, folder and model; it names none"),
        ({"repo": "a/b", "model": "served"}, "must name one of repo, folder and model; it names repo and model"),
        ({"folder": "/a", "revision": COMMIT}, "revision: only a repo of the hub has one; take it out"),
        ({"repo": "./a", "revision": COMMIT}, "revision: only a repo of the hub has one; take it out"),
        (
            {"model": "local", "dtype": "float32"},
            "dtype: stand with the model in the profile's models; take them out here",
        ),
        ({"engine": "vllm", "model": "local"}, "engine: stand with the model in the profile's models"),
        (
            {"engine": "vllm", "repo": "a/b", "model": "local"},
            "must name one of repo, folder and model; it names repo and model",
        ),
        ({"engine": "vlm", "repo": "a/b"}, "engine 'vlm' is none of transformers, vllm, openai"),
        ({"engine": "openai", "model": "gpt", "key": "sk-123"}, "key\n.* must be the name of an environment variable"),
        ({"engine": "openai", "repo": "a/b"}, "model\n +Field required"),
        ("served", "valid dictionary or instance"),
    ],
)
def test_a_model_is_named_in_one_way(model: dict[str, str], sentence: str) -> None:
    with pytest.raises(ValidationError, match=sentence):
        TypeAdapter(ExternalModel).validate_python(model)


@pytest.mark.parametrize(
    ("name", "sentence"),
    [
        ("base", "models.base: is the name of one of our own models; take another"),
        ("balanced", "models.balanced: is the name of one of our own models; take another"),
        ("My model", "models: 'My model' is no name; use a-z, 0-9 and '-'"),
    ],
)
def test_a_name_stands_for_one_model(name: str, sentence: str) -> None:
    with pytest.raises(ValidationError, match=sentence):
        parameters({name: {"folder": "/a"}})


def test_two_served_models_of_one_name_would_have_one_address() -> None:
    with pytest.raises(
        ValidationError, match=r"models.served: is the name of one of the profile's models; take another"
    ):
        parameters({"served": {"engine": "openai", "model": "gpt"}})
    parameters({"served": {"model": "served"}, "local": {"folder": "/a"}})
