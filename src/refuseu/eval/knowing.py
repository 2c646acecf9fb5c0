"""The tests of knowledge as columns of a (model, language) row, and where their questions come from.

The first test that the profile names is the column ``knowledge``; each other one is ``knowledge_`` and its name. A language
that a test does not have has ``None`` there.
"""

from collections.abc import Iterator, Mapping

import pandas as pd

from refuseu.core.files import Row

COLUMN = "knowledge"


def columns(knowledge: pd.DataFrame) -> dict[str, Mapping[tuple[str, str], float]]:
    """The shares (percent) of questions answered rightly, by column, model and language.

    ``knowledge`` holds rows of ``records.KNOWLEDGE``, the tests as the profile names them.
    """
    first, *others = knowledge["test"].unique()
    names = {COLUMN: first, **{f"{COLUMN}_{test}": test for test in others}}
    shares = knowledge.groupby(["test", "model", "lang"])["correct"].mean() * 100
    return {name: shares[test].to_dict() for name, test in names.items()}


def averages(rows: pd.DataFrame) -> Row:
    """The other tests' averages over the languages that they have, and of every test how many languages these are."""
    tests = [name for name in rows.columns if name.startswith(COLUMN)]
    known = {name: rows[name].dropna().astype(float) for name in tests}
    means = {name: float(known[name].mean()) if len(known[name]) else None for name in tests if name != COLUMN}
    return {**means, **{f"languages_{name}": len(known[name]) for name in tests}}


def sources(knowledge: pd.DataFrame) -> Iterator[Row]:
    """A row a (test, language): how many questions, and where they come from, with versions; the same for all models."""
    one_model = knowledge[knowledge["model"] == knowledge["model"].iloc[0]]
    for (test, lang, source), rows in one_model.groupby(["test", "lang", "source"], sort=False):
        yield {"test": test, "language": lang, "questions": len(rows), "source": source}
