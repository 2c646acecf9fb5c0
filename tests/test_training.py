import csv
import json
import math
import os
from pathlib import Path
from typing import ClassVar

import pytest
import torch
import yaml
from tiny import EXAMPLES, TINY
from transformers import Trainer, TrainerCallback, TrainerState

from refuseu.base.miniature import AnswerCollator, build_model, build_tokenizer, encode, training_arguments
from refuseu.core.errors import UserError
from refuseu.training import curve, not_finite, run_training, trackers, weight_not_finite


@pytest.fixture
def trainer(tmp_path: Path) -> Trainer:
    return tiny_trainer(tmp_path)


def tiny_trainer(tmp_path: Path) -> Trainer:
    torch.manual_seed(1)
    tokenizer = build_tokenizer(EXAMPLES, TINY)
    return Trainer(
        build_model(tokenizer, TINY),
        training_arguments(TINY, 1, tmp_path),
        AnswerCollator(tokenizer.pad_token_id),
        train_dataset=[encode(tokenizer, example, 64) for example in EXAMPLES],
    )


def stopped(trainer: Trainer) -> str:
    with pytest.raises(UserError) as error:
        run_training(trainer, "dpo@slavic", {"learning_rate": 0.01, "beta": 1e30})
    return error.value.message


def test_every_step_is_logged_and_the_progress_alone_is_shown(
    trainer: Trainer, capsys: pytest.CaptureFixture[str]
) -> None:
    log = run_training(trainer, "base", {})
    assert [row["step"] for row in log] == list(range(1, 41))
    assert all(math.isfinite(row["loss"]) and math.isfinite(row["grad_norm"]) for row in log)
    shown = capsys.readouterr()
    assert shown.out == ""
    assert shown.err.splitlines() == [f"base: {step} of 40 steps" for step in (4, 8, 12, 16, 20, 24, 28, 32, 36, 40)]


def test_a_short_training_shows_each_step_once(trainer: Trainer, capsys: pytest.CaptureFixture[str]) -> None:
    trainer.args.max_steps = 3
    run_training(trainer, "dpo@slavic", {})
    assert capsys.readouterr().err == "dpo@slavic: 1 of 3 steps\ndpo@slavic: 2 of 3 steps\ndpo@slavic: 3 of 3 steps\n"


def test_a_loss_that_is_not_finite_stops_the_training_at_its_step(
    trainer: Trainer, monkeypatch: pytest.MonkeyPatch
) -> None:
    losses = iter([torch.tensor(1.0)] * 11 + [torch.tensor(math.nan)] * 100)
    monkeypatch.setattr(trainer, "training_step", lambda *_: next(losses))
    assert stopped(trainer) == (
        "dpo@slavic: the loss is not finite at step 3; lower dpo.learning_rate (0.01) or dpo.beta (1e+30)"
    )


