"""What a stage rejects is said when it does, and again where too little is left."""

import json
from pathlib import Path
from typing import Any

import pandas as pd
import pytest

from refuseu.core.errors import UserError
from refuseu.label.protocol import EMPTY
from refuseu.respond.answers import RESTRICTED_CATEGORY
from refuseu.tables.losses import HELP, HELP_FOR, complied, tell_accepted, tell_losses, where_lost
from refuseu.tables.writing import account
from refuseu.translate.questions import LOW_CHRF, WRONG_LANGUAGE

LANGUAGES = ["en", "de", "lv"]


def questions(groups: int = 4) -> pd.DataFrame:
    return pd.DataFrame(
        [
            {"question_id": f"q{number}", "group_id": f"q{number}", "lang": lang, "kind": "harmful"}
            for number in range(groups)
            for lang in LANGUAGES
        ]
    )


def after(lost: list[tuple[str, str, str]], rows: pd.DataFrame) -> tuple[dict[str, Any], pd.DataFrame]:
    """The account of a stage that loses the questions (id, language, reason), and what it kept."""
    rejected = pd.DataFrame(lost, columns=["question_id", "lang", "reason"])
    keys = pd.MultiIndex.from_frame(rejected[["question_id", "lang"]])
    kept = rows[~pd.MultiIndex.from_frame(rows[["question_id", "lang"]]).isin(keys)]
    return account(len(rows), kept, rejected, LANGUAGES), kept


def told(stage: str, lost: list[tuple[str, str, str]], folder: Path) -> None:
    counted, kept = after(lost, questions())
    (folder / f"{stage}.json").write_text(json.dumps(counted))
    tell_losses(stage, folder / f"{stage}.json", kept, LANGUAGES)


