"""Splits the labelled pairs into train, dev and test without contamination, and mixes the training pairs of every config."""

import random
from collections.abc import Callable, Iterator
from dataclasses import asdict, dataclass
from typing import Any

import pandas as pd

from refuseu.core.errors import UserError
from refuseu.experiment import Kind
from refuseu.mixes import Train
from refuseu.split.assignment import (
    PARTS,
    WRITTEN,
    assign_stratified,
    merge_near_duplicates,
)
from refuseu.split.scarce import scarce_cells, tell_scarce
from refuseu.split.settings import SplitParameters
from refuseu.tables.losses import complete_groups
from refuseu.text.near_duplicates import Comparison
from refuseu.text.normal import plain

HELD_OUT = {"held_out": "behavior_id", "held_out_frame": "frame_id"}
"""Column that says whether train has not seen the value of another column, and that column."""


def split_up(
    labelled: pd.DataFrame, parameters: SplitParameters, where_lost: Callable[[], str] = str
) -> tuple[dict[str, pd.DataFrame], dict[str, Any]]:
    """Split the pairs of all complete question groups; a question that was written in its language is complete by itself.

    Cells that hold fewer groups than test takes are said on stderr before the draw.

    Args:
        labelled: the pairs that the stage ``label`` kept (``schemas.PAIR``; the answers are not needed).
        parameters: languages, categories, styles, the sizes of the parts and the similarity of near-duplicates; the seed decides
            every draw.
        where_lost: says what earlier stages rejected, for the error about too few groups.

    Returns:
        The rows of each part, and the account of the split, in which ``mixes`` is still empty.

    Raises:
        UserError: when train or test is empty, or a part shares a question with train.
    """
    settings, native = parameters.split, parameters.translator.native
    whole = labelled if native else complete_groups(labelled, parameters.languages)
    groups = merge_near_duplicates(whole, settings.near_duplicate, native)
    scarce = scarce_cells(groups, parameters)
    tell_scarce(scarce, parameters)
    parts = parts_of(whole, assign_stratified(groups, settings, parameters.seed))
    there = "questions" if native else "question groups in every language"
    assert_filled(parts, f"{there}: {len(groups)}", where_lost)
    rejected = {
        "group not complete in every language": len(labelled) - len(whole),
        "behavior held out of training": len(parts["spare"]),
    }
    ids = [len(group.group_ids) for group in groups]
    merged = sum(count for count in ids if count > 1)
    account = summary(parts, len(labelled), rejected, sum(ids), settings.near_duplicate, merged)
    assert_clean(account["contamination"])
    return parts, {**account, "scarce_cells": scarce}


def parts_of(pairs: pd.DataFrame, part_by_group: dict[str, str]) -> dict[str, pd.DataFrame]:
    """Return the rows of each part, with the columns ``held_out`` and ``held_out_frame``.

    They are true where no question of train asks for the behavior, or stands in the frame, and null where that is not known.
    """
    part = pairs["group_id"].map(part_by_group)
    train = pairs[part == "train"]
    marked = pairs.assign(
        **{column: _unseen(pairs[of], train[of]) for column, of in HELD_OUT.items()},
    )
    return {name: marked[part == name] for name in PARTS}


def _unseen(values: "pd.Series[Any]", seen: "pd.Series[Any]") -> "pd.Series[Any]":
    return (~values.isin(seen.dropna())).astype(object).where(values.notna(), None)


@dataclass(frozen=True)
class Contamination:
    """What two parts share in one language."""

    exact: int
    """Questions of the one part that the other part holds too, whatever their case and white space."""
    near: int
    """Pairs of questions, one of each part, whose similarity reaches the threshold."""
    highest: float
    """Highest Jaccard similarity (0-1) of such a pair."""


def contamination(train: pd.DataFrame, test: pd.DataFrame, threshold: float) -> dict[str, Contamination]:
    """Return what ``test`` shares with ``train``, by language; ``threshold`` (0-1) is the similarity of near-duplicates."""
    result = {}
    for lang in sorted(test["lang"].unique()):
        ours, theirs = (list(part.loc[part["lang"] == lang, "text"]) for part in (train, test))
        comparison = Comparison(ours, theirs)
        result[lang] = Contamination(
            exact=len({plain(text) for text in theirs} & {plain(text) for text in ours}),
            near=sum(len(near.similarity) for near in comparison.near(threshold)),
            highest=comparison.highest(),
        )
    return result


