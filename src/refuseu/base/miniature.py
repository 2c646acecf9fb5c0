"""Trains the miniature's base from scratch: a BPE tokenizer with a chat template, and a tiny Llama."""

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from refuseu.base.corpus import Example
from refuseu.base.settings import TrainedBase
from refuseu.core.files import atomic_folder
from refuseu.training import EVERY_STEP, curve, run_training
from refuseu.weights.encoding import conversation_tokens, parts_tokens

if TYPE_CHECKING:
    from torch.optim import AdamW
    from transformers import LlamaForCausalLM, PreTrainedTokenizerFast, TrainingArguments

SPECIAL = {"pad": "<|pad|>", "end": "<|end|>", "user": "<|user|>", "assistant": "<|assistant|>"}
MASKED = -100
"""The label of a token that is not learnt (PyTorch's ignore_index)."""
MICRO_BATCHES = 4
"""A batch is divided into this many parts, which are padded separately. Their gradients are summed."""
INITIALIZER_RANGE, ADAM_BETA2 = 0.05, 0.95
EMBEDDING_RATE = 10
"""Twins share their words. With these values the model learnt to tell them apart in half the steps that it took with Llama's
usual 0.02 and Adam's usual 0.999."""
CHAT_TEMPLATE = (
    "{% for message in messages %}<|{{ message['role'] }}|>{{ message['content'] }}<|end|>{% endfor %}"
    "{% if add_generation_prompt %}<|assistant|>{% endif %}"
)


def train_base(examples: list[Example], settings: TrainedBase, seed: int, out: Path) -> dict[str, float]:
    """Train on ``examples`` and save the model and its tokenizer in the folder ``out``.

    Returns:
        The number of parameters and examples, and the loss (nats for each token) at the first and the last point of its curve.

    Raises:
        UserError: when a loss, gradient or weight is not finite. Nothing is saved then.
    """
    import torch
    from transformers import set_seed

    torch.set_num_threads(1)
    set_seed(seed)
    tokenizer = build_tokenizer(examples, settings)
    model = build_model(tokenizer, settings)
    with atomic_folder(out) as folder:
        losses = _fit(model, tokenizer, examples, settings, seed, folder)
        model.save_pretrained(folder)
        tokenizer.save_pretrained(folder)
    return {
        "parameters": model.num_parameters(),
        "examples": len(examples),
        "loss_first": losses[0],
        "loss_last": losses[-1],
    }


def build_tokenizer(examples: list[Example], settings: TrainedBase) -> "PreTrainedTokenizerFast":
    """A byte-level BPE tokenizer with ``settings.vocabulary`` tokens, trained on the texts of the examples."""
    from tokenizers import ByteLevelBPETokenizer
    from transformers import PreTrainedTokenizerFast

    bpe = ByteLevelBPETokenizer()
    texts = [text for example in examples for text in (example.prompt, example.completion)]
    bpe.train_from_iterator(
        texts, vocab_size=settings.vocabulary, special_tokens=list(SPECIAL.values()), show_progress=False
    )
    tokenizer = PreTrainedTokenizerFast(
        tokenizer_object=bpe._tokenizer,
        pad_token=SPECIAL["pad"],
        eos_token=SPECIAL["end"],
        additional_special_tokens=[SPECIAL["user"], SPECIAL["assistant"]],
        model_max_length=settings.max_length,
    )
    tokenizer.chat_template = CHAT_TEMPLATE
    return tokenizer


def build_model(tokenizer: "PreTrainedTokenizerFast", settings: TrainedBase) -> "LlamaForCausalLM":
    """A Llama of the size in ``settings``, randomly initialised. Input and output embeddings are not tied."""
    from transformers import LlamaConfig, LlamaForCausalLM

    return LlamaForCausalLM(
        LlamaConfig(
            vocab_size=len(tokenizer),
            hidden_size=settings.hidden_size,
            num_hidden_layers=settings.layers,
            num_attention_heads=settings.heads,
            num_key_value_heads=settings.heads,
            intermediate_size=settings.intermediate_size,
            max_position_embeddings=settings.max_length,
            tie_word_embeddings=False,
            initializer_range=INITIALIZER_RANGE,
            pad_token_id=tokenizer.pad_token_id,
            bos_token_id=None,
            eos_token_id=tokenizer.eos_token_id,
        )
    )


