"""Aligns the base by DPO (Rafailov et al. 2023) with TRL. All weights are trained, or adapters beside them."""

import json
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pandas as pd

from refuseu.core.errors import UserError
from refuseu.core.files import atomic_folder, writing
from refuseu.dpo.checkpoints import KEPT, checkpoint_folder, kept, marking, newest, remove_damaged
from refuseu.dpo.launching import accelerate_config, first_process, launched
from refuseu.dpo.machine import TrainingMachine, assert_four_bits
from refuseu.dpo.settings import Dpo, Lora
from refuseu.dpo.tokens import check_lengths, token_statistics
from refuseu.dpo.trainer import can_be_sent, divided, gathered, preference_trainer, prepare_adapters, row_order
from refuseu.training import EVERY_STEP, Log, curve, run_training
from refuseu.weights.faults import sound_device
from refuseu.weights.identity import identity
from refuseu.weights.loading import (
    first_not_finite,
    load_model,
    load_shape,
    load_tokenizer,
    weight_not_finite,
)
from refuseu.weights.reference import ModelReference
from refuseu.weights.template import NONE, Variables

if TYPE_CHECKING:
    from datasets import Dataset
    from peft import LoraConfig, PeftModel
    from torch import Tensor
    from transformers import PreTrainedModel, PreTrainedTokenizerBase
    from trl import DPOConfig, DPOTrainer

CURVES = {
    "loss": "loss",
    "rewards/margins": "reward_margin",
    "rewards/accuracies": "reward_accuracy",
    "rewards/chosen": "reward_chosen",
    "rewards/rejected": "reward_rejected",
    "learning_rate": "learning_rate",
}
"""TRL's name of a logged value to ours. Run times and counters are left out, because they are not reproducible."""
DEV_CURVES = {
    "eval_loss": "dev_loss",
    "eval_rewards/margins": "dev_reward_margin",
    "eval_rewards/accuracies": "dev_reward_accuracy",
}
"""The same of what is measured on dev."""
KNOBS = {"learning_rate", "beta", "sft_weight"}
"""Parameters that make the training diverge when they are too large."""
LESS = (
    "train; in the section training of machines/ lower batch_size, set gradient_checkpointing, or spread the model by "
    "accelerate: fsdp2 over more processes"
)
"""What takes memory in a training, and how it takes less of a device."""


def train_dpo(
    mix: pd.DataFrame,
    base: ModelReference,
    settings: Dpo,
    machine: TrainingMachine,
    seed: int,
    out: Path,
    variables: Variables = NONE,
    stage: str = "dpo",
    dev: pd.DataFrame | None = None,
) -> tuple[dict[str, Any], Log]:
    """Train a copy of ``base``, or an adapter on it, on the preference pairs of ``mix`` (schema ``MIX``), and save it in ``out``.

    ``seed`` decides the order of the pairs, and where adapters start and what their dropout drops. ``variables`` are what the
    chat template is given. ``stage`` is what progress and errors call this training. ``dev`` are the pairs (schema ``MIX``) that
    it is evaluated on every ``eval_every`` steps.

    Returns:
        The metrics (seed, rows, the last point of the curves, tokens by language), and the curves with one row for each point.

    Raises:
        UserError: when dev holds too few pairs, when a base in 4 bits cannot be had, when ``base`` is damaged, lacks weights or
            cannot be fetched, when its chat template reads the clock, when a prompt has other tokens before an answer than alone,
            when more than ``max_dropped`` of a language's rows do not fit ``max_length``, when the model and its reference differ
            before the first step, when a loss, gradient or weight is not finite, when memory runs out, and when a GPU fails.
            Nothing is saved then, but checkpoints stay after the last two.
    """
    import torch

    torch.set_num_threads(1)
    score_answers_alone()
    pairs = {"train": conversations(mix)}
    if dev is not None:
        pairs["dev"] = conversations(dev)
    folder = checkpoints_of(pairs, base, settings, machine, seed, out, variables)
    with sound_device(stage, LESS):
        arguments = trainer_arguments(settings, machine, len(mix), seed, folder)
        model, tokenizer, first_reads = _load(base, settings, machine, variables)
        tokens = token_statistics(mix, tokenizer, settings.max_length)
        check_lengths(tokens, settings.max_length, settings.max_dropped)
        # Checkpoints are removed only after an error from here on. A hub that is down for a while, or memory that others hold,
        # must not cost what was trained so far.
        with writing(folder), kept(folder, first_process(), out):
            with arguments.main_process_first(local=False):  # the first of all nodes, which share the disk
                if first_process():
                    remove_damaged(folder, stage)
            trainer = preference_trainer(stage, first_reads)(
                model,
                args=arguments,
                train_dataset=_dataset(pairs, "train", arguments),
                eval_dataset=None if dev is None else _dataset(pairs, "dev", arguments),
                processing_class=tokenizer,
                peft_config=_lora(settings.method) if isinstance(settings.method, Lora) else None,
                callbacks=[marking()],
            )
            prepare_adapters(trainer.model)
            rows = row_order(len(trainer.train_dataset), arguments.max_steps * settings.batch_size, seed)
            trainer.train_dataset = trainer.train_dataset.select(rows)
            if dev is not None:
                trainer.eval_dataset = trainer.eval_dataset.select(dev_rows(len(trainer.eval_dataset), settings))
            log = run_training(trainer, stage, settings.model_dump(include=KNOBS), newest(folder))
            save_trained(trainer, tokenizer, base, out, stage)
    points = with_dev(curves(log), trainer.state.log_history)
    last = {name: value for name, value in points[-1].items() if name not in ("step", "learning_rate")}
    return {"seed": seed, "rows": len(mix), **last, "tokens": tokens}, points


