from collections.abc import Callable
from pathlib import Path

import broken
import pytest
import torch
from profile_texts import MACHINE
from safetensors.torch import load_file, save_file

from refuseu.core.errors import UserError
from refuseu.engines.openai import OpenaiModel
from refuseu.engines.registry import Weights
from refuseu.engines.transformers import TransformersModel
from refuseu.eval import preflight
from refuseu.eval.models import EvaluatedModel, Served
from refuseu.eval.preflight import try_out
from refuseu.store.rows import Store
from refuseu.weights.reference import ModelReference

FLOAT64 = TransformersModel(engine="transformers", dtype="float64")
FLOAT16 = TransformersModel(engine="transformers", dtype="float16")
PROFILE = {"base": FLOAT64}


@pytest.fixture(autouse=True)
def store(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("REFUSEU_STORE", str(tmp_path / "rows.sqlite"))


def mine(folder: Path, model: TransformersModel = FLOAT64, base: ModelReference | None = None) -> Weights:
    return ModelReference.read(folder, base, "eval.models.mine"), model


def own(folder: Path) -> Weights:
    return ModelReference(broken.whole(folder)), FLOAT64


def overflowing(folder: Path) -> Path:
    """Its weights are finite, and its logits are not in numbers of half precision."""
    path = broken.whole(folder) / "model.safetensors"
    weights = load_file(path)
    weights["lm_head.weight"] = torch.full_like(weights["lm_head.weight"], 3e4)
    weights["model.norm.weight"] = torch.full_like(weights["model.norm.weight"], 3e4)
    save_file(weights, path, {"format": "pt"})
    return folder


def test_models_that_can_be_asked_pass_and_a_server_is_not_asked(tmp_path: Path) -> None:
    base = own(tmp_path / "base")
    adapter = broken.adapter(tmp_path / "base", tmp_path / "adapter")
    models: dict[str, EvaluatedModel] = {
        "base": base,
        "mine": mine(adapter, base=base[0]),
        "gpt": Served("models.gpt", OpenaiModel(engine="openai", model="gpt")),
    }
    try_out(models, PROFILE, MACHINE, Store())


def test_what_passed_is_not_looked_at_again_while_it_stays_the_same(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    looked: list[ModelReference] = []
    monkeypatch.setattr(preflight, "assert_sound", lambda reference, variables: looked.append(reference))
    models: dict[str, EvaluatedModel] = {"base": own(tmp_path / "base")}
    for _ in range(2):
        try_out(models, PROFILE, MACHINE, Store())
    assert looked == [ModelReference(tmp_path / "base")]
    broken.configured(tmp_path / "base", rope_theta=7.0)
    try_out(models, PROFILE, MACHINE, Store())
    assert len(looked) == 2


@pytest.mark.parametrize(
    ("made", "fault"),
    [
        (broken.without_a_tensor, "its weights do not fit config.json: 1 missing"),
        (broken.not_finite, "the weight"),
        (broken.without_template, "the tokenizer has no chat template"),
        (
            overflowing,
            "the model computes numbers that are not finite in float16, though its weights are; give it another dtype",
        ),
    ],
)
def test_a_model_of_others_that_cannot_be_asked_is_named_by_its_entry(
    made: Callable[[Path], Path], fault: str, tmp_path: Path
) -> None:
    folder = made(tmp_path / "mine")
    with pytest.raises(UserError) as error:
        try_out({"base": own(tmp_path / "base"), "mine": mine(folder, FLOAT16)}, PROFILE, MACHINE, Store())
    assert error.value.message.startswith(f"eval.models.mine: {folder}: {fault}")


def test_one_of_our_own_models_is_looked_at_too(tmp_path: Path) -> None:
    models: dict[str, EvaluatedModel] = {
        "balanced": (ModelReference(broken.not_finite(tmp_path / "balanced")), FLOAT64)
    }
    with pytest.raises(
        UserError, match=r"balanced: the weight .* is not finite; 'dvc checkout' brings the last good one"
    ):
        try_out(models, PROFILE, MACHINE, Store())
