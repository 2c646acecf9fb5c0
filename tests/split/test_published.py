"""The parts of a published set: kept as the set has them, and what stands in two of them is left out of the earlier one."""

import pandas as pd
import pytest

from refuseu.core.errors import UserError
from refuseu.sources.published import PublishedQuestion
from refuseu.split.published import EQUAL, NEAR, keep_parts, question_rows
from refuseu.split.splitting import NOT_ACCEPTED
from refuseu.tables.schemas import TEST

RIVER = "Where does the old river of the valley cross the long road to the sea"
TEXTS = {
    ("train-1", "en"): f"{RIVER}?",  # a near-duplicate in the test, in English alone
    ("train-1", "de"): "Wie heißt der Berg über dem Dorf?",
    ("train-2", "en"): "What is the name of the mountain?",
    ("train-2", "de"): "Wer hat gestern die Tür gestrichen?",  # equal to a test question but for case and white space
    ("train-3", "en"): "Who planted the apple trees?",  # equal to a question of dev
    ("train-3", "de"): "Wer hat die Apfelbäume gepflanzt?",
    ("dev-1", "en"): "Who planted the apple trees?",
    ("dev-1", "de"): "Wann öffnet die Bibliothek?",
    ("dev-2", "en"): f"{RIVER}, then?",  # a near-duplicate in the test
    ("dev-2", "de"): "Wohin fährt der letzte Zug?",
}
ASKED = {
    ("test-1", "en"): f"{RIVER}!",
    ("test-1", "de"): "wer hat gestern  die tür gestrichen?",
    ("test-2", "en"): "Who planted the apple trees in spring, and who watered them all summer?",
    ("test-2", "de"): "Wer hat gestern die Tür gestrichen?",
}


def pairs() -> pd.DataFrame:
    rows = [
        {"question_id": name, "lang": lang, "kind": "harmful", "group_id": name, "category": "S1", "text": text}
        for (name, lang), text in TEXTS.items()
    ]
    return pd.DataFrame(rows).assign(style=None, behavior_id=None, frame_id=None, accepted=True)


def asked() -> pd.DataFrame:
    return question_rows([PublishedQuestion(name, lang, "test", text, "") for (name, lang), text in ASKED.items()])


PART_OF = {name: name.split("-")[0] for name, _ in TEXTS}


def test_what_stands_in_two_parts_is_left_out_of_the_earlier_one_in_its_language_alone() -> None:
    parts, account = keep_parts(pairs(), PART_OF, asked(), 0.8)
    found = {name: list(map(tuple, part[["question_id", "lang"]].to_numpy())) for name, part in parts.items()}
    assert found == {
        "train": [("train-1", "de"), ("train-2", "en"), ("train-3", "de")],
        "dev": [("dev-1", "en"), ("dev-1", "de"), ("dev-2", "de")],
        "test": list(ASKED),
    }
    assert account["rejected"] == {EQUAL: 2, NEAR: 2, NOT_ACCEPTED: 0}
    assert account["rows_in"] == len(TEXTS) + len(ASKED) == account["rows_out"] + sum(account["rejected"].values())
    assert (account["groups"], account["groups_merged"]) == (7, 0)
    for part in ("dev", "test"):
        assert [(each["exact"], each["near"]) for each in account["contamination"][part].values()] == [(0, 0)] * 2
    assert account["parts"]["train"]["by_category"] == {"S1": 3}


def test_what_nobody_knows_of_a_test_question_is_null() -> None:
    parts, account = keep_parts(pairs(), PART_OF, asked(), 0.8)
    unknown = ["category", "style", "behavior_id", "frame_id", "chosen", "rejected", "held_out", "held_out_frame"]
    assert list(parts["test"].columns) == list(TEST.columns)
    assert parts["test"][unknown].isna().all(axis=None)
    of_test = account["parts"]["test"]
    assert (of_test["questions"], of_test["by_category"], of_test["by_style"], of_test["cells"]) == (2, {}, {}, 0)
    assert of_test["held_out_questions"] is None


def test_a_pair_that_is_not_in_the_set_is_one_sentence() -> None:
    sentence = r"^split: question dev-2 is not in the published set; set split.assignment to stratified"
    with pytest.raises(UserError, match=sentence):
        keep_parts(pairs(), {name: part for name, part in PART_OF.items() if name != "dev-2"}, asked(), 0.8)


def test_pairs_that_are_not_accepted_are_asked_as_dev_and_not_trained_on() -> None:
    refused = pairs().assign(accepted=lambda rows: rows["lang"] == "en")
    parts, account = keep_parts(refused, PART_OF, asked(), 0.8)
    assert set(parts["train"]["lang"]) == {"en"}
    assert parts["dev"].equals(
        keep_parts(pairs(), PART_OF, asked(), 0.8)[0]["dev"].assign(accepted=parts["dev"]["accepted"])
    )
    of_train = refused["question_id"].map(PART_OF) == "train"
    assert account["rejected"][NOT_ACCEPTED] == int((of_train & (refused["lang"] == "de")).sum()) > 0
    assert account["rows_in"] == account["rows_out"] + sum(account["rejected"].values())
