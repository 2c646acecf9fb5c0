"""Row types of every table, and parquet in and out.

A table is sorted by its key, written to a temporary name and renamed. Nothing in it depends on the clock, the host, the
path or the order of work, so the same rows are the same bytes (under the locked pyarrow).
"""

import json
import math
from collections.abc import Collection, Iterator, Mapping
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq

from refuseu.errors import UserError

Row = dict[str, Any]
"""A row of a JSON file under ``metrics/`` or ``plots/``."""

QUESTION = {
    "question_id": pa.string(),  # names the question in all its languages
    "lang": pa.string(),
    "kind": pa.string(),  # harmful | benign
    "slot_id": pa.string(),  # the harmful question; its benign twin and all translations share it
    "category": pa.string(),
    "style": pa.string(),
    "ask_id": pa.string(),  # what is asked for, whatever the wording
    "text": pa.string(),
}
ELITE = {**QUESTION, "fitness": pa.float64(), "iteration": pa.int64()}
TRANSLATION = {
    **QUESTION,
    "lang_restricted": pa.string(),  # identified among the project's languages
    "lang_free": pa.string(),  # identified among all languages the identifier knows
    "chrf": pa.float64(),  # of the back-translation, 0-100
}
REJECTION = {"question_id": pa.string(), "lang": pa.string(), "reason": pa.string()}
PAIR = {**QUESTION, "chosen": pa.string(), "rejected": pa.string()}
VERDICT = {
    "question_id": pa.string(),
    "lang": pa.string(),
    "item": pa.string(),  # question | chosen | rejected, or the evaluated answer
    "judge": pa.string(),
    "harm": pa.string(),  # harmful | safe | unparsed
    "reply": pa.string(),  # refusal | compliance | unparsed | absent
}
TEST = {**PAIR, "unseen": pa.bool_()}
MIX = {
    "question_id": pa.string(),
    "lang": pa.string(),
    "kind": pa.string(),
    "prompt": pa.string(),
    "chosen": pa.string(),
    "rejected": pa.string(),
}
ANSWER = {
    "model": pa.string(),
    "question_id": pa.string(),
    "lang": pa.string(),
    "kind": pa.string(),
    "category": pa.string(),
    "style": pa.string(),
    "unseen": pa.bool_(),
    "answer": pa.string(),
    "harm": pa.string(),
    "reply": pa.string(),
    "agreed": pa.bool_(),  # the two judges of the panel gave the same verdict
    "lang_restricted": pa.string(),
    "lang_free": pa.string(),
    "fluency": pa.float64(),
}
KNOWLEDGE = {
    "model": pa.string(),
    "fact_id": pa.string(),
    "lang": pa.string(),
    "correct": pa.bool_(),
    "margin": pa.float64(),  # log-likelihood a character of the right option, less the best wrong one
}

Schema = dict[str, pa.DataType]
"""Column to type; every column of every row holds a value."""
Known = Mapping[str, Collection[str]]
"""Column to the values that it may hold."""

KEYS = ("model", "question_id", "fact_id", "lang", "item", "judge")
"""The columns that name a row, as far as a table has them."""
KINDS = ("harmful", "benign")


def question_values(languages: Collection[str], categories: Collection[str], styles: Collection[str]) -> Known:
    """What ``params.yaml`` lets the columns of a table of questions hold."""
    return {"lang": languages, "kind": KINDS, "category": categories, "style": styles}


def write_table(rows: pd.DataFrame, path: Path, schema: Schema, key: list[str]) -> None:
    """Write ``rows`` as parquet, sorted by ``key``, with exactly the columns of ``schema``.

    Raises:
        ValueError: when two rows share a key or a row lacks a value.
        KeyError: when a column is missing.
    """
    if rows.duplicated(key).any():
        raise ValueError(f"{path}: two rows share the key {key}")
    ordered = rows.sort_values(key, kind="stable")[list(schema)]
    gap = _gap(ordered)
    if gap:
        raise ValueError(f"{path}: {gap}")
    table = pa.Table.from_pandas(ordered, schema=pa.schema(schema), preserve_index=False)
    with atomic(path) as temporary:
        pq.write_table(table.replace_schema_metadata(None), temporary, compression="zstd")


