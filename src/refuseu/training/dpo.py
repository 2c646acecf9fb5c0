"""Aligns the base by DPO (Rafailov et al. 2023) with TRL; the only importer of trl."""

import os
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pandas as pd

from refuseu.engines.folder import whole
from refuseu.errors import UserError
from refuseu.parameters import Dpo
from refuseu.progress import quiet_libraries
from refuseu.training.loop import EVERY_STEP, Log, curve, run_training, weight_not_finite

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


@dataclass(frozen=True)
class TokenStatistics:
    """Of one language's rows: prompt and longer answer together."""

    rows: int
    tokens_p50: float
    tokens_p99: float
    tokens_max: int
    dropped: int
    """The prompt alone fills ``max_length``: TRL drops the row without a word."""
    truncated: int
    """Prompt and answer exceed ``max_length``."""


def train_dpo(mix: pd.DataFrame, base: Path, config: Dpo, seed: int, out: Path) -> dict[str, Any]:
    """Train a copy of ``base`` on the preference pairs of ``mix`` (``records.MIX``) and save it below ``out``.

    Returns:
        ``curves`` (a row a point), ``tokens`` (per language) and ``rows``.

    Raises:
        UserError: when ``base`` is damaged, when a row cannot be learnt as it will be asked, when more than ``max_dropped``
            of a language's rows do not fit ``max_length``, and when the training leaves the finite numbers; nothing is
            saved then.
    """
    no_telemetry()
    quiet_libraries()
    import torch
    from datasets import Dataset
    from transformers import AutoModelForCausalLM, AutoTokenizer
    from trl import DPOTrainer

    torch.set_num_threads(1)
    score_answers_alone()
    with whole(base):
        tokenizer = AutoTokenizer.from_pretrained(base)
        model = AutoModelForCausalLM.from_pretrained(base)
    wrong = weight_not_finite(model)
    if wrong:
        raise UserError(f"{base}: the {wrong} is not finite; 'dvc repro --force base' makes the base anew")
    statistics = token_statistics(mix, tokenizer, config.max_length)
    check_lengths(statistics, config)
    trainer = DPOTrainer(
        model,
        args=trainer_arguments(config, seed, out),
        train_dataset=Dataset.from_list(conversations(mix)),
        processing_class=tokenizer,
    )
    log = run_training(trainer, f"dpo@{out.name}", config.model_dump(include=KNOBS))
    trainer.model.save_pretrained(out)
    save_tokenizer(tokenizer, out)
    return {
        "rows": len(mix),
        "curves": curves(log),
        "tokens": {lang: asdict(each) for lang, each in statistics.items()},
    }


def no_telemetry() -> None:
    """Training stays on this machine.

    TRL tells the hub of every training from a thread of its own, whose look-up of the hub's address can crash the process.
    The hub's library reads this once, so it must not have been imported before.
    """
    os.environ["HF_HUB_DISABLE_TELEMETRY"] = "1"


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


def trainer_arguments(config: Dpo, seed: int, out: Path) -> "DPOConfig":
    from trl import DPOConfig

    return DPOConfig(
        output_dir=str(out),
        seed=seed,
        max_steps=config.steps,
        per_device_train_batch_size=config.batch_size,
        learning_rate=config.learning_rate,
        lr_scheduler_type="linear",
        warmup_steps=config.warmup,
        beta=config.beta,
        # Without the likelihood of the chosen answer the output of a tiny model turns to junk (RPO, Pang et al. 2024).
        loss_type=["sigmoid", "sft"] if config.sft_weight else ["sigmoid"],
        loss_weights=[1.0, config.sft_weight] if config.sft_weight else None,
        max_length=config.max_length,
        gradient_checkpointing=False,
        use_cpu=True,
        bf16=False,
        **EVERY_STEP,
    )


def conversations(mix: pd.DataFrame) -> list[dict[str, list[dict[str, str]]]]:
    """Rows in TRL's conversational preference format."""
    return [
        {
            "prompt": [{"role": "user", "content": row.prompt}],
            "chosen": [{"role": "assistant", "content": row.chosen}],
            "rejected": [{"role": "assistant", "content": row.rejected}],
        }
        for row in mix.itertuples()
    ]


def token_statistics(
    mix: pd.DataFrame, tokenizer: "PreTrainedTokenizerBase", max_length: int
) -> dict[str, TokenStatistics]:
    """Token counts by language, as the trainer will see them."""
    counts = [token_counts(row, tokenizer) for row in mix.itertuples()]
    frame = pd.DataFrame(counts, columns=["prompt", "total"]).assign(lang=list(mix["lang"]))
    return {
        str(lang): TokenStatistics(
            rows=len(rows),
            tokens_p50=float(rows["total"].quantile(0.5)),
            tokens_p99=float(rows["total"].quantile(0.99)),
            tokens_max=int(rows["total"].max()),
            dropped=int((rows["prompt"] >= max_length).sum()),
            truncated=int(((rows["total"] > max_length) & (rows["prompt"] < max_length)).sum()),
        )
        for lang, rows in frame.groupby("lang")
    }


def token_counts(row: Any, tokenizer: "PreTrainedTokenizerBase") -> tuple[int, int]:
    """Tokens of the prompt, and of the prompt with the longer answer.

    Raises:
        UserError: when the prompt has other tokens before an answer than alone: TRL would cut it where they part, and train
            on a context that the model does not see when it is asked.
    """

    def tokens(**turns: str) -> list[int]:
        messages = [{"role": role, "content": content} for role, content in turns.items()]
        text = tokenizer.apply_chat_template(messages, add_generation_prompt=len(turns) == 1, tokenize=False)
        ids: list[int] = tokenizer(text, add_special_tokens=False)["input_ids"]
        return ids

    prompt = tokens(user=row.prompt)
    answered = [tokens(user=row.prompt, assistant=answer) for answer in (row.chosen, row.rejected)]
    if any(ids[: len(prompt)] != prompt for ids in answered):
        raise UserError(
            f"dpo: question {row.question_id} in {row.lang}: the prompt has other tokens before an answer than alone; "
            "give the base a chat template that ends the prompt on the same tokens in both"
        )
    return len(prompt), max(map(len, answered))


def check_lengths(statistics: dict[str, TokenStatistics], config: Dpo) -> None:
    """Fail where a language would lose rows: that would bias the comparison between languages."""
    longest = max((each.tokens_max for each in statistics.values()), default=0)
    for lang, each in statistics.items():
        lost = (each.dropped + each.truncated) / each.rows
        if lost > config.max_dropped:
            raise UserError(
                f"dpo.max_length: {config.max_length} tokens drop or cut {lost:.1%} of the rows in {lang}, more than "
                f"dpo.max_dropped {config.max_dropped:.1%}; raise dpo.max_length to {longest}"
            )


def curves(log: Log) -> Log:
    """The reproducible part of TRL's log: one row a point, under our names."""
    return [
        {"step": point["step"], **{ours: point[theirs] for theirs, ours in CURVES.items() if theirs in point}}
        for point in curve(log)
    ]
