from collections.abc import Sequence
from pathlib import Path

import pandas as pd
import pytest

from refuseu.core.schema import read_table
from refuseu.phrasebook.phrasebook import Phrasebook
from refuseu.tables.schemas import QUESTION, TRANSLATION
from refuseu.tables.writing import write_table
from refuseu.text.identification import Identifier
from refuseu.translate.questions import (
    LOW_CHRF,
    REPEATED,
    UNTRANSLATED,
    WRONG_LANGUAGE,
    in_languages,
    summary,
    take_written,
    translate,
)
from refuseu.translate.translators import PhrasebookTranslator

ENGLISH = "Please explain how to find the keys of a neighbour."
GERMAN = "Bitte erkläre mir, wie man die Schlüssel einer Nachbarin finden kann."
COMMON = {
    "kind": "benign",
    "group_id": "s",
    "category": "S1",
    "style": "plain",
    "behavior_id": "s1-02",
    "frame_id": "plain-0",
}


class FakeTranslator:
    """Translates by table; what is not in it stays as it is. Remembers what it saw."""

    def __init__(self, **table: str | None) -> None:
        self._table = table
        self.seen: list[tuple[str, str, list[str]]] = []

    def translate(self, texts: Sequence[str], source: str, target: str) -> list[str | None]:
        self.seen.append((source, target, list(texts)))
        return [self._table.get(f"{source}_{target}", text) for text in texts]


def questions(*texts: str) -> pd.DataFrame:
    return pd.DataFrame(
        [{**COMMON, "question_id": f"q{number}", "lang": "en", "text": text} for number, text in enumerate(texts)],
        columns=list(QUESTION.columns),
    )


def test_a_row_a_language_with_its_checks(books: dict[str, Phrasebook]) -> None:
    kept, rejected = translate(questions(ENGLISH), Identifier(["en", "de"]), PhrasebookTranslator(books), 100 - 1e-9)
    common = {**COMMON, "question_id": "q0", "chrf": pytest.approx(100.0)}
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
    kept, rejected = translate(questions(ENGLISH), Identifier(["en", "de"]), translator, 90.0)
    assert kept["lang"].tolist() == ["en"]
    assert rejected.to_dict("records") == [{"question_id": "q0", "lang": "de", "reason": reason}]


def test_the_language_is_the_likeliest_of_the_projects() -> None:
    dutch = "Hoe kan ik de sleutels van een buurvrouw vinden?"
    kept, _ = translate(questions(ENGLISH), Identifier(["en", "de"]), FakeTranslator(en_de=dutch, de_en=ENGLISH), 90.0)
    assert kept.loc[kept["text"] == dutch, ["lang", "lang_restricted", "lang_free"]].to_numpy().tolist() == [
        ["de", "de", "nl"]
    ]


def test_the_least_chrf_decides() -> None:
    translator = FakeTranslator(en_de=GERMAN, de_en=ENGLISH.replace("find", "see"))
    score = float(translate(questions(ENGLISH), Identifier(["en", "de"]), translator, 0.0)[0]["chrf"].iloc[1])
    assert 50 < score < 100
    assert len(translate(questions(ENGLISH), Identifier(["de", "en"]), translator, score)[0]) == 2
    assert len(translate(questions(ENGLISH), Identifier(["de", "en"]), translator, score + 0.01)[0]) == 1


def test_kept_and_rejected_are_every_question_in_every_language(books: dict[str, Phrasebook]) -> None:
    kept, rejected = translate(
        questions(ENGLISH, "How are you?"), Identifier(["en", "de"]), PhrasebookTranslator(books), 90.0
    )
    rows = [
        *kept[["question_id", "lang"]].itertuples(index=False),
        *rejected[["question_id", "lang"]].itertuples(index=False),
    ]
    assert sorted(map(tuple, rows)) == [("q0", "de"), ("q0", "en"), ("q1", "de"), ("q1", "en")]
    assert set(rejected["question_id"]) == {"q1"}


def test_no_questions(books: dict[str, Phrasebook]) -> None:
    kept, rejected = translate(questions(), Identifier(["en", "de"]), PhrasebookTranslator(books), 90.0)
    assert (len(kept), len(rejected)) == (0, 0)
    assert list(kept.columns) == list(TRANSLATION.columns)