def assert_filled(parts: dict[str, pd.DataFrame], there: str, where_lost: Callable[[], str]) -> None:
    """Check that train and test hold rows.

    Raises:
        UserError: for a part that is empty. It says what is ``there``, and ``where_lost``, or that the search found too little.
    """
    for name in ("train", "test"):
        if parts[name].empty:
            more = (
                where_lost()
                or "raise rainbow-teaming.elites_per_cell or iterations (of a generator, questions_per_slot)"
            )
            raise UserError(
                f"split: no question is left for {name} ({there}); {more}, or lower split.test_per_cell, dev_per_category "
                "and held-out behaviors"
            )


def assert_clean(shared: dict[str, dict[str, dict[str, float]]]) -> None:
    """Check that no part shares a question with train.

    Raises:
        UserError: for a part that does, with the language.
    """
    for name, by_language in shared.items():
        for lang, found in by_language.items():
            if found["exact"] or found["near"]:
                raise UserError(
                    f"split: {name} shares {found['exact']:.0f} equal and {found['near']:.0f} near-duplicate questions "
                    f"with train in {lang}, although such groups belong to one part: a fault of the split, please report it"
                )


def summary(
    parts: dict[str, pd.DataFrame],
    rows_in: int,
    rejected: dict[str, int],
    groups: int,
    threshold: float,
    merged: int = 0,
) -> dict[str, Any]:
    """Return the account of the split; the caller fills ``mixes``.

    ``groups`` counts the question groups, ``merged`` those of them that were merged with another, and ``rejected`` the rows in no
    part by their reason. ``threshold`` (0-1) is the similarity of near-duplicates.
    """
    return {
        "rows_in": rows_in,
        "rows_out": sum(len(parts[name]) for name in WRITTEN),
        "rejected": rejected,
        "groups": groups,
        "groups_merged": merged,
        "parts": {name: _part_summary(parts[name]) for name in WRITTEN},
        "contamination": {
            name: {lang: asdict(each) for lang, each in contamination(parts["train"], parts[name], threshold).items()}
            for name in ("dev", "test")
        },
        "mixes": {},
    }


def _part_summary(part: pd.DataFrame) -> dict[str, Any]:
    harmful = part[part["kind"] == Kind.HARMFUL].drop_duplicates("question_id")
    return {
        "rows": len(part),
        "questions": len(harmful),
        "held_out_questions": int(harmful["held_out"].sum()) if harmful["held_out"].notna().any() else None,
        "cells": int(harmful.groupby(["category", "style"]).ngroups),
        "by_category": harmful["category"].value_counts().sort_index().to_dict(),
        "by_style": harmful["style"].value_counts().sort_index().to_dict(),
    }


def mix(train: pd.DataFrame, languages: list[str], benign_share: float, seed: int) -> pd.DataFrame:
    """Return the DPO pairs of a config: the same question groups in each of its languages.

    All harmful pairs are used. Benign twins are drawn so that they are ``benign_share`` (0-1) of the pairs. Where the search
    wrote no twins, the mix has none, whatever the share.

    Raises:
        UserError: when train holds fewer twins than the share needs.
    """
    harmful = train["kind"] == Kind.HARMFUL
    twins = sorted(train.loc[~harmful, "group_id"].unique())
    wanted = round(train.loc[harmful, "group_id"].nunique() * benign_share / (1 - benign_share)) if twins else 0
    if wanted > len(twins):
        raise UserError(
            f"train.benign_share: a share of {benign_share:g} needs {wanted} questions with a benign twin, train has "
            f"{len(twins)}; lower it"
        )
    drawn = random.Random(f"{seed}-benign").sample(twins, wanted)
    chosen = train["lang"].isin(languages) & (harmful | train["group_id"].isin(drawn))
    return train[chosen].rename(columns={"text": "prompt"})


def mixes(train: pd.DataFrame, config: Train, languages: list[str], seed: int) -> Iterator[tuple[str, pd.DataFrame]]:
    """Yield the name and the mix of every config."""
    for name in config.configs:
        yield name, mix(train, config.languages_of(name, languages), config.benign_share_of(name), seed)
