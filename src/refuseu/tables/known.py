"""Tables whose values ``params.yaml`` must name: what an earlier stage wrote under other parameters is refused."""

from collections.abc import Collection, Mapping
from pathlib import Path

import pandas as pd

from refuseu.core.errors import UserError
from refuseu.core.schema import Schema, read_table
from refuseu.experiment import UNKNOWN, Kind

Known = Mapping[str, Collection[str]]
"""Column to the values that it may hold."""


def question_values(languages: Collection[str], categories: Collection[str], styles: Collection[str]) -> Known:
    """What ``params.yaml`` lets the columns of a table of questions hold."""
    return {"lang": languages, "kind": list(Kind), "category": categories, "style": [*styles, UNKNOWN]}


def read_known(path: Path, schema: Schema, known: Known, without: Collection[str] = ()) -> pd.DataFrame:
    """Read a table, as ``read_table`` does, whose columns hold ``known`` values alone.

    Raises:
        UserError: also for a row with another value.
    """
    rows = read_table(path, schema, without)
    for column, values in known.items():
        strange = ~rows[column].isin(list(values))
        if strange.any():
            place = int(strange.argmax())
            value = rows[column].iloc[place]
            raise UserError(
                f"{path}: {schema.row_name(rows, place)} has the {column} {value!r}, which params.yaml does not name; "
                "'dvc repro' makes the table anew"
            )
    return rows