def checkpoints_of(
    pairs: dict[str, list[dict[str, Any]]],
    base: ModelReference,
    settings: Dpo,
    machine: TrainingMachine,
    seed: int,
    out: Path,
    variables: Variables,
) -> Path:
    """The folder for the checkpoints of this training. How often they are written does not change the training."""
    return checkpoint_folder(
        # Two mixes may hold the same pairs.
        model=out.parts[-2:],
        pairs=pairs,
        base=identity(base),
        settings=settings.model_dump(),
        machine=machine.model_dump(exclude={"checkpoint_every"}),
        # The content and not only the name, since it says how the weights are divided, in checkpoints too.
        accelerate=accelerate_config(machine) if launched() else None,
        seed=seed,
        variables=variables,
    )


def _dataset(pairs: dict[str, list[dict[str, Any]]], part: str, arguments: "DPOConfig") -> "Dataset":
    """The pairs of a part as a dataset in a file. Other processes would not find what TRL adds to a dataset in memory."""
    from datasets import load_dataset

    folder = Path(arguments.output_dir)
    with arguments.main_process_first(local=False):
        if first_process():
            text = "".join(f"{json.dumps(pair, ensure_ascii=False)}\n" for pair in pairs[part])
            (folder / f"{part}.jsonl").write_text(text, encoding="utf-8")
        return load_dataset(
            "json", data_files=str(folder / f"{part}.jsonl"), split="train", cache_dir=str(folder / "rows")
        )


def _load(
    base: ModelReference, settings: Dpo, machine: TrainingMachine, variables: Variables
) -> tuple["PreTrainedModel", "PreTrainedTokenizerBase", bool]:
    """The base, its tokenizer, and whether only the first process read the weights.

    It alone does where FSDP2 divides the base of adapters: eight copies of 70 B parameters would not fit in a host's memory. A
    full fine-tuning has a reference model beside it, which would stay without weights in the others.
    """
    import torch
    from transformers import AutoModelForCausalLM

    tokenizer = load_tokenizer(base, variables)
    how = {"dtype": getattr(torch, settings.dtype), "attn_implementation": settings.attn_implementation}
    if isinstance(settings.method, Lora) and settings.method.load_in_4bit:
        assert_four_bits(machine)
        how |= four_bits(settings.bf16, machine.device)
    first_reads = isinstance(settings.method, Lora) and divided()
    read = not first_reads or first_process()
    model = (load_model if read else load_shape)(AutoModelForCausalLM, base, **how)
    if first_reads and not can_be_sent(model):
        first_reads = False
        model = model if read else load_model(AutoModelForCausalLM, base, **how)
    wrong = weight_not_finite(model)
    if wrong:
        raise UserError(f"{base.source}: the {wrong} is not finite; 'dvc repro --force base' makes the base anew")
    return model, tokenizer, first_reads


def four_bits(bf16: bool, device: str) -> dict[str, Any]:
    """The arguments of ``from_pretrained`` for a base in 4 bits, of which a layer computes in bfloat16 or float32."""
    import torch
    from transformers import BitsAndBytesConfig

    return {
        "quantization_config": BitsAndBytesConfig(
            load_in_4bit=True,
            bnb_4bit_quant_type="nf4",
            bnb_4bit_compute_dtype=torch.bfloat16 if bf16 else torch.float32,
        ),
        "device_map": {"": torch.cuda.current_device() if device == "cuda" else "cpu"},
    }


def dev_rows(rows: int, settings: Dpo) -> list[int]:
    """The positions of the dev pairs that are measured, the same in every training: as many as fill whole steps.

    So each device takes equally many at once, and the mean over them does not depend on how many devices there are.

    Raises:
        UserError: when there are too few to fill a step.
    """
    if rows < settings.batch_size:
        raise UserError(
            f"dpo.eval_every: dev holds {rows} accepted pairs, fewer than a step takes (dpo.batch_size: {settings.batch_size}); "
            "raise split.dev_per_category, or leave eval_every out"
        )
    return row_order(rows, rows - rows % settings.batch_size, seed=0)


def _lora(method: Lora) -> "LoraConfig":
    from peft import LoraConfig

    return LoraConfig(
        task_type="CAUSAL_LM",
        r=method.rank,
        lora_alpha=method.alpha,
        lora_dropout=method.dropout,
        target_modules=method.targets,
    )


