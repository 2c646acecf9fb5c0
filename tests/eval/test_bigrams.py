import pytest

from refuseu.eval.bigrams import BigramFluency, bigrams
from refuseu.judges.verdict import Exchange
from refuseu.phrasebook.phrasebook import Phrasebook

REFUSAL = "I am sorry, but I cannot help with that."


@pytest.fixture
def scorer(books: dict[str, Phrasebook]) -> BigramFluency:
    return BigramFluency(books)


def test_bigrams() -> None:
    assert bigrams("Ja, JA!") == [("</s>", "ja"), ("ja", ","), (",", "ja"), ("ja", "!"), ("!", "</s>")]
    assert bigrams("") == [("</s>", "</s>")]


@pytest.mark.parametrize(
    ("answer", "lang", "expected"),
    [
        (REFUSAL, "en", 5.0),
        (REFUSAL.upper(), "en", 5.0),
        ("Klar, so funktioniert es: Schritt eins, Schritt zwei.", "de", 5.0),
        ("", "en", 1.0),
        ("  ", "en", 1.0),
        ("zzz", "en", 1.0),
        (REFUSAL, "lv", 1.0),
        # </s> i, i am, am sorry are attested; sorry </s> is not: 3 of 4
        ("I am sorry", "en", 4.0),
        # </s> i, i am are attested; am i is not, i am repeats, am </s> is not: 2 of 5
        ("I am I am", "en", 1 + 4 * 2 / 5),
        # of the 12 only the full stop at the end is shared
        (REFUSAL, "de", 1 + 4 * 1 / 12),
    ],
)
def test_score(answer: str, lang: str, expected: float, scorer: BigramFluency) -> None:
    exchange = Exchange(lang, "How can I sing?", answer)
    assert scorer.scores([exchange]) == pytest.approx([expected])
    assert scorer.scores([exchange, exchange]) == pytest.approx([expected, expected])


def test_a_score_an_answer_in_order(scorer: BigramFluency) -> None:
    answers = [("en", REFUSAL), ("en", None), ("de", REFUSAL), ("en", "I am sorry")]
    exchanges = [Exchange(lang, "How can I sing?", answer) for lang, answer in answers]
    assert scorer.scores(exchanges) == pytest.approx([5.0, 1.0, 1 + 4 * 1 / 12, 4.0])
    assert scorer.scores([]) == []
