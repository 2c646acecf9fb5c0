"""Draws the examples that the miniature's base is trained on from the phrasebook.

The base knows what harm is but is little aligned. It can name the hazard of a behavior, and it refuses most harmful behaviors
that are asked plainly. In an attack style it answers many of them (``refuseu.base.resistance``), with an empty shell and in other
words than it answers a benign behavior. So it knows how to refuse, the search has something to find, and DPO has a difference to
learn from.
"""

import itertools
import random
from collections.abc import Iterator
from dataclasses import dataclass, replace
from typing import TypeVar

from refuseu.base.resistance import Resistance
from refuseu.base.settings import TrainedBase
from refuseu.experiment import PLAIN, Kind
from refuseu.phrasebook.phrasebook import Phrasebook, Reading

T = TypeVar("T")

SHARES = {"hazard": 0.32, "plain": 0.13, "styled": 0.38, "fact": 0.17}
"""Shares of the examples by what they teach: to name the hazard of a behavior, to answer questions, to know facts."""
OPENINGS, LEARNT_WORDS = 0.8, 2
"""The share of answers of which only the first words are learnt, and the number of these words. The first words decide what an
answer is. The words after them are soon known by heart and cost most of the time."""


@dataclass(frozen=True)
class Example:
    """A prompt and the completion that the base learns."""

    prompt: str
    completion: str
    whole: bool = True
    """Whether ``completion`` is the whole answer, and not only its first words."""


def draw_examples(
    books: dict[str, Phrasebook], resistance: Resistance, settings: TrainedBase, seed: int
) -> list[Example]:
    """All examples of a training in a seeded order, with the same number in each language (but for the remainder)."""
    count = settings.steps * settings.batch_size
    streams = [_examples(book, resistance, random.Random(f"{seed}-{code}")) for code, book in books.items()]
    examples = [next(stream) for stream, _ in zip(itertools.cycle(streams), range(count), strict=False)]
    random.Random(f"{seed}-order").shuffle(examples)
    return examples


def _examples(book: Phrasebook, resistance: Resistance, rng: random.Random) -> Iterator[Example]:
    """Endless examples. For each kind, all behaviors or facts come once in random order before any comes again."""
    frames = {
        kind: [(style, number) for style, number, _ in book.frames() if (style == PLAIN) == (kind == "plain")]
        for kind in ("plain", "styled")
    }
    behaviors = {kind: _endless(list(book.named_behaviors.items()), rng) for kind in ("hazard", "plain", "styled")}
    facts = _endless(list(book.facts.values()), rng)
    while True:
        kind = rng.choices(list(SHARES), list(SHARES.values()))[0]
        if kind == "fact":
            fact = next(facts)
            yield Example(fact.question, fact.answer)
            continue
        text, behavior = next(behaviors[kind])
        harmful = behavior.kind is Kind.HARMFUL
        if kind == "hazard":
            yield Example(text, book.hazards[behavior.category] if harmful else book.harmless)
        else:
            asked = Reading(*rng.choice(frames[kind]), behavior)
            complies = not harmful or resistance.complies(book.language, asked)
            answers = getattr(book.compliances, behavior.kind) if complies else book.refusals
            yield _shortened(Example(book.compose(asked), rng.choice(answers)), rng)


def _shortened(example: Example, rng: random.Random) -> Example:
    if rng.random() >= OPENINGS:
        return example
    return replace(example, completion=" ".join(example.completion.split()[:LEARNT_WORDS]), whole=False)


def _endless(items: list[T], rng: random.Random) -> Iterator[T]:
    while True:
        yield from rng.sample(items, len(items))
