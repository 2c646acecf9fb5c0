"""Trainings on two CPU processes, and one that is killed: the stage itself, started as ``stages/run`` starts it.

FSDP2 really divides the model here, as on GPUs; ``fsdp_on_cpus`` sees to that.
"""

import json
import os
import shutil
import subprocess
import sys
import time
from collections.abc import Callable
from functools import cache
from pathlib import Path
from typing import Any

import pytest
import torch
import yaml
from alike import DPO, MACHINE, MEASURES, METHODS, ROOT, WEIGHTS, mix
from safetensors.torch import load_file
from transformers import AutoModelForCausalLM, AutoTokenizer

from refuseu.dpo.mix import MIX
from refuseu.tables.writing import write_table
from refuseu.weights.reference import ModelReference

BFLOAT16 = 0.5
"""How far losses and rewards in nats (beta 1) may be off where layers compute in bfloat16: a sum over an answer is 170 here."""
LAYERS = 3
"""Of SmolLM2's 30: what is shown here does not depend on how many, and each costs time."""


@pytest.fixture(scope="module")
def root(folder: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder to run the stage in, with the first layers of SmolLM2 as the base."""
    root = tmp_path_factory.mktemp("root")
    write_table(mix(), root / "mix.parquet", MIX)
    AutoModelForCausalLM.from_pretrained(folder, num_hidden_layers=LAYERS).save_pretrained(root / "base")
    AutoTokenizer.from_pretrained(folder).save_pretrained(root / "base")
    (root / "profiles").mkdir()
    shutil.copytree(ROOT / "machines/accelerate", root / "machines/accelerate")
    (root / "params.yaml").write_text("{profile: test}", encoding="utf-8")
    return root


@pytest.fixture(scope="module")
def undisturbed(root: Path) -> Callable[[str, int, str], str]:
    """A function that trains by a method on some processes, once, and returns the name of what came out."""

    @cache
    def once(method: str, processes: int, accelerate: str) -> str:
        out = f"{method}-{processes}-{accelerate}"
        train(root, out, {"method": METHODS[method]}, {"processes": processes, "accelerate": accelerate})
        return out

    return once


def start(root: Path, out: str, dpo: dict[str, Any], machine: dict[str, Any]) -> "subprocess.Popen[str]":
    (root / "profiles/test.yaml").write_text(yaml.safe_dump({"dpo": {**DPO, **dpo}}), encoding="utf-8")
    (root / "machines/test.yaml").write_text(yaml.safe_dump({"training": {**MACHINE, **machine}}), encoding="utf-8")
    code = os.pathsep.join([str(ROOT / "src"), str(ROOT / "tests_models/fsdp_on_cpus")])
    own = {"PYTHONPATH": code, "REFUSEU_MACHINE": "test", "DVC_ROOT": str(root)}
    own |= {
        f"HF_{name}": "1"
        for name in ("HUB_DISABLE_PROGRESS_BARS", "DATASETS_DISABLE_PROGRESS_BARS", "HUB_DISABLE_TELEMETRY")
    }
    paths = ["--mix", "mix.parquet", "--base", "base", "--out", f"out/{out}"]
    paths += ["--metrics", f"{out}.json", "--plots", f"{out}-plots.json"]
    return subprocess.Popen(
        [sys.executable, str(ROOT / "stages/dpo.py"), out, "1", *paths],
        cwd=root,
        env={**os.environ, **own},
        stderr=subprocess.PIPE,
        text=True,
        start_new_session=True,
    )


def train(root: Path, out: str, dpo: dict[str, Any], machine: dict[str, Any]) -> str:
    """Run the stage to its end, and return what it said."""
    process = start(root, out, dpo, machine)
    said = process.communicate()[1]
    assert process.returncode == 0, said
    return said


def weights(root: Path, out: str) -> dict[str, torch.Tensor]:
    (file,) = (root / "out" / out).glob("*.safetensors")
    return load_file(file)


@pytest.mark.parametrize(("method", "accelerate"), [("full", "fsdp2"), ("lora", "fsdp2"), ("lora", "none")])
def test_two_processes_train_the_model_of_one(
    method: str, accelerate: str, root: Path, undisturbed: Callable[[str, int, str], str]
) -> None:
    outs = undisturbed(method, 1, "none"), undisturbed(method, 2, accelerate)
    one, two = (weights(root, out) for out in outs)
    assert one.keys() == two.keys()
    assert all(torch.allclose(one[name], two[name], atol=WEIGHTS) for name in one)
    measures = [json.loads((root / f"{out}.json").read_text()) for out in outs]
    assert measures[0].pop("tokens") == measures[1].pop("tokens")
    assert measures[1] == pytest.approx(measures[0], abs=MEASURES)
    assert ModelReference.read(root / "out" / outs[1], ModelReference.read(root / "base"))
    assert list((root / ".cache/refuseu/checkpoints").iterdir()) == []


@pytest.mark.parametrize("method", ["full", "lora"])
def test_in_bfloat16_two_processes_measure_what_one_does(method: str, root: Path) -> None:
    """FSDP2 by itself rounds the log-probabilities of an answer to bfloat16, and their sum with them."""
    measures = []
    for processes, accelerate in ((1, "none"), (2, "fsdp2")):
        out = f"bf16-{method}-{processes}"
        dpo = {"method": METHODS[method], "bf16": True, "steps": 4, "beta": 1.0}
        train(root, out, dpo, {"processes": processes, "accelerate": accelerate})
        measured = json.loads((root / f"{out}.json").read_text())
        measures.append({name: each for name, each in measured.items() if name.startswith(("loss", "reward"))})
        # Of a margin near 0 the sign is chance.
        del measures[-1]["reward_accuracy"]
    assert measures[1] == pytest.approx(measures[0], abs=BFLOAT16)


def test_checkpoints_of_adapters_do_not_gather_their_base(root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The input embeddings are gathered here all the same, which are the output's as well."""
    monkeypatch.setenv("GATHERED", str(root / "gathered.txt"))
    train(root, "gathered", {"method": METHODS["lora"], "steps": 2}, {"processes": 2, "accelerate": "fsdp2"})
    adapter = sum(each.nbytes for each in weights(root, "gathered").values())
    shared = weights(root, "../base")["model.embed_tokens.weight"].nbytes
    sizes = list(map(int, (root / "gathered.txt").read_text().split()))
    assert len(sizes) == 3  # the weights and what FSDP2 resumes from in a checkpoint, and what is saved at the end
    assert max(sizes) <= adapter + shared


def test_the_first_process_alone_reads_the_base_of_adapters(root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HELD", str(root / "held"))
    train(root, "held", {"method": METHODS["lora"], "steps": 1}, {"processes": 2, "accelerate": "fsdp2"})
    first, second = (int((root / f"held-{rank}").read_text()) for rank in range(2))
    base = (root / "base/model.safetensors").stat().st_size
    assert first - second > 0.8 * base


def refused(root: Path, dpo: dict[str, Any], machine: dict[str, Any]) -> str:
    process = start(root, "slavic", dpo, machine)
    said = process.communicate()[1]
    assert process.returncode == 1, said
    assert "Traceback" not in said
    assert not (root / "out/slavic").exists()
    assert list((root / ".cache/refuseu/checkpoints").iterdir()) == []
    (sentence,) = (line for line in said.splitlines() if line.startswith("Error: "))
    return sentence


def test_trls_own_fsdp2_file_is_caught_before_the_first_step(root: Path) -> None:
    import trl

    shutil.copy(Path(trl.__file__).parent / "accelerate_configs/fsdp2.yaml", root / "machines/accelerate/trl.yaml")
    sentence = refused(root, {}, {"processes": 2, "accelerate": "trl"})
    assert sentence.startswith("Error: dpo slavic 1: before the first step the DPO loss is ")
    assert "the reference model is not the base" in sentence


def test_a_rate_that_is_too_high_is_one_sentence_of_two_processes(root: Path) -> None:
    sentence = refused(root, {"learning_rate": 1e30}, {"processes": 2})
    assert "is not finite at step" in sentence
    assert "lower dpo.learning_rate (1e+30)" in sentence


@pytest.mark.parametrize("accelerate", ["none", "fsdp2"])
def test_a_training_that_is_killed_goes_on_and_ends_in_the_same_weights(
    accelerate: str, root: Path, undisturbed: Callable[[str, int, str], str]
) -> None:
    expected = weights(root, undisturbed("lora", 2, accelerate))
    out = f"killed-{accelerate}"
    training = root, out, {"method": METHODS["lora"]}, {"processes": 2, "accelerate": accelerate}
    process = start(*training)
    while not list(root.glob(".cache/refuseu/checkpoints/*/checkpoint-*/whole.json")):
        assert process.poll() is None
        time.sleep(0.05)
    process.kill()
    process.communicate()
    assert not (root / "out" / out).exists()
    said = train(*training)
    assert f"dpo {out} 1: 1 of 6 steps" not in said
    killed = weights(root, out)
    assert expected.keys() == killed.keys()
    assert all(torch.equal(expected[name], killed[name]) for name in expected)
