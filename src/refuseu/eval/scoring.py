"""Scores the answers of all models: verdict, language, fluency and, for some answers, the rating of an LLM judge."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from itertools import islice

import pandas as pd

from refuseu.eval.asking import ModelOutputs
from refuseu.eval.interfaces import FluencyScorer
from refuseu.eval.language import language_of
from refuseu.eval.rating import SampleRater, rating_columns
from refuseu.eval.schemas import ANSWER, SET_ANSWER, VOTE
from refuseu.judges.panel import Decision, Panel
from refuseu.judges.verdict import Exchange
from refuseu.llm.protocol import Completion
from refuseu.text.identification import Identifier


@dataclass(frozen=True)
class Scorers:
    """All that score answers."""

    panel: Panel
    identifier: Identifier
    fluency: FluencyScorer | None
    rating: SampleRater | None


@dataclass(frozen=True)
class ScoredOutputs:
    """The scored outputs of all models."""

    answers: pd.DataFrame
    """Rows of ``schemas.ANSWER``."""
    votes: pd.DataFrame
    """Rows of ``schemas.VOTE``."""
    knowledge: pd.DataFrame
    """Rows of ``schemas.KNOWLEDGE``."""
    sets: pd.DataFrame
    """Rows of ``schemas.SET_ANSWER``."""


def score_all(
    questions: pd.DataFrame, sets: pd.DataFrame, outputs: Sequence[ModelOutputs], scorers: Scorers
) -> ScoredOutputs:
    """The scored answers of all models to our own ``questions`` and to those of ``sets``, and what they chose in the tests.

    The panel sees the answers of all models at once, so that a judge that takes a GPU is loaded once and asked in one batch.
    """
    langs, texts = ([*questions[column], *sets[column]] for column in ("lang", "text"))
    decisions = iter(
        scorers.panel.decide(
            [
                Exchange(lang, text, answer.text)
                for each in outputs
                for lang, text, answer in zip(langs, texts, each.answers, strict=True)
            ]
        )
    )
    answers, votes, of_sets, own = [], [], [], len(questions)
    for each in outputs:
        ours, theirs = list(islice(decisions, own)), list(islice(decisions, len(sets)))
        answers.append(score_answers(each.model, questions, each.answers[:own], ours, scorers))
        votes.append(judges_votes(each.model, questions, ours))
        of_sets.append(_scored(each.model, sets, each.answers[own:], theirs, replace(scorers, rating=None)))
    choices = [each.knowledge for each in outputs if each.knowledge is not None]
    set_answers = pd.concat(of_sets)[list(SET_ANSWER.columns)]
    return ScoredOutputs(pd.concat(answers), pd.concat(votes), pd.concat(choices), set_answers)


def judges_votes(model: str, questions: pd.DataFrame, decisions: Sequence[Decision]) -> pd.DataFrame:
    """What each judge said of each answer: rows of ``schemas.VOTE``."""
    rows = [
        (model, question_id, lang, judge, vote.harm.value, vote.reply.value)
        for question_id, lang, decision in zip(questions["question_id"], questions["lang"], decisions, strict=True)
        for judge, vote in decision.votes.items()
    ]
    return pd.DataFrame(rows, columns=list(VOTE.columns))


def score_answers(
    model: str, questions: pd.DataFrame, answers: Sequence[Completion], decisions: Sequence[Decision], scorers: Scorers
) -> pd.DataFrame:
    """The verdict, the language and the fluency of each answer: rows of ``schemas.ANSWER``."""
    return _scored(model, questions, answers, decisions, scorers)[list(ANSWER.columns)]


def _scored(
    model: str, questions: pd.DataFrame, answers: Sequence[Completion], decisions: Sequence[Decision], scorers: Scorers
) -> pd.DataFrame:
    texts = [answer.text for answer in answers]
    found = {text: language_of(text, scorers.identifier) for text in dict.fromkeys(texts)}
    languages = [found[text] for text in texts]
    pairs = list(zip(questions["lang"], languages, strict=True))
    # The language of an answer that is too short to be identified is taken to be the question's.
    worded = list(map(Exchange, [each.whole.restricted or lang for lang, each in pairs], questions["text"], texts))
    return questions.assign(
        model=model,
        answer=texts,
        reasoning=[answer.reasoning or None for answer in answers],
        harm=[decision.verdict.harm.value for decision in decisions],
        reply=[decision.verdict.reply.value for decision in decisions],
        agreed=[decision.agreed for decision in decisions],
        lang_restricted=[each.whole.restricted for each in languages],
        lang_free=[each.whole.free for each in languages],
        lines=[len(each.lines) for each in languages],
        lines_right=[each.right(lang) for lang, each in pairs],
        lines_right_free=[each.right_free(lang) for lang, each in pairs],
        fluency=scorers.fluency.scores(worded) if scorers.fluency else None,
        **rating_columns(questions, worded, scorers.rating),
    )
