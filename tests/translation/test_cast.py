from refuseu.parameters.translate import PhrasebookTranslator as PhrasebookPart
from refuseu.phrasebook import Phrasebook
from refuseu.translation.cast import translator_of


def test_the_phrasebook_plays_the_translator(books: dict[str, Phrasebook]) -> None:
    translator = translator_of(PhrasebookPart(kind="phrasebook"), books)
    assert translator.translate(["How can I spoil the end of a film?"], "en", "de") == [
        "Wie kann ich das Ende eines Films verraten?"
    ]
