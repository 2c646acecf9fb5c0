"""Aligns the base by DPO (Rafailov et al. 2023) with TRL; the only importer of trl."""

from pathlib import Path
from typing import TYPE_CHECKING, Any

import pandas as pd

from refuseu.engines.reference import ModelReference, readable
from refuseu.errors import UserError
from refuseu.parameters.dpo import Dpo
from refuseu.training.loop import EVERY_STEP, Log, curve, run_training, weight_not_finite
from refuseu.training.tokens import check_lengths, token_statistics

if TYPE_CHECKING:
    from transformers import PreTrainedTokenizerBase
    from trl import DPOConfig

CURVES = {
    "loss": "loss",
    "rewards/margins": "reward_margin",
    "rewards/accuracies": "reward_accuracy",
    "rewards/chosen": "reward_chosen",
    "rewards/rejected": "reward_rejected",
    "learning_rate": "learning_rate",
}
"""TRL's name of a logged value to ours; run times and counters are left out, they are not reproducible."""
KNOBS = {"learning_rate", "beta", "sft_weight"}
"""Parameters that drive the training out of the finite numbers where they are too large."""


def train_dpo(
    mix: pd.DataFrame, base: ModelReference, settings: Dpo, seed: int, out: Path
) -> tuple[dict[str, Any], Log]:
    """Train a copy of ``base`` on the preference pairs of ``mix`` (``records.MIX``) and save it below ``out``.

    Returns:
        The metrics (rows, the last point of the curves, tokens by language), and the curves, a row a point.

    Raises:
        UserError: when ``base`` is damaged, when a row cannot be learnt as it will be asked, when more than ``max_dropped``
            of a language's rows do not fit ``max_length``, and when the training leaves the finite numbers; nothing is
            saved then.
    """
    import torch
    from datasets import Dataset
    from transformers import AutoModelForCausalLM, AutoTokenizer
    from trl import DPOTrainer

    torch.set_num_threads(1)
    score_answers_alone()
    with readable(base):
        tokenizer = AutoTokenizer.from_pretrained(base.source, revision=base.commit)
        model = AutoModelForCausalLM.from_pretrained(base.source, revision=base.commit, use_safetensors=True)
    wrong = weight_not_finite(model)
    if wrong:
        raise UserError(f"{base.source}: the {wrong} is not finite; 'dvc repro --force base' makes the base anew")
    tokens = token_statistics(mix, tokenizer, settings.max_length)
    check_lengths(tokens, settings.max_length, settings.max_dropped)
    trainer = DPOTrainer(
        model,
        args=trainer_arguments(settings, seed, out),
        train_dataset=Dataset.from_list(conversations(mix)),
        processing_class=tokenizer,
    )
    log = run_training(trainer, f"dpo@{out.name}", settings.model_dump(include=KNOBS))
    trainer.model.save_pretrained(out)
    save_tokenizer(tokenizer, out)
    points = curves(log)
    last = {name: value for name, value in points[-1].items() if name not in ("step", "learning_rate")}
    return {"rows": len(mix), **last, "tokens": tokens}, points


def save_tokenizer(tokenizer: "PreTrainedTokenizerBase", out: Path) -> None:
    """Save what was loaded, without how: transformers notes the latter too, and it differs where HF_HUB_OFFLINE is set."""
    for name in ("is_local", "local_files_only"):
        tokenizer.init_kwargs.pop(name, None)
    tokenizer.save_pretrained(out)


def score_answers_alone() -> None:
    """Have TRL put only the answers through the LM head on a CPU too, as it does on CUDA.

    Off CUDA it scores every position, so that tile shapes stay the same for compilers. Nothing is compiled here, three
    positions in four are prompt and masked, and scoring them took four fifths of the time.
    """
    from trl.trainer import utils

    utils._use_triton = lambda device: True


def trainer_arguments(settings: Dpo, seed: int, out: Path) -> "DPOConfig":
    """TRL's arguments: one way for every config."""
    from trl import DPOConfig

    return DPOConfig(
        output_dir=str(out),
        seed=seed,
        max_steps=settings.steps,
        per_device_train_batch_size=settings.batch_size,
        learning_rate=settings.learning_rate,
        lr_scheduler_type="linear",
        warmup_steps=settings.warmup,
        beta=settings.beta,
        # Without the likelihood of the chosen answer the output of a tiny model turns to junk (RPO, Pang et al. 2024).
        loss_type=["sigmoid", "sft"] if settings.sft_weight else ["sigmoid"],
        loss_weights=[1.0, settings.sft_weight] if settings.sft_weight else None,
        max_length=settings.max_length,
        gradient_checkpointing=False,
        use_cpu=True,
        bf16=False,
        **EVERY_STEP,
    )


def conversations(mix: pd.DataFrame) -> list[dict[str, list[dict[str, str]]]]:
    """Rows in TRL's conversational preference format."""
    role = {"prompt": "user", "chosen": "assistant", "rejected": "assistant"}
    return [
        {name: [{"role": role[name], "content": text}] for name, text in row.items()}
        for row in mix[list(role)].to_dict("records")
    ]


def curves(log: Log) -> Log:
    """The reproducible part of TRL's log: one row a point, under our names."""
    return [
        {"step": point["step"], **{ours: point[theirs] for theirs, ours in CURVES.items() if theirs in point}}
        for point in curve(log)
    ]
