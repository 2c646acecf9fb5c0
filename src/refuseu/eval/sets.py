"""Test sets that others published: which of their questions are asked, and what is counted of the answers.

A question is left out, and counted by its reason, where the run does not have its language, where no model is to be shown its
category, where it stood in the set before, and where it is equal or a near-duplicate of a training question in any language.
"""

from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import pandas as pd

from refuseu.core.errors import UserError
from refuseu.core.files import Row
from refuseu.eval.settings import EvalParameters
from refuseu.experiment import RESTRICTED, Kind
from refuseu.results.metrics import METRICS, harmful_questions
from refuseu.sources.external import ExternalRow, read_external
from refuseu.sources.languages import language_code
from refuseu.sources.settings import ExternalSet
from refuseu.text.near_duplicates import Comparison
from refuseu.text.normal import plain

COLUMNS = ["set", "question_id", "lang", "kind", "category", "text"]
OTHER_LANGUAGE = "in no language of this run"
NO_KIND = "neither called harmful nor benign"
RESTRICTED_CATEGORY = "of a category that no model is shown"
REPEATED = "stands in the set twice"
EQUAL = "equal to a training question"
NEAR = "near-duplicate of a training question"
REASONS = (OTHER_LANGUAGE, NO_KIND, RESTRICTED_CATEGORY, REPEATED, EQUAL, NEAR)
"""Why a question is not asked; of several reasons the first."""
KINDS = {
    **dict.fromkeys(("harmful", "unsafe", "adversarial"), Kind.HARMFUL),
    **dict.fromkeys(("benign", "safe", "harmless", "unharmful"), Kind.BENIGN),
}
"""What sets call the kinds of their questions."""

COUNTED = [metric for metric in METRICS if metric.sets]

Accounts = dict[str, dict[str, Any]]


def read_sets(parameters: EvalParameters, folder: Path, trained_on: Sequence[str]) -> tuple[pd.DataFrame, Accounts]:
    """The questions of all sets that are asked, and by set the account of its rows; files lie in ``folder``.

    Where a set does not spell its languages as their codes, ``languages`` of its account says what each spelling was read as.

    Raises:
        UserError: for a set that cannot be read, lacks a column, holds an unknown kind or category, or has no question left.
    """
    tables, accounts = [], {}
    for name, asked in parameters.eval.sets.items():
        table, spelt = read_set(name, asked, folder, parameters.categories)
        reasons = pd.Series(list(_reasons(table, parameters, trained_on)))
        counts = {reason: int((reasons == reason).sum()) for reason in REASONS}
        kept = table[reasons == ""]
        if kept.empty:
            why = ", ".join(f"{count} {reason}" for reason, count in counts.items() if count)
            there = ", ".join(sorted(table["lang"].dropna().unique())) or "none that is known"
            raise UserError(
                f"eval.sets.{name}: no question is left to ask ({why}; languages of the set: {there}; of the run: "
                f"{', '.join(parameters.languages)}); mend its columns, or take the set out"
            )
        tables.append(kept)
        read_as = {spelling: code for spelling, code in sorted(spelt.items()) if code and spelling != code}
        accounts[name] = {"rows_in": len(table), "rows_out": len(kept), "rejected": counts} | (
            {"languages": read_as} if read_as else {}
        )
    return pd.concat(tables) if tables else pd.DataFrame(columns=COLUMNS), accounts


def read_set(
    name: str, asked: ExternalSet, folder: Path, categories: Mapping[str, str]
) -> tuple[pd.DataFrame, dict[str, str | None]]:
    """All questions of a set (``COLUMNS``), and the code of each of its languages by the set's own spelling.

    Raises:
        UserError: for a set that cannot be read, lacks a column, or holds an unknown kind or category.
    """
    rows = {numbers: (part, read_external(part, folder)) for numbers, part in asked.parts().items()}
    spellings = {row.entry(part.lang) for part, its in rows.values() for row in its if part.lang}
    spelt = {each: language_code(each) for each in spellings}
    questions = [
        _question(name, numbers, part, row, categories, spelt) for numbers, (part, its) in rows.items() for row in its
    ]
    return pd.DataFrame(questions, columns=COLUMNS), spelt


def _question(
    name: str,
    numbers: str,
    asked: ExternalSet,
    row: ExternalRow,
    categories: Mapping[str, str],
    spelt: Mapping[str, str | None],
) -> list[str | None]:
    text = row.question(asked.text)
    lang = spelt[row.entry(asked.lang)] if asked.lang else asked.every_lang
    category = row.category(asked.category, categories)
    return [name, f"{numbers}{row.number}", lang, _kind(asked, row), category, text]


def _kind(asked: ExternalSet, row: ExternalRow) -> str | None:
    """``None`` where the column is empty: people did not agree on some questions of PolyGuardPrompts."""
    if asked.kind is None:
        return asked.every_kind
    if not row.entry(asked.kind):
        return None
    kind = KINDS.get(plain(row.entry(asked.kind)))
    if kind is None:
        raise UserError(
            f"{row.place}: column '{asked.kind}' holds no kind of question; write one of {', '.join(KINDS)}"
        )
    return kind


def _reasons(table: pd.DataFrame, parameters: EvalParameters, trained_on: Sequence[str]) -> Iterator[str]:
    """Why each question is not asked; empty for one that is."""
    texts = [plain(text) for text in table["text"]]
    trained, seen = {plain(text) for text in trained_on}, set()
    blocks = Comparison(list(table["text"]), trained_on).near(parameters.near_duplicate)
    near = {place for block in blocks for place in block.ours.tolist()}
    columns = zip(texts, table["lang"], table["kind"], table["category"], strict=True)
    for place, (text, lang, kind, category) in enumerate(columns):
        found = {
            OTHER_LANGUAGE: lang not in parameters.languages,
            NO_KIND: pd.isna(kind),
            RESTRICTED_CATEGORY: category in RESTRICTED,
            REPEATED: (text, lang) in seen,
            EQUAL: text in trained,
            NEAR: place in near,
        }
        seen.add((text, lang))
        yield next((reason for reason in REASONS if found[reason]), "")


def set_rows(answers: pd.DataFrame, parameters: EvalParameters) -> list[Row]:
    """One row a (set, model, language) of the answers to the sets' questions, each in the order of the parameters."""
    groups = dict(list(answers.groupby(["set", "model", "lang"])))
    return [
        {
            "set": name,
            "model": model,
            "language": lang,
            **{metric.name: metric.number(groups[name, model, lang], parameters.eval) for metric in COUNTED},
        }
        for name in parameters.eval.sets
        for model in answers["model"].unique()
        for lang in parameters.languages
        if (name, model, lang) in groups
    ]


def set_accounts(accounts: Accounts, answers: pd.DataFrame, parameters: EvalParameters) -> Accounts:
    """``accounts``, each with every model's averages over the set's languages."""
    rows = set_rows(answers, parameters)
    return {
        name: {**account, "models": _averages([row for row in rows if row["set"] == name])}
        for name, account in accounts.items()
    }


def _averages(rows: list[Row]) -> dict[str, Row]:
    return {str(model): _average(group) for model, group in pd.DataFrame(rows).groupby("model", sort=False)}


def _average(rows: pd.DataFrame) -> Row:
    """Attacks are averaged over the languages in which the set has a harmful question."""
    attacked = rows[rows["n"] > 0]
    return {
        metric.name: metric.average(attacked if metric.over is harmful_questions else rows, metric.name)
        for metric in COUNTED
        if metric.average
    }
