"""A set in the schema of NASK-PIB/RefusEU: what is read of it, and every fault of it as one sentence."""

from pathlib import Path
from typing import Any

import huggingface_hub
import pandas as pd
import pytest
from published_set import Row, asked, exchange, pairs_of, published_row, write_set

from refuseu.core.errors import UserError
from refuseu.sources.published import PublishedPair, PublishedQuestion, PublishedSet
from refuseu.sources.settings import Published
from refuseu.store.rows import Store

COMMIT = "c" * 40
MARKED = "MARKED-HARMFUL-TEXT"


def published(folder: Path, languages: tuple[str, ...] = ("en", "pl"), **settings: str) -> PublishedSet:
    described = Published.model_validate({"source": "mine", **settings})
    return PublishedSet(described, folder, languages, Store(folder / "rows.sqlite"))


def one_of_each(*languages: str) -> dict[tuple[str, str], list[Row]]:
    return {
        **pairs_of([published_row(1, lang) for lang in languages], [published_row(1, lang) for lang in languages]),
        ("evaluation", "eval"): [asked(1, lang) for lang in languages],
    }


@pytest.mark.parametrize("ending", [".parquet", ".jsonl"])
def test_a_pair_is_read_as_it_was_published(ending: str, tmp_path: Path) -> None:
    train = published_row(7, "en", question="Where is\nthe key? ", category="Privacy")
    write_set(tmp_path / "mine", pairs_of([train], [published_row(8, "en")]), ending)
    first, second = published(tmp_path, ("en",)).pairs
    assert first == PublishedPair(
        question_id="train-7",
        lang="en",
        part="train",
        text="Where is\nthe key? ",
        place=f"{tmp_path / 'mine'}/lang_en/train{ending}, row 1",
        category="Privacy",
        style="",
        chosen="I cannot help with 7 in en.",
        rejected="Sure, here is how 7 works in en.",
    )
    assert (second.question_id, second.part) == ("dev-8", "dev")


def test_a_row_id_that_occurs_twice_names_two_slots_in_every_language(tmp_path: Path) -> None:
    train = [
        published_row(row_id, lang, f"Question {n} in {lang}?", category=category)
        for lang in ("en", "pl")
        for n, (row_id, category) in enumerate([(5, "S2"), (6, "S2"), (5, "S9")])
    ]
    dev = [published_row(5, lang, f"Another in {lang}?") for lang in ("en", "pl")]
    evaluation = [
        asked(row_id, lang, f"Test {n} in {lang}?") for n, row_id in enumerate([5, 5]) for lang in ("pl", "en")
    ]
    write_set(tmp_path / "mine", {**pairs_of(train, dev), ("evaluation", "eval"): evaluation})
    found = published(tmp_path)
    assert [pair.question_id for pair in found.pairs if pair.lang == "pl"] == [
        "train-5",
        "train-6",
        "train-5-2",
        "dev-5",
    ]
    assert found.by_slot["train-5-2", "pl"].text == "Question 2 in pl?"
    assert found.by_slot["train-5-2", "en"].category == "S9"
    assert found.part_of == {"train-5": "train", "train-6": "train", "train-5-2": "train", "dev-5": "dev"}
    assert found.test == [
        PublishedQuestion(name, lang, "test", text, f"{tmp_path / 'mine'}/evaluation/eval.parquet, row {row}")
        for name, lang, text, row in (
            ("test-5", "en", "Test 0 in en?", 2),
            ("test-5-2", "en", "Test 1 in en?", 4),
            ("test-5", "pl", "Test 0 in pl?", 1),
            ("test-5-2", "pl", "Test 1 in pl?", 3),
        )
    ]


def test_a_style_is_read_where_the_set_has_one(tmp_path: Path) -> None:
    rows = pairs_of([{**published_row(7, "en"), "style": "slang"}], [published_row(8, "en")])
    write_set(tmp_path / "mine", rows)
    assert [pair.style for pair in published(tmp_path, ("en",)).pairs] == ["slang", ""]


def test_other_languages_are_left_out(tmp_path: Path) -> None:
    write_set(tmp_path / "mine", one_of_each("en", "de", "pl"))
    found = published(tmp_path)
    assert list(found.by_slot) == [("train-1", "en"), ("dev-1", "en"), ("train-1", "pl"), ("dev-1", "pl")]
    assert [question.lang for question in found.test] == ["en", "pl"]
    assert found.name == "mine"


