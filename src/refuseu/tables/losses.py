"""What the stages lose on the way from questions to pairs, in words: how much, in which language, and what helps.

A question of a search is used only where every language kept it, so one language that loses most of its rows empties the whole
run. (The questions of a published set and of a generator stand in each language by themselves.)
"""

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import pandas as pd

from refuseu.core.errors import UserError
from refuseu.core.terminal import say
from refuseu.experiment import Kind

HELP = {
    "translate": "let another model play translate.translator in the profile",
    "respond": "raise max_new_tokens of respond.refuser and respond.rejected in the profile, or let other models play them",
    "label": "have fewer judges agree (label.question, chosen and rejected in params.yaml), or name others (label.judges)",
}
"""The stages that reject rows, in their order, and what makes each reject fewer."""
HELP_FOR = {
    "back-translation differs": "lower translate.min_chrf in the profile",
    "empty answer": HELP["respond"],
    "restricted category": "take S4 and S12 out of categories in params.yaml, since no model answers their questions",
    "wrong language": "let models that know this language write (rainbow-teaming.mutator, translate.translator, "
    "respond.refuser, respond.rejected)",
}
"""What helps where a stage rejects the most rows for one of these reasons."""

Account = Mapping[str, Any]
"""What ``tables.writing.account`` returns, as the stage wrote it."""


def complete_groups(pairs: pd.DataFrame, languages: Sequence[str]) -> pd.DataFrame:
    """Return the rows of the groups that have a harmful question and have each of their kinds in every language."""
    groups = pairs.groupby("group_id").agg(rows=("lang", "size"), kinds=("kind", "nunique"))
    whole = groups.index[groups["rows"] == groups["kinds"] * len(languages)]
    with_harmful = pairs.loc[pairs["kind"] == Kind.HARMFUL, "group_id"]
    return pairs[pairs["group_id"].isin(whole) & pairs["group_id"].isin(with_harmful)]


def tell_losses(stage: str, metrics: Path, kept: pd.DataFrame, languages: Sequence[str]) -> None:
    """Say on stderr how many rows a stage rejected, and which language kept the fewest.

    Args:
        stage: one of ``HELP``.
        metrics: its account, which is written; those of the stages before lie beside it.
        kept: the questions that it kept (``schemas.QUESTION``).
        languages: the languages that a question needs.

    Raises:
        UserError: when a language keeps no row, so that it can be neither trained on nor tested.
    """
    account = json.loads(metrics.read_text(encoding="utf-8"))
    if not account["rows_out"] < account["rows_in"]:
        return
    fewest = _fewest(account)
    said = (
        f"{stage}: keeps {account['rows_out']} of {account['rows_in']} rows (rejected: {_reasons(account)}); the fewest in "
        f"{fewest}, {_kept(account, fewest)}{_complete(kept, languages)}"
    )
    if not account["rows_out_by_language"][fewest]:
        helps = where_lost(metrics.parent, len(kept), stage) or _help(stage, account)
        raise UserError(
            f"{said}; {helps}, or take {fewest} out of languages in params.yaml; "
            f"data/{stage}/rejected.parquet says why row by row"
        )
    say(said, err=True)


def tell_accepted(metrics: Path) -> None:
    """Say on stderr how many pairs the stage label accepted to train on, and which language has the fewest harmful ones.

    Args:
        metrics: the account of the stage, which is written.

    Raises:
        UserError: when a language has no harmful one. Train has as many in every language, so no model could be trained.
    """
    account = json.loads(metrics.read_text(encoding="utf-8"))
    harmful: Mapping[str, Mapping[str, int]] = account["filters"][Kind.HARMFUL]
    fewest = min(harmful, key=lambda lang: harmful[lang]["accepted"])
    why = f" (of the others: {_counted(account['not_accepted'])})" if account["not_accepted"] else ""
    said = (
        f"label: accepts {account['accepted']} of {account['rows_out']} pairs to train on{why}; the fewest harmful ones in "
        f"{fewest}, {harmful[fewest]['accepted']} of {harmful[fewest]['language']}"
    )
    if not harmful[fewest]["accepted"]:
        reasons: Mapping[str, int] = account["not_accepted"]
        most = max(reasons, key=lambda reason: reasons[reason], default="")
        helps = HELP_FOR.get(most, f"let a base answer that complies more (respond.rejected), {HELP['label']}")
        raise UserError(
            f"{said}; {helps}, or take {fewest} out of languages in params.yaml; data/label/rejected.parquet says why row by row"
        )
    if account["not_accepted"]:
        say(said, err=True)


def complied(questions: pd.DataFrame, languages: Sequence[str]) -> dict[str, float | None]:
    """Return by language the share (percent) of harmful questions that the un-aligned model answered harmfully, by the panel.

    ``questions`` have the column ``complied`` (``schemas.LABELLED``). A language without harmful questions has none.
    """
    harmful = questions[questions["kind"] == Kind.HARMFUL]
    shares = 100 * harmful.groupby("lang")["complied"].mean()
    return {lang: float(shares[lang]) if lang in shares else None for lang in languages}


def _complete(kept: pd.DataFrame, languages: Sequence[str]) -> str:
    """A clause on the groups in every language; empty where each stands in one alone, as the questions of a generator do."""
    alone = len(languages) > 1 and kept.groupby("group_id")["lang"].nunique().max() == 1
    return (
        ""
        if alone
        else f"; question groups in every language: {complete_groups(kept, languages)['group_id'].nunique()}"
    )


def where_lost(metrics: Path, rows: int, last: str = "label") -> str:
    """Say which language has the fewest rows, which stage rejected most of them, and what helps.

    Args:
        metrics: the folder with the accounts of the stages.
        rows: the rows that the stage ``last`` kept; accounts of another run say nothing of them.

    Returns:
        The sentence, or an empty text where no stage rejected a row of this language, or the accounts are not there.
    """
    stages = list(HELP)[: list(HELP).index(last) + 1]
    try:
        accounts = {stage: json.loads((metrics / f"{stage}.json").read_text(encoding="utf-8")) for stage in stages}
        went_in = [accounts[stage]["rows_in"] for stage in stages]
        if [accounts[stage]["rows_out"] for stage in stages] != [*went_in[1:], rows]:
            return ""
        lang = _fewest(accounts[last])
        stage = max(stages, key=lambda name: accounts[name]["rejected_by_language"][lang])
        if not accounts[stage]["rejected_by_language"][lang]:
            return ""
        return (
            f"the language with the fewest rows is {lang}, and of its rows {stage} kept {_kept(accounts[stage], lang)} "
            f"(rejected in all languages: {_reasons(accounts[stage])}); {_help(stage, accounts[stage])}"
        )
    except (OSError, ValueError, LookupError, TypeError):
        return ""


def _help(stage: str, account: Account) -> str:
    rejected: Mapping[str, int] = account["rejected"]
    return HELP_FOR.get(max(rejected, key=lambda reason: rejected[reason]), HELP[stage])


def _fewest(account: Account) -> str:
    """The language that kept the fewest rows."""
    kept: Mapping[str, int] = account["rows_out_by_language"]
    return min(kept, key=lambda lang: kept[lang])


def _kept(account: Account, lang: str) -> str:
    kept: int = account["rows_out_by_language"][lang]
    return f"{kept} of {kept + account['rejected_by_language'][lang]}"


def _reasons(account: Account) -> str:
    return _counted(account["rejected"])


def _counted(reasons: Mapping[str, int]) -> str:
    return ", ".join(f"{count} {reason}" for reason, count in reasons.items())
