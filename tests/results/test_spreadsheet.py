"""What a spreadsheet would run is neutral in every CSV, and is read back as it was."""

import csv
import io
import random
import re
from importlib.resources import files

import pytest

from refuseu.results.spreadsheet import UNSAFE, csv_text, harmless_cell, visible, written_cell

RUN = re.compile(r"[ \"]*[=+\-@＝＋－＠]")
TEXTS = [
    "=1+1",
    "+1",
    "-1",
    "@SUM(A1)",
    "\tx",
    "\r=1",
    "a;=1+1",
    "a;=1+1;b",
    'a;"=1+1";b',
    "a; =1+1",
    "a\t=1+1",
    "a\n=1+1",
    "a\r\n-1",
    "＝1+1",
    '"=1',
    "a;\r\n=1",
]
PLAIN = [
    "",
    "text",
    "a = b",
    "a, b; c",
    "1-2",
    "user@host",
    "'quoted'",
    "a;b",
    "first\nsecond",
    "a; 'b' = c",
    "first\r\n\r\nlast",
]


@pytest.mark.parametrize("text", TEXTS)
@pytest.mark.parametrize("delimiter", [",", ";", "\t"])
def test_no_cell_is_a_formula_whatever_divides_the_cells(text: str, delimiter: str) -> None:
    sheet = csv_text(["id", "text"], [["one, two", text]])
    rows = [*csv.reader(io.StringIO(sheet, newline=""), delimiter=delimiter)]
    assert [cell for row in rows for cell in row if RUN.match(cell)] == []
    assert [*csv.reader(io.StringIO(sheet, newline=""))][1][1] == harmless_cell(text)
    # A sheet that minds no quotes divides at every line's end.
    cells = [cell for line in sheet.splitlines() for cell in line.split(delimiter)]
    assert delimiter == "," or [cell for cell in cells if RUN.match(cell)] == []


@pytest.mark.parametrize("text", PLAIN)
def test_other_texts_stay_as_they_are(text: str) -> None:
    assert harmless_cell(text) == written_cell(text) == text


def test_every_text_is_read_back_as_it_was() -> None:
    """Twenty thousand texts of the signs that matter, with apostrophes of their own, and again what was written once."""
    rng = random.Random(1)
    for _ in range(20_000):
        text = "".join(rng.choices("';=\t\n\r \"ab-", k=rng.randrange(9)))
        once = harmless_cell(text)
        assert written_cell(once) == text
        assert written_cell(written_cell(harmless_cell(once))) == text


def test_the_page_of_the_audit_has_the_same_expression() -> None:
    page = files("refuseu.audit").joinpath("page.html").read_text(encoding="utf-8")
    assert f"const UNSAFE = /{UNSAFE.pattern}/g;" in page


def test_what_cannot_be_seen_is_shown_as_its_escape() -> None:
    assert visible("a\0b\x1b[2Jc\x9bd\u202ee\r\nf\rg\th") == "a\\x00b\\x1b[2Jc\\x9bd\\u202ee\nf\ng\th"
    assert visible("Żółć, für ć") == "Żółć, für ć"
