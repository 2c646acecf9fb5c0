"""The questions of a published set, which take the place of questions that a search finds."""

from collections import Counter
from collections.abc import Mapping
from typing import Any

import pandas as pd

from refuseu.core.errors import UserError
from refuseu.experiment import PIVOT, RESTRICTED, Experiment, Kind
from refuseu.rainbow_teaming.found import Found, cells_of
from refuseu.sources.external import spellings
from refuseu.sources.published import PublishedPair, PublishedSet
from refuseu.tables.schemas import ELITE
from refuseu.text.normal import plain

OTHER_CATEGORY = "of a category that params.yaml does not name"
RESTRICTED_CATEGORY = "of a category that no model is shown"


def published_questions(published: PublishedSet, experiment: Experiment) -> tuple[pd.DataFrame, dict[str, Any]]:
    """Return the English questions of the set's preference pairs (``schemas.ELITE``) and their account.

    A slot of the set is left out where its category is restricted or not one of the experiment's. Behavior, fitness and iteration
    are not known. The style is null where the set does not give one of the experiment's.

    Raises:
        UserError: when no question is left.
    """
    categories, styles = spellings(experiment.categories), spellings(experiment.styles)
    english = [pair for pair in published.pairs if pair.lang == PIVOT]
    reasons = [_reason(pair, categories) for pair in english]
    rejected = Counter(filter(None, reasons))
    kept = [pair for pair, reason in zip(english, reasons, strict=True) if reason is None]
    if not kept:
        why = ", ".join(f"{count} {reason}" for reason, count in sorted(rejected.items()))
        raise UserError(f"{published.name}: no question is left ({why}); mend categories in params.yaml")
    table = pd.DataFrame([_question(pair, categories, styles) for pair in kept], columns=list(ELITE.columns))
    return table, {"rows_in": len(english), "rows_out": len(kept), "rejected": dict(sorted(rejected.items()))}


def _reason(pair: PublishedPair, categories: Mapping[str, str]) -> str | None:
    category = categories.get(plain(pair.category))
    if category is None:
        return OTHER_CATEGORY
    return RESTRICTED_CATEGORY if category in RESTRICTED else None


def _question(pair: PublishedPair, categories: Mapping[str, str], styles: Mapping[str, str]) -> dict[str, Any]:
    return {
        "question_id": pair.question_id,
        "lang": PIVOT,
        "kind": Kind.HARMFUL.value,
        "group_id": pair.question_id,
        "category": categories[plain(pair.category)],
        "style": styles.get(plain(pair.style)),
        "behavior_id": None,
        "frame_id": None,
        "text": pair.text,
        "fitness": None,
        "iteration": None,
        "written_by": None,
    }


def take_published(published: PublishedSet, experiment: Experiment) -> Found:
    """Take the questions of a published set as they are, without a search.

    Raises:
        UserError: when the set cannot be read or no question is left.
    """
    questions, account = published_questions(published, experiment)
    return Found(
        questions, {"made_by": "published", **account, "published": published.name}, [], cells_of(questions, experiment)
    )
