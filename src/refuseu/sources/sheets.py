"""Tables as people and their spreadsheets write them: commas, semicolons or tabs, UTF-8 or UTF-16, blank rows and all."""

import csv
import io
import re
from codecs import BOM_UTF16_BE, BOM_UTF16_LE
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import NamedTuple

from refuseu.core.errors import UserError
from refuseu.text.normal import plain

DELIMITERS = ",;\t"
MANGLED = re.compile(r"\d(?:[.,]\d+)?E\+?\d+|#(?:NAME\?|REF!|VALUE!|DIV/0!|N/A|NULL!|NUM!|ERROR!|#+)|Err:\d+", re.I)
"""What spreadsheets make of a text that they take for a large number or for a formula."""


class Sheet(NamedTuple):
    """A table of texts; cells are without the blanks around them."""

    header: list[str]
    rows: list[tuple[int, list[str]]]
    """The line of the file on which each row that is not blank ends, and a cell for each column of the header."""


def read_sheet(path: Path) -> Sheet:
    """Read the whole table.

    Raises:
        UserError: when the file is no text of a spreadsheet, or a row has more cells than the header. No cell is shown.
        OSError: when the file is missing or cannot be read.
    """
    (_, header), *rows = [*_lines(read_text(path), path)] or [(0, [])]
    for line, cells in rows:
        if any(cells[len(header) :]):
            raise UserError(
                f"{path}: line {line}: has more cells than the table has columns; put texts that hold a comma, a semicolon or "
                "a tab into double quotes"
            )
    return Sheet(header, [(line, [*cells, *[""] * len(header)][: len(header)]) for line, cells in rows])


def read_rows(
    path: Path, columns: list[str], way_out: str, optional: Sequence[str] = ()
) -> list[tuple[int, dict[str, str]]]:
    """The rows that are not blank: the line of the file on which each ends, and its cells of ``columns`` and ``optional``.

    A cell is empty where a row has too few, or the file has no such optional column.

    Raises:
        UserError: when the file is missing, is no text of a spreadsheet, has not each of ``columns`` once, or has one of
            ``optional`` twice.
    """
    if not path.is_file():
        raise UserError(f"{path}: no such file; {way_out}")
    try:
        sheet = read_sheet(path)
    except OSError as error:
        raise UserError(f"{path}: cannot be read ({error.strerror}); {way_out}") from None
    header = list(map(plain, sheet.header))
    for column in (*columns, *optional):
        found = header.count(column)
        if found > 1 or (not found and column in columns):
            raise UserError(f"{path}: {f'{found} columns' if found else 'no column'} {column!r}; {way_out}")
    places = {column: header.index(column) for column in (*columns, *optional) if column in header}
    missing = dict.fromkeys(optional, "")
    return [(line, missing | {name: cells[at] for name, at in places.items()}) for line, cells in sheet.rows]


def read_text(path: Path) -> str:
    """The text of a file in UTF-8, or in UTF-16 with a byte order mark.

    Raises:
        UserError: for another encoding.
        OSError: when the file is missing or cannot be read.
    """
    content = path.read_bytes()
    # A spreadsheet's "Unicode text" is UTF-16, and so is what PowerShell writes; both start with a byte order mark.
    encoding = "utf-16" if content.startswith((BOM_UTF16_LE, BOM_UTF16_BE)) else "utf-8-sig"
    try:
        text = content.decode(encoding)
    except UnicodeDecodeError:
        text = "\0"
    if "\0" in text:
        raise UserError(f"{path}: is not in UTF-8; save it once more as UTF-8, in a spreadsheet as 'CSV UTF-8'")
    return text


def _lines(text: str, path: Path) -> Iterator[tuple[int, list[str]]]:
    """Number and cells of each line that is not blank; Excel names the delimiter in a first line ``sep=;``."""
    named = re.match(r'"?sep=(.)"?[^\S\r\n]*(?:\r\n|\r|\n)', text)
    body = text[named.end() :] if named else text
    # newline=None takes the line ends of every system, old Macs' among them.
    lines = io.StringIO(body, newline=None)
    reader = csv.reader(lines, delimiter=named.group(1) if named else _delimiter(body), strict=True)
    last = 0
    try:
        for row in reader:
            last = reader.line_num + bool(named)
            cells = [cell.strip() for cell in row]
            if any(cells):
                yield last, cells
    except csv.Error as error:
        raise UserError(f"{path}: not valid CSV after line {last} ({error}); mend it") from None


def _delimiter(text: str) -> str:
    """The delimiter by which the first line that is not blank has the most cells; what stands in quotes divides nothing."""
    return max(DELIMITERS, key=lambda delimiter: _cells(text.lstrip(), delimiter))


def _cells(text: str, delimiter: str) -> int:
    try:
        return len(next(csv.reader(io.StringIO(text, newline=None), delimiter=delimiter, strict=True), []))
    except csv.Error:
        return 0
