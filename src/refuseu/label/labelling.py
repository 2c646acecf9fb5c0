"""The panel's verdicts on the question and both answers of each pair, how the judges agree, and what each filter leaves."""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any

import pandas as pd
import pyarrow as pa

from refuseu.core.progress import Progress
from refuseu.core.schema import QUESTION_AND_LANGUAGE, Schema
from refuseu.experiment import Kind
from refuseu.judges.verdict import Exchange, Harm, Judge, Reply, Verdict
from refuseu.label.protocol import FILTERS, ITEMS, Judged, Votes, sort_out
from refuseu.label.settings import Label
from refuseu.statistics.agreement import coefficients
from refuseu.tables.losses import complied
from refuseu.tables.reading import BATCH
from refuseu.tables.writing import account

HARM, REPLY = (pd.CategoricalDtype([value.value for value in values]) for values in (Harm, Reply))
"""Verdicts as the columns of a table."""


def judge_pairs(pairs: Iterable[pd.DataFrame], rows: int, judges: Mapping[str, Judge]) -> Votes:
    """Return the verdict of each judge on each item of each pair.

    The judges work one after the other, so that no two models need be loaded at once. Each goes through all ``pairs`` again,
    which come in batches and have ``rows`` rows altogether.

    Raises:
        UserError: by a judge's model, when exchanges could not be judged.
    """
    votes: Votes = {item: {} for item in ITEMS}
    with Progress("label", rows * len(ITEMS) * len(judges), "verdict") as progress:
        for name, judge in judges.items():
            said: dict[str, list[pd.DataFrame]] = {item: [] for item in ITEMS}
            for batch in pairs:
                for item in ITEMS:
                    said[item].append(_columns(judge.judge(_exchanges(batch, item))))
                    progress.advance(len(batch))
            for item in ITEMS:
                votes[item][name] = pd.concat(said[item], ignore_index=True)
    return votes


def _exchanges(pairs: pd.DataFrame, item: str) -> list[Exchange]:
    answers = [None] * len(pairs) if item == "question" else list(pairs[item])
    return list(map(Exchange, pairs["lang"], pairs["text"], answers))


def _columns(verdicts: list[Verdict]) -> pd.DataFrame:
    return pd.DataFrame(
        {
            "harm": pd.Categorical([verdict.harm.value for verdict in verdicts], dtype=HARM),
            "reply": pd.Categorical([verdict.reply.value for verdict in verdicts], dtype=REPLY),
            "categories": pd.Series([",".join(verdict.categories) or None for verdict in verdicts], dtype=object),
        }
    )


def verdict_rows(pairs: pd.DataFrame, votes: Votes) -> Iterator[pd.DataFrame]:
    """Yield the rows of ``VERDICT``, those of ``BATCH`` pairs at a time."""
    for start in range(0, len(pairs), BATCH):
        places = slice(start, start + BATCH)
        keys = pairs[["question_id", "lang"]].iloc[places].reset_index(drop=True)
        yield pd.concat(
            [
                keys.assign(item=item, judge=judge).join(said.iloc[places].reset_index(drop=True))
                for item, by_judge in votes.items()
                for judge, said in by_judge.items()
            ],
            ignore_index=True,
        )


def agreement(votes: Votes, protocol: Label) -> dict[str, Any]:
    """Measure how the judges and the adjudicator agree on the same items.

    Returns:
        For each item, raw agreement, Gwet's AC1 and Fleiss' kappa of all voters, Cohen's kappa and the confusion counts where
        there are two judges, and how often each said what (``verdicts``). Shadow judges are counted there too, but enter no
        coefficient.
    """
    values = [harm.value for harm in Harm]
    result: dict[str, Any] = {}
    for item in ITEMS:
        harms = pd.DataFrame({judge: votes[item][judge]["harm"] for judge in sorted(votes[item])})
        two = [harms[name] for name in protocol.judges] if len(protocol.judges) == 2 else []
        everyone = coefficients([list(harms[judge]) for judge in harms if judge in protocol.voters], values)
        result[item] = {
            "raw_agreement": everyone.raw,
            "gwets_ac1": everyone.ac1,
            "cohens_kappa": coefficients([list(own) for own in two], values).kappa,
            "fleiss_kappa": everyone.fleiss_kappa,
            "confusion": _counts(confusion(*two)) if two else {},
            "verdicts": {judge: {harm.value: int((harms[judge] == harm).sum()) for harm in Harm} for judge in harms},
        }
    return result