def save_trained(
    trainer: "DPOTrainer", tokenizer: "PreTrainedTokenizerBase", base: ModelReference, out: Path, stage: str
) -> None:
    """Save the trained model with its tokenizer, or the adapter alone. The first of several processes does it.

    Raises:
        UserError: for a weight that is not finite, and for a place that cannot be written. Nothing is saved then.
    """
    from accelerate.utils import is_peft_model

    weights = gathered(trainer)
    if not trainer.is_world_process_zero():
        return
    wrong = first_not_finite(weights.items())
    if wrong:
        raise UserError(f"{stage}: the weight {wrong} is not finite after the training; nothing was saved")
    model = trainer.accelerator.unwrap_model(trainer.model_wrapped)
    with atomic_folder(out) as folder:
        if is_peft_model(model):
            _save_adapter(model, weights, base, folder)
        else:
            # FSDP2 gathers a weight that two layers share once for each of them, and only its first name is saved elsewhere.
            shared = model.all_tied_weights_keys
            model.save_pretrained(folder, state_dict={name: weights[name] for name in weights if name not in shared})
            save_tokenizer(tokenizer, folder)


def _save_adapter(model: "PeftModel", weights: dict[str, "Tensor"], base: ModelReference, out: Path) -> None:
    """Save only the adapter, with the base named as the project names it and not by a folder of this machine."""
    config = model.active_peft_config
    config.base_model_name_or_path, config.revision = str(base.source), base.commit
    # peft holds them in a set, whose order differs from run to run.
    config.target_modules = sorted(config.target_modules)
    # The embeddings are not trained, so peft need not ask the hub whether they were.
    model.save_pretrained(out, state_dict=weights, save_embedding_layers=False)
    (out / "README.md").unlink()


def save_tokenizer(tokenizer: "PreTrainedTokenizerBase", out: Path) -> None:
    """Save the tokenizer without notes on how it was loaded, which differ where HF_HUB_OFFLINE is set."""
    for name in ("is_local", "local_files_only"):
        tokenizer.init_kwargs.pop(name, None)
    tokenizer.save_pretrained(out)


def score_answers_alone() -> None:
    """Make TRL put only the answers through the LM head on a CPU, as it does on CUDA.

    Without CUDA it scores every position, so that shapes stay the same for compilers. Nothing is compiled here. Three in four
    positions belong to the masked prompt, and scoring them took four fifths of the time.
    """
    from trl.trainer import utils

    utils._use_triton = lambda device: True


def trainer_arguments(settings: Dpo, machine: TrainingMachine, rows: int, seed: int, folder: Path) -> "DPOConfig":
    """TRL's arguments, which are the same for every config. Checkpoints are written to ``folder``.

    Raises:
        UserError: when a step cannot be divided evenly among the machine's devices.
    """
    from trl import DPOConfig

    at_once, times = machine.accumulation(settings.batch_size)
    return DPOConfig(
        output_dir=str(folder),
        seed=seed,
        max_steps=settings.steps_for(rows),
        per_device_train_batch_size=at_once,
        per_device_eval_batch_size=at_once,
        eval_strategy="steps" if settings.eval_every else "no",
        eval_steps=settings.eval_every,
        gradient_accumulation_steps=times,
        train_sampling_strategy="sequential",
        learning_rate=settings.learning_rate,
        lr_scheduler_type="linear",
        warmup_steps=settings.warmup,
        beta=settings.beta,
        # Without the likelihood of the chosen answer the output of a tiny model degenerates (RPO, Pang et al. 2024).
        loss_type=["sigmoid", "sft"] if settings.sft_weight else ["sigmoid"],
        loss_weights=[1.0, settings.sft_weight] if settings.sft_weight else None,
        max_length=settings.max_length,
        precompute_ref_log_probs=settings.reference == "precomputed",
        # TRL would switch off the dropout of an adapter too.
        disable_dropout=not (isinstance(settings.method, Lora) and settings.method.dropout),
        gradient_checkpointing=machine.gradient_checkpointing,
        use_cpu=machine.device == "cpu",
        bf16=settings.bf16,
        ddp_find_unused_parameters=False,
        trust_remote_code=False,
        **{**EVERY_STEP, "save_strategy": "steps"},
        save_steps=machine.checkpoint_every,
        save_total_limit=KEPT,
    )


def conversations(mix: pd.DataFrame) -> list[dict[str, list[dict[str, str]]]]:
    """The rows of ``mix`` in TRL's conversational preference format."""
    role = {"prompt": "user", "chosen": "assistant", "rejected": "assistant"}
    return [
        {name: [{"role": role[name], "content": text}] for name, text in row.items()}
        for row in mix[list(role)].to_dict("records")
    ]


def curves(log: Log) -> Log:
    """The reproducible part of TRL's log under our names, with one row for each point."""
    return [
        {"step": point["step"], **{ours: point[theirs] for theirs, ours in CURVES.items() if theirs in point}}
        for point in curve(log)
    ]


def with_dev(points: Log, history: Log) -> Log:
    """The points of a curve, with each evaluation on dev in the trainer's ``history`` added to the point nearest to its step."""
    for measured in history:
        if "eval_loss" in measured:
            point = min(points, key=lambda each: abs(each["step"] - measured["step"]))
            point |= {ours: measured[theirs] for theirs, ours in DEV_CURVES.items()}
    return points