def read_table(path: Path, schema: Schema, known: Known | None = None) -> pd.DataFrame:
    """Read a table that ``write_table`` wrote.

    Raises:
        UserError: when the file is missing, is no parquet, has other columns than ``schema`` or no rows, or when a row
            lacks a value or holds one that is not ``known``.
    """
    way_out = "'dvc checkout' brings the last good one back, 'dvc repro' makes it anew"
    if not path.is_file():
        raise UserError(f"{path}: no such file; {way_out}")
    try:
        table = pq.read_table(path)
    except (pa.ArrowException, OSError) as error:
        raise UserError(f"{path}: not a readable parquet file ({str(error).splitlines()[0]}); {way_out}") from None
    found = {field.name: field.type for field in table.schema}
    if found != schema:
        wrong = sorted(set(found.items()) ^ set(schema.items()), key=str)
        raise UserError(f"{path}: unexpected columns, first {wrong[0][0]!r} ({wrong[0][1]}); {way_out}")
    if not table.num_rows:
        raise UserError(f"{path}: holds no rows; metrics/*.json say what the stages before it rejected, and why")
    rows = table.to_pandas()
    gap = _gap(rows)
    if gap:
        raise UserError(f"{path}: {gap}; {way_out}")
    stranger = _stranger(rows, known or {})
    if stranger:
        raise UserError(f"{path}: {stranger}, which params.yaml does not name; 'dvc repro' makes the table anew")
    return rows


def _gap(rows: pd.DataFrame) -> str | None:
    """The first row that lacks a value, and which."""
    for column in rows.columns[rows.isna().any()]:
        return f"{_named(rows, int(rows[column].isna().argmax()))} has no {column}"
    return None


def _stranger(rows: pd.DataFrame, known: Known) -> str | None:
    """The first row with a value that is not known, and which."""
    for column, values in known.items():
        strange = ~rows[column].isin(list(values))
        if strange.any():
            place = int(strange.argmax())
            return f"{_named(rows, place)} has the {column} {rows[column].iloc[place]!r}"
    return None


def _named(rows: pd.DataFrame, place: int) -> str:
    """A row as a reader finds it again: ``row 3 (question_id q1, lang de)``."""
    key = ", ".join(f"{name} {rows[name].iloc[place]}" for name in KEYS if name in rows)
    return f"row {place + 1} ({key})"


def write_json(content: Any, path: Path) -> None:
    """Write ``content`` as indented JSON in the order of its keys, floats rounded to 4 decimals.

    Raises:
        ValueError: for NaN and infinity, which JSON does not have.
    """
    place = next(_not_finite(content), None)
    if place is not None:
        raise ValueError(f"{path}: {place} is not finite, and JSON has no such number")
    write_text(json.dumps(rounded(content), indent=2, ensure_ascii=False) + "\n", path)


def write_text(text: str, path: Path) -> None:
    with atomic(path) as temporary:
        temporary.write_text(text, encoding="utf-8")


def read_json(path: Path) -> Any:
    """Read a JSON file of an earlier stage.

    Raises:
        UserError: when it is missing or broken.
    """
    try:
        return json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise UserError(
            f"{path}: cannot be read as JSON ({error}); 'git restore {path}' or 'dvc repro' brings it back"
        ) from None


def rounded(content: Any, digits: int = 4) -> Any:
    """``content`` with every float rounded, so that metrics read and compare the same everywhere."""
    if isinstance(content, dict):
        return {key: rounded(value, digits) for key, value in content.items()}
    if isinstance(content, list | tuple):
        return [rounded(value, digits) for value in content]
    return round(content, digits) + 0.0 if isinstance(content, float) else content


def _not_finite(content: Any, key: str = "") -> Iterator[str]:
    """Where in ``content`` NaN and infinity stand: ``de.asr``, ``0.loss``."""
    if isinstance(content, float) and not math.isfinite(content):
        yield key
    elif isinstance(content, dict | list | tuple):
        parts = content.items() if isinstance(content, dict) else enumerate(content)
        for name, part in parts:
            yield from _not_finite(part, f"{key}.{name}".lstrip("."))


@contextmanager
def atomic(path: Path) -> Iterator[Path]:
    """Yields a temporary path beside ``path`` and renames it at the end; nothing half-written stays."""
    temporary = path.with_name(f".{path.name}.tmp")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        yield temporary
        temporary.replace(path)
    except OSError as error:
        raise UserError(
            f"{path}: cannot be written ({error.strerror or error}); free the place, or name another"
        ) from None
    finally:
        with suppress(OSError):
            temporary.unlink(missing_ok=True)
