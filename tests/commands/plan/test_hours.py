from pathlib import Path

import pytest
from parameter_files import Content
from planned import SERVED, WEIGHTS, changed, machine, vllm

from refuseu.commands.parameters import Parameters
from refuseu.commands.plan import found
from refuseu.commands.plan.asks import Ask
from refuseu.commands.plan.hours import asked_hours, trained_hours
from refuseu.commands.plan.stages import Line

GPU = machine(
    vllm=vllm(),
    transformers={"batch_size": 2, "device": "cuda"},
    training=machine().training.model_dump() | {"device": "cuda"},
)


@pytest.fixture(autouse=True)
def vllm_for_gpus(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(found, "vllm_for_cpu", lambda: False)


def parameters(folder: Path, base: Content = WEIGHTS, bf16: bool = True) -> Parameters:
    def edit(_: Content, profile: Content) -> None:
        profile["models"] = {"base": base, "chat": SERVED}
        profile["base"] = {"kind": "hub"}
        profile["dpo"]["bf16"] = bf16

    return changed(folder, edit)


def asked(model: str = "base") -> Ask:
    return Ask("eval", model, 1_000_000, 300.0, 20.0)


def test_reading_and_writing_at_their_shares_of_the_peak(tmp_path: Path) -> None:
    seconds = 2 * 8e9 * (300e6 / 0.4 + 20e6 / 0.1) / 989e12
    assert asked_hours(asked(), parameters(tmp_path), GPU) == pytest.approx(seconds / 3600)


def test_a_training_has_four_times_the_operations_of_reading(tmp_path: Path) -> None:
    assert trained_hours(10**9, parameters(tmp_path), GPU) == pytest.approx(8 * 8e9 * 1e9 / 0.4 / 989e12 / 3600)


def test_without_a_gpu_there_are_no_gpu_hours(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    mine = parameters(tmp_path)
    assert asked_hours(asked(), mine, machine()) is None
    assert trained_hours(10**9, mine, machine()) is None
    assert asked_hours(asked("chat"), mine, GPU) is None
    monkeypatch.setattr(found, "vllm_for_cpu", lambda: True)
    assert asked_hours(asked(), mine, GPU) is None


def test_numbers_that_the_peak_does_not_hold_for(tmp_path: Path) -> None:
    mine = parameters(tmp_path, {**WEIGHTS, "dtype": "float32"}, bf16=False)
    assert (asked_hours(asked(), mine, GPU), trained_hours(10**9, mine, GPU)) == (None, None)


def test_transformers_counts_on_a_gpu_alone(tmp_path: Path) -> None:
    mine = parameters(tmp_path, {"engine": "transformers", "dtype": "bfloat16", "repo": "org/name-8b"})
    assert asked_hours(asked(), mine, GPU) is not None
    assert asked_hours(asked(), mine, machine(vllm=vllm())) is None


def test_a_line_adds_what_is_known(tmp_path: Path) -> None:
    mine = parameters(tmp_path)
    one = asked_hours(asked(), mine, GPU)
    assert one
    assert Line("eval", 1, 1, [asked(), asked(), asked("chat")]).gpu_hours(mine, GPU) == pytest.approx(2 * one)
    assert Line("dpo", 1, 1, trained_tokens=10**9).gpu_hours(mine, GPU) == trained_hours(10**9, mine, GPU)
    assert Line("split", 1, 1).gpu_hours(mine, GPU) is None


def test_a_model_of_unknown_size_has_no_hours_that_are_known(tmp_path: Path) -> None:
    unknown = parameters(tmp_path, {**WEIGHTS, "repo": "org/a-name"})
    assert Line("eval", 1, 1, [asked()]).gpu_hours(unknown, GPU) is None
