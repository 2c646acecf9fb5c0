"""The questions of a published set, which take the place of questions that a search finds."""

from collections import Counter
from collections.abc import Mapping
from typing import Any

import pandas as pd

from refuseu.core.errors import UserError
from refuseu.experiment import PIVOT, RESTRICTED, UNKNOWN, Experiment, Kind
from refuseu.rainbow_teaming.questions import Found
from refuseu.sources.external import spellings
from refuseu.sources.published import PublishedPair, PublishedSet
from refuseu.tables.schemas import ELITE
from refuseu.text.normal import plain

INCOMPLETE = "not in every language"
OTHER_CATEGORY = "of a category that params.yaml does not name"
RESTRICTED_CATEGORY = "of a category that no model is shown"
REPEATED = "equal to another question"


def published_questions(published: PublishedSet, experiment: Experiment) -> tuple[pd.DataFrame, dict[str, Any]]:
    """Return the English questions of the set (``schemas.ELITE``) and their account; the ``row_id`` is the id of a question.

    A question is left out where it is missing in one of the languages, where its category is restricted or not one of the
    experiment's, and where it equals an earlier question. Behavior, fitness and iteration are not known. The style is
    ``UNKNOWN`` where the set does not give one of the experiment's.

    Raises:
        UserError: when no question is left.
    """
    categories = spellings(experiment.categories)
    rows: dict[str, dict[str, PublishedPair]] = {}
    for pair in published.pairs:
        rows.setdefault(pair.row_id, {})[pair.lang] = pair
    kept: list[PublishedPair] = []
    rejected: Counter[str] = Counter()
    seen: set[str] = set()
    for row in rows.values():
        reason = _reason(row, experiment, categories, seen)
        if reason:
            rejected[reason] += 1
        else:
            kept.append(row[PIVOT])
        if PIVOT in row:
            seen.add(plain(row[PIVOT].question))
    if not kept:
        why = ", ".join(f"{count} {reason}" for reason, count in sorted(rejected.items()))
        raise UserError(f"{published.name}: no question is left ({why}); mend languages or categories in params.yaml")
    styles = spellings(experiment.styles)
    table = pd.DataFrame([_question(pair, categories, styles) for pair in kept], columns=list(ELITE.columns))
    return table, {"rows_in": len(rows), "rows_out": len(kept), "rejected": dict(sorted(rejected.items()))}


def _reason(
    row: Mapping[str, PublishedPair], experiment: Experiment, categories: Mapping[str, str], seen: set[str]
) -> str | None:
    if not row.keys() >= {PIVOT, *experiment.languages}:
        return INCOMPLETE
    category = categories.get(plain(row[PIVOT].category))
    if category is None:
        return OTHER_CATEGORY
    if category in RESTRICTED:
        return RESTRICTED_CATEGORY
    return REPEATED if plain(row[PIVOT].question) in seen else None


def _question(pair: PublishedPair, categories: Mapping[str, str], styles: Mapping[str, str]) -> dict[str, Any]:
    return {
        "question_id": pair.row_id,
        "lang": PIVOT,
        "kind": Kind.HARMFUL.value,
        "group_id": pair.row_id,
        "category": categories[plain(pair.category)],
        "style": styles.get(plain(pair.style), UNKNOWN),
        "behavior_id": None,
        "text": pair.question,
        "fitness": None,
        "iteration": None,
    }


def take_published(published: PublishedSet, experiment: Experiment) -> Found:
    """Take the questions of a published set as they are, without a search.

    Raises:
        UserError: when the set cannot be read or no question is left.
    """
    questions, account = published_questions(published, experiment)
    return Found(questions, {**account, "published": published.name}, [], _cells(questions))


def _cells(questions: pd.DataFrame) -> list[dict[str, Any]]:
    """Return one row for each cell that holds a question; the fitness is not known."""
    counts = questions.groupby(["category", "style"], sort=True).size()
    return [
        {"category": category, "style": style, "elites": int(count), "best_fitness": None}
        for (category, style), count in counts.items()
    ]
