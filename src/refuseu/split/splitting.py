"""Train, dev and test without contamination, and the DPO mix of every config.

A group is a harmful question with its benign twin in all languages; near-duplicate groups are glued together. A whole group
goes to one side. The test part is stratified by cell (category x style); some behaviors are kept out of training altogether,
so that seen and held-out behaviors can be told apart. Groups of a published set may stay on the assignment that it has them on.
"""

import random
from collections import Counter
from collections.abc import Callable, Hashable, Iterator, Mapping
from dataclasses import asdict, dataclass
from functools import cached_property
from typing import Any

import pandas as pd

from refuseu.core.errors import UserError
from refuseu.experiment import PIVOT, Kind
from refuseu.mixes import Train
from refuseu.split.settings import Split
from refuseu.text.near_duplicates import Comparison, clusters
from refuseu.text.normal import plain

WRITTEN = ("train", "dev", "test")
"""The parts that are handed on."""
PARTS = (*WRITTEN, "spare")
"""``spare`` rows belong to asks that are kept out of training and were not needed for dev or test."""


@dataclass(frozen=True)
class QuestionGroup:
    """Glued questions: what must stay on one side."""

    group_ids: tuple[str, ...]
    cells: tuple[tuple[str, str], ...]
    """Category and style of each; the first is the cell that the group counts for."""
    behavior_ids: tuple[str | None, ...]
    """What each asks for, where that is known."""

    @cached_property
    def behaviors(self) -> frozenset[str]:
        """What is asked for, as far as it is known."""
        return frozenset(behavior for behavior in self.behavior_ids if behavior is not None)


def split_up(
    labelled: pd.DataFrame,
    languages: list[str],
    settings: Split,
    seed: int,
    assignment: Mapping[str, str] | None = None,
) -> tuple[dict[str, pd.DataFrame], dict[str, Any]]:
    """The rows of each part, and the account of the split; ``mixes`` is left empty there.

    Groups are drawn for each part, or stay on their ``assignment`` (group id to train or test). Then near-duplicates across these
    are told in the account and stay.

    Raises:
        UserError: when a part that is needed holds nothing, one that is drawn shares a question with train, or a group has no
            side.
    """
    whole = complete_groups(labelled, languages)
    groups = glue(whole, settings.near_duplicate)
    assigned = (
        assign(groups, settings, seed) if assignment is None else as_published(groups, assignment, settings, seed)
    )
    parts = parts_of(whole, assigned)
    assert_filled(parts)
    account = summary(labelled, whole, parts, groups, settings.near_duplicate)
    shared = account["contamination"]
    assert_clean(shared if assignment is None else {"dev": shared["dev"]})
    return parts, account


def complete_groups(pairs: pd.DataFrame, languages: list[str]) -> pd.DataFrame:
    """The rows of groups that are there in every language, for every kind that they have; the harmful question among them."""
    groups = pairs.groupby("group_id").agg(rows=("lang", "size"), kinds=("kind", "nunique"))
    whole = groups.index[groups["rows"] == groups["kinds"] * len(languages)]
    asked = pairs.loc[pairs["kind"] == Kind.HARMFUL, "group_id"]
    return pairs[pairs["group_id"].isin(whole) & pairs["group_id"].isin(asked)]


def glue(pairs: pd.DataFrame, threshold: float) -> list[QuestionGroup]:
    """Groups in the order of their ids; groups with a near-duplicate question in common, in any language, are merged into one."""
    harmful = pairs.loc[pairs["kind"] == Kind.HARMFUL, ["group_id", "category", "style", "behavior_id"]]
    heads = harmful.drop_duplicates("group_id").sort_values("group_id")
    groups: dict[int, list[Any]] = {}
    for first, head in zip(_glued(pairs, list(heads["group_id"]), threshold), heads.itertuples(), strict=True):
        groups.setdefault(first, []).append(head)
    return [
        QuestionGroup(
            tuple(head.group_id for head in group),
            tuple((head.category, head.style) for head in group),
            tuple(None if pd.isna(head.behavior_id) else head.behavior_id for head in group),
        )
        for group in groups.values()
    ]


def _glued(pairs: pd.DataFrame, group_ids: list[str], threshold: float) -> list[int]:
    """Of each group, the position of the first one that it is glued to."""
    owners = pairs["group_id"].map({group_id: position for position, group_id in enumerate(group_ids)})

    def edges() -> Iterator[tuple[int, int]]:
        for _, rows in pairs[["lang", "text"]].assign(owner=owners).groupby("lang"):
            texts, owner = list(rows["text"]), rows["owner"].to_numpy()
            for near in Comparison(texts, texts).near(threshold):
                yield from zip(owner[near.ours].tolist(), owner[near.theirs].tolist(), strict=True)

    return clusters(len(group_ids), edges())


