"""External datasets: tables from outside this project, in a file or as a dataset of the hub.

A file is CSV (RFC 4180, with a header, in UTF-8), JSONL (one JSON object on each line) or parquet; the end of its name decides.
Rows count from 1, without the header of a CSV file. Errors never show a text of the table, not even the name of a column that it
has: texts may be harmful, and in a file without a header the first question takes the place of the column names.
"""

import csv
import json
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from refuseu.core.errors import UserError
from refuseu.sources.settings import Source

Rows = Iterable[Mapping[str, Any]]


@dataclass(frozen=True)
class ExternalRow:
    """One row of an external dataset."""

    number: int
    place: str
    """Source and row number, for errors."""
    columns: Mapping[str, Any]

    def entry(self, column: str) -> str:
        """Return the text in a column, with single spaces for white space; empty where the column holds no text.

        Raises:
            UserError: when there is no such column.
        """
        if column not in self.columns:
            raise UserError(f"{self.place}: no column '{column}'; name one that is there")
        value = self.columns[column]
        return " ".join(value.split()) if isinstance(value, str) else ""

    def question(self, column: str) -> str:
        """Return the question in a column.

        Raises:
            UserError: when the column is missing or holds no text.
        """
        text = self.entry(column)
        if not text:
            raise UserError(f"{self.place}: column '{column}' holds no text; write the question, or take the row out")
        return text

    def category(self, column: str | None, categories: Mapping[str, str]) -> str | None:
        """Return the key of the hazard category in a column, which holds keys or names of ``categories`` (key to name).

        It is ``None`` without a column, and where the column is empty.

        Raises:
            UserError: when the column is missing, or its text is no key and no name.
        """
        given = self.entry(column).casefold() if column else ""
        if not given:
            return None
        keys = spellings(categories)
        if given not in keys:
            raise UserError(
                f"{self.place}: column '{column}' holds none of the categories of params.yaml; "
                "write a key or a name of one, or leave it empty"
            )
        return keys[given]


def spellings(named: Mapping[str, str]) -> dict[str, str]:
    """Return the key for every key and every name of ``named`` (key to name), both in lower case."""
    return {spelling.casefold(): key for key, name in named.items() for spelling in (key, name)}


def read_external(source: Source, folder: Path) -> list[ExternalRow]:
    """Return all rows in their order; ``folder`` holds the files.

    Raises:
        UserError: for a dataset that cannot be read or is empty.
    """
    path = folder / source.source
    place, rows = (path, _file(source, path)) if _is_file(path) else (source.source, _hub(source))
    found = [ExternalRow(number, f"{place}, row {number}", columns) for number, columns in enumerate(rows, 1)]
    if not found:
        raise UserError(f"{place}: holds no row; name a {source.called} with questions")
    return found


def assert_readable(source: Source, folder: Path) -> None:
    """Check, without a connection to the hub, that ``read_external`` can read the dataset.

    Raises:
        UserError: for a file that cannot be read or is empty, and for a dataset without a revision.
    """
    if _is_file(folder / source.source):
        read_external(source, folder)
    else:
        _revision(source)


def _is_file(path: Path) -> bool:
    return path.suffix in READERS


def _file(source: Source, path: Path) -> Rows:
    try:
        return list(READERS[path.suffix](path))
    except OSError as error:
        raise UserError(f"{path}: {source.called} cannot be read ({error.strerror}); name another") from None
    except UnicodeDecodeError:
        raise UserError(f"{path}: {source.called} is not UTF-8; save it as UTF-8") from None


def _csv(path: Path) -> Rows:
    with path.open(encoding="utf-8-sig", newline="") as file:
        reader = csv.DictReader(file, strict=True)
        try:
            yield from reader
        except csv.Error as error:
            raise UserError(f"{path}: not valid CSV after line {reader.line_num} ({error}); mend it") from None


def _jsonl(path: Path) -> Rows:
    with path.open(encoding="utf-8-sig") as file:
        for number, line in enumerate(file, 1):
            try:
                row = json.loads(line)
            except json.JSONDecodeError:
                row = None
            if not isinstance(row, dict):
                raise UserError(f"{path}, row {number}: not a JSON object; write one a line")
            yield row


def _parquet(path: Path) -> Rows:
    import pyarrow as pa
    import pyarrow.parquet as pq

    try:
        with path.open("rb") as file:
            yield from pq.read_table(file).to_pylist()
    except pa.ArrowInvalid:
        raise UserError(f"{path}: not a parquet file; save it anew, or name another") from None


READERS: dict[str, Callable[[Path], Rows]] = {".csv": _csv, ".jsonl": _jsonl, ".parquet": _parquet}


def _hub(source: Source) -> Rows:
    from datasets import load_dataset
    from datasets.exceptions import DatasetsError

    name, revision = source.source, _revision(source)
    try:
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
        raise UserError(
            f"{source.source}: neither a .csv, .jsonl or .parquet file nor a dataset at a revision; give the revision (a commit)"
        )
    return source.revision
