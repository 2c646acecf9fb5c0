"""CSV that people open in spreadsheets, which would run a cell as a formula, and hide what cannot be seen.

A comma is what divides the cells, but spreadsheets of many languages divide by semicolons, or by tabs and line ends as well. So a
formula is looked for wherever a cell may begin for one of them.
"""

import csv
import io
import re
from collections.abc import Iterable, Sequence

from refuseu.core.terminal import escaped

SIGN = r"""[ \t\r\n"']*[=+\-@＝＋－＠]"""
"""The sign by which a formula begins, with what a spreadsheet passes over in front of it."""
UNSAFE = re.compile(rf"^(?={SIGN}|'*[\t\r])|(?<=[;\t\n])(?={SIGN})|(?<=\r)(?!\n)(?={SIGN})")
"""Where a cell may begin for a spreadsheet that then runs it: at the start, behind a semicolon, a tab or a line's end, when such
a sign follows; at the start also before a tab or CR. The page of the audit has the same expression."""
WRITTEN = re.compile(UNSAFE.pattern.replace("(?=", "'(?="))
"""The same places when ``harmless_cell`` has written its apostrophe there."""


def harmless_cell(text: str) -> str:
    """``text`` with an apostrophe before what a spreadsheet would run."""
    return UNSAFE.sub("'", text)


def written_cell(cell: str) -> str:
    """The text of which ``harmless_cell`` made ``cell``, which some spreadsheets give back without the apostrophe."""
    return WRITTEN.sub("", cell)


def visible(text: str) -> str:
    """``text`` with the line ends of this system's files, and with control characters as their escapes."""
    return escaped(text.replace("\r\n", "\n").replace("\r", "\n"))


def csv_text(columns: Sequence[str], rows: Iterable[Iterable[object]], end: str = "\r\n") -> str:
    """A table as CSV, no cell of which a spreadsheet would run; each line ends in ``end``."""
    text = io.StringIO(newline="")
    writer = csv.writer(text, lineterminator=end)
    writer.writerow(columns)
    writer.writerows([harmless_cell(str(cell)) for cell in row] for row in rows)
    return text.getvalue()
