import pytest

from refuseu.results.markdown import Table, escape, shown


@pytest.mark.parametrize(
    ("text", "escaped"),
    [
        ("a|b", r"a\|b"),
        ("<img src=x> *b* _i_ `c` [l](u)", r"\<img src=x\> \*b\* \_i\_ \`c\` \[l\](u)"),
        ("two\nlines\x1b[31m", r"two lines \[31m"),
        ("balanced-no-benign", "balanced-no-benign"),
    ],
)
def test_text_from_data_shows_as_it_is(text: str, escaped: str) -> None:
    assert escape(text) == escaped


def test_text_stands_on_the_left_and_numbers_on_the_right() -> None:
    table = Table(["model", "language", "share", "why"], [["a", "pl", "1.0", "b"]], names=2, prose=True)
    assert table.markdown().splitlines()[1] == "| :--- | :--- | ---: | :--- |"


def test_a_name_cannot_steer_the_terminal() -> None:
    assert Table(["m", "n"], [["\x1b[2J", "1"]]).text().splitlines() == ["m     n", "----  -", " [2J  1"]


@pytest.mark.parametrize(("value", "text"), [(None, "–"), (float("nan"), "–"), (0.0, "0.0"), (99.96, "100.0")])
def test_no_value_is_a_dash(value: float | None, text: str) -> None:
    assert shown(value) == text
