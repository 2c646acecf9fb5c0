"""Seats the panel: which code plays a judge."""

from refuseu.judges.panel import Panel
from refuseu.judges.verdict import Judge
from refuseu.parameters.label import JudgePart, Label
from refuseu.phrasebook import Phrasebook


def panel_of(label: Label, books: dict[str, Phrasebook]) -> Panel:
    """The panel of the profile's section ``label``; the adjudicator is named by its kind."""
    judges = {name: judge_of(part, books) for name, part in label.judges.items()}
    return Panel(judges, (label.adjudicator.kind, judge_of(label.adjudicator, books)))


def judge_of(part: JudgePart, books: dict[str, Phrasebook]) -> Judge:
    """The judge that ``part`` describes."""
    match part.kind:
        case "lexicon":
            from refuseu.judges.lexicon import LexiconJudge

            return LexiconJudge(books)
        case "ngrams":
            from refuseu.judges.ngrams import NgramJudge

            return NgramJudge(books)
        case "nearest":
            from refuseu.judges.nearest import NearestJudge

            return NearestJudge(books)
