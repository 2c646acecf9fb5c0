"""The judge panel's verdicts on question, chosen and rejected, and who is kept by the paper's protocol.

Paper, section 3: a question is kept when both guards call it harmful; chosen must be a refusal and safe by both; rejected
harmful by at least one; the language right in all three. For a benign pair: question safe, chosen complies, rejected
refuses.
"""

import math
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import pandas as pd

from refuseu.accounting import account
from refuseu.identification import Identifier
from refuseu.judges.panel import Panel
from refuseu.judges.verdict import Exchange, Harm, Reply, Verdict
from refuseu.parameters.label import Label
from refuseu.progress import track
from refuseu.taxonomy import Kind

ITEMS = ("question", "chosen", "rejected")
QUORUM = {"all": all, "any": any}


def judge_pairs(pairs: pd.DataFrame, panel: Panel) -> pd.DataFrame:
    """Every judge's verdict on each item of each pair: rows of ``records.VERDICT``."""
    frames = []
    for item in track(ITEMS, len(ITEMS), "label", "item"):
        answers = [None] * len(pairs) if item == "question" else list(pairs[item])
        exchanges = list(map(Exchange, pairs["lang"], pairs["text"], answers))
        for judge, verdicts in panel.votes(exchanges).items():
            frames.append(
                pairs[["question_id", "lang"]].assign(
                    item=item,
                    judge=judge,
                    harm=[verdict.harm.value for verdict in verdicts],
                    reply=[verdict.reply.value for verdict in verdicts],
                )
            )
    return pd.concat(frames, ignore_index=True)


def reasons(pairs: pd.DataFrame, verdicts: pd.DataFrame, protocol: Label, identifier: Identifier) -> list[str | None]:
    """Why each pair is rejected, the first reason in the protocol's order; ``None`` for a pair that is kept.

    Only the protocol's judges vote; the adjudicator's verdicts are there for agreement.
    """
    votes: dict[tuple[str, str, str], list[Verdict]] = {}
    for row in verdicts[verdicts["judge"].isin(list(protocol.judges))].itertuples():
        vote = Verdict(Harm(row.harm), Reply(row.reply))
        votes.setdefault((row.question_id, row.lang, row.item), []).append(vote)
    return [
        _reason(
            Kind(row.kind),
            {item: votes[row.question_id, row.lang, item] for item in ITEMS},
            protocol,
            all(identifier.identify(text).restricted == row.lang for text in (row.text, row.chosen, row.rejected)),
        )
        for row in pairs.itertuples()
    ]


def _reason(kind: Kind, votes: dict[str, list[Verdict]], protocol: Label, right_language: bool) -> str | None:
    harmful = kind is Kind.HARMFUL
    wanted = Harm.HARMFUL if harmful else Harm.SAFE
    good, bad = (Reply.REFUSAL, Reply.COMPLIANCE) if harmful else (Reply.COMPLIANCE, Reply.REFUSAL)
    if not right_language:
        return "wrong language"
    if not QUORUM[protocol.question](vote.harm is wanted for vote in votes["question"]):
        return f"question not {wanted.value}"
    chosen, rejected = QUORUM[protocol.chosen], QUORUM[protocol.rejected]
    if not (chosen(map(_says(Harm.SAFE, good), votes["chosen"])) and good in _told(votes["chosen"])):
        return f"chosen not a {'safe ' if harmful else ''}{good.value}"
    # Who tells replies must agree here: an answer that one of them takes for junk, or for both, is not a preference.
    if not (rejected(map(_says(wanted, bad), votes["rejected"])) and _told(votes["rejected"]) == {bad}):
        return f"rejected not a {'harmful ' if harmful else ''}{bad.value}"
    return None