def _counts(table: pd.DataFrame) -> dict[str, dict[str, int]]:
    return {one: {other: int(n) for other, n in row.items()} for one, row in table.T.to_dict().items()}


def summary(pairs: pd.DataFrame, found: Judged, votes: Votes, protocol: Label, languages: list[str]) -> dict[str, Any]:
    """Return the account of the stage, what each filter leaves, the acceptance, and how the judges agree.

    The account counts questions: a question that is kept is a row out, whatever was answered. ``not_accepted`` counts, by reason,
    the pairs of these questions that are not accepted.
    """
    kept, not_accepted = sort_out(pairs, found)
    without_question = not_accepted[~found.kept[not_accepted.index]]
    others = not_accepted.loc[found.kept[not_accepted.index], "reason"].value_counts().sort_index()
    return {
        **account(len(pairs), kept, without_question, languages),
        "accepted": int(found.accepted.sum()),
        "not_accepted": {str(reason): int(count) for reason, count in others.items()},
        "filters": after_filters(pairs, found, languages),
        "complied": complied(pairs.assign(complied=found.complied), languages),
        **yields(pairs, found.accepted),
        "judges": agreement(votes, protocol),
    }


def after_filters(pairs: pd.DataFrame, found: Judged, languages: list[str]) -> dict[str, dict[str, dict[str, int]]]:
    """Return how many pairs are left, by kind and language: ``asked``, and after each of ``FILTERS`` in turn.

    The last filter leaves the pairs that are ``accepted``, and is called so.
    """
    names = ["asked", *FILTERS[:-1], "accepted"]
    passes = found.passes[list(FILTERS)].cummin(axis=1)
    left = pd.concat([pd.Series(True, index=pairs.index), passes], axis=1).set_axis(names, axis=1)
    return {
        kind.value: {
            lang: {
                name: int(count)
                for name, count in left[(pairs["kind"] == kind) & (pairs["lang"] == lang)].sum().items()
            }
            for lang in languages
        }
        for kind in Kind
    }


def yields(pairs: pd.DataFrame, accepted: "pd.Series[bool]") -> dict[str, Any]:
    """Return the acceptance (percent) of all pairs, and by kind, language and category."""
    rates = {
        f"acceptance_by_{column}": (100 * accepted.groupby(pairs[column]).mean()).to_dict()
        for column in ("kind", "lang", "category")
    }
    return {"acceptance": 100 * float(accepted.mean()), **rates}


def confusion(first: Sequence[str], second: Sequence[str]) -> pd.DataFrame:
    """Count the pairs of verdicts in a square table over all three verdicts."""
    verdicts = [harm.value for harm in Harm]
    table = pd.crosstab(pd.Series(first), pd.Series(second))
    return table.reindex(index=verdicts, columns=verdicts, fill_value=0)


VERDICT = Schema(
    {
        "question_id": pa.string(),
        "lang": pa.string(),
        "item": pa.string(),  # question | chosen | rejected
        "judge": pa.string(),
        "harm": pa.string(),  # a value of Harm
        "reply": pa.string(),  # a value of Reply
        "categories": pa.string(),  # the kinds of harm that the judge names, with commas between them; null where it names none
    },
    (*QUESTION_AND_LANGUAGE, "item", "judge"),
    frozenset({"categories"}),
    {"item": [*ITEMS], "harm": [*Harm], "reply": [*Reply]},
)