def test_a_set_of_the_hub_is_read_at_its_commit(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    looked_up = []

    class Hub:
        def dataset_info(self, name: str, revision: str | None) -> Any:
            looked_up.append((name, revision))
            return pd.Series({"sha": COMMIT})

    def load_dataset(*names: Any, **settings: Any) -> list[dict[str, Any]]:
        looked_up.append((*names, *settings.values()))
        return [asked(1, "en") if settings["split"] == "eval" else published_row(1, "en")]

    monkeypatch.setattr(huggingface_hub, "HfApi", Hub)
    monkeypatch.setattr("datasets.load_dataset", load_dataset)
    found = published(tmp_path, ("en",), source="org/set")
    assert [question.place for question in (*found.pairs, *found.test)] == ["org/set, row 1"] * 3
    assert found.name == f"org/set@{COMMIT}"
    splits = (("lang_en", "train"), ("lang_en", "test"), ("evaluation", "eval"))
    assert looked_up == [("org/set", None), *(("org/set", config, split, COMMIT) for config, split in splits)]


def without(column: str) -> Row:
    row = published_row(1, "en", question=MARKED)
    del row[column]
    return row


def but(**columns: Any) -> Row:
    return {**published_row(1, "en", question=MARKED), **columns}


TURNS = "must be a list of two turns, each with its role and content: the user's question and the assistant's answer"


@pytest.mark.parametrize(
    ("row", "sentence"),
    [
        *(
            (without(name), f"no column '{name}'; name one")
            for name in ("chosen", "rejected", "lang", "row_id", "category")
        ),
        (but(lang="xx"), "column 'lang' does not hold en, as the config says; "),
        (but(row_id=None), "column 'row_id' is empty; "),
        (but(chosen=MARKED), f"column 'chosen' {TURNS}"),
        (but(rejected=exchange(MARKED, "Sure.")[:1]), f"column 'rejected' {TURNS}"),
        (but(rejected=exchange(MARKED, " ")), f"column 'rejected' {TURNS}"),
        (but(chosen=[{"role": "system", "content": MARKED}, *exchange(MARKED, "No.")]), f"column 'chosen' {TURNS}"),
        (but(chosen=exchange(MARKED, "No.")[::-1]), f"column 'chosen' {TURNS}"),
        (but(chosen=exchange("Another?", "No.")), "chosen and rejected answer different questions; "),
    ],
)
def test_a_faulty_row_is_named_and_not_shown(row: Row, sentence: str, tmp_path: Path) -> None:
    write_set(tmp_path / "mine", {("lang_en", "train"): [row], ("lang_en", "test"): [published_row(2, "en")]}, ".jsonl")
    with pytest.raises(UserError) as error:
        _ = published(tmp_path, ("en",)).pairs
    assert error.value.message.startswith(f"{tmp_path / 'mine'}/lang_en/train.jsonl, row 1: {sentence}")
    assert MARKED not in error.value.message


@pytest.mark.parametrize(
    ("row", "sentence"),
    [
        ({"lang": "en", "prompt": MARKED}, "no column 'row_id'; name one"),
        ({"row_id": 1, "prompt": MARKED}, "no column 'lang'; name one"),
        ({"row_id": 1, "lang": "en", "text": MARKED}, "no column 'prompt'; name one"),
        ({"row_id": 1, "lang": "en", "prompt": " "}, "column 'prompt' holds no text; "),
    ],
)
def test_a_faulty_test_question_is_named_and_not_shown(row: Row, sentence: str, tmp_path: Path) -> None:
    write_set(tmp_path / "mine", {("evaluation", "eval"): [row]}, ".jsonl")
    with pytest.raises(UserError) as error:
        _ = published(tmp_path, ("en",)).test
    start = f"{tmp_path / 'mine'}/evaluation/eval.jsonl, row 1: {sentence}"
    assert error.value.message.startswith(start) and MARKED not in error.value.message


SAME = "all languages of a set must list the same slots in the same order"


@pytest.mark.parametrize(
    ("polish", "sentence"),
    [
        (
            [(1, "S2"), (3, "S2")],
            "lang_pl/train.parquet, row 2: is another slot (row_id and category) than {en}, row 2",
        ),
        (
            [(1, "S2"), (2, "S9")],
            "lang_pl/train.parquet, row 2: is another slot (row_id and category) than {en}, row 2",
        ),
        (
            [(2, "S2"), (1, "S2")],
            "lang_pl/train.parquet, row 1: is another slot (row_id and category) than {en}, row 1",
        ),
        ([(1, "S2"), (2, "S2"), (4, "S2")], "lang_pl/train.parquet, row 3: is another slot"),
        ([(1, "S2")], "lang_pl/test.parquet, row 1: is another slot"),
    ],
)
def test_languages_with_other_slots_are_one_sentence(
    polish: list[tuple[int, str]], sentence: str, tmp_path: Path
) -> None:
    train = [published_row(number, "en") for number in (1, 2)]
    train += [published_row(number, "pl", category=category) for number, category in polish]
    write_set(tmp_path / "mine", pairs_of(train, [published_row(9, "en"), published_row(9, "pl")]))
    with pytest.raises(UserError) as error:
        _ = published(tmp_path).pairs
    folder = tmp_path / "mine"
    assert error.value.message.startswith(f"{folder}/{sentence.format(en=folder / 'lang_en/train.parquet')}")
    assert error.value.message.endswith(SAME)


@pytest.mark.parametrize(("english", "polish", "row", "lacks"), [(1, 2, 3, "en"), (2, 1, 2, "pl")])
def test_a_test_question_that_one_language_lacks_is_one_sentence(
    english: int, polish: int, row: int, lacks: str, tmp_path: Path
) -> None:
    rows = [*(asked(n, "en") for n in range(english)), *(asked(n, "pl") for n in range(polish))]
    write_set(tmp_path / "mine", {("evaluation", "eval"): rows})
    with pytest.raises(UserError) as error:
        _ = published(tmp_path).test
    start = f"{tmp_path / 'mine'}/evaluation/eval.parquet, row {row}: {lacks} has no such row; {SAME}"
    assert error.value.message == start


def test_a_language_without_test_questions_is_one_sentence(tmp_path: Path) -> None:
    write_set(tmp_path / "mine", one_of_each("en"))
    sentence = r"^mine: the config evaluation has no row in de, pl; take that out of languages in params.yaml$"
    with pytest.raises(UserError, match=sentence):
        _ = published(tmp_path, ("en", "de", "pl")).test


def test_a_language_without_pairs_is_one_sentence(tmp_path: Path) -> None:
    write_set(tmp_path / "mine", one_of_each("en"))
    with pytest.raises(UserError) as error:
        _ = published(tmp_path).pairs
    assert error.value.message == (
        f"{tmp_path / 'mine/lang_pl'}: holds neither train.parquet nor train.jsonl; put the set there, or name another in "
        "the section published"
    )