class _Assignment:
    """The part each group is in; train at first."""

    def __init__(self, order: list[QuestionGroup]) -> None:
        self.part: dict[QuestionGroup, str] = dict.fromkeys(order, "train")
        self._in_train = Counter(behavior for group in order for behavior in group.behaviors)

    def move(self, group: QuestionGroup, part: str) -> None:
        if self.part[group] == "train":
            self._in_train.subtract(group.behaviors)
        self.part[group] = part

    def can_spare(self, group: QuestionGroup) -> bool:
        """Whether the group may leave train and its behaviors still be seen there; no behavior gets held out by accident."""
        return self.part[group] == "train" and all(self._in_train[behavior] > 1 for behavior in group.behaviors)


def assign(groups: list[QuestionGroup], settings: Split, seed: int) -> dict[str, str]:
    """Group id to part, one of ``PARTS``.

    Test takes ``test_per_cell`` groups of each cell, those of its own held-out behaviors first; dev ``dev_per_category``
    groups of each category, half of them of its own held-out behaviors. What train keeps is the rest.
    """
    rng = random.Random(seed)
    order = rng.sample(groups, len(groups))
    held_out_test, held_out_dev = _held_out(order, settings, rng)
    assignment = _Assignment(order)
    for group in order:
        if (held_out_test | held_out_dev).intersection(group.behaviors):
            assignment.move(group, "spare")
    per_cell, per_category = settings.test_per_cell, settings.dev_per_category
    _fill(assignment, "test", held_out_test, (per_cell, per_cell), lambda group: group.cells[0])
    _fill(assignment, "dev", held_out_dev, (per_category // 2, per_category), lambda group: group.cells[0][0])
    return {group_id: assignment.part[group] for group in groups for group_id in group.group_ids}


def as_published(
    groups: list[QuestionGroup], assignment: Mapping[str, str], settings: Split, seed: int
) -> dict[str, str]:
    """Group id to part: its own side, but for ``dev_per_category`` groups of each category that dev takes from train.

    Raises:
        UserError: for a group without a side.
    """
    strangers = [group_id for group in groups for group_id in group.group_ids if group_id not in assignment]
    if strangers:
        raise UserError(
            f"split: question {strangers[0]} is not of the published set; "
            "let split.assignment be stratified, or take all questions from it"
        )
    order = random.Random(seed).sample(groups, len(groups))
    train = _Assignment(
        [group for group in order if all(assignment[group_id] == "train" for group_id in group.group_ids)]
    )
    _fill(train, "dev", frozenset(), (0, settings.dev_per_category), lambda group: group.cells[0][0])
    return {group_id: train.part.get(group, assignment[group_id]) for group in groups for group_id in group.group_ids}


def _held_out(order: list[QuestionGroup], settings: Split, rng: random.Random) -> tuple[frozenset[str], frozenset[str]]:
    """The behaviors of each category that training never sees: for test, and others for dev."""
    test: set[str] = set()
    dev: set[str] = set()
    by_category: dict[str, set[str]] = {}
    for group in order:
        for (category, _), behavior in zip(group.cells, group.behavior_ids, strict=True):
            if behavior is not None:
                by_category.setdefault(category, set()).add(behavior)
    for category in sorted(by_category):
        behaviors = rng.sample(sorted(by_category[category]), len(by_category[category]))
        held = behaviors[: min(settings.held_out_test_behaviors + settings.held_out_dev_behaviors, len(behaviors) - 1)]
        test.update(held[: settings.held_out_test_behaviors])
        dev.update(held[settings.held_out_test_behaviors :])
    return frozenset(test), frozenset(dev)


def _fill(
    assignment: _Assignment,
    part: str,
    held_out: frozenset[str],
    limits: tuple[int, int],
    stratum: Callable[[QuestionGroup], Hashable],
) -> None:
    """Move groups to ``part``, as far as there are any: of ``held_out`` behaviors up to the first limit a stratum, then of
    others up to the second.
    """
    rounds: list[tuple[int, Callable[[QuestionGroup], bool]]] = [
        (limits[0], lambda group: bool(group.behaviors) and held_out.issuperset(group.behaviors)),
        (limits[1], assignment.can_spare),
    ]
    filled: Counter[Hashable] = Counter()
    for limit, suits in rounds:
        for group in assignment.part:
            if filled[stratum(group)] < limit and suits(group):
                assignment.move(group, part)
                filled[stratum(group)] += 1


def mix(train: pd.DataFrame, languages: list[str], benign_share: float, seed: int) -> pd.DataFrame:
    """The DPO pairs of a config: the same rows in each of its languages, ``benign_share`` of them benign.

    All harmful pairs are used; benign twins are drawn so that they make up the share. Where the search wrote no twins, there is
    none to draw, whatever the share.
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
    """Every config's name and mix."""
    for name in config.configs:
        yield name, mix(train, config.languages_of(name, languages), config.benign_share_of(name), seed)


def parts_of(pairs: pd.DataFrame, part_by_group: dict[str, str]) -> dict[str, pd.DataFrame]:
    """The rows of each part; ``held_out`` marks questions whose behavior stands nowhere in train, null where it is not known."""
    part = pairs["group_id"].map(part_by_group)
    seen = set(pairs.loc[part == "train", "behavior_id"].dropna())
    held_out = (~pairs["behavior_id"].isin(seen)).astype(object).where(pairs["behavior_id"].notna(), None)
    marked = pairs.assign(held_out=held_out)
    return {name: marked[part == name] for name in PARTS}


@dataclass(frozen=True)
class Contamination:
    exact: int
    """Questions of the later part that stand in the earlier one, case and white space apart."""
    near: int
    """Pairs of questions across the two parts whose similarity reaches the threshold."""
    highest: float
    """Greatest Jaccard similarity across the two parts, 0-1."""


def contamination(train: pd.DataFrame, test: pd.DataFrame, threshold: float) -> dict[str, Contamination]:
    """What ``test`` shares with ``train``, by language."""
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


def assert_filled(parts: dict[str, pd.DataFrame]) -> None:
    """Fail when train or test holds nothing.

    Raises:
        UserError: naming the part.
    """
    for name in ("train", "test"):
        if parts[name].empty:
            raise UserError(
                f"split: no group is left for {name}; raise rainbow-teaming.elites_per_cell or iterations, "
                "or lower split.test_per_cell, dev_per_category and held-out behaviors"
            )


def assert_clean(shared: dict[str, dict[str, dict[str, float]]]) -> None:
    """Fail when a part shares a question with train.

    Raises:
        UserError: naming the part and the language.
    """
    for name, by_language in shared.items():
        for lang, found in by_language.items():
            if found["exact"] or found["near"]:
                raise UserError(
                    f"split: {name} shares {found['exact']:.0f} equal and {found['near']:.0f} near-duplicate questions "
                    f"with train in {lang}, though such groups should stand on one side: a fault of the split, please report it"
                )


def summary(
    labelled: pd.DataFrame,
    whole: pd.DataFrame,
    parts: dict[str, pd.DataFrame],
    groups: list[QuestionGroup],
    threshold: float,
) -> dict[str, Any]:
    """The account of the split, near-duplicates by ``threshold``; ``mixes`` is left empty for the caller to fill."""
    return {
        "rows_in": len(labelled),
        "rows_out": sum(len(parts[name]) for name in WRITTEN),
        "rejected": {
            "group not complete in every language": len(labelled) - len(whole),
            "behavior held out of training": len(parts["spare"]),
        },
        "groups": sum(len(group.group_ids) for group in groups),
        "groups_merged": sum(len(group.group_ids) for group in groups if len(group.group_ids) > 1),
        "parts": {name: _part_summary(parts[name]) for name in WRITTEN},
        "contamination": {
            name: {lang: asdict(each) for lang, each in contamination(parts["train"], parts[name], threshold).items()}
            for name in ("dev", "test")
        },
        "mixes": {},
    }


def _part_summary(part: pd.DataFrame) -> dict[str, Any]:
    harmful = part[(part["kind"] == Kind.HARMFUL) & (part["lang"] == PIVOT)]
    return {
        "rows": len(part),
        "questions": len(harmful),
        "held_out_questions": int(harmful["held_out"].sum()) if harmful["held_out"].notna().any() else None,
        "cells": int(harmful.groupby(["category", "style"]).ngroups),
        "by_category": harmful["category"].value_counts().sort_index().to_dict(),
        "by_style": harmful["style"].value_counts().sort_index().to_dict(),
    }
