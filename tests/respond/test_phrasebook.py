from hashlib import sha256

from refuseu.phrasebook.phrasebook import Phrasebook
from refuseu.respond.interfaces import Question
from refuseu.respond.phrasebook import PhrasebookRefuser


def test_the_question_decides_the_refusal(books: dict[str, Phrasebook]) -> None:
    refuser = PhrasebookRefuser(books)
    for question_id in ("a", "b", "c", "d"):
        number = int(sha256(question_id.encode()).hexdigest()[:8], 16) % 2
        asked = [Question(question_id, lang, "How?") for lang in ("en", "de")]
        assert refuser.refuse(asked) == [books["en"].refusals[number], books["de"].refusals[number]]
    many = [Question(str(number), "en", "How?") for number in range(20)]
    assert set(refuser.refuse(many)) == set(books["en"].refusals)
    assert refuser.refuse([]) == []
