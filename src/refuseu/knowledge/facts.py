"""Knowledge of the phrasebook's facts: multiple choice by log-likelihood, as Global MMLU is scored."""

import random
from collections.abc import Iterator
from dataclasses import dataclass

from refuseu.core.files import Row
from refuseu.llm.protocol import Engine, user
from refuseu.phrasebook.phrasebook import OPTIONS, Phrasebook, group_of


@dataclass(frozen=True)
class Choice:
    """A question with several answers to choose from."""

    fact_id: str
    lang: str
    question: str
    options: tuple[str, ...]
    """The right answer first."""


def choices(books: dict[str, Phrasebook]) -> Iterator[Choice]:
    """Every fact with three wrong options of its group (the id's first word), the same options in every language."""
    first = next(iter(books.values()))
    for fact_id in first.facts:
        others = [other for other in first.fact_groups[group_of(fact_id)] if other != fact_id]
        wrong = random.Random(fact_id).sample(others, OPTIONS - 1)
        for lang, book in books.items():
            options = tuple(book.facts[each].answer for each in (fact_id, *wrong))
            yield Choice(fact_id, lang, book.facts[fact_id].question, options)


def margin(choice: Choice, log_likelihoods: list[float]) -> float:
    """Log-likelihood a character (nats) of the right option, less that of the best wrong one; > 0 is correct.

    Dividing by the characters is lm-evaluation-harness' ``acc_norm``: without it short options win.
    """
    right, *wrong = (score / len(text) for score, text in zip(log_likelihoods, choice.options, strict=True))
    return right - max(wrong)


class FactKnowledge:
    """A test of the phrasebook's facts."""

    def __init__(self, books: dict[str, Phrasebook]) -> None:
        self._choices = list(choices(books))

    def ask(self, engine: Engine) -> Iterator[Row]:
        pairs = [(user(choice.question), option) for choice in self._choices for option in choice.options]
        scores = dict(engine.log_likelihoods(pairs))
        in_order = (scores[position] for position in range(len(pairs)))
        for choice in self._choices:
            lead = margin(choice, [next(in_order) for _ in choice.options])
            yield {
                "test": "facts",
                "question_id": choice.fact_id,
                "lang": choice.lang,
                "correct": lead > 0,
                "margin": lead,
                "source": "phrasebook",
            }
