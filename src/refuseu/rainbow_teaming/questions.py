"""The questions that the stage found by a search, each with its benign twin, and the account of the search."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from hashlib import sha256
from typing import Any

import pandas as pd

from refuseu.core.errors import UserError
from refuseu.experiment import PIVOT, Kind
from refuseu.rainbow_teaming.archive import Archive
from refuseu.rainbow_teaming.factory import RoleFactory
from refuseu.rainbow_teaming.interfaces import Mutator, Twins
from refuseu.rainbow_teaming.search import Attack, Roles, Search
from refuseu.tables.schemas import ELITE
from refuseu.text.normal import composed


@dataclass(frozen=True)
class Found:
    """The questions that the stage hands on, and how they were found."""

    questions: pd.DataFrame
    """``schemas.ELITE``."""
    summary: dict[str, Any]
    """The account of the questions; after a search also the last row of ``history``."""
    history: Sequence[Mapping[str, Any]]
    """One row for each iteration of the search; empty where there was no search."""
    cells: Sequence[Mapping[str, Any]]
    """One row for each cell of the archive."""


def search_questions(roles: RoleFactory, mutator: Mutator, attack: Attack) -> Found:
    """Search for questions that the target answers harmfully, and write their twins.

    Raises:
        UserError: when a role cannot be built, or no question got a harmful answer.
    """
    parameters, settings = roles.parameters, roles.parameters.rainbow_teaming
    archive = Archive(list(parameters.categories), list(parameters.styles), settings.elites_per_cell)
    players, twins = Roles(mutator, roles.build_scorer(), roles.build_preference(), attack), roles.build_twins()
    search = Search(archive, players, settings, parameters.seed)
    search.run()
    questions = questions_of(archive, twins)
    return Found(questions, summary(search, questions), search.history, archive.rows(parameters))


def question_id(text: str) -> str:
    """Return the id of a question, which its English text decides: a question has the same id in every run."""
    return sha256(composed(text).encode()).hexdigest()[:12]


def questions_of(archive: Archive, twins: Twins | None) -> pd.DataFrame:
    """Return every elite and, where ``twins`` writes one, its benign twin (``schemas.ELITE``). The fitness of a twin is 0.

    A question that is an elite of two cells is one row, with the first of the two cells. A twin of two questions is one row,
    too. A twin that equals a harmful question is left out.

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
    """Return the metrics of the last iteration, and the account of all candidates."""
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
