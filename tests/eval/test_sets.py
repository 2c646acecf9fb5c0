import json
from pathlib import Path
from typing import Any

import pandas as pd
import pytest
from evaluated import asking
from pydantic import ValidationError

from refuseu.core.errors import UserError
from refuseu.core.schema import read_table
from refuseu.eval.schemas import SET_ANSWER
from refuseu.eval.sets import read_sets, set_accounts, set_rows
from refuseu.sources.settings import ExternalSet
from refuseu.tables.writing import write_table

TRAIN = ["How do I get around the rules of the house?", "Wie umgehe ich die Regeln des Hauses?"]
MARKED = "MARKED-HARMFUL-TEXT"
COLUMNS_READ = ["set", "question_id", "lang", "kind", "category", "text"]
COLUMNS = {"source": "s.jsonl", "text": "ask", "lang": "language"}


def read(folder: Path, rows: list[dict[str, Any]], **columns: str | None) -> tuple[pd.DataFrame, dict[str, Any]]:
    """The questions of a set ``theirs`` with these rows, and its account."""
    text = "".join(json.dumps(row) + "\n" for row in rows)
    (folder / "s.jsonl").write_text(text, encoding="utf-8")
    given = {name: value for name, value in (COLUMNS | columns).items() if value}
    questions, accounts = read_sets(asking({"theirs": given}), folder, TRAIN)
    return questions, accounts["theirs"]


def row(ask: str, language: str = "en", **others: str) -> dict[str, str]:
    return {"ask": ask, "language": language, **others}


def test_questions_are_named_by_their_rows_and_asked_in_their_language(tmp_path: Path) -> None:
    questions, account = read(tmp_path, [row("Why so?"), row("Warum  das?", "German"), row("Wie das?", "DE")])
    assert questions.to_dict("split")["data"] == [
        ["theirs", "1", "en", "harmful", None, "Why so?"],
        ["theirs", "2", "de", "harmful", None, "Warum  das?"],
        ["theirs", "3", "de", "harmful", None, "Wie das?"],
    ]
    assert (account["rows_in"], account["rows_out"], set(account["rejected"].values())) == (3, 3, {0})


def test_language_tags_of_any_spelling_are_the_language_and_the_account_says_so(tmp_path: Path) -> None:
    spellings = ["en-US", "EN", "en", "eng_Latn", "German (Austria)", "de_CH", "fr-CA", "Klingon", ""]
    questions, account = read(tmp_path, [row(f"Why so, {number}?", each) for number, each in enumerate(spellings)])
    assert questions["lang"].tolist() == ["en"] * 4 + ["de"] * 2
    assert account["languages"] == {
        "EN": "en",
        "German (Austria)": "de",
        "de_CH": "de",
        "en-US": "en",
        "eng_Latn": "en",
        "fr-CA": "fr",
    }
    assert account["rejected"]["in no language of this run"] == 3


def test_a_spreadsheet_of_any_locale_is_a_set(tmp_path: Path) -> None:
    text = 'Language;Ask;note;\r\nde;Warum, und wie?;1,5;\r\nEN;"Why?\r\nAnd how?";;\r\n;;;\r\n'
    (tmp_path / "s.csv").write_bytes(text.encode("utf-16"))
    given = {"source": "s.csv", "text": "ask", "lang": "language"}
    questions, account = read_sets(asking({"theirs": given}), tmp_path, TRAIN)
    assert questions[["question_id", "lang", "text"]].values.tolist() == [
        ["1", "de", "Warum, und wie?"],
        ["2", "en", "Why?\nAnd how?"],
    ]
    assert account["theirs"]["rows_in"] == 2


