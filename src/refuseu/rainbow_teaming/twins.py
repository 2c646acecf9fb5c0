"""Benign twins: written by the phrasebook for its own questions, and by an LLM for all others."""

from collections.abc import Sequence
from dataclasses import dataclass

from refuseu.experiment import Kind
from refuseu.llm.prompts import PromptTemplate
from refuseu.llm.protocol import Engine, Sampling
from refuseu.llm.routing import route
from refuseu.llm.writing import written
from refuseu.phrasebook.phrasebook import Behavior, Phrasebook, Reading
from refuseu.rainbow_teaming.interfaces import Question, Twins
from refuseu.rainbow_teaming.mutators import FIELD
from refuseu.text.identification import Identifier, is_english

PLACEHOLDERS = ("question",)
"""Placeholders of the prompt ``twin.md``."""


class PhrasebookTwins:
    """Keeps the wording of a question and exchanges its behavior for the benign one that shares the harmful one's words."""

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


@dataclass(frozen=True)
class LlmTwins:
    """An LLM that writes the twins of questions that an LLM wrote.

    A question with a ``behavior_id`` comes from the phrasebook and goes to ``fallback``. All questions of restricted categories
    come from the phrasebook, so none of them reaches the LLM.
    """

    engine: Engine
    sampling: Sampling
    prompt: PromptTemplate
    """With ``PLACEHOLDERS``."""
    identifier: Identifier
    """Identifies the language among the project's languages; a twin that is not English is dropped."""
    fallback: Twins
    """Writes the twins of the phrasebook's questions."""

    def twins(self, questions: Sequence[Question]) -> list[str | None]:
        to_llm = [question.behavior_id is None for question in questions]
        twins = route(questions, to_llm, model=self._by_llm, rule=self.fallback.twins)
        return [twin if twin and is_english(twin, self.identifier) else None for twin in twins]

    def _by_llm(self, questions: Sequence[Question]) -> list[str | None]:
        conversations = [self.prompt.conversation(question=question.text) for question in questions]
        return written(self.engine, conversations, self.sampling, FIELD)
