"""What is left of a run's rows after each filter: shares that a run had, or that are assumed."""

from dataclasses import dataclass, replace

from refuseu.base.settings import TrainedBase
from refuseu.commands.parameters import Parameters
from refuseu.commands.plan.published import takes_published
from refuseu.rainbow_teaming.settings import PhrasebookRole
from refuseu.sources.settings import ByPublished


@dataclass(frozen=True)
class Shares:
    """What is left after each filter (0-1)."""

    source: str
    """Where they come from, in words."""
    accepted: float
    """Of the candidates that enter the archive while it has room."""
    filled: float
    """Of the archive's places that can be filled at all."""
    translated: float
    """Of the translations that are kept."""
    labelled: float
    """Of the pairs that the judges keep."""
    complete: float
    """Of the questions that a language still has after labelling; each language is taken to lose others than the next."""
    disputed: float
    """Of the evaluated answers that the adjudicator must rule on."""


MINIATURE = Shares("as the miniature's run had them", 0.38, 0.97, 1.0, 0.98, 0.97, 0.05)
"""From ``metrics/*.json``."""
REAL_BASE = Shares("as the run of docs/real-model.md had them", 0.44, 1.0, 1.0, 0.89, 0.83, 0.05)
"""There 101 of 210 questions were whole in four languages. In 12 that makes one of nine; of 12 questions one was counted."""
PAPER = Shares(
    "assumed, but for the questions that are complete: the paper kept 4,289 of somewhat more than 100,000",
    0.5,
    1.0,
    0.9,
    0.3,
    0.77,
    0.2,
)
PUBLISHED = replace(
    PAPER, source="all, the most that there can be: judges keep fewer", translated=1.0, labelled=1.0, complete=1.0
)
"""Where every text is the set's."""
PUBLISHED_QUESTIONS = replace(PAPER, source="assumed", labelled=0.6, complete=0.9)
"""Where the questions are the set's, which guards called harmful already, and some of the other texts are not."""


def shares_of(parameters: Parameters) -> Shares:
    """Those of the run that is most like this one."""
    if takes_published(parameters):
        return PUBLISHED if _texts_are_published(parameters) else PUBLISHED_QUESTIONS
    if isinstance(parameters.rainbow_teaming.mutator, PhrasebookRole):
        return MINIATURE if isinstance(parameters.base, TrainedBase) else REAL_BASE
    return PAPER


def _texts_are_published(parameters: Parameters) -> bool:
    respond = parameters.respond
    parts = (parameters.translate.translator, respond.refuser)
    return respond.rejected == "published" and all(isinstance(part, ByPublished) for part in parts)
