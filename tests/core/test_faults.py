from datetime import date
from typing import Annotated, Any, Literal

import pytest
from pydantic import BaseModel, ConfigDict, Field, TypeAdapter, field_validator

from refuseu.core.errors import UserError
from refuseu.core.faults import validated


class Inner(BaseModel):
    model_config = ConfigDict(strict=True, extra="forbid")
    number: float = 0.5


class Short(BaseModel):
    model_config = ConfigDict(strict=True, extra="forbid")
    kind: Literal["short"]
    size: int


class Long(BaseModel):
    kind: Literal["long"]
    size: Literal["big", "huge"]


class Outer(BaseModel):
    model_config = ConfigDict(strict=True, extra="forbid")
    text: Annotated[str, Field(min_length=1)] = "text"
    count: Annotated[int, Field(gt=0)] = 1
    words: Annotated[list[str], Field(min_length=2)] = ["a", "b"]
    inner: Annotated[Inner, Field(alias="in-ner")] = Inner()
    names: dict[str, str] = {}
    either: Literal["all"] | list[str] = "all"
    part: Annotated[Short | Long, Field(discriminator="kind")] = Short(kind="short", size=1)

    @field_validator("text")
    @classmethod
    def _no_shouting(cls, text: str) -> str:
        if text.isupper():
            raise ValueError("must not be shouted")
        return text


def said_of(content: Any, shape: Any = Outer, way_out: str | None = None) -> str:
    with pytest.raises(UserError) as error:
        validated(shape, content, "a.yaml", way_out)
    assert error.value.message.startswith("a.yaml: ")
    return error.value.message.removeprefix("a.yaml: ")


@pytest.mark.parametrize(
    ("content", "said"),
    [
        ({"text": 12}, "must be a text, was read as the number 12; write it in quotes"),
        ({"text": True}, "must be a text, was read as the truth value true; write it in quotes"),
        ({"text": date(2020, 1, 1)}, "must be a text, was read as the date 2020-01-01; write it in quotes"),
        ({"text": None}, "must be a text, was read as nothing; write it in quotes"),
        ({"text": ["a"]}, "must be a text, was read as a list; write it in quotes"),
        ({"text": {"a": 1}}, "must be a text, was read as a mapping; write it in quotes"),
        ({"text": ""}, "must not be empty"),
        ({"text": "NO"}, "must not be shouted"),
        ({"count": "two"}, "must be a whole number, was read as the text 'two'; write it in digits, like 12"),
        ({"count": 0}, "must be greater than 0"),
        ({"words": "a"}, "must be a list, was read as the text 'a'; write it like [a, b]"),
        ({"words": ["a"]}, "needs at least 2"),
        ({"in-ner": 3}, "must be a mapping of keys to values, was read as the number 3; write its keys below its name"),
        ({"names": []}, "must be a mapping of keys to values, was read as a list; write its keys below its name"),
        ({"names": {1984: "a"}}, "its name must be a text, was read as the number 1984; write it in quotes"),
        ({"more": 1}, "unknown key"),
    ],
)
def test_a_fault_is_told_in_the_words_of_who_wrote_the_entry(content: Any, said: str) -> None:
    assert said_of(content).partition(": ")[2] == said


def test_every_problem_is_told_once_by_its_key_in_yaml() -> None:
    assert said_of({"in-ner": {"number": "high", "more": 1}, "names": {"a": 1}, "count": 0}) == (
        "count: must be greater than 0; "
        "in-ner.number: must be a number, was read as the text 'high'; write it in digits, like 0.5; "
        "in-ner.more: unknown key; "
        "names.a: must be a text, was read as the number 1; write it in quotes"
    )
    assert said_of({}, Short) == "kind: missing; size: missing"


def test_names_of_types_and_branches_are_left_out() -> None:
    assert said_of({"either": 3}) == "either: must be a list, was read as the number 3; write it like [a, b]"
    assert said_of({"either": ["a", 3]}) == (
        "either: must be 'all'; either: entry 2: must be a text, was read as the number 3; write it in quotes"
    )
    assert said_of({"names": {3: "a"}}).startswith("names.3: its name must be a text")


@pytest.mark.parametrize(
    ("part", "said"),
    [
        ({"kind": "short", "size": 1, "more": 1}, "part.more: unknown key"),
        ({"kind": "short"}, "part.size: missing"),
        ({"kind": "long", "size": "two"}, "part.size: must be 'big' or 'huge'"),
        (
            {"kind": "tall"},
            "part: kind 'tall' is none of short, long",
        ),
        (3, "part: "),
    ],
)
def test_the_kind_of_a_section_is_no_part_of_its_key(part: Any, said: str) -> None:
    assert said_of({"part": part}).startswith(said)


def test_a_fault_of_the_whole_needs_no_key() -> None:
    assert said_of(3) == "must be a mapping of keys to values, was read as the number 3; write its keys below its name"


ROWS = TypeAdapter(list[Inner])


def test_a_row_is_counted_from_one_and_the_way_out_of_a_written_file_stands_once() -> None:
    assert said_of([{}, {"number": "high"}, {"more": 1}], ROWS, "'dvc repro eval' makes it anew") == (
        "row 2: number: must be a number, was read as the text 'high'; row 3: more: unknown key; "
        "'dvc repro eval' makes it anew"
    )


def test_a_file_with_a_fault_in_each_row_is_one_sentence() -> None:
    said = said_of([{"more": 1}] * 100, ROWS)
    assert said.endswith("row 5: more: unknown key; and 95 more") and "row 6" not in said


def test_what_is_right_comes_back_as_its_shape() -> None:
    assert validated(ROWS, [{"number": 1.5}], "a.json") == [Inner(number=1.5)]
    assert validated(Inner, {"number": 1.5}, "a.yaml") == Inner(number=1.5)
