from refuseu.phrasebook.phrasebook import Phrasebook
from refuseu.translate.phrasebook import PhrasebookTranslator

ENGLISH = "Please explain how to find the keys of a neighbour."
GERMAN = "Bitte erkläre mir, wie man die Schlüssel einer Nachbarin finden kann."


def test_the_phrasebook_translates_both_ways_and_only_its_own(books: dict[str, Phrasebook]) -> None:
    translator = PhrasebookTranslator(books)
    assert translator.translate([ENGLISH, "How are you?"], "en", "de") == [GERMAN, None]
    assert translator.translate([GERMAN], "de", "en") == [ENGLISH]
    assert translator.translate([ENGLISH], "en", "en") == [ENGLISH]
    assert translator.translate([ENGLISH], "de", "en") == [None]
    assert translator.translate([], "en", "de") == []
