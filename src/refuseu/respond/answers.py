"""The two answers of a question: the refusers that write the refusal, and how both answers become a preference pair."""

from collections.abc import Callable, Container, Sequence
from dataclasses import dataclass
from hashlib import sha256
from typing import Protocol

import pandas as pd

from refuseu.experiment import LANGUAGES, Kind
from refuseu.llm.prompts import PromptTemplate
from refuseu.llm.protocol import Completion, Conversation, Engine, Sampling, completed
from refuseu.llm.routing import route
from refuseu.llm.writing import ended, repeats
from refuseu.phrasebook.phrasebook import Phrasebook
from refuseu.sources.published import PublishedPair, PublishedSet
from refuseu.text.normal import composed

PLACEHOLDERS = ("question", "language", "sentences")
"""Placeholders of the prompt ``refusal.md``."""


@dataclass(frozen=True)
class Question:
    """A question that shall be refused."""

    question_id: str
    lang: str
    text: str


class Refuser(Protocol):
    """Refuses questions."""

    def refuse(self, questions: Sequence[Question]) -> list[str | None]:
        """Return a refusal of each question in its language, in order; ``None`` where there is no refusal."""


RESTRICTED_CATEGORY = "restricted category"
"""Why a question gets no pair."""
Answer = Callable[[Sequence[Question]], list[str]]
"""Answers questions without refusing them, in order; empty where there is no answer."""


class PhrasebookRefuser:
    """Takes one of the phrasebook's refusals in the question's language; the id of the question decides which one."""

    def __init__(self, books: dict[str, Phrasebook]) -> None:
        self._books = books

    def refuse(self, questions: Sequence[Question]) -> list[str | None]:
        return [self._refusal(question) for question in questions]

    def _refusal(self, question: Question) -> str:
        refusals = self._books[question.lang].refusals
        number = int.from_bytes(sha256(question.question_id.encode()).digest()[:4], "big")
        return refusals[number % len(refusals)]


class PublishedAnswers:
    """Gives a published set's own answers to its questions, and no answer to a question in other words."""

    def __init__(self, published: PublishedSet) -> None:
        self._published = published

    def refuse(self, questions: Sequence[Question]) -> list[str | None]:
        """Return the set's chosen answers, in order; ``None`` where the set does not hold the question."""
        return [pair.chosen if pair else None for pair in map(self._pair, questions)]

    def answer(self, questions: Sequence[Question]) -> list[str]:
        """Return the set's rejected answers, in order; empty where the set does not hold the question."""
        return [pair.rejected if pair else "" for pair in map(self._pair, questions)]

    def _pair(self, question: Question) -> PublishedPair | None:
        pair = self._published.by_slot.get((question.question_id, question.lang))
        return pair if pair and composed(pair.text) == composed(question.text) else None


@dataclass(frozen=True)
class LlmRefuser:
    """An LLM that is instructed to refuse in the question's language, as the paper's Llama-3.1-70B is.

    The judges of the stage ``label`` find out whether its answer is a refusal, safe and in the right language.
    """

    engine: Engine
    sampling: Sampling
    prompt: PromptTemplate
    """With ``PLACEHOLDERS``."""
    sentences: int
    """About how many sentences a refusal has."""
    restricted: Container[str]
    """Ids of the questions of restricted categories, which the LLM must not see."""
    fallback: Refuser
    """Refuses the restricted questions."""

    def refuse(self, questions: Sequence[Question]) -> list[str | None]:
        """Return a refusal of each question, in order.

        It is ``None`` where the LLM gave no answer, was cut, or repeated what it was asked.
        """
        to_llm = [question.question_id not in self.restricted for question in questions]
        return route(questions, to_llm, model=self._by_llm, rule=self.fallback.refuse)

    def _by_llm(self, questions: Sequence[Question]) -> list[str | None]:
        conversations = [
            self.prompt.conversation(
                question=each.text, language=LANGUAGES[each.lang].name, sentences=str(self.sentences)
            )
            for each in questions
        ]
        completions = completed(self.engine, conversations, self.sampling)
        return [_refusal(each, asked) for each, asked in zip(completions, conversations, strict=True)]


def _refusal(completion: Completion, conversation: Conversation) -> str | None:
    text = ended(completion)
    return None if repeats(text, conversation) else text


def questions_of_rows(questions: pd.DataFrame) -> list[Question]:
    """Return the rows of a table of questions (``schemas.QUESTION``), in order."""
    return list(map(Question, questions["question_id"], questions["lang"], questions["text"]))


def pair_up(
    questions: pd.DataFrame, answer: Answer, refuser: Refuser, unanswered: Container[str]
) -> tuple[pd.DataFrame, pd.DataFrame]:
    """Give each question a chosen and a rejected answer.

    The refusal of a harmful question is chosen and the other answer is rejected. For a benign question it is the other way
    round, so that a model does not learn to refuse everything.

    Args:
        questions: the questions (``schemas.QUESTION``).
        answer: gives the answers that are no refusals.
        refuser: writes the refusals.
        unanswered: hazard categories whose questions nobody is asked.

    Returns:
        The pairs, which are ``questions`` with the columns ``chosen`` and ``rejected``, and the rejections
        (``schemas.REJECTION``) of the questions that nobody is asked. An answer that was not given is empty: its question can
        still be tested.
    """
    withheld = questions["category"].map(lambda category: category in unanswered).astype(bool)
    asked = questions[~withheld]
    texts = questions_of_rows(asked)
    refusals = pd.Series([refusal or "" for refusal in refuser.refuse(texts)], index=asked.index, dtype=str)
    others = pd.Series(answer(texts), index=asked.index, dtype=str)
    harmful = asked["kind"] == Kind.HARMFUL
    pairs = asked.assign(chosen=refusals.where(harmful, others), rejected=others.where(harmful, refusals))
    return pairs, questions.loc[withheld, ["question_id", "lang"]].assign(reason=RESTRICTED_CATEGORY)
