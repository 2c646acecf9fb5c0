"""Has the models answer the test questions and choose among facts, and scores each answer."""

import multiprocessing
from collections.abc import Collection, Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor
from functools import partial
from pathlib import Path

import pandas as pd

from refuseu.engines.base import Sampling, stored_chat, stored_log_likelihoods, user
from refuseu.engines.local import TransformersEngine
from refuseu.errors import UserError
from refuseu.evaluation.fluency import FluencyScorer
from refuseu.evaluation.knowledge import Choice, margin
from refuseu.identification import Identifier
from refuseu.judges.panel import Panel
from refuseu.judges.verdict import Exchange
from refuseu.parameters import Eval
from refuseu.records import ANSWER, KNOWLEDGE
from refuseu.store import Store

Said = tuple[list[str], pd.DataFrame]
"""A model's answers in the order of the questions, and its choices (``records.KNOWLEDGE``)."""


def model_folders(base: Path, models: Path, configs: Collection[str]) -> dict[str, Path]:
    """The folders of ``base`` and of every config's model below ``models``, by the model's name.

    Raises:
        UserError: for a model of no config. DVC keeps what a stage that is gone has made and hashes it along, so the
            evaluation would not be up to date in a clone that never had it.
    """
    if not models.is_dir():
        raise UserError(f"{models}: no such folder; 'dvc repro dpo' trains the models, 'dvc pull' brings them")
    strangers = sorted(path.name for path in models.iterdir() if path.is_dir() and path.name not in configs)
    if strangers:
        name = strangers[0]
        raise UserError(
            f"{models / name}: no config of train.configs has this name; 'dvc checkout' takes it away, or "
            f"'rm -r {models / name} metrics/dpo/{name}.json plots/dpo/{name}.json'"
        )
    return {"base": base, **{name: models / name for name in configs}}


def ask_models(
    folders: dict[str, Path], questions: pd.DataFrame, facts: Sequence[Choice], settings: Eval
) -> Iterator[tuple[str, Said]]:
    """What each model of ``folders`` says, in their order; ``settings.workers`` processes share them out."""
    from tqdm import tqdm

    ask = partial(ask_model, questions=questions, facts=facts, settings=settings)
    # Spawned, not forked: a fork of a process that has used torch's threads may hang.
    context = multiprocessing.get_context("spawn")
    with ProcessPoolExecutor(settings.workers, mp_context=context) as pool:
        said = pool.map(ask, folders.keys(), folders.values())
        yield from zip(folders, tqdm(said, total=len(folders), desc="eval", unit="model"), strict=True)


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