def test_losses_are_said_with_the_emptiest_language(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    lost = [("q0", "lv", "wrong language"), ("q1", "lv", "wrong language"), ("q1", "de", "not translated")]
    told("translate", lost, tmp_path)
    assert capsys.readouterr().err == (
        "translate: keeps 9 of 12 rows (rejected: 1 not translated, 2 wrong language); the fewest in lv, 2 of 4; question "
        "groups in every language: 2\n"
    )


def test_questions_of_a_set_need_not_be_in_every_language(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    told("label", [("q0", "lv", "no"), ("q1", "de", "no"), ("q2", "de", "no"), ("q3", "en", "no")], tmp_path)
    assert capsys.readouterr().err.endswith("the fewest in de, 2 of 4; question groups in every language: 0\n")


def test_questions_that_stand_in_one_language_alone_are_not_counted_in_every_language(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    rows = questions()
    own = rows.assign(question_id=rows["question_id"] + "." + rows["lang"]).assign(
        group_id=lambda each: each["question_id"]
    )
    counted, kept = after([("q0.lv", "lv", "wrong language")], own)
    (tmp_path / "translate.json").write_text(json.dumps(counted))
    tell_losses("translate", tmp_path / "translate.json", kept, LANGUAGES)
    assert capsys.readouterr().err == (
        "translate: keeps 11 of 12 rows (rejected: 1 wrong language); the fewest in lv, 3 of 4\n"
    )


def test_a_stage_that_loses_nothing_says_nothing(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    told("translate", [], tmp_path)
    assert capsys.readouterr().err == ""


@pytest.mark.parametrize("stage", HELP)
@pytest.mark.parametrize(
    ("lost", "said"),
    [
        (
            [(f"q{number}", "lv", "no") for number in range(4)],
            "keeps 8 of 12 rows (rejected: 4 no); the fewest in lv, 0 of 4",
        ),
        (
            [(f"q{number}", lang, "no") for number in range(4) for lang in LANGUAGES],
            "keeps 0 of 12 rows (rejected: 12 no); the fewest in en, 0 of 4",
        ),
    ],
)
def test_where_a_language_keeps_nothing_the_run_stops(
    lost: list[tuple[str, str, str]], said: str, stage: str, tmp_path: Path
) -> None:
    with pytest.raises(UserError) as error:
        told(stage, lost, tmp_path)
    lang = said.rpartition(" in ")[2][:2]
    first, *others = error.value.message.split("; the language with the fewest rows")
    assert first.startswith(f"{stage}: {said}; question groups in every language: 0")
    assert error.value.message.endswith(
        f"; {HELP[stage]}, or take {lang} out of languages in params.yaml; data/{stage}/rejected.parquet says why row by row"
    )
    # The stages before are not there but for the first, which is alone.
    assert bool(others) == (stage == "translate")


def test_a_stage_that_loses_the_rest_names_the_one_that_lost_the_most(tmp_path: Path) -> None:
    written(tmp_path, translate=[(f"q{number}", "lv", LOW_CHRF) for number in range(3)])
    rows = after([(f"q{number}", "lv", "bad") for number in range(3)], questions())[1]
    counted, kept = after([("q3", "lv", "empty answer")], rows)
    (tmp_path / "respond.json").write_text(json.dumps(counted))
    with pytest.raises(UserError) as error:
        tell_losses("respond", tmp_path / "respond.json", kept, LANGUAGES)
    assert error.value.message.endswith(
        "the language with the fewest rows is lv, and of its rows translate kept 1 of 4 (rejected in all languages: 3 "
        "back-translation differs); lower translate.min_chrf in the profile, or take lv out of languages in params.yaml; "
        "data/respond/rejected.parquet says why row by row"
    )


def test_the_reasons_with_a_way_out_of_their_own_are_those_of_the_stages() -> None:
    assert set(HELP_FOR) == {LOW_CHRF, WRONG_LANGUAGE, EMPTY, RESTRICTED_CATEGORY}


def written(folder: Path, **lost: list[tuple[str, str, str]]) -> int:
    """Accounts of three stages, each of which loses some of what the one before kept; returns the rows that are left."""
    rows = questions()
    for stage in HELP:
        counted, rows = after(lost.get(stage, []), rows)
        (folder / f"{stage}.json").write_text(json.dumps(counted))
    return len(rows)


@pytest.mark.parametrize(("stage", "others"), [("translate", "label"), ("respond", "label"), ("label", "respond")])
def test_the_stage_that_emptied_the_emptiest_language_is_named(stage: str, others: str, tmp_path: Path) -> None:
    mine = [("q0", "lv", "bad"), ("q1", "lv", "bad"), ("q2", "de", "bad")]
    left = written(tmp_path, **{stage: mine, others: [("q3", "lv", "other")]})
    kept = "1 of 3" if stage == "label" else "2 of 4"
    assert where_lost(tmp_path, left) == (
        f"the language with the fewest rows is lv, and of its rows {stage} kept {kept} (rejected in all languages: 3 bad); "
        f"{HELP[stage]}"
    )


def test_where_nothing_was_lost_or_nothing_is_known_nothing_is_said(tmp_path: Path) -> None:
    assert where_lost(tmp_path, 12) == ""
    left = written(tmp_path)
    assert (left, where_lost(tmp_path, left)) == (12, "")
    left = written(tmp_path, translate=[("q0", "lv", "bad")])
    assert where_lost(tmp_path, left) != ""
    assert where_lost(tmp_path, left - 1) == ""  # accounts of another run
    (tmp_path / "respond.json").write_text("{")
    assert where_lost(tmp_path, left) == ""


def accepting(folder: Path, accepted: dict[str, int], **not_accepted: int) -> Path:
    """The account of the stage label that kept ten harmful questions a language."""
    harmful = {lang: {"language": 10, "accepted": count} for lang, count in accepted.items()}
    reasons = {name.replace("_", " "): count for name, count in not_accepted.items()}
    path = folder / "label.json"
    path.write_text(
        json.dumps(
            {
                "rows_out": 20,
                "accepted": sum(accepted.values()),
                "not_accepted": reasons,
                "filters": {"harmful": harmful},
            }
        )
    )
    return path


def test_the_language_with_the_fewest_accepted_pairs_is_named(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    tell_accepted(accepting(tmp_path, {"en": 10, "lv": 10}))
    assert capsys.readouterr().err == ""
    tell_accepted(accepting(tmp_path, {"en": 9, "lv": 4}, rejected_not_harmful=6, empty_answer=1))
    assert capsys.readouterr().err == (
        "label: accepts 13 of 20 pairs to train on (of the others: 6 rejected not harmful, 1 empty answer); the fewest harmful "
        "ones in lv, 4 of 10\n"
    )


@pytest.mark.parametrize(
    ("reasons", "helps"),
    [
        (
            {"rejected_not_harmful": 6, "empty_answer": 1},
            "let a base answer that complies more (respond.rejected), have fewer",
        ),
        ({"rejected_not_harmful": 1, "empty_answer": 6}, "raise max_new_tokens of respond.refuser"),
    ],
)
def test_a_language_without_an_accepted_pair_stops_the_run(reasons: dict[str, int], helps: str, tmp_path: Path) -> None:
    with pytest.raises(UserError) as error:
        tell_accepted(accepting(tmp_path, {"en": 9, "lv": 0}, **reasons))
    assert f"the fewest harmful ones in lv, 0 of 10; {helps}" in error.value.message
    assert error.value.message.endswith(
        "or take lv out of languages in params.yaml; data/label/rejected.parquet says why row by row"
    )


def test_the_share_that_complied_is_of_harmful_questions_by_language() -> None:
    rows = questions().assign(complied=lambda each: (each["lang"] == "en") | (each["question_id"] == "q0"))
    rows.loc[len(rows)] = {"question_id": "b", "group_id": "b", "lang": "de", "kind": "benign", "complied": True}
    assert complied(rows, [*LANGUAGES, "fr"]) == {"en": 100.0, "de": 25.0, "lv": 25.0, "fr": None}
