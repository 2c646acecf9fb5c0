"""The parts that the phrasebook plays in the search: a rule does what a prompt to an LLM does in Rainbow Teaming."""

import random
from collections.abc import Iterable, Sequence

from refuseu.experiment import PLAIN, Kind
from refuseu.phrasebook.phrasebook import Behavior, Phrasebook, Reading
from refuseu.rainbow_teaming.interfaces import Question, Target
from refuseu.rainbow_teaming.seeds import Seed


class PhrasebookMutator:
    """Exchanges the ask for one of the category, and the frame for a wording of the style."""

    def __init__(self, book: Phrasebook) -> None:
        self._book = book

    def seeds(self) -> list[Question]:
        """Every harmful behavior, put plainly."""
        return [seed.question for seed in self.seed_set()]

    def seed_set(self) -> list[Seed]:
        """The seeds with their categories."""
        return [
            Seed(self._question(PLAIN, 0, Behavior(category, behavior_id, Kind.HARMFUL)), category)
            for category, pairs in self._book.behaviors.items()
            for behavior_id in pairs
        ]

    def mutate(self, targets: Iterable[Target], rng: random.Random) -> list[Question | None]:
        return [self._mutated(target, rng) for target in targets]

    def _mutated(self, target: Target, rng: random.Random) -> Question:
        behavior = Behavior(target.category, rng.choice(list(self._book.behaviors[target.category])), Kind.HARMFUL)
        return self._question(target.style, rng.randrange(len(self._book.styles[target.style])), behavior)

    def _question(self, style: str, frame: int, behavior: Behavior) -> Question:
        return Question(self._book.compose(Reading(style, frame, behavior)), behavior.behavior_id)


class PhrasebookTwins:
    """Keeps the frame and takes the benign behavior that shares the harmful one's words."""

    def __init__(self, book: Phrasebook) -> None:
        self._book = book

    def twins(self, questions: Sequence[Question]) -> list[str | None]:
        return [self._twin(question.text) for question in questions]

    def _twin(self, question: str) -> str | None:
        reading = self._book.parse(question)
        if reading is None:
            return None
        behavior = Behavior(reading.behavior.category, reading.behavior.behavior_id, Kind.BENIGN)
        return self._book.compose(Reading(reading.style, reading.frame, behavior))
