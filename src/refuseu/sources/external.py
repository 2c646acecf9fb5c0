"""External datasets: tables from outside this project, in a file or as a dataset of the hub.

A file is a spreadsheet's table with a header (``sheets``), JSONL (one JSON object on each line) or parquet; the end of its name
decides. Rows count from 1, without the header of a table and without blank rows. Errors never show a text of the table, not even
the name of a column that it has: texts may be harmful, and in a file without a header the first question takes the place of the
column names.
"""

import io
import json
import math
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

from refuseu.core.errors import UserError
from refuseu.core.network import network_explained
from refuseu.core.paths import inside
from refuseu.core.schema import assert_room
from refuseu.sources.settings import Source
from refuseu.sources.sheets import MANGLED, read_sheet, read_text
from refuseu.text.normal import plain, writable

Rows = Iterable[Mapping[str, Any]]


@dataclass(frozen=True)
class ExternalRow:
    """One row of an external dataset."""

    number: int
    place: str
    """Source and row number, for errors."""
    columns: Mapping[str, Any]

    def has(self, column: str) -> bool:
        """Whether there is such a column."""
        return bool(self._names(column))

    def value(self, column: str) -> Any:
        """Return what a column holds; ``None`` for a number that is none. Names are compared in the form of ``plain``.

        Raises:
            UserError: when there is no such column, or two of the same name.
        """
        names = self._names(column)
        if len(names) != 1:
            raise UserError(
                f"{self.place}: {len(names) or 'no'} column{'s' if names else ''} '{column}'; "
                f"{'rename one of them' if names else 'name one that is there'}"
            )
        value = self.columns[names[0]]
        return None if isinstance(value, float) and math.isnan(value) else value

    def _names(self, column: str) -> list[str]:
        if column in self.columns:
            return [column]
        return [name for name in self.columns if _plain_name(name) == _plain_name(column)]

    def text(self, column: str) -> str:
        """Return the text in a column as it came; empty where the column holds nothing.

        Raises:
            UserError: as ``value``, and for a value that is no text or that no file can hold.
        """
        return self.whole(column, "" if (value := self.value(column)) is None else value)

    def entry(self, column: str) -> str:
        """Return the text in a column with single spaces for white space; raises as ``text``."""
        return " ".join(self.text(column).split())

    def whole(self, column: str, text: Any) -> str:
        """Return ``text``, which stands in a column.

        Raises:
            UserError: when it is no text, or holds half of a character, which no file can hold.
        """
        if not isinstance(text, str):
            raise UserError(
                f"{self.place}: column '{column}' holds no text; write it as a text, or name another column"
            )
        if not writable(text):
            raise UserError(
                f"{self.place}: column '{column}' holds half of a character (a lone surrogate) or NUL, which no text can hold; "
                "write it anew, or take the row out"
            )
        return text

    def question(self, column: str) -> str:
        """Return the question in a column as it came, without blanks around it: lines and indents in it belong to what is asked.

        Raises:
            UserError: when the column is missing, or holds no text or what a spreadsheet made of one.
        """
        text = self.text(column).strip()
        if not text:
            raise UserError(f"{self.place}: column '{column}' holds no text; write the question, or take the row out")
        if MANGLED.fullmatch(text):
            raise UserError(
                f"{self.place}: column '{column}' holds what a spreadsheet made of a text that it took for a number or a "
                "formula; format the column as text and write the question anew"
            )
        return text

    def category(self, column: str | None, categories: Mapping[str, str]) -> str | None:
        """Return the key of the hazard category in a column, which holds keys or names of ``categories`` (key to name).

        It is ``None`` without a column, and where the column is empty.

        Raises:
            UserError: when the column is missing, or its text is no key and no name.
        """
        given = plain(self.entry(column)) if column else ""
        if not given:
            return None
        keys = spellings(categories)
        if given not in keys:
            raise UserError(
                f"{self.place}: column '{column}' holds none of the categories of params.yaml; "
                "write a key or a name of one, or leave it empty"
            )
        return keys[given]


@cache
def _plain_name(column: str) -> str:
    return plain(column)


