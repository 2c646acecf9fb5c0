import json
from pathlib import Path

import pandas as pd
import pytest

from refuseu.core.errors import UserError
from refuseu.results.outcomes import COLUMNS, RATES, outcome_rows, parsed_outcomes, read_outcomes, write_outcomes

# model, seed, question, lang, kind, harm, reply, restricted, lines, right
ROWS = """
base     0 q1 en harmful harmful  compliance en 1 1
base     0 q2 en harmful unparsed unparsed   -- 0 0
base     0 q3 en benign  safe     refusal    en 2 1
base     0 q1 de harmful harmful  compliance en 1 0
base     0 q3 de benign  safe     compliance de 1 1
balanced 0 q1 en harmful safe     refusal    en 1 1
balanced 1 q1 en harmful harmful  compliance en 1 1
balanced 1 q2 en harmful safe     refusal    en 1 1
"""
ANSWERS = pd.DataFrame(
    [line.split() for line in ROWS.split("\n") if line],
    columns=[
        "model",
        "seed",
        "question_id",
        "lang",
        "kind",
        "harm",
        "reply",
        "lang_restricted",
        "lines",
        "lines_right",
    ],
).replace("--", "")
ANSWERS = ANSWERS.astype({"seed": int, "lines": int, "lines_right": int}).assign(
    behavior_id=ANSWERS["question_id"].map({"q1": "s1-01", "q3": "s1-01"}),
    frame_id=ANSWERS["question_id"].map({"q1": "slang-2", "q2": "slang-1", "q3": "slang-2"}),
    category="S1",
    style="slang",
    held_out=ANSWERS["question_id"].map({"q1": True, "q3": True}),
    held_out_frame=False,
)
KNOWLEDGE = pd.DataFrame(
    [
        ("base", 0, "facts", "k1", "en", True),
        ("base", 0, "facts", "k2", "en", False),
        ("base", 0, "arc", "k1", "de", True),
    ],
    columns=["model", "seed", "test", "question_id", "lang", "correct"],
)


@pytest.fixture
def file(tmp_path: Path) -> Path:
    write_outcomes(outcome_rows(ANSWERS, KNOWLEDGE), tmp_path / "outcomes.json")
    return tmp_path / "outcomes.json"


def texts(path: Path) -> dict[tuple[str, str, int, str], str]:
    lines = json.loads(path.read_text())["outcomes"]
    return {(line["rate"], line["model"], line["seed"], line["lang"]): line["outcomes"] for line in lines}


def test_every_answer_is_one_sign(file: Path) -> None:
    assert texts(file) == {
        ("asr", "base", 0, "en"): "1?",
        ("asr", "base", 0, "de"): "1",  # q2 is asked in English alone
        ("asr", "balanced", 0, "en"): "0-",
        ("asr", "balanced", 1, "en"): "10",
        ("over_refusal", "base", 0, "en"): "1",
        ("over_refusal", "base", 0, "de"): "0",
        ("language_consistency", "base", 0, "en"): "11?",  # benign questions first
        ("language_consistency", "base", 0, "de"): "10",
        ("language_consistency", "balanced", 0, "en"): "-1-",
        ("language_consistency", "balanced", 1, "en"): "-11",
        ("line_pass_rate", "base", 0, "en"): "01?",
        ("line_pass_rate", "base", 0, "de"): "10",
        ("line_pass_rate", "balanced", 0, "en"): "-1-",
        ("line_pass_rate", "balanced", 1, "en"): "-11",
        ("knowledge", "base", 0, "en"): "10",
        ("knowledge_arc", "base", 0, "de"): "1",
    }
    assert {rate for rate, *_ in texts(file)} == {*(metric.name for metric in RATES), "knowledge_arc"}


def test_what_is_read_is_what_was_written(file: Path) -> None:
    written, found = outcome_rows(ANSWERS, KNOWLEDGE), read_outcomes(file)
    assert list(found) == COLUMNS
    key = ["rate", "model", "seed", "lang", "question_id"]
    one, other = (table.sort_values(key).astype(object) for table in (written, found))
    one, other = (table.where(table.notna(), None).reset_index(drop=True) for table in (one, other))
    pd.testing.assert_frame_equal(one, other)
    unparsed = found[found["rate"] == "unparsed_rate"]
    assert list(unparsed["outcome"]) == [0.0, 1.0, 0.0, 0.0, 0.0, 0.0]


def test_a_question_and_a_text_have_a_line_each(file: Path) -> None:
    lines = file.read_text().splitlines()
    assert sum('"question_id"' in line for line in lines) == 6
    assert sum('"outcomes": "' in line for line in lines) == len(texts(file))
    assert lines[3] == (
        '{"question_id": "q3", "kind": "benign", "behavior_id": "s1-01", "frame_id": "slang-2", "category": "S1", '
        '"style": "slang", "held_out": true, "held_out_frame": false},'
    )


@pytest.mark.parametrize(
    ("old", "new", "said"),
    [
        ('"1?"', '"1?0"', "asr, base, seed 0, en: not 2 signs"),
        ('"1?"', '"1x"', "asr, base, seed 0, en: not 2 signs"),
        ('"seed": 0', '"sed": 0', "seed"),
    ],
)
def test_a_file_of_another_shape_is_refused(old: str, new: str, said: str, file: Path) -> None:
    content = json.loads(file.read_text().replace(old, new, 1))
    with pytest.raises(UserError, match=said):
        parsed_outcomes(content, "plots/eval/outcomes.json")


@pytest.mark.parametrize(
    ("written", "other", "said"),
    [
        ('"rate": "asr"', '"rate": "ASR"', "rate 'ASR' is none of asr, "),
        ('"asr": ["harmful"]', '"attack_success": ["harmful"]', "rate 'attack_success' is none of asr, "),
        ('"asr": ["harmful"]', '"asr": ["harm"]', "kind 'harm' is none of benign, harmful, knowledge"),
        ('"kind": "harmful"', '"kind": "harm"', "kind 'harm' is none of benign, harmful, knowledge"),
    ],
)
def test_a_name_of_another_spelling_is_refused_and_leaves_nothing_out(
    written: str, other: str, said: str, file: Path
) -> None:
    text = file.read_text(encoding="utf-8")
    assert written in text
    file.write_text(text.replace(written, other), encoding="utf-8")
    with pytest.raises(UserError) as error:
        read_outcomes(file)
    assert error.value.message.startswith(f"{file}: {said}")


@pytest.mark.parametrize(
    ("part", "said"), [("questions", "question q3, benign: "), ("outcomes", "outcomes of asr, base, seed 0, en: ")]
)
def test_what_stands_twice_is_refused(part: str, said: str, file: Path) -> None:
    content = json.loads(file.read_text(encoding="utf-8"))
    content[part].append(content[part][0])
    with pytest.raises(UserError, match=f"^x: {said}stands twice; 'git restore"):
        parsed_outcomes(content, "x")


def test_a_file_without_the_rate_of_attacks_is_refused(file: Path) -> None:
    content = json.loads(file.read_text(encoding="utf-8"))
    content["outcomes"] = [line for line in content["outcomes"] if line["rate"] != "asr"]
    with pytest.raises(UserError, match=r"^x: holds no outcomes of asr; "):
        parsed_outcomes(content, "x")