@pytest.mark.parametrize("label", ["dpo@balanced-1", "dpo-single@de", "dpo balanced 1"])
def test_the_section_is_named_whatever_the_training_is_called(
    label: str, trainer: Trainer, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(trainer, "training_step", lambda *_: torch.tensor(math.nan))
    with pytest.raises(UserError) as error:
        run_training(trainer, label, {"beta": 0.1})
    assert error.value.message.endswith("; lower dpo.beta (0.1)")


def test_a_gradient_too_large_for_its_norm_stops_the_training(
    trainer: Trainer, monkeypatch: pytest.MonkeyPatch
) -> None:
    def training_step(*_: object) -> torch.Tensor:
        for weight in trainer.model.parameters():
            weight.grad = torch.full_like(weight, 1e30)
        return torch.tensor(1.0)

    monkeypatch.setattr(trainer, "training_step", training_step)
    assert "the gradient norm is not finite at step 1" in stopped(trainer)


def test_a_weight_that_is_not_finite_stops_the_training_in_the_last_step_too(
    trainer: Trainer, monkeypatch: pytest.MonkeyPatch
) -> None:
    step, weight = trainer.training_step, trainer.model.model.embed_tokens.weight
    unused = build_tokenizer(EXAMPLES, TINY).convert_tokens_to_ids("~")

    def training_step(*arguments: object) -> torch.Tensor:
        if trainer.state.global_step == 39:
            weight.data[unused, 0] = -math.inf  # no loss and no gradient sees it
        loss: torch.Tensor = step(*arguments)
        return loss

    monkeypatch.setattr(trainer, "training_step", training_step)
    assert "the weight model.embed_tokens.weight is not finite at step 40" in stopped(trainer)


@pytest.mark.parametrize("value", [math.nan, math.inf, -math.inf])
def test_what_is_not_finite_is_named_in_plain_words(value: float) -> None:
    assert not_finite({"loss": 1.0, "grad_norm": value}) == "gradient norm"
    assert not_finite({"rewards/margins": value}) == "reward margin"
    assert not_finite({"loss": value, "grad_norm": value}) == "loss"
    assert not_finite({"loss": 1e300, "step": 3}) is None
    layer = torch.nn.Linear(2, 2)
    assert weight_not_finite(layer) is None
    layer.bias.data[1] = value
    assert weight_not_finite(layer) == "weight bias"


def test_a_curve_has_means_of_whole_stretches_and_the_rate_at_its_points() -> None:
    log = [{"step": step, "loss": float(step), "learning_rate": 1 / step} for step in range(1, 46)]
    points = curve(log)
    assert len(points) == 22
    assert points[0] == {"step": 2, "loss": 1.5, "learning_rate": 1 / 2}
    assert points[-1] == {"step": 44, "loss": 43.5, "learning_rate": 1 / 44}
    assert len(curve(log[:39])) == 39
    assert len(curve(log[:40])) == 20
    assert curve(log[:1]) == log[:1]


def curve_of(folder: Path, name: str) -> list[float]:
    return [
        float(row["val"] if "val" in row else row[name])
        for row in csv.DictReader((folder / "plots" / "metrics" / f"{name}.tsv").open(encoding="utf-8"), delimiter="\t")
    ]


def test_the_trainings_of_an_experiment_are_shown_live_and_end_with_the_same_weights(
    trainer: Trainer, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    log = run_training(trainer, "dpo@slavic-0", {})
    assert not Path("live").exists()

    monkeypatch.setenv("DVC_EXP_NAME", "slavic")
    monkeypatch.setenv("DVC_ROOT", str(tmp_path))
    shown = tiny_trainer(tmp_path)
    assert run_training(shown, "dpo@slavic-0", {}) == log
    weights = trainer.model.state_dict()
    assert all(torch.equal(weight, weights[name]) for name, weight in shown.model.state_dict().items())

    live = Path("live/dpo-slavic-0")
    assert curve_of(live, "loss") == [row["loss"] for row in log]
    assert yaml.safe_load((live / "dvc.yaml").read_text()) == {
        "metrics": ["metrics.json"],
        "plots": [{"plots/metrics": {"x": "step"}}],
    }
    assert json.loads((live / "metrics.json").read_text())["step"] == 40
    assert sorted(path.name for path in live.iterdir()) == ["dvc.yaml", "metrics.json", "plots"]


def test_trackers_are_told_where_their_package_and_a_variable_of_theirs_are_there(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    for name in [*os.environ]:
        if name.startswith(("WANDB_", "MLFLOW_", "DVC_EXP_")):
            monkeypatch.delenv(name)
    monkeypatch.setattr("refuseu.training.find_spec", lambda package: package == "mlflow")
    assert [*trackers("dpo@slavic-0")] == []
    monkeypatch.setenv("WANDB_PROJECT", "ours")
    assert [*trackers("dpo@slavic-0")] == []
    monkeypatch.setenv("MLFLOW_TRACKING_URI", "http://127.0.0.1:5000")
    monkeypatch.setitem(os.environ, "MLFLOW_EXPERIMENT_NAME", "")
    monkeypatch.delenv("MLFLOW_EXPERIMENT_NAME")
    asked: list[str] = []
    monkeypatch.setattr(
        "transformers.integrations.get_reporting_integration_callbacks",
        lambda package: asked.append(package) or [TrainerCallback],
    )
    assert len([*trackers("dpo@slavic-0")]) == 1
    assert asked == ["mlflow"]
    assert os.environ["MLFLOW_EXPERIMENT_NAME"] == "refuseu"


def test_a_tracker_that_fails_ends_no_training(
    trainer: Trainer, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    class Down(TrainerCallback):
        steps: ClassVar[list[int]] = []

        def on_log(self, _: object, state: TrainerState, *__: object, **___: object) -> None:
            self.steps.append(state.global_step)
            if state.global_step == 3:
                raise ConnectionError("no answer\nfrom the server")

    monkeypatch.setattr("refuseu.training.trackers", lambda *_, **__: [Down()])
    assert len(run_training(trainer, "dpo@slavic-0", {})) == 40
    assert Down.steps == [1, 2, 3]
    said = "dpo@slavic-0: Down shows nothing more (no answer from the server); the training goes on"
    assert capsys.readouterr().err.splitlines().count(said) == 1
