"""Who plays the refuser."""

from refuseu.parameters.respond import PhrasebookRefuser as PhrasebookPart
from refuseu.phrasebook import Phrasebook
from refuseu.responses.parts import Refuser


def refuser_of(part: PhrasebookPart, books: dict[str, Phrasebook]) -> Refuser:
    """The refuser that ``part`` describes."""
    match part.kind:
        case "phrasebook":
            from refuseu.responses.phrasebook import PhrasebookRefuser

            return PhrasebookRefuser(books)
