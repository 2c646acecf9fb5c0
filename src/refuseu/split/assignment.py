"""Which part of the split each question group goes to.

A question group is a harmful question with its benign twin, both in all languages. Groups with near-duplicate questions are
merged, and a merged group stays together. The test part is stratified by cell (category x style). Some behaviors and some frames
(wordings) are held out of training, so that the evaluation can compare them with those that training saw. Nothing here looks at
an answer: which questions are tested does not depend on what a model answered. (The parts that a published set gives itself are
in ``published``.)
"""

import random
from collections import Counter
from collections.abc import Callable, Collection, Hashable, Iterator, Mapping
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
"""All parts; ``spare`` takes the groups of held-out behaviors and frames that neither dev nor test needs."""


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
    frame_ids: tuple[str | None, ...] = ()
    """The frame that each group stands in; ``None`` where it is not known."""
    testable: bool = True
    """Whether dev and test may take it: every group is in all languages, and no search found one of them."""

    @cached_property
    def behaviors(self) -> frozenset[str]:
        """The behaviors that are known."""
        return frozenset(behavior for behavior in self.behavior_ids if behavior is not None)

    @cached_property
    def frames(self) -> frozenset[str]:
        """The frames that are known."""
        return frozenset(frame for frame in self.frame_ids if frame is not None)


def merge_near_duplicates(
    pairs: pd.DataFrame, threshold: float, native: bool = False, testable: Collection[str] | None = None
) -> list[QuestionGroup]:
    """Return the groups in the order of their ids; those that share a near-duplicate question in any language are merged.

    Two questions are near-duplicates when the Jaccard similarity of their character 5-grams reaches ``threshold`` (0-1).
    ``native`` says that each group stands in one language alone, ``testable`` which groups dev and test may take (default: all).
    """
    columns = ["group_id", "lang", "category", "style", "behavior_id", "frame_id"]
    harmful = pairs.loc[pairs["kind"] == Kind.HARMFUL, columns]
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
            tuple(None if pd.isna(head.frame_id) else head.frame_id for head in group),
            testable is None or all(head.group_id in testable for head in group),
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


@dataclass(frozen=True)
class _HeldOut:
    """What training never sees."""

    test_behaviors: frozenset[str]
    """Behaviors that only test may hold."""
    dev_behaviors: frozenset[str]
    """Behaviors that only dev may hold."""
    frames: frozenset[str]
    """Frames that only test may hold."""

    def touches(self, group: QuestionGroup) -> bool:
        """Whether the group must leave train."""
        return bool(
            group.behaviors & (self.test_behaviors | self.dev_behaviors) or group.frames & self.frames,
        )


class _Assignment:
    """The part of each group; at first all groups are in train but those of what is held out, which are spare."""

    def __init__(self, order: list[QuestionGroup], held_out: _HeldOut) -> None:
        self.part = {group: "spare" if held_out.touches(group) else "train" for group in order}
        self._in_train = Counter(each for group, part in self.part.items() if part == "train" for each in _named(group))

    def move(self, group: QuestionGroup, part: str) -> None:
        if self.part[group] == "train":
            self._in_train.subtract(_named(group))
        self.part[group] = part

    def can_spare(self, group: QuestionGroup) -> bool:
        """Whether train holds all behaviors and frames of the group without it too; nothing is held out by accident."""
        return self.part[group] == "train" and all(self._in_train[each] > 1 for each in _named(group))


def _named(group: QuestionGroup) -> list[tuple[str, str]]:
    return [*(("behavior", each) for each in group.behaviors), *(("frame", each) for each in group.frames)]


Rank = tuple[bool, ...]
"""The groups with the smallest rank are taken first."""


