"""TRL's DPO trainer, with the same batches on any number of devices and with a check of its reference model."""

import math
import os
import random
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from refuseu.core.errors import UserError
from refuseu.weights.encoding import conversation_tokens

if TYPE_CHECKING:
    from torch import Tensor
    from transformers import PreTrainedModel
    from trl import DPOTrainer

INDIFFERENT = math.log(2)
"""The DPO loss (nats) of a model that prefers neither answer more than its reference does."""
TOLERANCE = {False: 1e-3, True: 0.1}
"""How far loss and rewards (nats) may be off before the first step, by whether layers compute in bfloat16. There a reference
that was precomputed in other batches rounds differently. A wrong reference is off by much more."""
REWARDS = ("rewards/margins", "rewards/chosen", "rewards/rejected")
WAY_OUT = (
    "the reference model is not the base; take accelerate: none, or a file of machines/accelerate/ that has "
    "fsdp_cpu_ram_efficient_loading: false"
)


def row_order(rows: int, wanted: int, seed: int) -> list[int]:
    """The positions of ``wanted`` rows out of ``rows``, in rounds over all rows. Each round has an order of its own.

    A step takes the next ``dpo.batch_size`` positions, also across two rounds, however many devices share it.
    """
    draw = random.Random(seed)
    rounds = [draw.sample(range(rows), rows) for _ in range(math.ceil(wanted / rows))]
    return [row for each in rounds for row in each][:wanted]


@dataclass(frozen=True)
class Encoder:
    """The tokenizer as TRL uses it while it prepares the pairs: no question and no answer becomes a special token."""

    tokenizer: Any

    def apply_chat_template(self, conversation: Any, **options: Any) -> dict[str, list[int]]:
        own = {name: value for name, value in options.items() if name not in ("tokenize", "return_dict")}
        return {"input_ids": conversation_tokens(self.tokenizer, str(self.tokenizer.name_or_path), conversation, **own)}

    def decode(self, tokens: list[int]) -> str:
        text: str = self.tokenizer.decode(tokens)
        return text


def divided() -> bool:
    """Whether FSDP2 will divide the model among the processes, as accelerate told them when it started them.

    On CPUs accelerate takes a copy of the model in each process, whatever its configuration says.
    """
    from accelerate import DistributedType, PartialState

    told = os.environ.get("ACCELERATE_USE_FSDP"), os.environ.get("FSDP_VERSION")
    return told == ("true", "2") and PartialState().distributed_type is not DistributedType.MULTI_CPU


def can_be_sent(model: "PreTrainedModel") -> bool:
    """Whether the first process can send the weights of ``model`` to the others, whose models have shapes alone; all must ask.

    All processes must know the weights by the same names, shapes and types. Buffers that are saved like weights are none for
    accelerate, which sends what FSDP2 divides.
    """
    from accelerate.utils import gather_object

    weights = {name: (tuple(each.shape), each.dtype) for name, each in model.named_parameters(remove_duplicate=False)}
    known = gather_object([repr(sorted(weights.items(), key=repr))])
    return len(set(known)) == 1 and model.state_dict().keys() <= weights.keys()


def prepare_adapters(model: "PreTrainedModel") -> None:
    """Give trained weights that have a shape alone a place in memory, and make all of them float32.

    The first process fills the places. accelerate knows the weights that the optimizer holds by them
    (``Accelerator._prepare_fsdp2``). Beside a base in 4 bits TRL makes adapters bfloat16, which would round small steps away. Its
    layers have another form for CPUs with AVX-512 in bfloat16, which they take at the first measure and which has no gradients:
    nothing would be trained, without a word (bitsandbytes 0.50.2, ``Linear4bit.forward``).
    """
    in_4bit = getattr(model, "is_loaded_in_4bit", False)
    for module in model.modules():
        if hasattr(module, "support_avx512bf16_for_cpu"):
            module.support_avx512bf16_for_cpu = False
        own = [each for each in module.parameters(recurse=False) if each.requires_grad]
        if any(each.is_meta for each in own):
            module.to_empty(device="cpu", recurse=False)
        elif in_4bit:
            for each in own:
                each.data = each.data.float()


