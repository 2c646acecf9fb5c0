"""CSV as spreadsheets write it: commas, semicolons or tabs, UTF-8 or UTF-16, blank rows and all."""

import csv
import io
import re
from codecs import BOM_UTF16_BE, BOM_UTF16_LE
from collections.abc import Iterator, Sequence
from pathlib import Path

from refuseu.core.errors import UserError

DELIMITERS = ",;\t"


def read_rows(
    path: Path, columns: list[str], way_out: str, optional: Sequence[str] = ()
) -> list[tuple[int, dict[str, str]]]:
    """The rows that are not blank: the line of the file on which each ends, and its cells of ``columns`` and ``optional``.

    Cells are without the blanks around them, and empty where a row has too few or the file has no such optional column.

    Raises:
        UserError: when the file is missing, is no text of a spreadsheet, has not each of ``columns`` once, or has one of
            ``optional`` twice.
    """
    if not path.is_file():
        raise UserError(f"{path}: no such file; {way_out}")
    try:
        lines = list(_lines(_text(path)))
    except (OSError, csv.Error) as error:
        raise UserError(f"{path}: cannot be read as CSV ({error}); {way_out}") from None
    header = [cell.casefold() for cell in lines[0][1]] if lines else []
    for column in (*columns, *optional):
        count = header.count(column)
        if count > 1 or (not count and column in columns):
            raise UserError(f"{path}: {f'{count} columns' if count else 'no column'} {column!r}; {way_out}")
    places = {column: header.index(column) if column in header else len(header) for column in (*columns, *optional)}
    return [(line, {name: "".join(cells[at : at + 1]) for name, at in places.items()}) for line, cells in lines[1:]]


def _text(path: Path) -> str:
    content = path.read_bytes()
    # A spreadsheet's "Unicode text" is UTF-16, and starts with a byte order mark.
    encoding = "utf-16" if content.startswith((BOM_UTF16_LE, BOM_UTF16_BE)) else "utf-8-sig"
    try:
        return content.decode(encoding)
    except UnicodeDecodeError:
        raise UserError(f"{path}: is not in UTF-8; save it once more in the spreadsheet, as 'CSV UTF-8'") from None


def _lines(text: str) -> Iterator[tuple[int, list[str]]]:
    """Number and cells of each line that is not blank; Excel names the delimiter in a first line ``sep=;``."""
    named = re.match(r'"?sep=(.)"?[^\S\r\n]*(?:\r\n|\r|\n)', text)
    body = text[named.end() :] if named else text
    head = next(iter(body.lstrip().splitlines()), "")
    delimiter = named.group(1) if named else max(DELIMITERS, key=head.count)
    # newline=None takes the line ends of every system, old Macs' among them.
    reader = csv.reader(io.StringIO(body, newline=None), delimiter=delimiter)
    for row in reader:
        cells = [cell.strip() for cell in row]
        if any(cells):
            yield reader.line_num + bool(named), cells