def spellings(named: Mapping[str, str]) -> dict[str, str]:
    """Return the key for every key and every name of ``named`` (key to name), both in the form of ``plain``."""
    return {plain(spelling): key for key, name in named.items() for spelling in (key, name)}


def read_external(source: Source, folder: Path) -> list[ExternalRow]:
    """Return all rows in their order; ``folder`` holds the files.

    Raises:
        UserError: for a dataset that cannot be read or is empty.
    """
    path = inside(folder, source.source, f"{source.called}: source")
    place, rows = (path, _file(source, path)) if is_file(path) else (source.source, _hub(source))
    found = [ExternalRow(number, f"{place}, row {number}", columns) for number, columns in enumerate(rows, 1)]
    if not found:
        raise UserError(f"{place}: holds no row; name a {source.called} with questions")
    return found


def assert_readable(source: Source, folder: Path, read: Callable[[], object]) -> None:
    """Check, without a connection to the hub, that a dataset can be read; ``read`` reads it and fails at the first fault.

    Raises:
        UserError: by ``read`` for a file, and for a dataset without a revision.
    """
    if is_file(inside(folder, source.source, f"{source.called}: source")):
        read()
    else:
        _revision(source)


def is_file(path: Path) -> bool:
    """Whether a source of this name is a file, and no dataset of the hub."""
    return path.suffix.lower() in READERS


def _file(source: Source, path: Path) -> Rows:
    try:
        return list(READERS[path.suffix.lower()](path))
    except OSError as error:
        raise UserError(f"{path}: {source.called} cannot be read ({error.strerror}); name another") from None


def _sheet(path: Path) -> Rows:
    sheet = read_sheet(path)
    names = list(map(_plain_name, sheet.header))
    for place, name in enumerate(names):
        if name and name in names[:place]:
            raise UserError(
                f"{path}: columns {names.index(name) + 1} and {place + 1} have the same name; rename one of them"
            )
    return [dict(zip(sheet.header, cells, strict=True)) for _, cells in sheet.rows]


def _jsonl(path: Path) -> Rows:
    # newline=None: U+2028 and its kind end no line of JSON.
    for number, line in enumerate(io.StringIO(read_text(path), newline=None), 1):
        if not line.strip():
            continue
        try:
            row = json.loads(line)
        except (ValueError, RecursionError):
            row = None
        if not isinstance(row, dict):
            raise UserError(f"{path}, line {number}: not a JSON object; write one a line")
        yield row


def _parquet(path: Path) -> Rows:
    import pyarrow as pa
    import pyarrow.parquet as pq

    try:
        with path.open("rb") as raw, pq.ParquetFile(raw) as file:
            assert_room(file, path)
            yield from file.read().to_pylist()
    except (pa.ArrowException, OverflowError, MemoryError):
        raise UserError(f"{path}: not a parquet file; save it anew, or name another") from None
    except UnicodeDecodeError:
        raise UserError(f"{path}: holds a text that is not in UTF-8; save it anew") from None


READERS: dict[str, Callable[[Path], Rows]] = {
    **dict.fromkeys((".csv", ".tsv", ".txt"), _sheet),
    ".jsonl": _jsonl,
    ".parquet": _parquet,
}
"""By the end of the file's name; Excel calls its tables of Unicode text ``.txt``."""


def _hub(source: Source) -> Rows:
    from datasets import load_dataset
    from datasets.exceptions import DatasetsError

    name, revision = source.source, _revision(source)
    if Path(name).exists():
        # datasets would read the folder, whatever the revision is.
        raise UserError(
            f"{source.called}: source: {name} is a folder here, which nothing tracks; bring its files to data/"
        )
    try:
        with network_explained():
            dataset = load_dataset(name, source.config, split=source.split, revision=revision)
    except (DatasetsError, OSError, ValueError) as error:
        raise UserError(
            f"{name}@{revision}: dataset cannot be loaded ({type(error).__name__}); look at its name, revision, "
            "config and split, and whether the hub can be reached"
        ) from None
    rows: Rows = dataset
    return rows


def _revision(source: Source) -> str:
    if source.revision is None:
        *some, last = READERS
        raise UserError(
            f"{source.source}: neither a {', '.join(some)} or {last} file nor a dataset at a revision; "
            "give the revision (a commit)"
        )
    return source.revision
