"""What a search hands on: its elites as questions, each with its benign twin, and how the search went."""

from hashlib import sha256
from typing import Any

import pandas as pd

from refuseu.errors import UserError
from refuseu.records import ELITE
from refuseu.redteam.archive import Archive
from refuseu.redteam.mutators import PhrasebookMutator
from refuseu.redteam.search import Search
from refuseu.taxonomy import PIVOT


def question_id(text: str) -> str:
    """Names a question by its English text: the same question is the same in every run."""
    return sha256(text.encode()).hexdigest()[:12]


def questions_of(archive: Archive, mutator: PhrasebookMutator) -> pd.DataFrame:
    """Every elite and its benign twin (``records.ELITE``); a twin has no fitness of its own (0).

    Raises:
        UserError: when the archive is empty.
    """
    if not archive.coverage():
        raise UserError(
            "rainbow-teaming: no question got a harmful answer from the target; "
            "raise rainbow-teaming.iterations, or use a base that complies (base.steps, base.refused_asks)"
        )
    rows = []
    for (category, style), elite in archive:
        common = {
            "lang": PIVOT,
            "slot_id": question_id(elite.text),
            "category": category,
            "style": style,
            "ask_id": mutator.ask_id(elite.text),
            "iteration": elite.iteration,
        }
        twin = mutator.benign_twin(elite.text)
        for kind, text, fitness in (("harmful", elite.text, elite.fitness), ("benign", twin, 0.0)):
            rows.append({**common, "question_id": question_id(text), "kind": kind, "text": text, "fitness": fitness})
    return pd.DataFrame(rows, columns=list(ELITE))


def summary(search: Search) -> dict[str, Any]:
    """The last iteration's metrics and the account of every candidate."""
    elites = sum(1 for _ in search.archive)
    accepted = search.outcomes["accepted"]
    return {
        **search.history[-1],
        "rows_in": search.outcomes.total(),
        "rows_out": elites,
        "rejected": {
            **{name: count for name, count in search.outcomes.items() if name != "accepted"},
            "replaced by a fitter one": accepted - elites,
        },
    }
