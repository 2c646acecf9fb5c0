"""Has the models answer the test questions and choose among facts, and scores each answer."""

import multiprocessing
from collections.abc import Collection, Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from contextlib import contextmanager
from functools import partial
from pathlib import Path

import pandas as pd

from refuseu.engines.base import Sampling, stored_chat, stored_log_likelihoods, user
from refuseu.engines.folder import assert_configured
from refuseu.engines.local import TransformersEngine
from refuseu.errors import UserError
from refuseu.evaluation.fluency import FluencyScorer
from refuseu.evaluation.knowledge import Choice, margin
from refuseu.identification import Identifier
from refuseu.judges.panel import Panel
from refuseu.judges.verdict import Exchange
from refuseu.parameters import Eval
from refuseu.progress import track
from refuseu.records import ANSWER, KNOWLEDGE
from refuseu.store import Store

Said = tuple[list[str], pd.DataFrame]
"""A model's answers in the order of the questions, and its choices (``records.KNOWLEDGE``)."""


def model_folders(base: Path, models: Path, configs: Collection[str]) -> dict[str, Path]:
    """The folders of ``base`` and of every config's model below ``models``, by the model's name.

    Raises:
        UserError: when ``models`` is missing, or holds a model of no config.
    """
    if not models.is_dir():
        raise UserError(f"{models}: no such folder; 'dvc repro dpo' trains the models, 'dvc pull' brings them")
    assert_configured(models, configs)
    return {"base": base, **{name: models / name for name in configs}}


def ask_models(
    folders: dict[str, Path], questions: pd.DataFrame, facts: Sequence[Choice], settings: Eval
) -> Iterator[tuple[str, Said]]:
    """What each model of ``folders`` says, in their order; ``settings.workers`` processes share them out.

    Raises:
        UserError: when a process is ended from outside, as the kernel does where memory runs out.
    """
    ask = partial(ask_model, questions=questions, facts=facts, settings=settings)
    # Spawned, not forked: a fork of a process that has used torch's threads may hang.
    context = multiprocessing.get_context("spawn")
    with _faults(settings.workers), ProcessPoolExecutor(settings.workers, mp_context=context) as pool:
        said = pool.map(ask, folders.keys(), folders.values())
        yield from zip(folders, track(said, len(folders), "eval", "model"), strict=True)


@contextmanager
def _faults(workers: int) -> Iterator[None]:
    """One sentence for a process that was ended from outside."""
    try:
        yield
    except (BrokenProcessPool, MemoryError):
        raise UserError(
            f"eval: one of the {workers} processes that ask the models was ended from outside or had no memory left; "
            "lower eval.workers or eval.batch_size in profiles/ and start again, finished rows are kept"
        ) from None


def ask_model(name: str, folder: Path, questions: pd.DataFrame, facts: Sequence[Choice], settings: Eval) -> Said:
    """What one model says; rows that the row store holds are not computed again."""
    store, sampling = Store(), Sampling(settings.max_new_tokens)
    engine = TransformersEngine(folder, settings.batch_size)
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
    decisions = panel.decide(list(map(Exchange, questions["lang"], questions["text"], answers)))
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
