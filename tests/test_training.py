import math
from pathlib import Path

import pytest
import torch
from tiny import EXAMPLES, TINY
from transformers import Trainer

from refuseu.base.miniature import AnswerCollator, build_model, build_tokenizer, encode, training_arguments
from refuseu.core.errors import UserError
from refuseu.training import curve, not_finite, run_training, weight_not_finite


@pytest.fixture
def trainer(tmp_path: Path) -> Trainer:
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
