"""What a search hands on: its elites as questions, each with its benign twin, and how the search went."""

from hashlib import sha256
from typing import Any

import pandas as pd

from refuseu.core.errors import UserError
from refuseu.experiment import PIVOT, Kind
from refuseu.rainbow_teaming.archive import Archive
from refuseu.rainbow_teaming.interfaces import Twins
from refuseu.rainbow_teaming.search import Search
from refuseu.tables.schemas import ELITE


def question_id(text: str) -> str:
    """Names a question by its English text: the same question is the same in every run."""
    return sha256(text.encode()).hexdigest()[:12]


def questions_of(archive: Archive, twins: Twins | None) -> pd.DataFrame:
    """Every elite, and its benign twin where ``twins`` writes one (``records.ELITE``); a twin has no fitness of its own (0).

    A question that stands in two cells is one question, of the first cell; so is a twin of two questions. A
    twin that is another's harmful question is left out.

    Raises:
        UserError: when the archive is empty.
    """
    if not archive.coverage():
        raise UserError(
            "rainbow-teaming: no question got a harmful answer from the target; "
            "raise rainbow-teaming.iterations, or use a base that complies (base.steps, base.refused_behaviors)"
        )
    elites = list(archive)
    benign = twins.twins([elite.question for _, elite in elites]) if twins else [None] * len(elites)
    rows = []
    for ((category, style), elite), twin in zip(elites, benign, strict=True):
        common = {
            "lang": PIVOT,
            "group_id": question_id(elite.question.text),
            "category": category,
            "style": style,
            "behavior_id": elite.question.behavior_id,
            "iteration": elite.iteration,
        }
        texts = [(Kind.HARMFUL, elite.question.text, elite.fitness), *([(Kind.BENIGN, twin, 0.0)] if twin else [])]
        for kind, text, fitness in texts:
            rows.append({**common, "question_id": question_id(text), "kind": kind, "text": text, "fitness": fitness})
    rows.sort(key=lambda row: row["kind"] != Kind.HARMFUL)
    return pd.DataFrame(rows, columns=list(ELITE.columns)).drop_duplicates("question_id", ignore_index=True)


def summary(search: Search, questions: pd.DataFrame) -> dict[str, Any]:
    """The last iteration's metrics and the account of every candidate."""
    elites = sum(1 for _ in search.archive)
    kept = int((questions["kind"] == Kind.HARMFUL).sum())
    accepted = search.outcomes["accepted"]
    rejected = {
        **{name: count for name, count in search.outcomes.items() if name != "accepted"},
        "replaced by a fitter one": accepted - elites,
    }
    if kept < elites:
        rejected["equal to a question of another cell"] = elites - kept
    return {**search.history[-1], "rows_in": search.outcomes.total(), "rows_out": kept, "rejected": rejected}
