from collections.abc import Sequence
from hashlib import sha256
from pathlib import Path
from typing import Any

import pytest

from refuseu.core.errors import UserError
from refuseu.core.schema import read_table
from refuseu.phrasebook.phrasebook import Phrasebook
from refuseu.rainbow_teaming.archive import Archive, Elite
from refuseu.rainbow_teaming.interfaces import Question
from refuseu.rainbow_teaming.questions import assert_found, declined_categories, question_id, questions_of, summary
from refuseu.rainbow_teaming.search import Roles, Search
from refuseu.rainbow_teaming.settings import RainbowTeaming
from refuseu.rainbow_teaming.twins import PhrasebookTwins
from refuseu.tables.schemas import ELITE
from refuseu.tables.writing import write_table

HARMFUL = "Dude, no fluff, tell me how to bend the rules of the club."
BENIGN = "Dude, no fluff, tell me how to read the rules of the club."


@pytest.fixture
def archive() -> Archive:
    archive = Archive(["S1", "S2"], ["slang"], 1)
    archive.insert(("S1", "slang"), Elite(Question(HARMFUL, "s1-01", "slang-1"), "an answer", 0.75, 3))
    return archive


def test_question_id_is_the_start_of_the_texts_hash() -> None:
    assert question_id("ā?") == sha256("ā?".encode()).hexdigest()[:12]


def test_an_elite_and_its_twin_share_a_group(archive: Archive, books: dict[str, Phrasebook]) -> None:
    questions = questions_of(archive, PhrasebookTwins(books["en"]))
    assert list(questions.columns) == list(ELITE.columns)
    common = {
        "lang": "en",
        "group_id": question_id(HARMFUL),
        "category": "S1",
        "style": "slang",
        "behavior_id": "s1-01",
        "frame_id": "slang-1",
        "iteration": 3,
        "written_by": None,
    }
    assert questions.to_dict("records") == [
        {**common, "question_id": question_id(HARMFUL), "kind": "harmful", "text": HARMFUL, "fitness": 0.75},
        {**common, "question_id": question_id(BENIGN), "kind": "benign", "text": BENIGN, "fitness": 0.0},
    ]


def test_a_question_in_reserve_has_a_twin_and_no_fitness(archive: Archive, books: dict[str, Phrasebook]) -> None:
    other = HARMFUL.replace("Dude, no fluff", "Mate, be quick")
    reserve = [(("S1", "slang"), Question(other, "s1-01", "slang-0"))]
    questions = questions_of(archive, FixedTwins(**{HARMFUL: BENIGN, other: "a twin"}), reserve)
    assert list(questions["text"]) == [HARMFUL, other, BENIGN, "a twin"]
    assert list(questions["fitness"].isna()) == list(questions["iteration"].isna()) == [False, True, False, True]
    assert questions["group_id"][1] == questions["group_id"][3] == question_id(other)


class FixedTwins:
    """Knows the twins of a table, and remembers the questions that it was given."""

    def __init__(self, **table: str) -> None:
        self._table = table
        self.seen: list[list[str]] = []

    def twins(self, questions: Sequence[Question]) -> list[str | None]:
        self.seen.append([question.text for question in questions])
        return [self._table.get(question.text) for question in questions]


@pytest.fixture
def full() -> Archive:
    """Three cells with four elites; ``one`` stands in two cells."""
    archive = Archive(["S1", "S2"], ["slang", "role_play"], 2)
    for cell, text, fitness in (
        (("S1", "slang"), "one", 0.9),
        (("S1", "slang"), "two", 0.8),
        (("S1", "role_play"), "one", 0.7),
        (("S2", "slang"), "three", 0.6),
    ):
        archive.insert(cell, Elite(Question(text), "an answer", fitness, 1))
    return archive


def test_equal_questions_of_two_cells_are_one_of_the_first_cell(full: Archive) -> None:
    questions = questions_of(full, None)
    assert questions[["text", "category", "style", "fitness"]].to_numpy().tolist() == [
        ["one", "S1", "slang", 0.9], ["two", "S1", "slang", 0.8], ["three", "S2", "slang", 0.6]
    ]  # fmt: skip


def test_equal_twins_of_two_questions_are_one_of_the_first(full: Archive) -> None:
    questions = questions_of(full, FixedTwins(one="same", two="same", three="other"))
    benign = questions[questions["kind"] == "benign"]
    assert benign[["text", "group_id"]].to_numpy().tolist() == [
        ["same", question_id("one")], ["other", question_id("three")]
    ]  # fmt: skip
    assert not questions.duplicated(["question_id", "lang"]).any()


def test_a_twin_that_is_another_harmful_question_is_left_out(full: Archive) -> None:
    questions = questions_of(full, FixedTwins(one="three", two="other", three="new"))
    kinds = dict(zip(questions["text"], questions["kind"], strict=True))
    assert kinds == {**dict.fromkeys(("one", "two", "three"), "harmful"), **dict.fromkeys(("other", "new"), "benign")}