def test_why_a_question_is_not_asked_is_counted(tmp_path: Path) -> None:
    rows = [
        row("Why so?"),
        row("Pourquoi?", "fr"),
        row("Why?", "Klingon"),
        row("Why that?", category="sexual content"),
        row("why  SO?"),
        row("how do i get around the rules of the house?"),
        row("Wie umgehe ich die Regeln des Hauses??", "en"),
        row("Why so?", "de"),
    ]
    questions, account = read(tmp_path, [{"category": "", **each} for each in rows], category="category")
    assert questions["question_id"].tolist() == ["1", "8"]
    assert account == {
        "rows_in": 8,
        "rows_out": 2,
        "rejected": {
            "in no language of this run": 2,
            "neither called harmful nor benign": 0,
            "of a category that no model is shown": 1,
            "stands in the set twice": 1,
            "equal to a training question": 1,
            "near-duplicate of a training question": 1,
        },
    }


def test_a_set_may_say_once_what_all_its_rows_are(tmp_path: Path) -> None:
    questions, _ = read(tmp_path, [{"ask": "Why so?"}], lang=None, every_lang="de", every_kind="benign")
    assert questions[["lang", "kind"]].to_dict("records") == [{"lang": "de", "kind": "benign"}]


def test_kinds_are_known_by_the_words_of_the_field(tmp_path: Path) -> None:
    labels = ["unsafe", "Harmful", "adversarial", "safe", "unharmful", "benign"]
    rows = [row(f"Question {label}?", label=label) for label in labels]
    questions, _ = read(tmp_path, rows, kind="label")
    assert questions["kind"].tolist() == ["harmful"] * 3 + ["benign"] * 3


def test_a_question_whose_kind_nobody_knows_is_left_out_and_counted(tmp_path: Path) -> None:
    questions, account = read(tmp_path, [row("Why so?", label=""), row("Why that?", label="safe")], kind="label")
    assert questions["question_id"].tolist() == ["2"]
    assert account["rejected"]["neither called harmful nor benign"] == 1


def test_each_language_may_have_a_column_of_its_own(tmp_path: Path) -> None:
    parts: Any = {"en": {}, "de": {"text": "frage"}}
    questions, account = read(tmp_path, [{"ask": "Why so?", "frage": "Warum?"}], lang=None, by_lang=parts)
    assert questions[["question_id", "lang", "text"]].to_numpy().tolist() == [
        ["en-1", "en", "Why so?"],
        ["de-1", "de", "Warum?"],
    ]
    assert (account["rows_in"], account["rows_out"]) == (2, 2)


@pytest.mark.parametrize(
    ("rows", "columns", "sentence"),
    [
        ([row(MARKED)], {"text": "prompt"}, "FILE, row 1: no column 'prompt'; name one that is there"),
        ([row(MARKED)], {"lang": "code"}, "FILE, row 1: no column 'code'; name one that is there"),
        (
            [row(" ")],
            {},
            "FILE, row 1: column 'ask' holds no text; write the question, or take the row out",
        ),
        (
            [row(MARKED, kind=MARKED)],
            {"kind": "kind"},
            "FILE, row 1: column 'kind' holds no kind of question; write one of harmful, unsafe, adversarial, benign, safe, "
            "harmless, unharmful",
        ),
        (
            [row(MARKED, kind=MARKED)],
            {"category": "kind"},
            "FILE, row 1: column 'kind' holds none of the categories of params.yaml; write a key or a name of one, or leave "
            "it empty",
        ),
        (
            [row(MARKED, "fr"), row(TRAIN[0])],
            {},
            "eval.sets.theirs: no question is left to ask (1 in no language of this run, 1 equal to a training question; "
            "languages of the set: en, fr; of the run: en, de); mend its columns, or take the set out",
        ),
        ([], {}, "FILE: holds no row; name a test set with questions"),
    ],
)
def test_a_set_that_cannot_be_asked_is_one_sentence(
    rows: list[dict[str, Any]], columns: dict[str, str], sentence: str, tmp_path: Path
) -> None:
    with pytest.raises(UserError) as error:
        read(tmp_path, rows, **columns)
    assert error.value.message == sentence.replace("FILE", str(tmp_path / "s.jsonl"))


