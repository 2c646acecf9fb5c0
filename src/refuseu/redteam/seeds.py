"""A seed set that others made: the questions that a search starts from, out of a file or a dataset of the hub.

Files are CSV (RFC 4180, with a header, UTF-8), JSONL (a JSON object a line) and parquet, told by the end of their name. Rows
count from 1, the header of a CSV file not among them.
"""

import csv
import json
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from refuseu.errors import UserError
from refuseu.parameters.rainbow_teaming import SeedSet
from refuseu.redteam.parts import Question

Rows = Iterable[Mapping[str, Any]]


@dataclass(frozen=True)
class Seed:
    """A question to start from."""

    question: Question
    category: str | None
    """Key of its hazard category; ``None`` where the set does not tell."""


def read_seeds(seed_set: SeedSet, folder: Path, categories: Mapping[str, str]) -> list[Seed]:
    """All seeds, in the order of the set; files lie in ``folder``, ``categories`` is key to name.

    Raises:
        UserError: for a set that cannot be read, is empty or lacks a column, and for a row without a question or of no known
            category. What stands in the set is not shown, since it may be harmful; a file without a header has questions as
            columns.
    """
    keys = {spelling.casefold(): key for key, name in categories.items() for spelling in (key, name)}
    path = folder / seed_set.source
    place, rows = (path, _file(path)) if path.suffix in READERS else (seed_set.source, _hub(seed_set))
    seeds = [_seed(seed_set, f"{place}, row {number}", row, keys) for number, row in enumerate(rows, 1)]
    if not seeds:
        raise UserError(f"{place}: holds no row; name a seed set with questions")
    return seeds


def _seed(seed_set: SeedSet, place: str, row: Mapping[str, Any], keys: Mapping[str, str]) -> Seed:
    text = _entry(place, row, seed_set.text)
    if not text:
        raise UserError(f"{place}: column '{seed_set.text}' holds no text; write the question, or take the row out")
    given = _entry(place, row, seed_set.category) if seed_set.category else ""
    if given and given.casefold() not in keys:
        raise UserError(
            f"{place}: column '{seed_set.category}' holds none of the categories of params.yaml; "
            "write a key or a name of one, or leave it empty"
        )
    return Seed(Question(text), keys[given.casefold()] if given else None)


def _entry(place: str, row: Mapping[str, Any], column: str) -> str:
    """The text in a column, its white space as single blanks; empty for an empty one and for what is no text."""
    if column not in row:
        raise UserError(f"{place}: no column '{column}'; name one that is there")
    value = row[column]
    return " ".join(value.split()) if isinstance(value, str) else ""


def _file(path: Path) -> Rows:
    try:
        return list(READERS[path.suffix](path))
    except OSError as error:
        raise UserError(f"{path}: seed set cannot be read ({error.strerror}); name another") from None
    except UnicodeDecodeError:
        raise UserError(f"{path}: seed set is not UTF-8; save it as UTF-8") from None


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


def _hub(seed_set: SeedSet) -> Rows:
    from datasets import load_dataset
    from datasets.exceptions import DatasetsError

    source = seed_set.source
    if seed_set.revision is None:
        raise UserError(
            f"{source}: neither a .csv, .jsonl or .parquet file nor a dataset at a revision; give the revision (a commit)"
        )
    try:
        dataset = load_dataset(source, seed_set.config, split=seed_set.split, revision=seed_set.revision)
    except (DatasetsError, OSError, ValueError) as error:
        raise UserError(
            f"{source}@{seed_set.revision}: dataset cannot be loaded ({type(error).__name__}); look at its name, revision, "
            "config and split, and whether the hub can be reached"
        ) from None
    rows: Rows = dataset
    return rows
