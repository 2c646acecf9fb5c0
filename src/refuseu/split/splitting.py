"""Splits the labelled pairs into train, dev and test without contamination, and mixes the training pairs of every config."""

import random
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping
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
from refuseu.tables.losses import complete_groups, complied
from refuseu.text.near_duplicates import Comparison
from refuseu.text.normal import plain

HELD_OUT = {"held_out": "behavior_id", "held_out_frame": "frame_id"}
"""Column that says whether train has not seen the value of another column, and that column."""
HELD_OUT_OF_TRAINING = "behavior or frame held out of training"
NOT_ACCEPTED = "pair not accepted"
"""Why a row is in no part."""


def split_up(
    labelled: pd.DataFrame,
    parameters: SplitParameters,
    where_lost: Callable[[], str] = str,
    found: Collection[str] = frozenset(),
) -> tuple[dict[str, pd.DataFrame], dict[str, Any]]:
    """Split the questions: test and dev by the question alone, and train takes the accepted pairs of the other groups.

    Test and dev take complete question groups that no search found; a question that was written in its language is complete by
    itself. Cells that hold fewer groups than test takes are said on stderr before the draw.

    Args:
        labelled: the questions that the stage ``label`` kept (``schemas.LABELLED``; the answers are not needed).
        parameters: languages, categories, styles, the sizes of the parts and the similarity of near-duplicates; the seed decides
            every draw.
        where_lost: says what earlier stages rejected, for the error about too few groups.
        found: ids of the groups that a search kept for the target's answer, which train alone takes.

    Returns:
        The rows of each part, and the account of the split, in which ``mixes`` is still empty.

    Raises:
        UserError: when train or test is empty, or a part shares a question with train.
    """
    settings, native, languages = parameters.split, parameters.translator.native, parameters.languages
    with_harmful = labelled[labelled["group_id"].isin(labelled.loc[labelled["kind"] == Kind.HARMFUL, "group_id"])]
    complete = set((with_harmful if native else complete_groups(with_harmful, languages))["group_id"])
    testable = complete.difference(found)
    groups = merge_near_duplicates(with_harmful, settings.near_duplicate, native, testable)
    candidates = [group for group in groups if group.testable]
    scarce = scarce_cells(candidates, parameters)
    tell_scarce(scarce, parameters)
    part_of = assign_stratified(groups, settings, parameters.seed)
    parts = parts_of(with_harmful, part_of, languages, parameters.seed)
    in_train = with_harmful[with_harmful["group_id"].map(part_of) == "train"]
    there = f"{'questions' if native else 'question groups in every language'}: {len(candidates)}"
    accepted_in = harmful_by_language({"train": in_train[in_train["accepted"]]}, languages)
    none_in = [lang for lang in languages if not accepted_in[lang]["train"]]
    assert_filled(parts, there + (f"; without an accepted pair: {', '.join(none_in)}" if none_in else ""), where_lost)
    accepted = int(in_train["accepted"].sum())
    rejected = {
        "no harmful question in its group": len(labelled) - len(with_harmful),
        HELD_OUT_OF_TRAINING: len(parts["spare"]),
        NOT_ACCEPTED: len(in_train) - accepted,
        "more than the language with the fewest has": accepted - len(parts["train"]),
    }
    ids = [len(group.group_ids) for group in groups]
    merged = sum(count for count in ids if count > 1)
    account = summary(parts, len(labelled), rejected, sum(ids), settings.near_duplicate, merged)
    assert_clean(account["contamination"])
    left = {
        "questions": labelled,
        "complete": with_harmful[with_harmful["group_id"].isin(complete)],
        "testable": with_harmful[with_harmful["group_id"].isin(testable)],
        **{name: parts[name] for name in ("test", "dev")},
        "held_out": parts["spare"],
        "for_training": in_train,
        "accepted": in_train[in_train["accepted"]],
        "train": parts["train"],
    }
    return parts, {
        **account,
        "by_language": harmful_by_language(left, languages),
        "complied": {name: complied(left[name], languages) for name in ("complete", "testable", "test")},
        "scarce_cells": scarce,
    }


def harmful_by_language(left: Mapping[str, pd.DataFrame], languages: list[str]) -> dict[str, dict[str, int]]:
    """Return for each language how many harmful questions each table of ``left`` holds, by its name."""
    counts = {name: rows.loc[rows["kind"] == Kind.HARMFUL, "lang"].value_counts() for name, rows in left.items()}
    return {lang: {name: int(count.get(lang, 0)) for name, count in counts.items()} for lang in languages}


def parts_of(
    questions: pd.DataFrame, part_by_group: Mapping[str, str], languages: list[str], seed: int
) -> dict[str, pd.DataFrame]:
    """Return the rows of each part, with the columns ``held_out`` and ``held_out_frame``; of train, those that are trained on.

    The columns are true where no question of train, in whatever language, asks for the behavior or stands in the frame, and null
    where that is not known. ``questions`` are rows of ``schemas.LABELLED``.
    """
    part = questions["group_id"].map(part_by_group)
    train = as_many_in_each(questions[(part == "train") & questions["accepted"]], languages, seed)
    marked = questions.assign(
        **{column: _unseen(questions[of], train[of]) for column, of in HELD_OUT.items()},
    )
    return {name: marked.loc[train.index] if name == "train" else marked[part == name] for name in PARTS}


