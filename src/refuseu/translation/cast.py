"""Who plays the translator."""

from refuseu.parameters.translate import PhrasebookTranslator as PhrasebookPart
from refuseu.phrasebook import Phrasebook
from refuseu.translation.parts import Translator


def translator_of(part: PhrasebookPart, books: dict[str, Phrasebook]) -> Translator:
    """The translator that ``part`` describes."""
    match part.kind:
        case "phrasebook":
            from refuseu.translation.phrasebook import PhrasebookTranslator

            return PhrasebookTranslator(books)
