import shutil
from pathlib import Path

import pytest
import yaml
from repository import ROOT
from tiny import ONE_CORE

from refuseu.core.errors import UserError
from refuseu.engines.machine import Machine, load_machine
from refuseu.engines.openai import OpenaiMachine
from refuseu.engines.vllm import VllmMachine

MACHINES = sorted(path.stem for path in ROOT.glob("machines/*.yaml"))


@pytest.fixture
def root(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The repository's machines, to be edited by a test; none is chosen."""
    shutil.copytree(ROOT / "machines", tmp_path / "machines")
    monkeypatch.delenv("REFUSEU_MACHINE", raising=False)
    return tmp_path


def message_of(root: Path) -> str:
    with pytest.raises(UserError) as error:
        load_machine(root)
    return error.value.message


@pytest.mark.parametrize("name", MACHINES)
def test_every_machine_is_in_order(name: str, root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("REFUSEU_MACHINE", name)
    assert isinstance(load_machine(root), Machine)


def test_the_two_cores_are_taken_where_none_is_named(root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    assert load_machine(root).workers == 2
    large = {
        "workers": 32,
        "loaded": 3,
        "transformers": {"batch_size": 7, "device": "cuda"},
        "openai": {"base_url": "http://127.0.0.1:8000/v1", "concurrency": 3, "retries": 0, "timeout": 1.5},
        "training": ONE_CORE.model_dump(),
    }
    (root / "machines" / "large.yaml").write_text(yaml.safe_dump(large), encoding="utf-8")
    monkeypatch.setenv("REFUSEU_MACHINE", "")
    assert load_machine(root).workers == 2
    monkeypatch.setenv("REFUSEU_MACHINE", "large")
    assert load_machine(root) == Machine.model_validate({key: each for key, each in large.items() if key != "training"})


def test_an_unknown_machine_is_one_sentence_naming_the_known_ones(root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for path in (root / "machines").glob("*.yaml"):
        path.unlink()
    for name in ("large", "cpu"):
        (root / "machines" / f"{name}.yaml").touch()
    monkeypatch.setenv("REFUSEU_MACHINE", "cluster")
    assert message_of(root) == (
        f"{root}/machines/cluster.yaml: cannot be read (No such file or directory); "
        "REFUSEU_MACHINE must be one of: cpu, large"
    )


@pytest.mark.parametrize(
    ("change", "expected"),
    [
        ({"workers": 0}, "workers: must be greater than 0"),
        (
            {"workers": "two"},
            "workers: must be a whole number, was read as the text 'two'; write it in digits, like 12",
        ),
        ({"cores": 2}, "cores: unknown key, is it workers?"),
        ({"loaded": 0}, "loaded: must be greater than 0"),
        (
            {"loaded": 2, "vllm": {"tensor_parallel": 1, "memory_fraction": 0.6, "chunk_size": 8}},
            "vllm.memory_fraction: 2 models (loaded) do not fit together when each takes 0.6 of a GPU's memory; "
            "lower one of the two",
        ),
        (
            {"vllm": {"tensor_parallel": 0, "memory_fraction": 0.5, "chunk_size": 8}},
            "vllm.tensor_parallel: must be greater than 0",
        ),
        (
            {"ray": {"batch_size": 8, "cpus_per_worker": 1}},
            "ray.workers: missing; write it, or gpus (per_node, memory_gb), from which it follows",
        ),
        ({"gpus": {"per_node": 8}}, "gpus.memory_gb: missing"),
        (
            {"gpus": {"per_node": 8, "memory_gb": 80, "models": {"org/name": {"gpus": 2}}}},
            "gpus.models.org/name.gpus: unknown key",
        ),
        ({"transformers": {"device": "cpu"}}, "transformers.batch_size: missing"),
        ({"transformers": {"batch_size": 1, "device": "tpu"}}, "transformers.device: must be 'cpu' or 'cuda'"),
        ({"openai": {"concurrency": 1, "timeout": 1.0}}, "openai.retries: missing"),
        (
            {"openai": {"concurrency": 1, "retries": -1, "timeout": 1.0}},
            "openai.retries: must be greater than or equal to 0",
        ),
        (
            {"openai": {"concurrency": 0, "retries": 1, "timeout": 1.0}},
            "openai.concurrency: must be greater than 0",
        ),
        (
            {"openai": {"concurrency": 1, "retries": 1, "timeout": 0.0}},
            "openai.timeout: must be greater than 0",
        ),
        (
            {"transformers": {"batch_size": 0, "device": "cpu"}},
            "transformers.batch_size: must be greater than 0",
        ),
    ],
)
def test_a_wrong_value_names_the_file_and_the_key(change: dict[str, object], expected: str, root: Path) -> None:
    path = root / "machines" / "cpu.yaml"
    content = yaml.safe_load(path.read_text(encoding="utf-8"))
    path.write_text(yaml.safe_dump({**content, **change}), encoding="utf-8")
    assert message_of(root) == f"{path}: {expected}"


VLLM = {"tensor_parallel": 1, "memory_fraction": 0.5, "chunk_size": 8}


@pytest.mark.parametrize(("loaded", "fraction"), [(1, 1.0), (2, 0.5), (3, 0.33), (10, 0.1)])
def test_models_that_fit_the_memory_together_are_in_order(loaded: int, fraction: float, root: Path) -> None:
    path = root / "machines" / "cpu.yaml"
    content = yaml.safe_load(path.read_text(encoding="utf-8"))
    vllm = {**VLLM, "memory_fraction": fraction}
    path.write_text(yaml.safe_dump({**content, "loaded": loaded, "vllm": vllm}), encoding="utf-8")
    machine = load_machine(root)
    section = machine.section(VllmMachine)
    assert section and (machine.loaded, section.memory_fraction) == (loaded, fraction)
    assert machine.section(OpenaiMachine) and machine.engines.keys() == {"transformers", "vllm", "openai"}


@pytest.mark.parametrize("text", ["", "- 1\n", "3\n"])
def test_a_machine_that_is_no_section_is_one_sentence(text: str, root: Path) -> None:
    path = root / "machines" / "cpu.yaml"
    path.write_text(text, encoding="utf-8")
    assert message_of(root).startswith(f"{path}: must be a mapping of keys to values, was read as ")