@pytest.mark.parametrize(
    "columns", [{}, {"lang": "language", "every_lang": "en"}, {"every_lang": "en", "by_lang": {"en": {}}}]
)
def test_a_set_has_one_way_to_tell_its_language(columns: dict[str, Any]) -> None:
    with pytest.raises(ValidationError, match=r"must name one of lang, .* every_lang, .* and by_lang"):
        ExternalSet.model_validate({"source": "s.csv", "text": "ask", **columns})


def test_without_sets_nothing_is_asked(tmp_path: Path) -> None:
    foreign, accounts = read_sets(asking({}), tmp_path, TRAIN)
    assert (len(foreign), list(foreign.columns), accounts) == (0, COLUMNS_READ, {})


def answered(model: str, question: str, lang: str, kind: str, harm: str, reply: str) -> dict[str, Any]:
    return {
        "set": "theirs",
        "model": model,
        "seed": 0,
        "question_id": question,
        "lang": lang,
        "kind": kind,
        "category": None,
        "answer": "No.",
        "reasoning": None,
        "harm": harm,
        "reply": reply,
        "agreed": True,
        "flagged": False,
        "lang_restricted": "en",
        "lang_free": "en",
        "lines": 0,
        "lines_right": 0,
        "lines_right_free": 0,
        "fluency": None,
    }


ANSWERS = pd.DataFrame(
    [
        answered("base", "1", "en", "harmful", "harmful", "compliance"),
        answered("base", "2", "en", "harmful", "safe", "refusal"),
        answered("base", "3", "de", "benign", "safe", "refusal"),
        answered("mine", "1", "en", "harmful", "unparsed", "unparsed"),
        answered("mine", "2", "en", "harmful", "safe", "refusal"),
        answered("mine", "3", "de", "benign", "safe", "compliance"),
    ]
)
THEIRS = asking({"theirs": {"source": "s.jsonl", "text": "ask", "every_lang": "en"}})


def test_a_set_has_its_own_asr_and_over_refusal_by_model_and_language() -> None:
    rows = set_rows(ANSWERS, THEIRS)
    shown = ("set", "model", "language", "n", "asr", "asr_lower_bound", "asr_upper_bound", "n_benign", "over_refusal")
    assert [tuple(row[name] for name in shown) for row in rows] == [
        ("theirs", "base", "en", 2, 50.0, 50.0, 50.0, 0, None),
        ("theirs", "base", "de", 0, None, 0.0, 100.0, 1, 100.0),
        ("theirs", "mine", "en", 2, None, 0.0, 50.0, 0, None),
        ("theirs", "mine", "de", 0, None, 0.0, 100.0, 1, 0.0),
    ]
    assert [row["language_consistency"] for row in rows] == [100.0, 0.0, 100.0, 0.0]


def test_averages_are_over_the_languages_that_have_such_questions() -> None:
    account = set_accounts({"theirs": {"rows_in": 3}}, ANSWERS, THEIRS)["theirs"]
    assert account["rows_in"] == 3
    assert account["models"]["base"] == {
        "asr": 50.0,
        "asr_lower_bound": 50.0,
        "asr_upper_bound": 50.0,
        "unparsed_rate": 0.0,
        "over_refusal": 100.0,
        "language_consistency": 50.0,
    }
    assert account["models"]["mine"]["asr"] is None


def test_answers_are_a_table_of_their_own(tmp_path: Path) -> None:
    write_table(ANSWERS, tmp_path / "sets.parquet", SET_ANSWER)
    assert read_table(tmp_path / "sets.parquet", SET_ANSWER)["question_id"].tolist() == ["1", "2", "3"] * 2


def test_without_sets_the_table_is_empty(tmp_path: Path) -> None:
    theirs = ANSWERS[:0]
    write_table(theirs, tmp_path / "sets.parquet", SET_ANSWER)
    assert len(pd.read_parquet(tmp_path / "sets.parquet")) == 0
    assert set_rows(theirs, THEIRS) == []
