"""Train, dev and test without contamination, and the DPO mix of every config.

A slot is a harmful question with its benign twin in all languages; near-duplicate slots are glued together. A whole slot
goes to one side. The test part is stratified by cell (category x style); some asks are kept out of training altogether,
so that seen and unseen asks can be told apart. Slots of a published set may stay on the sides that it has them on.
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
class Slot:
    """Glued questions: what must stay on one side."""

    slot_ids: tuple[str, ...]
    cells: tuple[tuple[str, str], ...]
    """Category and style of each; the first is the cell that the slot counts for."""
    ask_ids: tuple[str | None, ...]
    """What each asks for, where that is known."""

    @cached_property
    def asks(self) -> frozenset[str]:
        """What is asked for, as far as it is known."""
        return frozenset(ask for ask in self.ask_ids if ask is not None)


def split_up(
    labelled: pd.DataFrame, languages: list[str], settings: Split, seed: int, sides: Mapping[str, str] | None = None
) -> tuple[dict[str, pd.DataFrame], dict[str, Any]]:
    """The rows of each part, and the account of the split; ``mixes`` is left empty there.

    Slots are drawn for each part, or stay on their ``sides`` (slot id to train or test). Then near-duplicates across these
    are told in the account and stay.

    Raises:
        UserError: when a part that is needed holds nothing, one that is drawn shares a question with train, or a slot has no
            side.
    """
    whole = complete_slots(labelled, languages)
    slots = glue(whole, settings.near_duplicate)
    drawn = assign(slots, settings, seed) if sides is None else as_published(slots, sides, settings, seed)
    parts = parts_of(whole, drawn)
    assert_filled(parts)
    account = summary(labelled, whole, parts, slots, settings.near_duplicate)
    shared = account["contamination"]
    assert_clean(shared if sides is None else {"dev": shared["dev"]})
    return parts, account


def complete_slots(pairs: pd.DataFrame, languages: list[str]) -> pd.DataFrame:
    """The rows of slots that are there in every language, for every kind that they have; the harmful question among them."""
    slots = pairs.groupby("slot_id").agg(rows=("lang", "size"), kinds=("kind", "nunique"))
    whole = slots.index[slots["rows"] == slots["kinds"] * len(languages)]
    asked = pairs.loc[pairs["kind"] == Kind.HARMFUL, "slot_id"]
    return pairs[pairs["slot_id"].isin(whole) & pairs["slot_id"].isin(asked)]


def glue(pairs: pd.DataFrame, threshold: float) -> list[Slot]:
    """Slots in the order of their ids; slots that share a near-duplicate question, harmful or benign, in any language are one."""
    harmful = pairs.loc[pairs["kind"] == Kind.HARMFUL, ["slot_id", "category", "style", "ask_id"]]
    heads = harmful.drop_duplicates("slot_id").sort_values("slot_id")
    groups: dict[int, list[Any]] = {}
    for first, head in zip(_glued(pairs, list(heads["slot_id"]), threshold), heads.itertuples(), strict=True):
        groups.setdefault(first, []).append(head)
    return [
        Slot(
            tuple(head.slot_id for head in group),
            tuple((head.category, head.style) for head in group),
            tuple(None if pd.isna(head.ask_id) else head.ask_id for head in group),
        )
        for group in groups.values()
    ]


def _glued(pairs: pd.DataFrame, slot_ids: list[str], threshold: float) -> list[int]:
    """Of each slot, the position of the first one that it is glued to."""
    owners = pairs["slot_id"].map({slot_id: position for position, slot_id in enumerate(slot_ids)})

    def edges() -> Iterator[tuple[int, int]]:
        for _, rows in pairs[["lang", "text"]].assign(owner=owners).groupby("lang"):
            texts, owner = list(rows["text"]), rows["owner"].to_numpy()
            for near in Comparison(texts, texts).near(threshold):
                yield from zip(owner[near.ours].tolist(), owner[near.theirs].tolist(), strict=True)

    return clusters(len(slot_ids), edges())


class _Assignment:
    """The part each slot is in; train at first."""

    def __init__(self, order: list[Slot]) -> None:
        self.part: dict[Slot, str] = dict.fromkeys(order, "train")
        self._in_train = Counter(ask for slot in order for ask in slot.asks)

    def move(self, slot: Slot, part: str) -> None:
        if self.part[slot] == "train":
            self._in_train.subtract(slot.asks)
        self.part[slot] = part

    def can_spare(self, slot: Slot) -> bool:
        """Whether the slot may leave train and its asks still be seen there; no ask gets unseen by accident."""
        return self.part[slot] == "train" and all(self._in_train[ask] > 1 for ask in slot.asks)


def assign(slots: list[Slot], settings: Split, seed: int) -> dict[str, str]:
    """Slot id to part, one of ``PARTS``.

    Test takes ``test_per_cell`` slots of each cell, those of its own unseen asks first; dev ``dev_per_category`` slots of
    each category, half of them of its own unseen asks. What train keeps is the rest.
    """
    rng = random.Random(seed)
    order = rng.sample(slots, len(slots))
    unseen_test, unseen_dev = _held_out(order, settings, rng)
    sides = _Assignment(order)
    for slot in order:
        if (unseen_test | unseen_dev).intersection(slot.asks):
            sides.move(slot, "spare")
    per_cell, per_category = settings.test_per_cell, settings.dev_per_category
    _fill(sides, "test", unseen_test, (per_cell, per_cell), lambda slot: slot.cells[0])
    _fill(sides, "dev", unseen_dev, (per_category // 2, per_category), lambda slot: slot.cells[0][0])
    return {slot_id: sides.part[slot] for slot in slots for slot_id in slot.slot_ids}


def as_published(slots: list[Slot], sides: Mapping[str, str], settings: Split, seed: int) -> dict[str, str]:
    """Slot id to part: its own side, but for ``dev_per_category`` slots of each category that dev takes from train.

    Raises:
        UserError: for a slot without a side.
    """
    strangers = [slot_id for slot in slots for slot_id in slot.slot_ids if slot_id not in sides]
    if strangers:
        raise UserError(
            f"split: question {strangers[0]} is not of the published set; let split.sides be drawn, or take all questions from it"
        )
    order = random.Random(seed).sample(slots, len(slots))
    train = _Assignment([slot for slot in order if all(sides[slot_id] == "train" for slot_id in slot.slot_ids)])
    _fill(train, "dev", frozenset(), (0, settings.dev_per_category), lambda slot: slot.cells[0][0])
    return {slot_id: train.part.get(slot, sides[slot_id]) for slot in slots for slot_id in slot.slot_ids}


def _held_out(order: list[Slot], settings: Split, rng: random.Random) -> tuple[frozenset[str], frozenset[str]]:
    """The asks of each category that training never sees: for test, and others for dev."""
    test: set[str] = set()
    dev: set[str] = set()
    by_category: dict[str, set[str]] = {}
    for slot in order:
        for (category, _), ask in zip(slot.cells, slot.ask_ids, strict=True):
            if ask is not None:
                by_category.setdefault(category, set()).add(ask)
    for category in sorted(by_category):
        asks = rng.sample(sorted(by_category[category]), len(by_category[category]))
        held = asks[: min(settings.unseen_test_asks + settings.unseen_dev_asks, len(asks) - 1)]
        test.update(held[: settings.unseen_test_asks])
        dev.update(held[settings.unseen_test_asks :])
    return frozenset(test), frozenset(dev)


def _fill(
    sides: _Assignment, part: str, unseen: frozenset[str], limits: tuple[int, int], stratum: Callable[[Slot], Hashable]
) -> None:
    """Move slots to ``part``, as far as there are any: of ``unseen`` asks up to the first limit a stratum, then of seen ones
    up to the second.
    """
    rounds: list[tuple[int, Callable[[Slot], bool]]] = [
        (limits[0], lambda slot: bool(slot.asks) and unseen.issuperset(slot.asks)),
        (limits[1], sides.can_spare),
    ]
    filled: Counter[Hashable] = Counter()
    for limit, suits in rounds:
        for slot in sides.part:
            if filled[stratum(slot)] < limit and suits(slot):
                sides.move(slot, part)
                filled[stratum(slot)] += 1


def mix(train: pd.DataFrame, languages: list[str], benign_share: float, seed: int) -> pd.DataFrame:
    """The DPO pairs of a config: the same rows in each of its languages, ``benign_share`` of them benign.

    All harmful pairs are used; benign twins are drawn so that they make up the share. Where the search wrote no twins, there is
    none to draw, whatever the share.
    """
    harmful = train["kind"] == Kind.HARMFUL
    twins = sorted(train.loc[~harmful, "slot_id"].unique())
    wanted = round(train.loc[harmful, "slot_id"].nunique() * benign_share / (1 - benign_share)) if twins else 0
    if wanted > len(twins):
        raise UserError(
            f"train.benign_share: a share of {benign_share:g} needs {wanted} questions with a benign twin, train has "
            f"{len(twins)}; lower it"
        )
    drawn = random.Random(f"{seed}-benign").sample(twins, wanted)
    chosen = train["lang"].isin(languages) & (harmful | train["slot_id"].isin(drawn))
    return train[chosen].rename(columns={"text": "prompt"})


def mixes(train: pd.DataFrame, config: Train, languages: list[str], seed: int) -> Iterator[tuple[str, pd.DataFrame]]:
    """Every config's name and mix."""
    for name in config.configs:
        yield name, mix(train, config.languages_of(name, languages), config.benign_share_of(name), seed)


