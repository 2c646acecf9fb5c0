"""Tables as Markdown and as text for a terminal.

Text that came from data is escaped, so that it shows as it is; a value that does not exist is a dash.
"""

import math
import re
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass

NO_VALUE = "–"


@dataclass(frozen=True)
class Table:
    """A table whose cells are not escaped yet. Text is aligned on the left, numbers on the right."""

    header: list[str]
    rows: list[list[str]]
    names: int = 1
    """Columns from the left that are text; the others are numbers, unless ``prose``."""
    prose: bool = False
    """The last column is text too."""
    lines: tuple[int, ...] = ()
    """Columns that ``text`` draws a vertical line before."""
    notes: tuple[str, ...] = ()
    """What a reader of these cells must know, a line each. It is trusted Markdown, to be put below the table."""

    def markdown(self) -> str:
        align = [":---" if column < self.names else "---:" for column in range(len(self.header))]
        align[-1] = ":---" if self.prose else align[-1]
        return "\n".join(_pipes(cells) for cells in (map(escape, self.header), align, *self._escaped()))

    def _escaped(self) -> Iterator[list[str]]:
        return ([escape(cell) for cell in row] for row in self.rows)

    def text(self) -> str:
        """Aligned columns, two blanks apart, for a fixed-width font."""
        lines = [[printable(cell) for cell in row] for row in (self.header, *self.rows)]
        widths = [max(map(len, column)) for column in zip(*lines, strict=True)]
        lines.insert(1, ["-" * width for width in widths])
        return "\n".join(self._aligned(line, widths) for line in lines)

    def _aligned(self, cells: Sequence[str], widths: Sequence[int]) -> str:
        parts = [cells[0].ljust(widths[0])]
        for column in range(1, len(cells)):
            parts.append(" | " if column in self.lines else "  ")
            last = self.prose and column == len(cells) - 1
            parts.append(cells[column] if last else cells[column].rjust(widths[column]))
        return "".join(parts)


def _pipes(cells: Iterable[str]) -> str:
    return f"| {' | '.join(cells)} |"


def escape(text: str) -> str:
    """``text`` such that Markdown shows it as it is, on one line of a table's cell."""
    return re.sub(r"([\\`*_{}\[\]<>#|&~$])", r"\\\1", printable(text))


def printable(text: str) -> str:
    """``text`` on one line and without control characters, which a terminal would obey."""
    return "".join(each if each.isprintable() else " " for each in text)


def shown(value: float | None, form: str = ".1f") -> str:
    """A number in the format ``form``; a dash for none."""
    return NO_VALUE if value is None or math.isnan(value) else format(value, form)


def span(low: float, high: float, form: str = ".1f") -> str:
    """A range from ``low`` to ``high``, both in the format ``form``."""
    return f"{shown(low, form)}–{shown(high, form)}"