def _fit(
    model: "LlamaForCausalLM",
    tokenizer: "PreTrainedTokenizerFast",
    examples: list[Example],
    settings: TrainedBase,
    seed: int,
    out: Path,
) -> list[float]:
    """Supervised training on the answers only. Returns the losses (nats for each token) along its curve."""
    from transformers import Trainer

    encoded = [encode(tokenizer, example, settings.max_length) for example in examples]
    rows = short_to_long(encoded, settings.batch_size)
    trainer = Trainer(
        model,
        training_arguments(settings, seed, out),
        AnswerCollator(tokenizer.pad_token_id),
        train_dataset=rows,
        optimizers=(build_optimizer(model, settings.learning_rate), None),
    )
    log = run_training(trainer, "base", {"learning_rate": settings.learning_rate})
    return [point["loss"] for point in curve(log)]


def training_arguments(settings: TrainedBase, seed: int, out: Path) -> "TrainingArguments":
    """The arguments of transformers' trainer: a cosine schedule, and batches in the order in which they are given."""
    from transformers import TrainingArguments

    return TrainingArguments(
        output_dir=str(out),
        seed=seed,
        max_steps=settings.steps,
        per_device_train_batch_size=settings.batch_size // MICRO_BATCHES,
        gradient_accumulation_steps=MICRO_BATCHES,
        train_sampling_strategy="sequential",
        learning_rate=settings.learning_rate,
        lr_scheduler_type="cosine",
        warmup_steps=0.1,
        use_cpu=True,
        **EVERY_STEP,
    )


def build_optimizer(model: "LlamaForCausalLM", learning_rate: float) -> "AdamW":
    """AdamW with a higher learning rate for the input embeddings."""
    from torch.optim import AdamW

    embeddings = list(model.get_input_embeddings().parameters())
    rest = [each for each in model.parameters() if all(each is not one for one in embeddings)]
    groups = [{"params": embeddings, "lr": EMBEDDING_RATE * learning_rate}, {"params": rest, "lr": learning_rate}]
    return AdamW(groups, betas=(0.9, ADAM_BETA2), weight_decay=0.0, fused=True)


@dataclass(frozen=True)
class AnswerCollator:
    """Pads on the left, so that all answers end together and logits are computed only for them.

    A tiny model spends half of its time on logits over the vocabulary, and most positions belong to prompts.
    """

    pad_token_id: int

    def __call__(self, rows: list[dict[str, list[int]]]) -> dict[str, Any]:
        import torch

        longest = max(len(row["input_ids"]) for row in rows)
        answer = max(sum(label != MASKED for label in row["labels"]) for row in rows)

        def padded(name: str, filler: int) -> torch.Tensor:
            return torch.tensor([[filler] * (longest - len(row[name])) + row[name] for row in rows])

        ids = padded("input_ids", self.pad_token_id)
        return {
            "input_ids": ids,
            "attention_mask": (ids != self.pad_token_id).long(),
            "labels": padded("labels", MASKED)[:, -answer - 1 :],
            "logits_to_keep": answer + 1,
        }


def short_to_long(rows: list[dict[str, list[int]]], batch_size: int) -> list[dict[str, list[int]]]:
    """The same batches, in each of which the rows are sorted by length, so that its parts need little padding.

    The length of the answer comes first, since a logit over the vocabulary costs more than all else at its position.
    """

    def cost(row: dict[str, list[int]]) -> tuple[int, int]:
        return sum(label != MASKED for label in row["labels"]), len(row["input_ids"])

    batches = (rows[start : start + batch_size] for start in range(0, len(rows), batch_size))
    return [row for batch in batches for row in sorted(batch, key=cost)]


def encode(tokenizer: "PreTrainedTokenizerFast", example: Example, max_length: int) -> dict[str, list[int]]:
    """The token ids of prompt and answer, and labels in which the prompt is masked."""
    messages = [{"role": "user", "content": example.prompt}]
    prompt_ids = conversation_tokens(tokenizer, "the miniature", messages, add_generation_prompt=True)
    answer_ids = parts_tokens(tokenizer, ["", example.completion, SPECIAL["end"] if example.whole else ""])
    ids = (prompt_ids + answer_ids)[:max_length]
    return {"input_ids": ids, "labels": ([MASKED] * len(prompt_ids) + answer_ids)[:max_length]}
