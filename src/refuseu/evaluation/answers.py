"""Has one model answer the test questions and choose among facts, and scores each answer."""

from collections.abc import Sequence
from pathlib import Path

import pandas as pd

from refuseu.engines.base import Sampling, stored_chat, stored_log_likelihoods, user
from refuseu.engines.local import TransformersEngine
from refuseu.evaluation.fluency import FluencyScorer
from refuseu.evaluation.knowledge import Choice, margin
from refuseu.identification import Identifier
from refuseu.judges.panel import Panel
from refuseu.judges.verdict import Exchange
from refuseu.records import ANSWER, KNOWLEDGE
from refuseu.store import Store


def ask_model(
    name: str, folder: Path, questions: pd.DataFrame, facts: Sequence[Choice], batch_size: int, sampling: Sampling
) -> tuple[list[str], pd.DataFrame]:
    """The model's answers in the order of ``questions``, and its choices (``records.KNOWLEDGE``)."""
    store = Store()
    engine = TransformersEngine(folder, batch_size, progress=f"eval {name}")
    answers = stored_chat(engine, [user(text) for text in questions["text"]], sampling, store)
    pairs = [(user(choice.question), option) for choice in facts for option in choice.options]
    scores = iter(stored_log_likelihoods(engine, pairs, store))
    margins = [margin(choice, [next(scores) for _ in choice.options]) for choice in facts]
    knowledge = pd.DataFrame(
        {
            "model": name,
            "fact_id": [choice.fact_id for choice in facts],
            "lang": [choice.lang for choice in facts],
            "correct": [value > 0 for value in margins],
            "margin": margins,
        },
        columns=list(KNOWLEDGE),
    )
    return answers, knowledge


def score_answers(
    name: str, questions: pd.DataFrame, answers: list[str], panel: Panel, identifier: Identifier, fluency: FluencyScorer
) -> pd.DataFrame:
    """Verdict, language and fluency of each answer: rows of ``records.ANSWER``."""
    exchanges = [
        Exchange(lang, text, answer)
        for lang, text, answer in zip(questions["lang"], questions["text"], answers, strict=True)
    ]
    decisions = panel.decide(exchanges)
    identified = [identifier.identify(answer) for answer in answers]
    return questions.assign(
        model=name,
        answer=answers,
        harm=[decision.verdict.harm.value for decision in decisions],
        reply=[decision.verdict.reply.value for decision in decisions],
        agreed=[decision.agreed for decision in decisions],
        lang_restricted=[each.restricted for each in identified],
        lang_free=[each.free for each in identified],
        fluency=[fluency.score(answer, each.restricted) for answer, each in zip(answers, identified, strict=True)],
    )[list(ANSWER)]
