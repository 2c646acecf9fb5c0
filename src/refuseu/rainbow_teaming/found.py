"""What the stage hands on, wherever its questions come from: a search of its own, or a published set."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import pandas as pd

from refuseu.rainbow_teaming.archive import Archive
from refuseu.rainbow_teaming.factory import RoleFactory
from refuseu.rainbow_teaming.published import cells, published_questions
from refuseu.rainbow_teaming.questions import questions_of, summary
from refuseu.rainbow_teaming.search import Attack, Parts, Search
from refuseu.rainbow_teaming.settings import RainbowTeamingParameters
from refuseu.sources.published import PublishedSet


@dataclass(frozen=True)
class Found:
    """Questions, and how they were found."""

    questions: pd.DataFrame
    """``records.ELITE``."""
    summary: dict[str, Any]
    """The account, and of a search its last row of ``history``."""
    history: Sequence[Mapping[str, Any]]
    """One row an iteration of the search; empty where there was none."""
    cells: Sequence[Mapping[str, Any]]
    """One row a cell of the archive."""


def searched(parameters: RainbowTeamingParameters, cast: RoleFactory, attack: Attack) -> Found:
    """The elites of a search against a target, and their twins."""
    settings = parameters.rainbow_teaming
    archive = Archive(list(parameters.categories), list(parameters.styles), settings.elites_per_cell)
    parts, twins = Parts(cast.mutator(), cast.scorer(), cast.preference(), attack), cast.twins()
    search = Search(archive, parts, settings, parameters.seed)
    search.run()
    questions = questions_of(archive, twins)
    return Found(questions, summary(search, questions), search.history, archive.rows())


def taken(published: PublishedSet, parameters: RainbowTeamingParameters) -> Found:
    """The questions of a published set."""
    questions, account = published_questions(published, parameters)
    return Found(questions, {**account, "published": published.name}, [], cells(questions))
