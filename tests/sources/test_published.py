"""A set in the schema of NASK-PIB/RefusEU: what is read of it, and every fault of it as one sentence."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import huggingface_hub
import pandas as pd
import pytest
from published_set import CONFIG, exchange, published_row, write_set

from refuseu.core.errors import UserError
from refuseu.sources.published import PublishedPair, PublishedSet
from refuseu.sources.settings import Published
from refuseu.store.rows import Store

COMMIT = "c" * 40
MARKED = "MARKED-HARMFUL-TEXT"


def published(folder: Path, languages: tuple[str, ...] = ("en", "pl"), **settings: str) -> PublishedSet:
    described = Published.model_validate({"source": "mine", "config": CONFIG, **settings})
    return PublishedSet(described, folder, languages, Store(folder / "rows.sqlite"))


@pytest.mark.parametrize("ending", [".parquet", ".jsonl"])
def test_a_pair_is_read_as_it_was_published(ending: str, tmp_path: Path) -> None:
    train = published_row("q1", "en", question="Where is\nthe key? ", category="Privacy")
    write_set(tmp_path / "mine", [train], [published_row("q2", "en")], ending)
    first, second = published(tmp_path, ("en",)).pairs
    assert first == PublishedPair(
        row_id="q1",
        lang="en",
        split="train",
        category="Privacy",
        style="",
        question="Where is\nthe key? ",
        chosen="I cannot help with q1 in en.",
        rejected="Sure, here is how q1 works in en.",
        place=f"{tmp_path / 'mine' / CONFIG}/train{ending}, row 1",
    )
    assert (second.row_id, second.split) == ("q2", "test")


def test_a_style_is_read_where_the_set_has_one_and_numbers_are_row_ids(tmp_path: Path) -> None:
    rows = [{**published_row("q", "en", question=f"Question {number}?"), "row_id": number} for number in (7, 8)]
    write_set(tmp_path / "mine", [{**rows[0], "style": "slang"}], [rows[1]])
    assert [(pair.row_id, pair.style) for pair in published(tmp_path, ("en",)).pairs] == [("7", "slang"), ("8", "")]


def test_other_languages_are_left_out(tmp_path: Path) -> None:
    splits = ([published_row(row_id, lang) for lang in ("en", "de", "pl")] for row_id in ("q1", "q2"))
    write_set(tmp_path / "mine", *splits)
    found = published(tmp_path)
    assert list(found.by_row) == [("q1", "en"), ("q1", "pl"), ("q2", "en"), ("q2", "pl")]
    assert found.assignment == {"q1": "train", "q2": "test"}
    assert found.name == "mine"


def test_a_set_of_the_hub_is_read_at_its_commit(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    asked = []

    class Hub:
        def dataset_info(self, name: str, revision: str | None) -> Any:
            asked.append((name, revision))
            return pd.Series({"sha": COMMIT})

    def load_dataset(*names: Any, **settings: Any) -> list[dict[str, Any]]:
        asked.append((*names, *settings.values()))
        return [published_row(settings["split"], "en", category="S1")]

    monkeypatch.setattr(huggingface_hub, "HfApi", Hub)
    monkeypatch.setattr("datasets.load_dataset", load_dataset)
    found = published(tmp_path, ("en",), source="org/set")
    assert [pair.place for pair in found.pairs] == ["org/set, row 1", "org/set, row 1"]
    assert found.name == f"org/set@{COMMIT}"
    assert asked == [("org/set", None), ("org/set", CONFIG, "train", COMMIT), ("org/set", CONFIG, "test", COMMIT)]


def without(column: str) -> dict[str, Any]:
    row = published_row("q1", "en", question=MARKED)
    del row[column]
    return row


def but(**columns: Any) -> dict[str, Any]:
    return {**published_row("q1", "en", question=MARKED), **columns}


TURNS = "must be a list of two turns, each with its role and content: the user's question and the assistant's answer"


@pytest.mark.parametrize(
    ("row", "sentence"),
    [
        *(
            (without(name), f"no column '{name}'; name one")
            for name in ("chosen", "rejected", "lang", "row_id", "category")
        ),
        (but(lang="xx"), "column 'lang' holds no known language; write one of en, de, fr"),
        (but(row_id=None), "column 'row_id' is empty; "),
        (but(chosen=MARKED), f"column 'chosen' {TURNS}"),
        (but(rejected=exchange(MARKED, "Sure.")[:1]), f"column 'rejected' {TURNS}"),
        (but(rejected=exchange(MARKED, " ")), f"column 'rejected' {TURNS}"),
        (but(chosen=[{"role": "system", "content": MARKED}, *exchange(MARKED, "No.")]), f"column 'chosen' {TURNS}"),
        (but(chosen=exchange(MARKED, "No.")[::-1]), f"column 'chosen' {TURNS}"),
        (but(chosen=exchange("Another?", "No.")), "chosen and rejected answer different questions; "),
    ],
)
def test_a_faulty_row_is_named_and_not_shown(row: dict[str, Any], sentence: str, tmp_path: Path) -> None:
    write_set(tmp_path / "mine", [row], [published_row("q2", "en")], ".jsonl")
    with pytest.raises(UserError) as error:
        _ = published(tmp_path, ("en",)).pairs
    assert error.value.message.startswith(f"{tmp_path / 'mine' / CONFIG}/train.jsonl, row 1: {sentence}")
    assert MARKED not in error.value.message


Splits = tuple[list[dict[str, Any]], list[dict[str, Any]]]


@pytest.mark.parametrize(
    ("splits", "sentence"),
    [
        (
            lambda: (
                [published_row("q1", "en"), published_row("q1", "en", question="Another?")],
                [published_row("q2", "en")],
            ),
            "/train.parquet, row 2: has the row_id and the language of {train}, row 1; keep one of the two",
        ),
        (
            lambda: ([published_row("q1", "en")], [published_row("q1", "en", question="Another?")]),
            "/test.parquet, row 1: its row_id is in train too ({train}, row 1); keep it in one split",
        ),
        (
            lambda: ([published_row("q1", "en", question="Why?")], [published_row("q2", "en", question=" why? ")]),
            "/test.parquet, row 1: its question is in train too ({train}, row 1); keep it in one split",
        ),
    ],
)
def test_a_row_that_stands_twice_or_in_both_splits_is_one_sentence(
    splits: Callable[[], Splits], sentence: str, tmp_path: Path
) -> None:
    write_set(tmp_path / "mine", *splits())
    with pytest.raises(UserError) as error:
        _ = published(tmp_path, ("en",)).pairs
    config = tmp_path / "mine" / CONFIG
    assert error.value.message == f"{config}{sentence.format(train=config / 'train.parquet')}"


def test_a_language_that_the_set_lacks_is_one_sentence(tmp_path: Path) -> None:
    write_set(tmp_path / "mine", [published_row("q1", "en")], [published_row("q2", "en")])
    with pytest.raises(UserError, match=r"^mine: has no row in de, pl; take that out of languages in params.yaml$"):
        _ = published(tmp_path, ("en", "de", "pl")).pairs


def test_a_folder_without_the_set_is_one_sentence(tmp_path: Path) -> None:
    with pytest.raises(UserError) as error:
        _ = published(tmp_path).pairs
    assert error.value.message == (
        f"{tmp_path / 'mine' / CONFIG}: holds neither train.parquet nor train.jsonl; put the set there, or name another in "
        "the section published"
    )
