from pathlib import Path

import pytest

from refuseu.core.errors import UserError
from refuseu.sources.sheets import read_rows

COMMAS = "id,verdict\na,accept\nb,reject\n"
READ = [(2, {"id": "a", "verdict": "accept"}), (3, {"id": "b", "verdict": "reject"})]


@pytest.mark.parametrize(
    "content",
    [
        COMMAS.encode(),
        COMMAS.encode("utf-8-sig"),
        COMMAS.replace("\n", "\r\n").encode(),
        COMMAS.replace("\n", "\r").encode(),
        COMMAS.replace(",", ";").encode(),
        COMMAS.replace(",", "\t").encode("utf-16"),
        ("\ufeff" + COMMAS.replace(",", "\t")).encode("utf-16-be"),
        b'"id","verdict"\n"a","accept"\n"b","reject"\n',
        b"ID , Verdict\na , accept \n b,reject\n",
        b'verdict;note;id\naccept;"a, or b; who knows";a\nreject;;b\n',
        b'id,verdict,note\na,accept,"one; two; three; four; five"\nb,reject,\n',
        b"id;verdict;\na;accept;\nb;reject;\n;;\n;;\n",
        b"id,verdict\na,accept\nb,reject\n\n , \n",
        b'"id, or name; or both";verdict;id\n1;accept;a\n2;reject;b\n',
    ],
)
def test_what_spreadsheets_write_is_read(content: bytes, tmp_path: Path) -> None:
    (tmp_path / "t.csv").write_bytes(content)
    assert read_rows(tmp_path / "t.csv", ["id", "verdict"], "save it") == READ


@pytest.mark.parametrize("content", [b"sep=;\r\nid;verdict\r\na;b,c\r\n", b'"sep=;"\nid;verdict\n\na;b,c\n'])
def test_a_first_line_names_the_delimiter_and_lines_are_those_of_the_file(content: bytes, tmp_path: Path) -> None:
    (tmp_path / "t.csv").write_bytes(content)
    line = 3 if b"\r" in content else 4
    assert read_rows(tmp_path / "t.csv", ["id", "verdict"], "save it") == [(line, {"id": "a", "verdict": "b,c"})]


def test_a_cell_that_is_missing_is_empty(tmp_path: Path) -> None:
    (tmp_path / "t.csv").write_text("id,verdict\na\n")
    assert read_rows(tmp_path / "t.csv", ["id", "verdict"], "save it") == [(2, {"id": "a", "verdict": ""})]


@pytest.mark.parametrize(
    ("content", "expected"),
    [
        (b"", "no column 'id'; save it"),
        (b"id\na\n", "no column 'verdict'; save it"),
        (b"id,verdict,verdict\na,x,y\n", "2 columns 'verdict'; save it"),
        (
            "id,verdict,who\na,accept,Łukasz\n".encode("cp1250"),
            "is not in UTF-8; save it once more as UTF-8, in a spreadsheet as 'CSV UTF-8'",
        ),
        (
            "id,verdict\na,accept\n".encode("utf-16")[:-1],
            "is not in UTF-8; save it once more as UTF-8, in a spreadsheet as 'CSV UTF-8'",
        ),
    ],
)
def test_what_cannot_be_read_is_one_sentence_with_the_way_out(content: bytes, expected: str, tmp_path: Path) -> None:
    path = tmp_path / "t.csv"
    path.write_bytes(content)
    with pytest.raises(UserError) as error:
        read_rows(path, ["id", "verdict"], "save it")
    assert error.value.message.startswith(f"{path}: {expected}")


def test_a_row_with_more_cells_than_columns_is_not_cut(tmp_path: Path) -> None:
    (tmp_path / "t.csv").write_text("id,verdict\na,accept,\nb,reject, really\n")
    with pytest.raises(
        UserError, match="line 3: has more cells than the table has columns; put texts that hold a comma"
    ):
        read_rows(tmp_path / "t.csv", ["id", "verdict"], "save it", optional=["note"])


def test_a_quote_that_is_not_closed_swallows_no_rows(tmp_path: Path) -> None:
    (tmp_path / "t.csv").write_text('id,verdict\na,accept\nb,"reject\nc,accept\n')
    with pytest.raises(UserError, match=r"not valid CSV after line 2 \(unexpected end of data\); mend it"):
        read_rows(tmp_path / "t.csv", ["id", "verdict"], "save it")


def test_no_file_is_one_sentence(tmp_path: Path) -> None:
    with pytest.raises(UserError, match=r"none.csv: no such file; save it"):
        read_rows(tmp_path / "none.csv", ["id"], "save it")