def parts_of(pairs: pd.DataFrame, part_by_slot: dict[str, str]) -> dict[str, pd.DataFrame]:
    """The rows of each part; ``unseen`` marks questions whose ask stands nowhere in train, null where it is not known."""
    part = pairs["slot_id"].map(part_by_slot)
    seen = set(pairs.loc[part == "train", "ask_id"].dropna())
    unseen = (~pairs["ask_id"].isin(seen)).astype(object).where(pairs["ask_id"].notna(), None)
    marked = pairs.assign(unseen=unseen)
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
                f"split: no slot is left for {name}; raise rainbow-teaming.elites_per_cell or iterations, "
                "or lower split.test_per_cell, dev_per_category and the unseen asks"
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
                    f"with train in {lang}, though such slots should stand on one side: a fault of the split, please report it"
                )


def summary(
    labelled: pd.DataFrame, whole: pd.DataFrame, parts: dict[str, pd.DataFrame], slots: list[Slot], threshold: float
) -> dict[str, Any]:
    """The account of the split, near-duplicates by ``threshold``; ``mixes`` is left empty for the caller to fill."""
    return {
        "rows_in": len(labelled),
        "rows_out": sum(len(parts[name]) for name in WRITTEN),
        "rejected": {
            "slot not complete in every language": len(labelled) - len(whole),
            "ask held out of training": len(parts["spare"]),
        },
        "slots": sum(len(slot.slot_ids) for slot in slots),
        "slots_glued": sum(len(slot.slot_ids) for slot in slots if len(slot.slot_ids) > 1),
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
        "unseen_questions": int(harmful["unseen"].sum()) if harmful["unseen"].notna().any() else None,
        "cells": int(harmful.groupby(["category", "style"]).ngroups),
        "by_category": harmful["category"].value_counts().sort_index().to_dict(),
        "by_style": harmful["style"].value_counts().sort_index().to_dict(),
    }
