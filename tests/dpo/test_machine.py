from pathlib import Path

import pytest
import yaml
from tiny import ONE_CORE

from refuseu.core.errors import UserError
from refuseu.dpo.machine import TrainingMachine, load_training_machine


@pytest.mark.parametrize(
    ("processes", "most", "batch_size", "shared"),
    [(1, 16, 16, (16, 1)), (1, 16, 4, (4, 1)), (2, 16, 16, (8, 1)), (8, 4, 128, (4, 4)), (2, 1, 128, (1, 64))],
)
def test_a_step_is_shared_out_over_the_devices(
    processes: int, most: int, batch_size: int, shared: tuple[int, int]
) -> None:
    machine = ONE_CORE.model_copy(update={"processes": processes, "batch_size": most})
    assert machine.accumulation(batch_size) == shared
    assert processes * shared[0] * shared[1] == batch_size
    assert machine.model_copy(update={"processes": 1, "nodes": processes}).accumulation(batch_size) == shared


@pytest.mark.parametrize(("processes", "most", "batch_size"), [(3, 4, 16), (2, 3, 16), (4, 1, 2)])
def test_a_step_that_cannot_be_shared_out_is_one_sentence(processes: int, most: int, batch_size: int) -> None:
    machine = ONE_CORE.model_copy(update={"processes": processes, "batch_size": most})
    with pytest.raises(UserError) as error:
        machine.accumulation(batch_size)
    assert error.value.message == (
        f"dpo.batch_size: {batch_size} pairs a step cannot be shared out by training.processes ({processes}) that take up to "
        f"{most} at once; choose training.processes and training.batch_size in machines/ so that their product divides it"
    )


def test_a_step_that_nodes_cannot_share_out_names_them() -> None:
    machine = ONE_CORE.model_copy(update={"processes": 2, "nodes": 3, "batch_size": 4})
    with pytest.raises(
        UserError, match=r"training.processes \(2\) on each of training.nodes \(3\) .* with the nodes divides"
    ):
        machine.accumulation(16)


def load(root: Path, content: object) -> TrainingMachine:
    (root / "machines").mkdir()
    (root / "machines/cpu.yaml").write_text(yaml.safe_dump(content), encoding="utf-8")
    return load_training_machine(root)


@pytest.fixture(autouse=True)
def no_machine_is_chosen(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("REFUSEU_MACHINE", raising=False)


def test_a_training_reads_its_own_section_alone(tmp_path: Path) -> None:
    assert load(tmp_path, {"vllm": "broken", "training": ONE_CORE.model_dump()}) == ONE_CORE


@pytest.mark.parametrize(
    ("content", "said"),
    [
        ([], "must be a mapping of keys to values, was read as a list"),
        ({"workers": 2}, "training: must be a mapping of keys to values, was read as nothing"),
        ({"training": {**ONE_CORE.model_dump(), "processes": 0}}, "training.processes: must be greater than 0"),
        ({"training": {**ONE_CORE.model_dump(), "accelerate": "../x"}}, "training.accelerate: String should match"),
    ],
)
def test_a_section_that_is_wrong_is_one_sentence_with_its_file(tmp_path: Path, content: object, said: str) -> None:
    with pytest.raises(UserError) as error:
        load(tmp_path, content)
    assert error.value.message.startswith(f"{tmp_path}/machines/cpu.yaml: {said}")
