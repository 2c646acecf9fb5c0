"""Which part of the split each question group goes to.

A question group is a harmful question with its benign twin, both in all languages. Groups with near-duplicate questions are
merged, and a merged group stays together. The test part is stratified by cell (category x style). Some behaviors are held out of
training, so that the evaluation can compare them with behaviors that training saw. (The parts that a published set gives itself
are in ``published``.)
"""

import random
from collections import Counter
from collections.abc import Callable, Hashable, Iterator
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import pandas as pd

from refuseu.experiment import Kind
from refuseu.split.settings import Split
from refuseu.text.near_duplicates import Comparison, clusters

WRITTEN = ("train", "dev", "test")
"""The parts that the stage writes."""
PARTS = (*WRITTEN, "spare")
"""All parts; ``spare`` takes the groups of held-out behaviors that neither dev nor test needs."""


@dataclass(frozen=True)
class QuestionGroup:
    """One question group, or several that were merged: they must go to the same part."""

    group_ids: tuple[str, ...]
    cells: tuple[tuple[str, str], ...]
    """Category and style of each group; the first is the cell in which the merged group counts."""
    behavior_ids: tuple[str | None, ...]
    """The behavior that each group asks for; ``None`` where it is not known."""
    lang: str | None = None
    """The language of a question that stands in it alone; ``None`` where each group is in all languages."""

    @cached_property
    def behaviors(self) -> frozenset[str]:
        """The behaviors that are known."""
        return frozenset(behavior for behavior in self.behavior_ids if behavior is not None)


def merge_near_duplicates(pairs: pd.DataFrame, threshold: float, native: bool = False) -> list[QuestionGroup]:
    """Return the groups in the order of their ids; those that share a near-duplicate question in any language are merged.

    Two questions are near-duplicates when the Jaccard similarity of their character 5-grams reaches ``threshold`` (0-1).
    ``native`` says that each group stands in one language alone.
    """
    harmful = pairs.loc[pairs["kind"] == Kind.HARMFUL, ["group_id", "lang", "category", "style", "behavior_id"]]
    heads = harmful.drop_duplicates("group_id").sort_values("group_id")
    groups: dict[int, list[Any]] = {}
    for first, head in zip(_merged(pairs, list(heads["group_id"]), threshold), heads.itertuples(), strict=True):
        groups.setdefault(first, []).append(head)
    return [
        QuestionGroup(
            tuple(head.group_id for head in group),
            tuple((head.category, head.style) for head in group),
            tuple(None if pd.isna(head.behavior_id) else head.behavior_id for head in group),
            group[0].lang if native else None,
        )
        for group in groups.values()
    ]


def _merged(pairs: pd.DataFrame, group_ids: list[str], threshold: float) -> list[int]:
    """Return for each group the position of the first group that it is merged with."""
    owners = pairs["group_id"].map({group_id: position for position, group_id in enumerate(group_ids)})

    def edges() -> Iterator[tuple[int, int]]:
        for _, rows in pairs[["lang", "text"]].assign(owner=owners).groupby("lang"):
            texts, owner = list(rows["text"]), rows["owner"].to_numpy()
            for near in Comparison(texts, texts).near(threshold):
                yield from zip(owner[near.ours].tolist(), owner[near.theirs].tolist(), strict=True)

    return clusters(len(group_ids), edges())


class _Assignment:
    """The part of each group; at first all groups are in train."""

    def __init__(self, order: list[QuestionGroup]) -> None:
        self.part: dict[QuestionGroup, str] = dict.fromkeys(order, "train")
        self._in_train = Counter(behavior for group in order for behavior in group.behaviors)

    def move(self, group: QuestionGroup, part: str) -> None:
        if self.part[group] == "train":
            self._in_train.subtract(group.behaviors)
        self.part[group] = part

    def can_spare(self, group: QuestionGroup) -> bool:
        """Whether train still holds all behaviors of the group when the group leaves; no behavior is held out by accident."""
        return self.part[group] == "train" and all(self._in_train[behavior] > 1 for behavior in group.behaviors)


def assign_stratified(groups: list[QuestionGroup], settings: Split, seed: int) -> dict[str, str]:
    """Return the part of each group id, one of ``PARTS``.

    Test takes ``test_per_cell`` groups of each cell, at first groups of the behaviors held out for test. Dev takes
    ``dev_per_category`` groups of each category, half of them of the behaviors held out for dev. Train keeps all groups that are
    left and ask for none of these behaviors. Where each group stands in one language alone, both numbers are of a language.
    """
    rng = random.Random(seed)
    order = rng.sample(groups, len(groups))
    held_out_test, held_out_dev = _held_out(order, settings, rng)
    assignment = _Assignment(order)
    for group in order:
        if (held_out_test | held_out_dev).intersection(group.behaviors):
            assignment.move(group, "spare")
    per_cell, per_category = settings.test_per_cell, settings.dev_per_category
    _fill(assignment, "test", held_out_test, (per_cell, per_cell), lambda group: (group.lang, group.cells[0]))
    _fill(
        assignment,
        "dev",
        held_out_dev,
        (per_category // 2, per_category),
        lambda group: (group.lang, group.cells[0][0]),
    )
    return {group_id: assignment.part[group] for group in groups for group_id in group.group_ids}


def _held_out(order: list[QuestionGroup], settings: Split, rng: random.Random) -> tuple[frozenset[str], frozenset[str]]:
    """Draw the behaviors of each category that training never sees: those for test, and other ones for dev."""
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
    """Move groups to ``part``, as far as there are enough.

    Each stratum gets groups of ``held_out`` behaviors up to the first limit, and then other groups up to the second limit.
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
