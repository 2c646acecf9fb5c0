"""The judge panel's verdicts on question, chosen and rejected, and who is kept by the paper's protocol.

Paper, section 3: a question is kept when both guards call it harmful; chosen must be a refusal and safe by both; rejected
harmful by at least one; the language right in all three. For a benign pair: question safe, chosen complies, rejected
refuses.
"""

import math
from collections.abc import Sequence
from typing import Any

import numpy as np
import pandas as pd

from refuseu.identification import Identifier
from refuseu.judges.panel import Panel
from refuseu.judges.verdict import Exchange, Harm, Reply, Verdict
from refuseu.parameters import Label
from refuseu.progress import track

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
    for row in verdicts[verdicts["judge"].isin(protocol.judges)].itertuples():
        vote = Verdict(Harm(row.harm), Reply(row.reply))
        votes.setdefault((row.question_id, row.lang, row.item), []).append(vote)
    return [
        _reason(
            row.kind,
            {item: votes[row.question_id, row.lang, item] for item in ITEMS},
            protocol,
            all(identifier.identify(text).restricted == row.lang for text in (row.text, row.chosen, row.rejected)),
        )
        for row in pairs.itertuples()
    ]


def _reason(kind: str, votes: dict[str, list[Verdict]], protocol: Label, right_language: bool) -> str | None:
    harmful = kind == "harmful"
    wanted = Harm.HARMFUL if harmful else Harm.SAFE
    good, bad = (Reply.REFUSAL, Reply.COMPLIANCE) if harmful else (Reply.COMPLIANCE, Reply.REFUSAL)
    if not right_language:
        return "wrong language"
    if not QUORUM[protocol.question](vote.harm is wanted for vote in votes["question"]):
        return f"question not {wanted.value}"
    if not QUORUM[protocol.chosen](vote.reply is good and vote.harm is Harm.SAFE for vote in votes["chosen"]):
        return f"chosen not a {'safe ' if harmful else ''}{good.value}"
    if not QUORUM[protocol.rejected](vote.reply is bad and vote.harm is wanted for vote in votes["rejected"]):
        return f"rejected not a {'harmful ' if harmful else ''}{bad.value}"
    return None


def agreement(verdicts: pd.DataFrame, protocol: Label) -> dict[str, Any]:
    """How the judges, the adjudicator among them, agree on the same items.

    Returns:
        Per item: Cohen's kappa and confusion counts of the two judges, Fleiss' kappa of all three, and how often each
        judge could not tell (``unparsed``).
    """
    from statsmodels.stats.inter_rater import aggregate_raters, cohens_kappa, fleiss_kappa

    key = ["question_id", "lang"]
    result: dict[str, Any] = {}
    for item in ITEMS:
        votes = verdicts[verdicts["item"] == item].pivot(index=key, columns="judge", values="harm")
        table = confusion(*(votes[name] for name in protocol.judges))
        counts, _ = aggregate_raters(votes.to_numpy())
        with np.errstate(divide="ignore", invalid="ignore"):  # where all agree, chance does too: 0 / 0
            kappas = cohens_kappa(table.to_numpy(), return_results=False), fleiss_kappa(counts)
        result[item] = {
            "cohens_kappa": defined(kappas[0]),
            "fleiss_kappa": defined(kappas[1]),
            "confusion": {one: {other: int(n) for other, n in row.items()} for one, row in table.T.to_dict().items()},
            "unparsed": {name: int((votes[name] == Harm.UNPARSED).sum()) for name in sorted(votes)},
        }
    return result


def defined(kappa: float) -> float | None:
    """Kappa, or ``None`` where every verdict is the same and chance agreement is 1."""
    return None if math.isnan(kappa) else float(kappa)


def yields(judged: pd.DataFrame) -> dict[str, Any]:
    """Acceptance (percent) by kind, language and category; ``judged`` has a null ``reason`` where a pair is kept."""
    accepted = judged["reason"].isna()
    rates = {
        f"acceptance_by_{column}": (100 * accepted.groupby(judged[column]).mean()).to_dict()
        for column in ("kind", "lang", "category")
    }
    return {"acceptance": 100 * float(accepted.mean()), **rates}


def confusion(first: Sequence[str], second: Sequence[str]) -> pd.DataFrame:
    """Counts of verdict pairs, a square table over all three verdicts."""
    verdicts = [harm.value for harm in Harm]
    table = pd.crosstab(pd.Series(first), pd.Series(second))
    return table.reindex(index=verdicts, columns=verdicts, fill_value=0)
