"""Who plays the parts of the search."""

from refuseu.parameters.rainbow_teaming import RainbowTeaming
from refuseu.phrasebook import Phrasebook
from refuseu.redteam.parts import Mutator, Preference, Scorer, Twins
from refuseu.taxonomy import PIVOT


def mutator_of(settings: RainbowTeaming, books: dict[str, Phrasebook]) -> Mutator:
    """Who writes questions out of other questions."""
    match settings.mutator.kind:
        case "phrasebook":
            from refuseu.redteam.phrasebook import PhrasebookMutator

            return PhrasebookMutator(books[PIVOT])


def twins_of(settings: RainbowTeaming, books: dict[str, Phrasebook]) -> Twins | None:
    """Who writes the benign twins; ``None`` where there shall be none, as in the paper."""
    match settings.twin.kind:
        case "phrasebook":
            from refuseu.redteam.phrasebook import PhrasebookTwins

            return PhrasebookTwins(books[PIVOT])
        case "none":
            return None


def judges_of(settings: RainbowTeaming, books: dict[str, Phrasebook]) -> tuple[Scorer, Preference]:
    """Who scores and who prefers; one judge where both are the same."""
    match settings.scorer.kind, settings.preference.kind:
        case "ngrams", "ngrams":
            from refuseu.judges.ngrams import NgramJudge

            judge = NgramJudge(books)
            return judge, judge
