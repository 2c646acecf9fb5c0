"""How the questions that are whole in all languages are shared out to train, dev and test."""

import random
from collections import Counter

from refuseu.commands.parameters import Parameters
from refuseu.commands.plan.published import SetSizes
from refuseu.experiment import RESTRICTED
from refuseu.rainbow_teaming.settings import PhrasebookRole
from refuseu.split.assignment import QuestionGroup, assign_stratified

ASKS = 10
"""Asks of each category in the phrasebook."""


def drawn_sides(parameters: Parameters, questions: int) -> Counter[str]:
    """Questions by part, as the split draws them of so many whose cells and asks chance decides; ``spare`` ones among them.

    The split keeps one question of every ask in train, so of few questions it can spare hardly any. Only the phrasebook's
    questions have asks that are known.
    """
    chance = random.Random(parameters.seed)
    categories, styles = list(parameters.categories), list(parameters.styles)
    by_book = isinstance(parameters.rainbow_teaming.mutator, PhrasebookRole)
    slots = []
    for number in range(questions):
        category, ask = chance.choice(categories), chance.randrange(ASKS)
        slots.append(
            QuestionGroup(
                (str(number),), ((category, chance.choice(styles)),), (f"{category}-{ask}" if by_book else None,)
            )
        )
    return Counter(assign_stratified(slots, parameters.split, parameters.seed).values())


def published_sides(parameters: Parameters, sizes: SetSizes, complete: float) -> Counter[str]:
    """Questions by part where the set says what train and test are, and the share ``complete`` (0-1) of them is kept."""
    train, test = round(sizes.train * complete), round(sizes.test * complete)
    categories = sum(each not in RESTRICTED for each in parameters.categories)
    dev = min(parameters.split.dev_per_category * categories, train)
    return Counter(train=train - dev, dev=dev, test=test)