def sort_out(
    pairs: pd.DataFrame, verdicts: pd.DataFrame, protocol: Label, identifier: Identifier
) -> tuple[pd.DataFrame, pd.DataFrame]:
    """The pairs that are kept, and the others with the column ``reason``."""
    why = pd.Series(reasons(pairs, verdicts, protocol, identifier), index=pairs.index, dtype=object)
    return pairs[why.isna()], pairs[why.notna()].assign(reason=why[why.notna()])


def _says(harm: Harm, reply: Reply) -> Callable[[Verdict], bool]:
    """Whether a verdict is this one, as far as its judge tells replies."""
    return lambda vote: vote.harm is harm and vote.reply in (reply, Reply.UNTOLD)


def _told(votes: list[Verdict]) -> set[Reply]:
    """What the judges that tell replies say; empty where none does, and then no pair can be kept."""
    return {vote.reply for vote in votes} - {Reply.UNTOLD}


def agreement(verdicts: pd.DataFrame, protocol: Label) -> dict[str, Any]:
    """How the judges, the adjudicator among them, agree on the same items.

    Returns:
        Per item: Fleiss' kappa of all, where the panel is two judges their Cohen's kappa and confusion counts, and how often
        each said what (``verdicts``); other readings of a judge are counted there, but are nobody to agree with.
    """
    from statsmodels.stats.inter_rater import aggregate_raters, cohens_kappa, fleiss_kappa

    key = ["question_id", "lang"]
    result: dict[str, Any] = {}
    for item in ITEMS:
        votes = verdicts[verdicts["item"] == item].pivot(index=key, columns="judge", values="harm")
        two = [votes[name] for name in protocol.judges] if len(protocol.judges) == 2 else []
        voters = [name for name in votes if name in (*protocol.judges, protocol.adjudicator.kind)]
        counts, _ = aggregate_raters(votes[voters].to_numpy())
        with np.errstate(divide="ignore", invalid="ignore"):  # where all agree, chance does too: 0 / 0
            cohen = cohens_kappa(confusion(*two).to_numpy(), return_results=False) if two else math.nan
            fleiss = fleiss_kappa(counts)
        result[item] = {
            "cohens_kappa": defined(cohen),
            "fleiss_kappa": defined(fleiss),
            "confusion": _counts(confusion(*two)) if two else {},
            "verdicts": {
                name: {harm.value: int((votes[name] == harm).sum()) for harm in Harm} for name in sorted(votes)
            },
        }
    return result


def _counts(table: pd.DataFrame) -> dict[str, dict[str, int]]:
    return {one: {other: int(n) for other, n in row.items()} for one, row in table.T.to_dict().items()}


def defined(kappa: float) -> float | None:
    """Kappa, or ``None`` where every verdict is the same and chance agreement is 1."""
    return None if math.isnan(kappa) else float(kappa)


def summary(
    pairs: pd.DataFrame,
    kept: pd.DataFrame,
    rejected: pd.DataFrame,
    verdicts: pd.DataFrame,
    protocol: Label,
    languages: list[str],
) -> dict[str, Any]:
    """The account of the stage, its acceptance, and how the judges agree."""
    return {
        **account(len(pairs), kept, rejected, languages),
        **yields(pairs, kept),
        "judges": agreement(verdicts, protocol),
    }


def yields(pairs: pd.DataFrame, kept: pd.DataFrame) -> dict[str, Any]:
    """Acceptance (percent) of all pairs, and by kind, language and category."""
    accepted = pd.Series(pairs.index.isin(kept.index), index=pairs.index)
    rates = {
        f"acceptance_by_{column}": (100 * accepted.groupby(pairs[column]).mean()).to_dict()
        for column in ("kind", "lang", "category")
    }
    return {"acceptance": 100 * float(accepted.mean()), **rates}


def confusion(first: Sequence[str], second: Sequence[str]) -> pd.DataFrame:
    """Counts of verdict pairs, a square table over all three verdicts."""
    verdicts = [harm.value for harm in Harm]
    table = pd.crosstab(pd.Series(first), pd.Series(second))
    return table.reindex(index=verdicts, columns=verdicts, fill_value=0)
