"""TRL's DPO trainer with batches that are the same on any number of devices, and a check of its reference model."""

import math
import random
from typing import TYPE_CHECKING, Any

from refuseu.core.errors import UserError

if TYPE_CHECKING:
    from torch import Tensor
    from trl import DPOTrainer

INDIFFERENT = math.log(2)
"""DPO loss (nats) of a model that prefers neither answer more than its reference does."""
TOLERANCE = {False: 1e-3, True: 0.1}
"""How far loss and rewards may be off before the first step, by whether layers compute in bfloat16: there a reference that
was precomputed in other batches rounds in another way. One that is wrong is off by much more."""
REWARDS = ("rewards/margins", "rewards/chosen", "rewards/rejected")
WAY_OUT = (
    "the reference model is not the base; take accelerate: none, or a file of machines/accelerate/ that has "
    "fsdp_cpu_ram_efficient_loading: false"
)


def row_order(rows: int, wanted: int, seed: int) -> list[int]:
    """Positions of ``wanted`` rows of ``rows``: round after round, each in an order of its own.

    A step is the next ``dpo.batch_size`` of them, across the rounds' borders, however many devices share it.
    """
    draw = random.Random(seed)
    rounds = [draw.sample(range(rows), rows) for _ in range(math.ceil(wanted / rows))]
    return [row for each in rounds for row in each][:wanted]


def preference_trainer(stage: str) -> "type[DPOTrainer]":
    """The trainer's class; ``stage`` is what its errors begin with."""
    import torch
    from trl import DPOTrainer

    class PreferenceTrainer(DPOTrainer):  # type: ignore[misc]  # trl is not type-checked
        def get_batch_samples(self, *arguments: Any) -> tuple[list[dict[str, "Tensor"]], "Tensor"]:
            """The parts of a step that this device takes one after the other, and how many chosen tokens a part has."""
            parts, _ = super().get_batch_samples(*arguments)
            if self.state.global_step == 0:
                self._assert_indifferent(parts)
            tokens = torch.stack([chosen_tokens(part) for part in parts]).to(self.accelerator.device)
            return parts, self.accelerator.gather(tokens).double().mean()

        def compute_loss(
            self, model: Any, inputs: Any, return_outputs: bool = False, num_items_in_batch: Any = None
        ) -> Any:
            """TRL averages the likelihood of chosen answers over the tokens of a part. Weighted by the part's share it is the
            average over the tokens of the whole step, however many parts that has.
            """
            if num_items_in_batch is not None:
                share = float(chosen_tokens(inputs) / num_items_in_batch)
                weights = zip(self.loss_types, self.args.loss_weights or [1.0], strict=True)
                self.loss_weights = [weight * share if kind == "sft" else weight for kind, weight in weights]
            return super().compute_loss(model, inputs, return_outputs, num_items_in_batch)

        def _assert_indifferent(self, parts: list[dict[str, "Tensor"]]) -> None:
            """Fail where the model and its reference differ before the first step, on any device."""
            self.model_wrapped.eval()
            self.loss_types, self.loss_weights = ["sigmoid"], [1.0]
            losses = [self.prediction_step(self.model_wrapped, part, True)[0].item() for part in parts]
            self.loss_types = self.args.loss_type
            measured = self._metrics.pop("eval")
            self._metrics["eval"] = type(measured)(list)
            off = [loss - INDIFFERENT for loss in losses] + [each for name in REWARDS for each in measured[name]]
            if not max(map(abs, off)) <= TOLERANCE[self.args.bf16]:
                raise UserError(
                    f"{stage}: before the first step the DPO loss is {losses[0]:.4f} and the reward margin "
                    f"{measured['rewards/margins'][0]:.4f} instead of ln 2 = 0.6931 and 0: {WAY_OUT}"
                )

    return PreferenceTrainer


def chosen_tokens(batch: dict[str, "Tensor"]) -> "Tensor":
    """How many tokens the chosen answers of a batch have, which are its first half."""
    return batch["completion_mask"][..., 1:].chunk(2)[0].sum()
