"""Aligns the base by DPO (Rafailov et al. 2023) with TRL; the only importer of trl."""

import os
import warnings
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pandas as pd

from refuseu.engines.folder import whole
from refuseu.errors import UserError
from refuseu.parameters import Dpo

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
        ``curves`` (one row a logging step), ``tokens`` (per language) and ``rows``.

    Raises:
        UserError: when more than ``max_dropped`` of a language's rows do not fit ``max_length``.
    """
    no_telemetry()
    import torch
    from datasets import Dataset
    from transformers import AutoModelForCausalLM, AutoTokenizer
    from trl import DPOTrainer

    torch.set_num_threads(1)
    score_answers_alone()
    with whole(base):
        tokenizer = AutoTokenizer.from_pretrained(base)
        model = AutoModelForCausalLM.from_pretrained(base)
    statistics = token_statistics(mix, tokenizer, config.max_length)
    check_lengths(statistics, config)
    with warnings.catch_warnings():
        # A prompt that is no token prefix of prompt + answer would train on shifted labels: an error, not a warning.
        warnings.filterwarnings("error", message=".*Mismatch between tokenized prompt.*")
        trainer = DPOTrainer(
            model,
            args=trainer_arguments(config, seed, out),
            train_dataset=Dataset.from_list(conversations(mix)),
            processing_class=tokenizer,
        )
        trainer.train()
    trainer.model.save_pretrained(out)
    save_tokenizer(tokenizer, out)
    return {
        "rows": len(mix),
        "curves": curves(trainer.state.log_history),
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
        logging_steps=max(1, config.steps // 20),
        save_strategy="no",
        report_to="none",
        use_cpu=True,
        bf16=False,
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

    def count(*turns: tuple[str, str]) -> int:
        messages = [{"role": role, "content": content} for role, content in turns]
        text = tokenizer.apply_chat_template(messages, add_generation_prompt=len(turns) == 1, tokenize=False)
        return len(tokenizer(text, add_special_tokens=False)["input_ids"])

    prompts = [count(("user", row.prompt)) for row in mix.itertuples()]
    totals = [
        max(count(("user", row.prompt), ("assistant", answer)) for answer in (row.chosen, row.rejected))
        for row in mix.itertuples()
    ]
    frame = pd.DataFrame({"lang": list(mix["lang"]), "prompt": prompts, "total": totals})
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


def curves(log_history: list[dict[str, float]]) -> list[dict[str, float]]:
    """The reproducible part of TRL's log: one row a logging step."""
    return [
        {"step": entry["step"], **{ours: entry[theirs] for theirs, ours in CURVES.items() if theirs in entry}}
        for entry in log_history
        if "loss" in entry
    ]
