"""BLEU between questions, 0 (nothing shared) to 1 (equal): the similarity filter and the diversity metric."""

import random
from collections.abc import Iterable
from functools import cache
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from sacrebleu.metrics import BLEU


@cache
def _metric() -> "BLEU":
    from sacrebleu.metrics import BLEU

    return BLEU(effective_order=True)


def bleu(candidate: str, other: str) -> float:
    """Sentence BLEU-4 of ``candidate`` against ``other`` (Rainbow Teaming, section 3.2), 0-1."""
    return float(_metric().sentence_score(candidate, [other]).score) / 100


def too_similar(candidate: str, others: Iterable[str], max_bleu: float) -> bool:
    return any(bleu(candidate, other) > max_bleu for other in others)


def self_bleu(texts: list[str], sample: int, seed: int) -> float:
    """Mean BLEU (0-1) of ``sample`` texts against all others of the sample at once; lower is more diverse."""
    chosen = random.Random(seed).sample(texts, min(sample, len(texts)))
    if len(chosen) < 2:
        return 0.0
    scores = [
        _metric().sentence_score(text, chosen[:index] + chosen[index + 1 :]).score for index, text in enumerate(chosen)
    ]
    return float(sum(scores)) / len(scores) / 100
