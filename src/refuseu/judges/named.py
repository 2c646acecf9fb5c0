"""The judges that need nothing but this repository, by the names that people call them by."""

from collections.abc import Callable
from pathlib import Path

from refuseu.errors import UserError
from refuseu.judges.verdict import Judge
from refuseu.phrasebook import Phrasebook
from refuseu.taxonomy import LANGUAGES

NAMES = ("phrases", "lexicon", "ngrams", "nearest")


def judge_named(name: str, refusals: Path, books: Callable[[], dict[str, Phrasebook]]) -> Judge:
    """Make the judge ``name``.

    Args:
        name: one of ``NAMES``.
        refusals: the folder with how answers refuse, which ``phrases`` reads.
        books: loads the phrasebooks that the others judge by; asked only where one of them is named.

    Raises:
        UserError: for another name, or when a file that the judge reads is missing or wrong.
    """
    match name:
        case "phrases":
            from refuseu.judges.phrases import PhrasesJudge, load_refusal_phrases

            return PhrasesJudge(load_refusal_phrases(refusals, LANGUAGES))
        case "lexicon":
            from refuseu.judges.lexicon import LexiconJudge

            return LexiconJudge(books())
        case "ngrams":
            from refuseu.judges.ngrams import NgramJudge

            return NgramJudge(books())
        case "nearest":
            from refuseu.judges.nearest import NearestJudge

            return NearestJudge(books())
        case _:
            raise UserError(f"judge {name!r} is none of {', '.join(NAMES)}; name one of them")
