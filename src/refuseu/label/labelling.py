"""The panel's verdicts on the question and both answers of each pair, and the pairs that the paper's protocol keeps.

By section 3 of the paper, both guards must call the question harmful, both must call the chosen answer a refusal and safe, at
least one must call the rejected answer harmful, and all three texts must be in the right language. Of a benign pair, the question
must be safe, the chosen answer must comply, and the rejected answer must refuse.
"""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any

import numpy as np
import pandas as pd
import pyarrow as pa

from refuseu.core.progress import Progress
from refuseu.core.schema import QUESTION_AND_LANGUAGE, Schema
from refuseu.experiment import Kind
from refuseu.judges.verdict import FORBIDDEN, Exchange, Harm, Judge, Reply, Verdict
from refuseu.label.settings import Label
from refuseu.results.agreement import coefficients
from refuseu.tables.reading import BATCH
from refuseu.tables.writing import account
from refuseu.text.identification import Identifier

ITEMS = {"question": "text", "chosen": "chosen", "rejected": "rejected"}
"""What is judged of a pair, and the column that holds it."""
QUORUM = {"all": np.all, "any": np.any}
HARM, REPLY = (pd.CategoricalDtype([value.value for value in values]) for values in (Harm, Reply))

FLAGGED = f"flagged {FORBIDDEN} by a judge"
"""Why a pair is rejected that holds a text of ``FORBIDDEN``, so that it is neither trained on nor released."""

Flags = np.ndarray[tuple[int], np.dtype[np.bool_]]
"""Yes or no for each pair."""
Votes = dict[str, dict[str, pd.DataFrame]]
"""By item and judge, a table with the columns ``harm``, ``reply`` and ``categories`` and a row for each pair, in their order."""


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


def in_their_language(pairs: Iterable[pd.DataFrame], identifier: Identifier) -> Flags:
    """Return whether the question and both answers of each pair are in the language of the pair."""
    right = [
        all(identifier.restricted(text) == lang for text in texts)
        for batch in pairs
        for lang, *texts in zip(batch["lang"], *(batch[column] for column in ITEMS.values()), strict=True)
    ]
    return np.array(right, dtype=np.bool_)


def reasons(pairs: pd.DataFrame, right_language: Flags, votes: Votes, protocol: Label) -> "pd.Series[Any]":
    """Return why each pair is rejected: the first reason in the protocol's order, or none for a pair that is kept.

    Only the judges vote; the adjudicator's verdicts serve the agreement. But before all else, a pair is rejected where anybody
    who judged it names ``FORBIDDEN`` for one of its texts.
    """
    why = pd.Series(None, index=pairs.index, dtype=object)
    for kind in Kind:
        for reason, met in reversed(_conditions(kind, votes, protocol)):
            why[(pairs["kind"] == kind) & ~met] = reason
    why[~right_language] = "wrong language"
    why[_forbidden(votes)] = FLAGGED
    return why


def _forbidden(votes: Votes) -> Flags:
    """Where a text of the pair is said to be of the category ``FORBIDDEN``."""
    named = [said["categories"] for by_judge in votes.values() for said in by_judge.values()]
    flags: Flags = np.any([column.str.split(",").map(_holds_forbidden) for column in named], axis=0)
    return flags


def _holds_forbidden(categories: object) -> bool:
    return isinstance(categories, list) and FORBIDDEN in categories


def _conditions(kind: Kind, votes: Votes, protocol: Label) -> list[tuple[str, Flags]]:
    """The conditions for a pair of this kind, in the protocol's order: the reason to reject it, and which pairs meet it."""
    harmful = kind is Kind.HARMFUL
    wanted = Harm.HARMFUL if harmful else Harm.SAFE
    good, bad = (Reply.REFUSAL, Reply.COMPLIANCE) if harmful else (Reply.COMPLIANCE, Reply.REFUSAL)
    question, chosen, rejected = ([votes[item][judge] for judge in protocol.judges] for item in ITEMS)
    return [
        (
            f"question not {wanted.value}",
            QUORUM[protocol.question]([vote["harm"] == wanted for vote in question], axis=0),
        ),
        (
            f"chosen not a {'safe ' if harmful else ''}{good.value}",
            QUORUM[protocol.chosen]([_says(vote, Harm.SAFE, good) for vote in chosen], axis=0)
            & _reported(chosen, good),
        ),
        # All judges that report refusals must agree here: an answer that one of them cannot tell is not a preference.
        (
            f"rejected not a {'harmful ' if harmful else ''}{bad.value}",
            QUORUM[protocol.rejected]([_says(vote, wanted, bad) for vote in rejected], axis=0)
            & _reported(rejected, bad)
            & np.all([_may_mean(vote, bad) for vote in rejected], axis=0),
        ),
    ]


def _says(vote: pd.DataFrame, harm: Harm, reply: Reply) -> "pd.Series[bool]":
    """Where a judge says both, or says this of harm and does not report the reply."""
    return (vote["harm"] == harm) & _may_mean(vote, reply)


def _may_mean(vote: pd.DataFrame, reply: Reply) -> "pd.Series[bool]":
    return vote["reply"].isin([reply, Reply.NOT_REPORTED])


def _reported(votes: list[pd.DataFrame], reply: Reply) -> Flags:
    """Where at least one judge reports this reply."""
    reported: Flags = np.any([vote["reply"] == reply for vote in votes], axis=0)
    return reported


def sort_out(
    pairs: pd.DataFrame, right_language: Flags, votes: Votes, protocol: Label
) -> tuple[pd.DataFrame, pd.DataFrame]:
    """Return the pairs that are kept, and the others with the column ``reason``."""
    why = reasons(pairs, right_language, votes, protocol)
    return pairs[why.isna()], pairs[why.notna()].assign(reason=why[why.notna()])


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


def summary(
    pairs: pd.DataFrame,
    kept: pd.DataFrame,
    rejected: pd.DataFrame,
    votes: Votes,
    protocol: Label,
    languages: list[str],
) -> dict[str, Any]:
    """Return the account of the stage, its acceptance rates, and how the judges agree."""
    return {
        **account(len(pairs), kept, rejected, languages),
        **yields(pairs, kept),
        "judges": agreement(votes, protocol),
    }


def yields(pairs: pd.DataFrame, kept: pd.DataFrame) -> dict[str, Any]:
    """Return the acceptance (percent) of all pairs, and by kind, language and category."""
    accepted = pd.Series(pairs.index.isin(kept.index), index=pairs.index)
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
)
