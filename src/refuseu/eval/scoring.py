"""Scores the answers of all models: verdict, language, fluency and, for those to prompts of their own, a rating."""

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import islice

import pandas as pd

from refuseu.eval.asking import ModelOutputs
from refuseu.eval.interfaces import FluencyScorer
from refuseu.eval.language import language_of
from refuseu.eval.rated_prompts import NO_PROMPTS
from refuseu.eval.rating import PromptRating
from refuseu.eval.schemas import ANSWER, RATING, SET_ANSWER, VOTE
from refuseu.judges.panel import Decision, Panel
from refuseu.judges.verdict import Exchange
from refuseu.llm.protocol import Completion
from refuseu.mixes import Seeded
from refuseu.text.identification import Identifier


@dataclass(frozen=True)
class Scorers:
    """All that score answers."""

    panel: Panel
    identifier: Identifier
    fluency: FluencyScorer | None
    rating: PromptRating | None

    @property
    def prompts(self) -> pd.DataFrame:
        """What is asked for the sake of its language, beside the questions: rows of ``rated_prompts.COLUMNS``."""
        return self.rating.prompts if self.rating else NO_PROMPTS


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
    ratings: pd.DataFrame
    """Rows of ``schemas.RATING``; none where nobody rates."""
    differ: dict[str, float]
    """By language, the share (percent) of ``answers`` on which py3langid and fastText differ, where fastText identifies."""


def score_all(
    questions: pd.DataFrame, sets: pd.DataFrame, outputs: Sequence[ModelOutputs], scorers: Scorers
) -> ScoredOutputs:
    """The scored answers of all models to our own ``questions``, to those of ``sets``, and to the ``prompts`` of ``scorers``.

    Each model was asked these in this order. Also what they chose in the tests of knowledge. Judges see the answers of all models
    at once, so that one that takes a GPU is loaded once and asked in one batch.
    """
    langs, texts = ([*questions[column], *sets[column]] for column in ("lang", "text"))
    own, judged = len(questions), len(langs)
    decisions = iter(
        scorers.panel.decide(
            [
                Exchange(lang, text, answer.text)
                for each in outputs
                for lang, text, answer in zip(langs, texts, each.answers[:judged], strict=True)
            ]
        )
    )
    answers, votes, of_sets = [], [], []
    for each in outputs:
        ours, theirs = list(islice(decisions, own)), list(islice(decisions, len(sets)))
        answers.append(score_answers(each.model, questions, each.answers[:own], ours, scorers))
        votes.append(judges_votes(each.model, questions, ours))
        of_sets.append(_scored(each.model, sets, each.answers[own:judged], theirs, scorers))
    choices = [each.knowledge for each in outputs if each.knowledge is not None]
    set_answers = pd.concat(of_sets)[list(SET_ANSWER.columns)]
    ratings = pd.DataFrame(columns=list(RATING.columns))
    if scorers.rating:
        ratings = scorers.rating.table(
            {each.model: [answer.text for answer in each.answers[judged:]] for each in outputs}
        )
    scored = pd.concat(answers)
    differ = scorers.identifier.differing(zip(scored["lang"], scored["answer"], strict=True))
    return ScoredOutputs(scored, pd.concat(votes), pd.concat(choices), set_answers, ratings, differ)


def judges_votes(model: Seeded, questions: pd.DataFrame, decisions: Sequence[Decision]) -> pd.DataFrame:
    """What each judge said of each answer: rows of ``schemas.VOTE``."""
    rows = [
        (*model, question_id, lang, judge, vote.harm.value, vote.reply.value)
        for question_id, lang, decision in zip(questions["question_id"], questions["lang"], decisions, strict=True)
        for judge, vote in decision.votes.items()
    ]
    return pd.DataFrame(rows, columns=list(VOTE.columns))


def score_answers(
    model: Seeded,
    questions: pd.DataFrame,
    answers: Sequence[Completion],
    decisions: Sequence[Decision],
    scorers: Scorers,
) -> pd.DataFrame:
    """The verdict, the language and the fluency of each answer: rows of ``schemas.ANSWER``."""
    return _scored(model, questions, answers, decisions, scorers)[list(ANSWER.columns)]


def _scored(
    model: Seeded,
    questions: pd.DataFrame,
    answers: Sequence[Completion],
    decisions: Sequence[Decision],
    scorers: Scorers,
) -> pd.DataFrame:
    texts = [answer.text for answer in answers]
    found = {text: language_of(text, scorers.identifier) for text in dict.fromkeys(texts)}
    languages = [found[text] for text in texts]
    pairs = list(zip(questions["lang"], languages, strict=True))
    # The language of an answer that is too short to be identified is taken to be the question's.
    worded = list(map(Exchange, [each.whole.restricted or lang for lang, each in pairs], questions["text"], texts))
    return questions.assign(
        model=model.name,
        seed=model.seed,
        answer=texts,
        reasoning=[answer.reasoning or None for answer in answers],
        harm=[decision.verdict.harm.value for decision in decisions],
        reply=[decision.verdict.reply.value for decision in decisions],
        agreed=[decision.agreed for decision in decisions],
        flagged=[decision.flagged for decision in decisions],
        lang_restricted=[each.whole.restricted for each in languages],
        lang_free=[each.whole.free for each in languages],
        lines=[len(each.lines) for each in languages],
        lines_right=[each.right(lang) for lang, each in pairs],
        lines_right_free=[each.right_free(lang) for lang, each in pairs],
        fluency=scorers.fluency.scores(worded) if scorers.fluency else None,
    )
