"""Every stage accounts for its rows: rows in = rows out + rows rejected, each with its reason."""

from typing import Any

import pandas as pd


def account(rows_in: int, kept: pd.DataFrame, rejected: pd.DataFrame, languages: list[str]) -> dict[str, Any]:
    """The account of a stage: ``rows_in``, ``rows_out``, ``rejected`` by reason, and both by language.

    Raises:
        ValueError: when a row is not accounted for.
    """
    if rows_in != len(kept) + len(rejected):
        raise ValueError(f"{rows_in} rows in, {len(kept)} kept and {len(rejected)} rejected")
    reasons = rejected["reason"].value_counts().sort_index()
    return {
        "rows_in": rows_in,
        "rows_out": len(kept),
        "rejected": {str(reason): int(count) for reason, count in reasons.items()},
        "rows_out_by_language": {lang: int((kept["lang"] == lang).sum()) for lang in languages},
        "rejected_by_language": {lang: int((rejected["lang"] == lang).sum()) for lang in languages},
    }
