"""What a model of transformers writes after a batch of prompts, in rounds: a row that has ended leaves between two of them.

``generate`` goes on with all rows until the last one has ended, and a row that has ended costs as much as one that has not. So it
is called for a few tokens at a time, each time with the rows that go on and with what the cache holds of them.
"""

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from refuseu.llm.protocol import Sampling

if TYPE_CHECKING:
    from torch import Generator, Tensor

ROUND = 8
"""Tokens that all rows of a batch write before those that have ended leave it."""


@dataclass
class Written:
    """What a model wrote after one prompt."""

    tokens: list[int] = field(default_factory=list)
    """After an end token padding may follow."""
    ended: bool = False
    """Whether an end token was written."""
    finite: bool = True
    """Whether the likeliest token always had a logit that is a number."""
    probabilities: list[float] = field(default_factory=list)
    """Of the tokens that were asked for as the first one, over the whole vocabulary."""


def write(
    model: Any,
    batch: Any,
    seeds: Sequence[int],
    sampling: Sampling,
    firsts: Sequence[int],
    ends: Sequence[int],
    padding: int,
) -> list[Written]:
    """Continue each row of ``batch``, which is padded on the left, by up to ``sampling.max_new_tokens``.

    Args:
        model: one of transformers' that writes texts.
        batch: ``input_ids`` and ``attention_mask``, (rows, tokens).
        seeds: of each row, what decides the tokens that are drawn at a temperature.
        firsts: the tokens whose probability as the first one is told.
        ends: the tokens that end a row.
        padding: the token that stands where there is none.
    """
    import torch

    ids, mask, cache = batch["input_ids"], batch["attention_mask"], _cache(model)
    generators = [torch.Generator().manual_seed(seed) for seed in seeds] if sampling.temperature else []
    rows, left = [Written() for _ in seeds], sampling.max_new_tokens
    going = list(range(len(rows)))
    while going and left:
        watch, most = _Watch(), min(ROUND, left) if cache else left
        output = model.generate(
            input_ids=ids,
            attention_mask=mask,
            past_key_values=cache,
            do_sample=False,
            max_new_tokens=most,
            pad_token_id=padding,
            eos_token_id=list(ends),
            logits_processor=[watch, *([_drawing([generators[row] for row in going], sampling)] if generators else [])],
            output_logits=bool(firsts),
            return_dict_in_generate=True,
        )
        written = zip(going, output.sequences[:, ids.shape[1] :].tolist(), watch.finite.tolist(), strict=True)
        for row, tokens, finite in written:
            rows[row].tokens += tokens
            rows[row].finite &= finite
            rows[row].ended = not set(ends).isdisjoint(tokens)
        if firsts:
            for row, probabilities in zip(going, output.logits[0].softmax(-1)[:, firsts].tolist(), strict=True):
                rows[row].probabilities = probabilities
        stay = [place for place, row in enumerate(going) if not rows[row].ended]
        going, left, firsts = [going[place] for place in stay], left - most, ()
        if going and left:
            cache.batch_select_indices(stay)
            ids = output.sequences[stay]
            mask = torch.cat([mask[stay], mask.new_ones(len(stay), most)], 1)
    return rows


def _cache(model: Any) -> Any:
    """An empty cache that rows can leave; ``None`` for a model that must be asked for the whole answer at once.

    Of a model that sees images and of one with linear attention, more is kept of each row than keys and values.
    """
    from transformers.cache_utils import DynamicCache, DynamicLayer, DynamicSlidingWindowLayer

    config = model.config
    if config.get_text_config() is not config or not model._supports_default_dynamic_cache():
        return None
    cache = DynamicCache(config=config)
    return cache if all(type(layer) in (DynamicLayer, DynamicSlidingWindowLayer) for layer in cache.layers) else None


class _Watch:
    """Sees the logits of each step, and leaves them as they are."""

    finite: "Tensor"
    """Of each row, whether the likeliest token always had a logit that is a number."""

    def __call__(self, _: "Tensor", logits: "Tensor") -> "Tensor":
        now = logits.amax(-1).isfinite()  # NaN is the largest of all
        self.finite = self.finite & now if hasattr(self, "finite") else now
        return logits


def _drawing(generators: "Sequence[Generator]", sampling: Sampling) -> Any:
    """Makes the likeliest token a drawn one, by adding Gumbel noise to the logits: each row's from a generator of its own.

    So a row draws the same whatever stands beside it in the batch.
    """
    import torch
    from transformers import LogitsProcessorList, TemperatureLogitsWarper, TopPLogitsWarper

    warp = LogitsProcessorList([TemperatureLogitsWarper(sampling.temperature)])
    if sampling.top_p < 1:
        warp.append(TopPLogitsWarper(sampling.top_p))

    def draw(ids: "Tensor", logits: "Tensor") -> "Tensor":
        uniform = torch.stack([torch.rand(logits.shape[1], generator=each, dtype=torch.float64) for each in generators])
        noise = -(-uniform.clamp_min(torch.finfo(torch.float64).tiny).log()).log()
        return warp(ids, logits).double() + noise.to(logits.device)

    return draw