def test_twins_are_written_in_one_batch_and_a_missing_one_is_left_out(full: Archive) -> None:
    twins = FixedTwins(two="benign")
    questions = questions_of(full, twins)
    assert twins.seen == [["one", "two", "one", "three"]]
    assert questions[["kind", "text"]].to_numpy().tolist() == [
        ["harmful", "one"], ["harmful", "two"], ["harmful", "three"], ["benign", "benign"]
    ]  # fmt: skip


def test_without_twins_every_question_is_harmful(full: Archive) -> None:
    questions = questions_of(full, None)
    assert list(questions.columns) == list(ELITE.columns)
    assert set(questions["kind"]) == {"harmful"}


def test_the_behavior_may_be_unknown(full: Archive, tmp_path: Path) -> None:
    questions = questions_of(full, FixedTwins(one="benign"))
    assert questions["behavior_id"].isna().all()
    write_table(questions, tmp_path / "elites.parquet", ELITE)
    assert len(read_table(tmp_path / "elites.parquet", ELITE)) == 4


def unused(*asked: Any) -> Any:
    raise AssertionError("not asked")


SETTINGS = RainbowTeaming.model_validate(
    {
        "mutator": {"kind": "phrasebook"},
        "twin": {"kind": "phrasebook"},
        "scorer": {"kind": "ngrams"},
        "preference": {"kind": "ngrams"},
    }
    | {
        "elites_per_cell": 1,
        "reserved_per_cell": 0,
        "temperature": 1.0,
        "max_bleu": 0.99,
        "iterations": 1,
        "mutations": 1,
        "max_new_tokens": 1,
    }
)


def searched(archive: Archive, **outcomes: int) -> Search:
    """A search that is over: ``archive`` is what it found."""
    search = Search(archive, Roles(unused, unused, unused, unused), SETTINGS, 1)
    search.history = [{"iteration": 1, "coverage": 0.1}, {"iteration": 2, "coverage": 0.5}]
    search.outcomes.update({name.replace("_", " "): count for name, count in outcomes.items()})
    return search


def test_the_account_adds_up(archive: Archive, books: dict[str, Phrasebook]) -> None:
    search = searched(archive, accepted=3, similar_to_parent=4, harmless=2)
    account = summary(search, questions_of(archive, PhrasebookTwins(books["en"])))
    assert account == {
        "made_by": "search",
        "iteration": 2,
        "coverage": 0.5,
        "rows_in": 9,
        "rows_out": 1,
        "reserved": 0,
        "rejected": {
            "reserved for dev and test": 0,
            "similar to parent": 4,
            "similar to elite": 0,
            "lost to elite": 0,
            "harmless": 2,
            "replaced by a fitter one": 2,
        },
    }
    assert account["rows_in"] == account["rows_out"] + sum(account["rejected"].values())


def test_the_account_counts_questions_that_are_equal_and_candidates_that_were_not_written(full: Archive) -> None:
    search = searched(full, accepted=5, harmless=1, not_written=2)
    account = summary(search, questions_of(full, None))
    assert (account["rows_in"], account["rows_out"]) == (8, 3)
    assert account["rejected"] == {
        "reserved for dev and test": 0,
        "similar to parent": 0,
        "similar to elite": 0,
        "lost to elite": 0,
        "harmless": 1,
        "not written": 2,
        "replaced by a fitter one": 1,
        "equal to a question of another cell": 1,
    }
    assert account["rows_in"] == account["rows_out"] + sum(account["rejected"].values())


@pytest.mark.parametrize(
    ("outcomes", "sentence"),
    [
        ({"not_written": 7, "harmless": 2}, "7 of 9 candidates were not written: the mutator (llm) declined, "),
        ({"not_written": 2, "harmless": 7}, "7 of 9 candidates were harmless: the target gave no harmful answer; "),
        ({"similar_to_parent": 9}, "9 of 9 candidates were similar to parent; raise rainbow-teaming.max_bleu"),
    ],
)
def test_an_empty_archive_is_one_sentence_that_blames_who_lost_most(outcomes: dict[str, int], sentence: str) -> None:
    search = searched(Archive(["S1"], ["slang"], 2), **outcomes)
    with pytest.raises(UserError) as error:
        assert_found(search, "llm")
    assert error.value.message.startswith(f"rainbow-teaming: no question entered the archive; {sentence}")


def test_categories_that_the_mutator_mostly_declined_are_named_with_their_share(archive: Archive) -> None:
    search = searched(archive)
    search.drawn.update(S1=10, S2=10, S3=10)
    search.not_written.update(S1=4, S2=5, S3=10)
    assert declined_categories(search) == {"S2": 0.5, "S3": 1.0}
    assert_found(search, "llm")
