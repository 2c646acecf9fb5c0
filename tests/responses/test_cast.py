from refuseu.parameters.respond import PhrasebookRefuser as PhrasebookPart
from refuseu.phrasebook import Phrasebook
from refuseu.responses.cast import refuser_of
from refuseu.responses.parts import Asked


def test_the_phrasebook_plays_the_refuser(books: dict[str, Phrasebook]) -> None:
    refuser = refuser_of(PhrasebookPart(kind="phrasebook"), books)
    (refusal,) = refuser.refuse([Asked("q", "de", "Wie kann ich das Ende eines Films verraten?")])
    assert refusal in books["de"].refusals