def assign_stratified(groups: list[QuestionGroup], settings: Split, seed: int) -> dict[str, str]:
    """Return the part of each group id, one of ``PARTS``.

    Test takes ``test_per_cell`` groups of each cell, at first groups of the behaviors held out for test, and about half of all in
    held-out frames. Dev takes ``dev_per_category`` groups of each category, half of them of the behaviors held out for dev, and
    none in held-out frames. Both take testable groups alone. Train keeps all groups that are left, but for those of what is held
    out. Where each group stands in one language alone, both numbers are of a language.
    """
    rng = random.Random(seed)
    order = rng.sample(groups, len(groups))
    held_out = _held_out(order, settings, rng)
    assignment = _Assignment(order, held_out)
    per_category = settings.dev_per_category
    surplus = 0  # groups of test in held-out frames less the others

    def rank_for_test(group: QuestionGroup, _: int) -> Rank | None:
        new_behavior, new_frame = (
            _within(group.behaviors, held_out.test_behaviors),
            _within(group.frames, held_out.frames),
        )
        if not new_behavior and group.behaviors & (held_out.test_behaviors | held_out.dev_behaviors):
            return None
        if not new_frame and group.frames & held_out.frames:
            return None
        if not (new_behavior or new_frame or assignment.can_spare(group)):
            return None
        return not new_behavior, new_frame != (surplus <= 0)

    def rank_for_dev(group: QuestionGroup, taken: int) -> Rank | None:
        if _within(group.behaviors, held_out.dev_behaviors) and not group.frames & held_out.frames:
            return (False,) if taken < per_category // 2 else None
        return (True,) if assignment.can_spare(group) else None

    for group in _taken(assignment, settings.test_per_cell, lambda group: (group.lang, group.cells[0]), rank_for_test):
        assignment.move(group, "test")
        surplus += 1 if _within(group.frames, held_out.frames) else -1
    for group in _taken(assignment, per_category, lambda group: (group.lang, group.cells[0][0]), rank_for_dev):
        assignment.move(group, "dev")
    return {group_id: assignment.part[group] for group in groups for group_id in group.group_ids}


def _within(values: frozenset[str], held_out: frozenset[str]) -> bool:
    """Whether there are values, and all are held out."""
    return bool(values) and values <= held_out


def _held_out(order: list[QuestionGroup], settings: Split, rng: random.Random) -> _HeldOut:
    """Draw the behaviors of each category and the frames of each style that training never sees."""
    behaviors: dict[str, set[str]] = {}
    frames: dict[str, set[str]] = {}
    for group in order:
        for (category, _), behavior in zip(group.cells, group.behavior_ids, strict=True):
            if behavior is not None:
                behaviors.setdefault(category, set()).add(behavior)
        for (_, style), frame in zip(group.cells, group.frame_ids, strict=False):
            if frame is not None:
                frames.setdefault(style, set()).add(frame)
    for_test = settings.held_out_test_behaviors
    drawn = _drawn(behaviors, for_test + settings.held_out_dev_behaviors, rng)
    return _HeldOut(
        frozenset(behavior for each in drawn for behavior in each[:for_test]),
        frozenset(behavior for each in drawn for behavior in each[for_test:]),
        frozenset(frame for each in _drawn(frames, settings.held_out_test_frames, rng) for frame in each),
    )


def _drawn(by_key: Mapping[str, Collection[str]], count: int, rng: random.Random) -> list[list[str]]:
    """Draw ``count`` values of each key, or fewer: one is always left."""
    return [rng.sample(sorted(by_key[key]), min(count, len(by_key[key]) - 1)) for key in sorted(by_key)]


def _taken(
    assignment: _Assignment,
    count: int,
    stratum: Callable[[QuestionGroup], Hashable],
    rank: Callable[[QuestionGroup, int], Rank | None],
) -> Iterator[QuestionGroup]:
    """Yield up to ``count`` groups of each stratum, a group of each in turn: the first of those that rank first.

    ``rank`` is asked of a group and of the number of groups that its stratum has given; ``None`` is a group that is not taken.
    """
    strata: dict[Hashable, list[QuestionGroup]] = {}
    for group in assignment.part:
        if group.testable:
            strata.setdefault(stratum(group), []).append(group)
    for turn in range(count):
        for there in strata.values():
            ranked = [(found, place) for place, group in enumerate(there) if (found := rank(group, turn)) is not None]
            if ranked:
                yield there.pop(min(ranked)[1])
