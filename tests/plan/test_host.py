import json
import os
import socket
from pathlib import Path

import pytest

from refuseu.plan import host
from refuseu.plan.host import Gpu

REPO, COMMIT = "org/name", "0" * 40


def driver(folder: Path, text: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """A machine whose nvidia-smi says ``text``."""
    (folder / "nvidia-smi").write_text(f"#!/bin/sh\ncat <<'END'\n{text}\nEND\n")
    (folder / "nvidia-smi").chmod(0o755)
    monkeypatch.setenv("PATH", f"{folder}{os.pathsep}{os.environ['PATH']}")
    monkeypatch.delenv("CUDA_VISIBLE_DEVICES", raising=False)


def test_gpus_are_those_that_the_driver_names(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    driver(tmp_path, "81559, 1024, 580.65.06\n81559, 1024, 580.65.06", monkeypatch)
    assert host.gpus() == [Gpu(pytest.approx(85.5, abs=0.1), pytest.approx(1.07, abs=0.01), "580.65.06")] * 2
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "1")
    assert len(host.gpus()) == 1
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "")
    assert host.gpus() == []


@pytest.mark.parametrize(
    ("visible", "names"), [(None, ["0", "1"]), ("1", ["1"]), ("GPU-4f, GPU-a1,GPU-b2", ["GPU-4f", "GPU-a1"]), ("", [])]
)
def test_gpus_are_named_as_their_variable_names_them(
    visible: str | None, names: list[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    driver(tmp_path, "81559, 1024, 580.65.06\n81559, 1024, 580.65.06", monkeypatch)
    if visible is not None:
        monkeypatch.setenv("CUDA_VISIBLE_DEVICES", visible)
    assert host.gpu_names() == names


def test_a_driver_that_hangs_is_waited_for_with_an_end(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    driver(tmp_path, "", monkeypatch)
    (tmp_path / "nvidia-smi").write_text("#!/bin/sh\nexec sleep 600\n")
    monkeypatch.setattr(host, "DRIVER_PATIENCE", 0.1)
    assert host.gpus() == []


def test_a_driver_that_finds_no_gpu(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    driver(tmp_path, "No devices were found", monkeypatch)
    assert host.gpus() == []


def test_without_a_driver_there_is_no_gpu(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    assert host.gpus() == []


def test_packages() -> None:
    assert host.has_package("click") and not host.has_package("no_such_package")


def test_a_model_is_in_the_hubs_cache_when_all_its_files_are(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_CACHE", str(tmp_path))
    assert host.cached(REPO, COMMIT) is None
    snapshot = tmp_path / "models--org--name" / "snapshots" / COMMIT
    snapshot.mkdir(parents=True)
    index = {"weight_map": {"one": "model-1.safetensors", "two": "model-2.safetensors"}}
    (snapshot / "model.safetensors.index.json").write_text(json.dumps(index))
    (snapshot / "model-1.safetensors").touch()
    assert host.cached(REPO, COMMIT) is None
    (snapshot / "model-2.safetensors").touch()
    assert host.cached(REPO, COMMIT) == snapshot
    assert host.cached(REPO, "1" * 40) is None
    assert host.cached(REPO, None) is None


def test_who_listens_answers(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("http_proxy", "HTTP_PROXY", "all_proxy", "ALL_PROXY"):
        monkeypatch.delenv(name, raising=False)
    with socket.create_server(("127.0.0.1", 0)) as server:
        url = f"http://127.0.0.1:{server.getsockname()[1]}/v1"
        assert host.answers(url)
    assert not host.answers(url)
    assert not host.answers("http://127.0.0.1:port/v1")
    for proxy in ("http_proxy", "ALL_PROXY"):
        with monkeypatch.context() as environment:
            environment.setenv(proxy, "http://127.0.0.1:9")
            environment.setenv("no_proxy", "")
            assert host.answers("http://served.invalid:8000/v1")
            assert not host.answers(url)  # of this machine, so asked by no proxy


def test_memory_is_what_a_container_leaves(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(host, "LIMITS", ())
    whole = host.memory_gb()
    monkeypatch.setattr(host, "LIMITS", (tmp_path / "memory.max", tmp_path / "not-there"))
    (tmp_path / "memory.max").write_text("max\n")
    assert host.memory_gb() == whole > 0
    (tmp_path / "memory.max").write_text("1000000\n")
    assert host.memory_gb() == 0.001