def as_many_in_each(train: pd.DataFrame, languages: list[str], seed: int) -> pd.DataFrame:
    """Return as many harmful pairs, and as many benign ones, in every language: as many as the language with the fewest has.

    The paper trains on the same number in every language, so that mixes differ in their languages alone. One order of the groups,
    which the seed draws, decides in all languages, so that these share as many questions as they can.
    """
    order = _drawn_order(train, seed, "train")
    turn = train.assign(turn=train["group_id"].map(order)).sort_values("turn", kind="stable")
    place = turn.groupby(["kind", "lang"]).cumcount()
    counts = pd.crosstab(train["lang"], train["kind"]).reindex(languages, fill_value=0).min()
    return train[(place < turn["kind"].map(counts)).reindex(train.index)]


def _drawn_order(rows: pd.DataFrame, seed: int, purpose: str) -> dict[str, int]:
    """The place of each group of ``rows`` in a random order."""
    groups = sorted(rows["group_id"].unique())
    return {group: place for place, group in enumerate(random.Random(f"{seed}-{purpose}").sample(groups, len(groups)))}


def _unseen(values: "pd.Series[Any]", seen: "pd.Series[Any]") -> "pd.Series[Any]":
    return (~values.isin(seen.dropna())).astype(object).where(values.notna(), None)


def without_unaccepted(batches: Iterable[pd.DataFrame]) -> Iterator[pd.DataFrame]:
    """Take the answers from questions of dev or test whose pair was not accepted: they are asked, and nothing else."""
    for rows in batches:
        yield rows.assign(**{answer: rows[answer].where(rows["accepted"], None) for answer in ("chosen", "rejected")})


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
    """Check that train and test hold harmful questions.

    Raises:
        UserError: for a part that holds none. It says what is ``there``, and ``where_lost``, or that the search found too little.
    """
    for name in ("train", "test"):
        if not (parts[name]["kind"] == Kind.HARMFUL).any():
            more = (
                where_lost()
                or "raise rainbow-teaming.reserved_per_cell (for test), elites_per_cell or iterations (of a generator, "
                "questions_per_slot)"
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
        "held_out_questions": _count(harmful["held_out"]),
        "held_out_frame_questions": _count(harmful["held_out_frame"]),
        "held_out_both_questions": _count(harmful["held_out"] & harmful["held_out_frame"]),
        "cells": int(harmful.groupby(["category", "style"]).ngroups),
        "by_category": harmful["category"].value_counts().sort_index().to_dict(),
        "by_style": harmful["style"].value_counts().sort_index().to_dict(),
    }


def _count(flags: "pd.Series[Any]") -> int | None:
    """How many are true, or ``None`` where none is known."""
    return int(flags.sum()) if flags.notna().any() else None


def mix(train: pd.DataFrame, languages: list[str], benign_share: float, seed: int) -> pd.DataFrame:
    """Return the DPO pairs of a config.

    All harmful pairs of its languages are used. Benign twins are drawn so that they are ``benign_share`` (0-1) of the pairs of
    each language, as far as possible of the same groups in all. Where the search wrote no twins, the mix has none, whatever the
    share.

    Raises:
        UserError: when train holds fewer twins in a language than the share needs.
    """
    harmful = train["kind"] == Kind.HARMFUL
    twins, order = train[~harmful], _drawn_order(train[~harmful], seed, "benign")
    drawn: list[int] = []
    for lang, count in train.loc[harmful & train["lang"].isin(languages), "lang"].value_counts().sort_index().items():
        of_lang = twins[twins["lang"] == lang]
        wanted = round(count * benign_share / (1 - benign_share)) if len(twins) else 0
        if wanted > len(of_lang):
            raise UserError(
                f"train.benign_share: a share of {benign_share:g} needs {wanted} questions with a benign twin in {lang}, "
                f"train has {len(of_lang)}; lower it"
            )
        drawn.extend(of_lang["group_id"].map(order).sort_values().index[:wanted])
    chosen = train["lang"].isin(languages) & (harmful | train.index.isin(drawn))
    return train[chosen].rename(columns={"text": "prompt"})


def dev_pairs(dev: pd.DataFrame, wanted: bool) -> pd.DataFrame:
    """Return the accepted pairs of dev that every training is evaluated on, in all languages; none where they are not wanted.

    A training depends on them, and must not run again for a row of dev that it does not read.
    """
    return dev[dev["accepted"] & wanted].rename(columns={"text": "prompt"})


def mixes(train: pd.DataFrame, config: Train, languages: list[str], seed: int) -> Iterator[tuple[str, pd.DataFrame]]:
    """Yield every mix with its name."""
    for name in config.mixes:
        yield name, mix(train, config.languages_of(name, languages), config.benign_share_of(name), seed)