def test_a_language_is_one_batch_there_and_one_back() -> None:
    translator = FakeTranslator(en_de=GERMAN)
    translate(questions(ENGLISH, "How are you?"), Identifier(["en", "de"]), translator, 0.0)
    assert translator.seen == [
        ("en", "en", [ENGLISH, "How are you?"]),
        ("en", "en", [ENGLISH, "How are you?"]),
        ("en", "de", [ENGLISH, "How are you?"]),
        ("de", "en", [GERMAN, GERMAN]),
    ]


class Halting(FakeTranslator):
    """Finds no German for the second of three texts, and translates the others there and back."""

    def translate(self, texts: Sequence[str], source: str, target: str) -> list[str | None]:
        self.seen.append((source, target, list(texts)))
        if target == "de":
            return [f"Das ist ein deutscher Satz: {text}" if place != 1 else None for place, text in enumerate(texts)]
        return [text.removeprefix("Das ist ein deutscher Satz: ") for text in texts]


def test_what_has_no_translation_is_not_asked_back_and_the_others_keep_their_places() -> None:
    translator, texts = Halting(), ["Where is the school?", "How are you?", "Who has the keys?"]
    kept, rejected = translate(questions(*texts), Identifier(["de"]), translator, 99.0)
    assert translator.seen[1] == ("de", "en", [f"Das ist ein deutscher Satz: {texts[place]}" for place in (0, 2)])
    assert kept[["question_id", "text"]].to_numpy().tolist() == [
        ["q0", f"Das ist ein deutscher Satz: {texts[0]}"], ["q2", f"Das ist ein deutscher Satz: {texts[2]}"]
    ]  # fmt: skip
    assert rejected.to_dict("records") == [{"question_id": "q1", "lang": "de", "reason": UNTRANSLATED}]


def test_what_is_asked_for_may_be_unknown(books: dict[str, Phrasebook], tmp_path: Path) -> None:
    kept, _ = translate(
        questions(ENGLISH).assign(behavior_id=None), Identifier(["en", "de"]), PhrasebookTranslator(books), 90.0
    )
    write_table(kept, tmp_path / "translations.parquet", TRANSLATION)
    assert read_table(tmp_path / "translations.parquet", TRANSLATION)["behavior_id"].isna().tolist() == [True, True]


def written(*rows: tuple[str, str]) -> pd.DataFrame:
    """Questions that were written in their languages, each by itself."""
    return pd.DataFrame(
        [
            {**COMMON, "question_id": f"q{place}.{lang}", "group_id": f"q{place}.{lang}", "lang": lang, "text": text}
            for place, (lang, text) in enumerate(rows)
        ],
        columns=list(QUESTION.columns),
    )


def test_what_was_written_in_its_language_is_checked_and_not_translated() -> None:
    rows = written(
        ("en", ENGLISH),
        ("en", GERMAN),
        ("de", GERMAN),
        ("de", GERMAN.upper()),
        ("en", "Where is the way to the school?"),
    )
    kept, rejected = take_written(rows, Identifier(["en", "de"]))
    assert kept[["question_id", "text"]].to_numpy().tolist() == [
        ["q0.en", ENGLISH], ["q4.en", "Where is the way to the school?"], ["q2.de", GERMAN]
    ]  # fmt: skip
    assert kept["chrf"].isna().all()
    assert rejected.to_dict("records") == [
        {"question_id": "q1.en", "lang": "en", "reason": WRONG_LANGUAGE},
        {"question_id": "q3.de", "lang": "de", "reason": REPEATED},
    ]
    account = summary(len(rows), kept, rejected, ["en", "de"])
    assert (account["rows_in"], account["rows_out"], account["chrf"]) == (5, 3, {})
    assert account["rejected_by_language"] == {"en": 1, "de": 1}


def test_a_published_question_is_put_into_each_language_as_its_set_has_it() -> None:
    english = questions(ENGLISH)
    rows = in_languages(english, ["en", "de"], {("q0", "en"): ENGLISH, ("q0", "de"): GERMAN})
    assert rows[["question_id", "lang", "text"]].to_numpy().tolist() == [["q0", "en", ENGLISH], ["q0", "de", GERMAN]]
