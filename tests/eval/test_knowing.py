import pandas as pd
import pytest

from refuseu.eval.knowing import averages, columns, sources

# model, test, question, lang, correct; the tests as a profile names them, not in the order of the alphabet
ROWS = """
base belebele b-0 en 1
base belebele b-1 en 0
base belebele b-0 sk 1
base belebele b-1 sk 1
base arc      a-0 en 1
tuned belebele b-0 en 0
tuned belebele b-1 en 0
tuned belebele b-0 sk 1
tuned belebele b-1 sk 0
tuned arc      a-0 en 0
"""
NAMES = ["model", "test", "question_id", "lang", "correct"]


@pytest.fixture
def knowledge() -> pd.DataFrame:
    table = pd.DataFrame([line.split() for line in ROWS.split("\n") if line], columns=NAMES)
    return table.assign(correct=table["correct"] == "1", source="lm-eval 1, " + table["test"] + "_" + table["lang"])


def test_the_first_test_is_knowledge_and_the_others_stand_beside_it(knowledge: pd.DataFrame) -> None:
    assert columns(knowledge) == {
        "knowledge": {("base", "en"): 50.0, ("base", "sk"): 100.0, ("tuned", "en"): 0.0, ("tuned", "sk"): 50.0},
        "knowledge_arc": {("base", "en"): 100.0, ("tuned", "en"): 0.0},
    }


def test_an_average_is_over_the_languages_that_a_test_has_and_says_how_many() -> None:
    rows = pd.DataFrame(
        {"knowledge": [50.0, 100.0, 75.0], "knowledge_arc": [100.0, None, 50.0], "unparsed_rate": [1.0, 2.0, 3.0]}
    )
    assert averages(rows) == {"knowledge_arc": 75.0, "languages_knowledge": 3, "languages_knowledge_arc": 2}


def test_a_test_in_none_of_the_languages_has_no_average() -> None:
    rows = pd.DataFrame({"knowledge": [50.0], "knowledge_arc": [None]})
    assert averages(rows) == {"knowledge_arc": None, "languages_knowledge": 1, "languages_knowledge_arc": 0}


def test_where_the_questions_come_from_is_told_once_for_all_models(knowledge: pd.DataFrame) -> None:
    assert list(sources(knowledge)) == [
        {"test": "belebele", "language": "en", "questions": 2, "source": "lm-eval 1, belebele_en"},
        {"test": "belebele", "language": "sk", "questions": 2, "source": "lm-eval 1, belebele_sk"},
        {"test": "arc", "language": "en", "questions": 1, "source": "lm-eval 1, arc_en"},
    ]