def preference_trainer(stage: str, first_reads: bool = False) -> "type[DPOTrainer]":
    """The class of the trainer, whose errors begin with ``stage``.

    With ``first_reads`` the first process alone has the weights of the model, and FSDP2 is filled with them.
    """
    import torch
    from torch.distributed.fsdp import MixedPrecisionPolicy
    from trl import DPOTrainer

    class PreferenceTrainer(DPOTrainer):  # type: ignore[misc]  # trl is not type-checked
        def _prepare_dataset(self, dataset: Any, processing_class: Any, *arguments: Any) -> Any:
            return super()._prepare_dataset(dataset, Encoder(processing_class), *arguments)

        def create_accelerator_and_postprocess(self) -> None:
            """Keep accelerate's FSDP2 from rounding what the model returns, before it wraps the model or its reference.

            Its policy for bf16 casts the log-probabilities of the tokens to bfloat16 and sums gradients in it. The sum over an
            answer, some hundred nats, would then come in steps of 1 (``accelerate.utils.FullyShardedDataParallelPlugin``).
            """
            super().create_accelerator_and_postprocess()
            plugin = getattr(self.accelerator.state, "fsdp_plugin", None)
            if plugin and first_reads:
                # In the environment, as FSDP_CPU_RAM_EFFICIENT_LOADING, it would have transformers fill the others with zeros.
                plugin.cpu_ram_efficient_loading = True
            if plugin and plugin.fsdp_version == 2 and self.args.bf16:
                plugin.mixed_precision_policy = MixedPrecisionPolicy(
                    param_dtype=torch.bfloat16, reduce_dtype=torch.float32, output_dtype=None
                )

        def save_model(self, output_dir: str | None = None, _internal_call: bool = False) -> None:
            """Write the weights of a checkpoint: of adapters under FSDP2 those alone, for which TRL gathers the base as well."""
            if not only_adapters(self):
                super().save_model(output_dir, _internal_call)
                return
            weights = gathered(self)
            if self.args.should_save:
                self._save(output_dir, state_dict=weights)

        def get_batch_samples(self, *arguments: Any) -> tuple[list[dict[str, "Tensor"]], "Tensor"]:
            """The parts of a step that this device takes one after another, and the mean number of chosen tokens in a part."""
            parts, _ = super().get_batch_samples(*arguments)
            if self.state.global_step == 0:
                assert_indifferent(self, parts, stage)
            tokens = torch.stack([chosen_tokens(part) for part in parts]).to(self.accelerator.device)
            return parts, self.accelerator.gather(tokens).double().mean()

        def evaluate(self, *arguments: Any, **options: Any) -> dict[str, float]:
            """Measure the dev pairs by the loss of DPO alone. The training goes on as if nothing had been measured."""
            # A loader of data draws a number when it starts.
            with torch.random.fork_rng(devices=[]), dpo_alone(self):
                measured: dict[str, float] = super().evaluate(*arguments, **options)
            return measured

        def compute_loss(
            self, model: Any, inputs: Any, return_outputs: bool = False, num_items_in_batch: Any = None
        ) -> Any:
            """The loss of a part, in which the likelihood of the chosen answers is averaged over the tokens of the whole step.

            TRL averages it over the tokens of the part. It is weighted here by the part's share, so that the number of parts
            does not matter.
            """
            if num_items_in_batch is not None:
                share = float(chosen_tokens(inputs) / num_items_in_batch)
                weights = zip(self.loss_types, self.args.loss_weights or [1.0], strict=True)
                self.loss_weights = [weight * share if kind == "sft" else weight for kind, weight in weights]
            return super().compute_loss(model, inputs, return_outputs, num_items_in_batch)

    return PreferenceTrainer


@contextmanager
def dpo_alone(trainer: "DPOTrainer") -> Iterator[None]:
    """Has a trainer compute the loss of DPO without the likelihood of the chosen answers."""
    before = trainer.loss_types, trainer.loss_weights
    trainer.loss_types, trainer.loss_weights = ["sigmoid"], [1.0]
    try:
        yield
    finally:
        trainer.loss_types, trainer.loss_weights = before


def assert_indifferent(trainer: Any, parts: list[dict[str, "Tensor"]], stage: str) -> None:
    """Fail if the model of a ``DPOTrainer`` and its reference differ before the first step, on any device.

    ``parts`` are the batches that are tried; the trainer's measures forget them.

    Raises:
        UserError: when they differ, and when log-probabilities are not float32. It begins with ``stage``.
    """
    import torch

    trainer.model_wrapped.eval()
    kinds: set[torch.dtype] = set()
    seen = trainer.model_wrapped.register_forward_hook(lambda *call: kinds.add(call[-1].log_probs.dtype))
    with dpo_alone(trainer):
        losses = [trainer.prediction_step(trainer.model_wrapped, part, True)[0].item() for part in parts]
    seen.remove()
    if kinds != {torch.float32}:
        names = ", ".join(sorted(str(kind).removeprefix("torch.") for kind in kinds))
        raise UserError(
            f"{stage}: the log-probabilities of the answers are {names}, whose sums are too coarse to compare; take "
            "another training.accelerate in machines/, with mixed precision that returns float32"
        )
    measured = trainer._metrics.pop("eval")
    trainer._metrics["eval"] = type(measured)(list)
    off = [loss - INDIFFERENT for loss in losses] + [each for name in REWARDS for each in measured[name]]
    if not max(map(abs, off)) <= TOLERANCE[trainer.args.bf16]:
        raise UserError(
            f"{stage}: before the first step the DPO loss is {losses[0]:.4f} and the reward margin "
            f"{measured['rewards/margins'][0]:.4f} instead of ln 2 = 0.6931 and 0: {WAY_OUT}"
        )


def only_adapters(trainer: "DPOTrainer") -> bool:
    """Whether the trained weights are adapters, and FSDP2 spreads them over the processes with their base."""
    from accelerate.utils import is_peft_model

    return bool(trainer.accelerator.is_fsdp2 and is_peft_model(trainer.model))


def gathered(trainer: "DPOTrainer") -> dict[str, "Tensor"]:
    """The trained weights in the host's memory of the first process. Others get what is left of them; all must call it.

    The frozen base of adapters, 141 GB for 70 B parameters, stays where it is under FSDP2, but for a weight that input and output
    share.
    """
    from torch.distributed.checkpoint.state_dict import StateDictOptions, get_model_state_dict

    if only_adapters(trainer):
        options = StateDictOptions(full_state_dict=True, cpu_offload=True, ignore_frozen_params=True)
        weights: dict[str, Tensor] = get_model_state_dict(trainer.model_wrapped, options=options)
    else:
        weights = trainer.accelerator.get_state_dict(trainer.model_wrapped)
    return weights


def chosen_tokens(batch: dict[str, "Tensor"]) -> "Tensor":
    """The number of tokens in the chosen answers of a batch, which are its first half."""
    return batch["completion_mask"][..., 1:].chunk(2)[0].sum()
