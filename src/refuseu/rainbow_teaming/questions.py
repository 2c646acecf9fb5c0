"""The questions that the stage found by a search, each with its benign twin, and the account of the search."""

from collections.abc import Sequence
from hashlib import sha256
from typing import Any

import pandas as pd

from refuseu.core.errors import UserError
from refuseu.core.terminal import say
from refuseu.experiment import PIVOT, Kind
from refuseu.rainbow_teaming.archive import Archive, Cell
from refuseu.rainbow_teaming.factory import RoleFactory
from refuseu.rainbow_teaming.found import NOTED, Found
from refuseu.rainbow_teaming.interfaces import Mutator, Question, Twins
from refuseu.rainbow_teaming.search import NOT_WRITTEN, Attack, Roles, Search
from refuseu.tables.schemas import ELITE
from refuseu.text.normal import composed


def search_questions(roles: RoleFactory, mutator: Mutator, attack: Attack) -> Found:
    """Search for questions that the target answers harmfully, and write their twins.

    Raises:
        UserError: when no category is searched, a role cannot be built, or no question got a harmful answer.
    """
    parameters, settings = roles.parameters, roles.parameters.rainbow_teaming
    left_out = [key for key in parameters.categories if key not in parameters.searched]
    if left_out:
        say(f"Note: {', '.join(left_out)}: not searched, since a real model would answer", err=True)
    if not parameters.searched:
        raise UserError("params.yaml: categories: none of them is searched with this base; name others than S4 and S12")
    archive = Archive(parameters.searched, list(parameters.styles), settings.elites_per_cell)
    players, twins = Roles(mutator, roles.build_scorer(), roles.build_preference(), attack), roles.build_twins()
    search = Search(archive, players, settings, parameters.seed)
    search.run()
    for category, share in declined_categories(search).items():
        say(f"Note: {category}: the mutator wrote no question for {share:.0%} of its candidates", err=True)
    assert_found(search, settings.mutator.kind)
    questions = questions_of(archive, twins, list(search.reserve.values()))
    return Found(questions, summary(search, questions), search.history, archive.rows(parameters))


def declined_categories(search: Search) -> dict[str, float]:
    """Return the share (0-1) of the candidates of a category that no mutator wrote, of the categories where it is ``NOTED``."""
    shares = {category: search.not_written[category] / drawn for category, drawn in search.drawn.items()}
    return {category: share for category, share in sorted(shares.items()) if share >= NOTED}


def assert_found(search: Search, mutator: str) -> None:
    """Check that the archive holds a question; ``mutator`` is the kind of the mutator.

    Raises:
        UserError: when it holds none. The sentence blames what lost most candidates.
    """
    if search.archive.coverage():
        return
    outcome, lost = search.outcomes.most_common(1)[0]
    start = f"rainbow-teaming: no question entered the archive; {lost} of {search.outcomes.total()} candidates were"
    if outcome == NOT_WRITTEN:
        raise UserError(
            f"{start} {outcome}: the mutator ({mutator}) declined, or wrote no single English question; use another model"
        )
    if outcome == "harmless":
        way_out = (
            "raise rainbow-teaming.iterations, or use a base that complies (base.steps, data/base/resistance.yaml)"
        )
        raise UserError(f"{start} {outcome}: the target gave no harmful answer; {way_out}")
    raise UserError(f"{start} {outcome}; raise rainbow-teaming.max_bleu or iterations")


def question_id(text: str) -> str:
    """Return the id of a question, which its English text decides: a question has the same id in every run."""
    return sha256(composed(text).encode()).hexdigest()[:12]


def questions_of(archive: Archive, twins: Twins | None, reserve: Sequence[tuple[Cell, Question]] = ()) -> pd.DataFrame:
    """Return every elite, every question of ``reserve``, and the benign twin of each that ``twins`` writes (``schemas.ELITE``).

    The fitness of an elite's twin is 0; what is in reserve, and its twins, have none. A question that is an elite of two cells is
    one row, with the first of the two cells. A twin of two questions is one row, too. A twin that equals a harmful question is
    left out.
    """
    found = [
        *((cell, elite.question, elite.fitness, 0.0, elite.iteration) for cell, elite in archive),
        *((cell, question, None, None, None) for cell, question in reserve),
    ]
    benign = twins.twins([question for _, question, *_ in found]) if twins else [None] * len(found)
    rows = []
    for ((category, style), question, fitness, of_twin, iteration), twin in zip(found, benign, strict=True):
        common = {
            "lang": PIVOT,
            "group_id": question_id(question.text),
            "category": category,
            "style": style,
            "behavior_id": question.behavior_id,
            "frame_id": question.frame_id,
            "iteration": iteration,
            "written_by": None,
        }
        texts = [(Kind.HARMFUL, question.text, fitness), *([(Kind.BENIGN, twin, of_twin)] if twin else [])]
        for kind, text, fits in texts:
            rows.append({**common, "question_id": question_id(text), "kind": kind, "text": text, "fitness": fits})
    rows.sort(key=lambda row: row["kind"] != Kind.HARMFUL)
    return pd.DataFrame(rows, columns=list(ELITE.columns)).drop_duplicates("question_id", ignore_index=True)


def summary(search: Search, questions: pd.DataFrame) -> dict[str, Any]:
    """Return the metrics of the last iteration, and the account of all candidates."""
    elites = sum(1 for _ in search.archive)
    kept, reserved = int((questions["kind"] == Kind.HARMFUL).sum()), len(search.reserve)
    accepted = search.outcomes["accepted"]
    rejected = {
        **{name: count for name, count in search.outcomes.items() if name != "accepted"},
        "replaced by a fitter one": accepted - elites,
    }
    if kept < elites + reserved:
        rejected["equal to a question of another cell"] = elites + reserved - kept
    return {
        "made_by": "search",
        **search.history[-1],
        "rows_in": search.outcomes.total() + reserved,
        "rows_out": kept,
        "reserved": reserved,
        "rejected": rejected,
    }
