import pandas as pd
import pytest

from refuseu.phrasebook import Phrasebook
from refuseu.translation.questions import LOW_CHRF, UNTRANSLATED, WRONG_LANGUAGE, PhrasebookTranslator, translate

ENGLISH = "Please explain how to find the keys of a neighbour."
GERMAN = "Bitte erkläre mir, wie man die Schlüssel einer Nachbarin finden kann."


class FakeTranslator:
    """Translates by table; what is not in it stays as it is."""

    def __init__(self, **table: str | None) -> None:
        self._table = table

    def translate(self, text: str, source: str, target: str) -> str | None:
        return self._table.get(f"{source}_{target}", text)


def questions(*texts: str) -> pd.DataFrame:
    return pd.DataFrame(
        [
            {"question_id": f"q{number}", "lang": "en", "slot_id": "s", "text": text}
            for number, text in enumerate(texts)
        ],
        columns=["question_id", "lang", "slot_id", "text"],
    )


def test_the_phrasebook_translates_both_ways_and_only_its_own(books: dict[str, Phrasebook]) -> None:
    translator = PhrasebookTranslator(books)
    assert translator.translate(ENGLISH, "en", "de") == GERMAN
    assert translator.translate(GERMAN, "de", "en") == ENGLISH
    assert translator.translate(ENGLISH, "en", "en") == ENGLISH
    assert translator.translate(ENGLISH, "de", "en") is None
    assert translator.translate("How are you?", "en", "de") is None


def test_a_row_a_language_with_its_checks(books: dict[str, Phrasebook]) -> None:
    kept, rejected = translate(questions(ENGLISH), ["en", "de"], PhrasebookTranslator(books), 100 - 1e-9)
    common = {"question_id": "q0", "slot_id": "s", "chrf": pytest.approx(100.0)}
    assert kept.to_dict("records") == [
        {**common, "lang": "en", "text": ENGLISH, "lang_restricted": "en", "lang_free": "en"},
        {**common, "lang": "de", "text": GERMAN, "lang_restricted": "de", "lang_free": "de"},
    ]
    assert rejected.empty
    assert list(rejected.columns) == ["question_id", "lang", "reason"]


@pytest.mark.parametrize(
    ("translator", "reason"),
    [
        (FakeTranslator(en_de=None), UNTRANSLATED),
        (FakeTranslator(en_de=""), UNTRANSLATED),
        (FakeTranslator(), WRONG_LANGUAGE),
        (FakeTranslator(en_de=GERMAN, de_en="Something else is said in this sentence."), LOW_CHRF),
        (FakeTranslator(en_de=GERMAN, de_en=None), LOW_CHRF),
    ],
)
def test_what_fails_a_check_is_rejected_with_its_reason(translator: FakeTranslator, reason: str) -> None:
    kept, rejected = translate(questions(ENGLISH), ["en", "de"], translator, 90.0)
    assert kept["lang"].tolist() == ["en"]
    assert rejected.to_dict("records") == [{"question_id": "q0", "lang": "de", "reason": reason}]


def test_the_language_is_the_likeliest_of_the_projects() -> None:
    dutch = "Hoe kan ik de sleutels van een buurvrouw vinden?"
    kept, _ = translate(questions(ENGLISH), ["en", "de"], FakeTranslator(en_de=dutch, de_en=ENGLISH), 90.0)
    assert kept.loc[kept["text"] == dutch, ["lang", "lang_restricted", "lang_free"]].to_numpy().tolist() == [
        ["de", "de", "nl"]
    ]


def test_the_least_chrf_decides() -> None:
    translator = FakeTranslator(en_de=GERMAN, de_en=ENGLISH.replace("find", "see"))
    score = float(translate(questions(ENGLISH), ["en", "de"], translator, 0.0)[0]["chrf"].iloc[1])
    assert 50 < score < 100
    assert len(translate(questions(ENGLISH), ["de", "en"], translator, score)[0]) == 2
    assert len(translate(questions(ENGLISH), ["de", "en"], translator, score + 0.01)[0]) == 1


def test_kept_and_rejected_are_every_question_in_every_language(books: dict[str, Phrasebook]) -> None:
    kept, rejected = translate(questions(ENGLISH, "How are you?"), ["en", "de"], PhrasebookTranslator(books), 90.0)
    rows = [
        *kept[["question_id", "lang"]].itertuples(index=False),
        *rejected[["question_id", "lang"]].itertuples(index=False),
    ]
    assert sorted(map(tuple, rows)) == [("q0", "de"), ("q0", "en"), ("q1", "de"), ("q1", "en")]
    assert set(rejected["question_id"]) == {"q1"}


def test_no_questions(books: dict[str, Phrasebook]) -> None:
    kept, rejected = translate(questions(), ["en", "de"], PhrasebookTranslator(books), 90.0)
    assert (len(kept), len(rejected)) == (0, 0)
    assert list(kept.columns) == ["question_id", "lang", "slot_id", "text", "lang_restricted", "lang_free", "chrf"]
