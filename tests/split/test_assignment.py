from collections import Counter
from pathlib import Path

import pandas as pd
import pytest
from question_groups import LANGUAGES, SPLIT, forty_groups, group_rows, unlike

from refuseu.core.schema import read_table
from refuseu.split.assignment import PARTS, QuestionGroup, assign_stratified, merge_near_duplicates
from refuseu.split.settings import Split
from refuseu.split.splitting import contamination, parts_of
from refuseu.tables.losses import complete_groups
from refuseu.tables.schemas import PART
from refuseu.tables.writing import write_table


@pytest.fixture
def pairs() -> pd.DataFrame:
    return forty_groups()


def split(pairs: pd.DataFrame, seed: int = 1, config: Split = SPLIT) -> dict[str, pd.DataFrame]:
    part_of = assign_stratified(merge_near_duplicates(pairs, config.near_duplicate), config, seed)
    return parts_of(pairs, part_of, LANGUAGES, seed)


def test_complete_groups_need_every_language_of_both_kinds(pairs: pd.DataFrame) -> None:
    missing = pairs.index[(pairs["question_id"] == "S1x00-benign") & (pairs["lang"] == "de")]
    whole = complete_groups(pairs.drop(missing), LANGUAGES)
    assert set(pairs["group_id"]) - set(whole["group_id"]) == {"S1x00"}
    assert len(whole) == len(pairs) - 4
    assert len(complete_groups(pairs, LANGUAGES)) == len(pairs)
    assert complete_groups(pairs, ["en", "de", "lv"]).empty


@pytest.mark.parametrize("kind", ["harmful", "benign"])
def test_a_group_without_a_twin_is_complete_and_one_without_its_harmful_question_is_not(
    kind: str, pairs: pd.DataFrame
) -> None:
    alone = pairs[(pairs["group_id"] != "S1x00") | (pairs["kind"] == kind)]
    whole = complete_groups(alone, LANGUAGES)
    assert ("S1x00" in set(whole["group_id"])) == (kind == "harmful")
    half = alone.drop(alone.index[(alone["group_id"] == "S1x00") & (alone["lang"] == "de")])
    assert set(pairs["group_id"]) - set(complete_groups(half, LANGUAGES)["group_id"]) == {"S1x00"}


def test_groups_without_twins_are_split_like_the_others(pairs: pd.DataFrame) -> None:
    harmful = complete_groups(pairs[pairs["kind"] == "harmful"], LANGUAGES)
    assert len(harmful) == 80
    with_twins, without = split(pairs), split(harmful)
    assert {name: set(part["group_id"]) for name, part in without.items()} == {
        name: set(part["group_id"]) for name, part in with_twins.items()
    }


def test_a_merged_group_knows_which_behaviors_are_unknown() -> None:
    rows = [
        *group_rows("a", "S1", "x", None, text=unlike("near")),
        *group_rows("b", "S1", "y", "behavior-1", text=unlike("near") + "!"),
        *group_rows("c", "S1", "x", None),
    ]
    one, other = merge_near_duplicates(pd.DataFrame(rows), 0.8)
    assert one == QuestionGroup(("a", "b"), (("S1", "x"), ("S1", "y")), (None, "behavior-1"), None, (None, None))
    assert (one.behaviors, other.behavior_ids, other.behaviors) == ({"behavior-1"}, (None,), frozenset())


@pytest.mark.parametrize("seed", range(4))
def test_where_no_behavior_is_known_nothing_is_held_out_and_held_out_is_null(seed: int, pairs: pd.DataFrame) -> None:
    parts = split(pairs.assign(behavior_id=None), seed)
    assert {name: part["group_id"].nunique() for name, part in parts.items()} == {
        "train": 32, "dev": 4, "test": 4, "spare": 0
    }  # fmt: skip
    assert all(part["held_out"].isna().all() for part in parts.values())


@pytest.mark.parametrize("seed", range(4))
def test_an_unknown_behavior_is_never_held_out_beside_known_ones(
    seed: int, pairs: pd.DataFrame, tmp_path: Path
) -> None:
    unknown = pairs["group_id"].isin([f"S1{style}{behavior}0" for style in "xy" for behavior in range(5)])
    some = pairs.assign(behavior_id=pairs["behavior_id"].mask(unknown, None))
    parts = split(some, seed)
    for name, part in parts.items():
        assert part["held_out"].isna().tolist() == part["behavior_id"].isna().tolist(), name
    assert set(parts["spare"]["behavior_id"].isna()) <= {False}
    held = held_out_behaviors(parts["test"]) | held_out_behaviors(parts["dev"])
    assert len({behavior for behavior in held if behavior.startswith("S1")}) == 2
    write_table(parts["test"], tmp_path / "test.parquet", PART)
    read = read_table(tmp_path / "test.parquet", PART).sort_values(["question_id", "lang"])
    ordered = parts["test"].sort_values(["question_id", "lang"])
    assert read["held_out"].isna().tolist() == ordered["held_out"].isna().tolist()


def test_a_test_group_of_an_unknown_behavior_is_neither_seen_nor_held_out() -> None:
    rows = [
        *group_rows("a", "S1", "x", "behavior-1"),
        *group_rows("b", "S1", "x", None),
        *group_rows("c", "S1", "x", "behavior-2"),
    ]
    parts = parts_of(pd.DataFrame(rows), {"a": "train", "b": "test", "c": "test"}, LANGUAGES, 1)
    assert dict(zip(parts["test"]["group_id"], parts["test"]["held_out"], strict=True)) == {"b": None, "c": True}
    assert parts["train"]["held_out"].tolist() == [False] * 4


def test_merging_leaves_unlike_groups_alone_in_the_order_of_their_ids() -> None:
    rows = [*group_rows("b", "S2", "y", "behavior-2"), *group_rows("a", "S1", "x", "behavior-1")]
    assert merge_near_duplicates(pd.DataFrame(rows), 0.8) == [
        QuestionGroup(("a",), (("S1", "x"),), ("behavior-1",), None, (None,)),
        QuestionGroup(("b",), (("S2", "y"),), ("behavior-2",), None, (None,)),
    ]


def test_merging_is_transitive_and_works_in_any_language() -> None:
    one, two = "abcdefghijklmnopqrst", "abcdefghijklmnopqrst!"
    rows = [
        *group_rows("a", "S1", "x", "behavior-1", text=one),
        *group_rows("b", "S2", "y", "behavior-2"),
        *group_rows("c", "S1", "y", "behavior-3", text=two),
        *group_rows("d", "S1", "x", "behavior-1"),
    ]
    table = pd.DataFrame(rows)
    german = (table["lang"] == "de") & (table["kind"] == "harmful") & table["group_id"].isin(["c", "d"])
    table.loc[german, "text"] = ["Ein Satz wie der andere.", "EIN SATZ  wie der andere."]
    assert merge_near_duplicates(table, 0.8) == [
        QuestionGroup(
            ("a", "c", "d"),
            (("S1", "x"), ("S1", "y"), ("S1", "x")),
            ("behavior-1", "behavior-3", "behavior-1"),
            None,
            (None,) * 3,
        ),
        QuestionGroup(("b",), (("S2", "y"),), ("behavior-2",), None, (None,)),
    ]


@pytest.mark.parametrize("seed", range(8))
def test_no_group_is_in_two_parts_and_none_is_lost(seed: int, pairs: pd.DataFrame) -> None:
    parts = split(pairs, seed)
    assert tuple(parts) == PARTS
    found = [set(part["group_id"]) for part in parts.values()]
    assert sum(map(len, found)) == len(set().union(*found)) == 40
    assert all(len(part) == 4 * part["group_id"].nunique() for part in parts.values())


@pytest.mark.parametrize("seed", range(8))
def test_sizes_are_as_the_settings_say(seed: int, pairs: pd.DataFrame) -> None:
    parts = split(pairs, seed)
    test, dev = (parts[name].drop_duplicates("group_id") for name in ("test", "dev"))
    assert Counter(zip(test["category"], test["style"], strict=True)) == Counter(
        {("S1", "x"): 1, ("S1", "y"): 1, ("S2", "x"): 1, ("S2", "y"): 1}
    )
    assert Counter(dev["category"]) == {"S1": 2, "S2": 2}
    assert dev.groupby("category")["held_out"].sum().to_dict() == {"S1": 1, "S2": 1}


@pytest.mark.parametrize("seed", range(8))
def test_held_out_behaviors_are_not_in_train(seed: int, pairs: pd.DataFrame) -> None:
    parts = split(pairs, seed)
    behaviors = {name: set(part.loc[part["held_out"].eq(True), "behavior_id"]) for name, part in parts.items()}
    trained = set(parts["train"]["behavior_id"])
    assert not trained & (behaviors["test"] | behaviors["dev"])
    assert not behaviors["test"] & behaviors["dev"]
    assert behaviors["train"] == set()
    # one behavior a category held out for test and one for dev: 2 x 2 of the 10
    assert len(trained) == 6
    assert {len(behaviors["test"]), len(behaviors["dev"])} == {2}
    assert set(parts["spare"]["behavior_id"]) <= behaviors["test"] | behaviors["dev"]


def held_out_behaviors(part: pd.DataFrame) -> set[str]:
    return set(part.loc[part["held_out"].eq(True), "behavior_id"])


@pytest.mark.parametrize("seed", range(30))
def test_no_behavior_gets_held_out_by_accident_nor_in_both_dev_and_test(seed: int) -> None:
    # Behaviors of one to four groups, and a pair that is merged across categories.
    rows = [
        row
        for category in ("S1", "S2")
        for behavior in range(5)
        for wording in range(1 + behavior % 4)
        for row in group_rows(f"{category}{behavior}{wording}", category, "xy"[wording % 2], f"{category}-{behavior}")
    ]
    rows += group_rows("S1merged", "S1", "x", "S1-1", text=unlike("near"))
    rows += group_rows("S2merged", "S2", "y", "S2-2", text=unlike("near") + "!")
    parts = split(pd.DataFrame(rows), seed)
    test, dev = held_out_behaviors(parts["test"]), held_out_behaviors(parts["dev"])
    assert not test & dev
    assert max(len(test), len(dev)) <= 2, "one held out in each of the two categories, no more"


def test_the_last_behavior_of_a_category_is_never_held_out() -> None:
    rows = [row for number in range(6) for row in group_rows(f"s{number}", "S1", "x", "behavior")]
    parts = split(pd.DataFrame(rows))
    assert {name: part["group_id"].nunique() for name, part in parts.items()} == {
        "train": 3, "dev": 2, "test": 1, "spare": 0
    }  # fmt: skip
    assert not parts["test"]["held_out"].any()


@pytest.mark.parametrize(("behaviors", "held"), [(1, 0), (2, 1), (3, 2), (4, 2)])
@pytest.mark.parametrize("seed", range(4))
def test_train_keeps_a_behavior_of_every_category(seed: int, behaviors: int, held: int) -> None:
    groups = [
        QuestionGroup((f"{behavior}{copy}",), (("S1", "x"),), (f"behavior-{behavior}",))
        for behavior in range(behaviors)
        for copy in range(3)
    ]
    part = assign_stratified(groups, SPLIT, seed)
    assert len({group.behavior_ids for group in groups if part[group.group_ids[0]] == "train"}) == behaviors - held


@pytest.mark.parametrize("seed", range(8))
def test_a_group_of_a_held_out_and_a_seen_behavior_leaves_train(seed: int) -> None:
    groups = [
        QuestionGroup((f"{behavior}{copy}",), (("S1", "x"),), (behavior,)) for behavior in "abc" for copy in range(3)
    ]
    groups.append(QuestionGroup(("merged-1", "merged-2"), (("S1", "x"), ("S1", "x")), ("a", "b")))
    part = assign_stratified(groups, SPLIT.model_copy(update={"held_out_dev_behaviors": 0}), seed)
    trained = {behavior for group in groups if part[group.group_ids[0]] == "train" for behavior in group.behavior_ids}
    assert len(trained) == 2
    assert part["merged-1"] == part["merged-2"]


@pytest.mark.parametrize("seed", range(8))
def test_a_group_with_the_last_wording_of_a_behavior_stays_in_train(seed: int) -> None:
    groups = [QuestionGroup((f"b{copy}",), (("S1", "x"),), ("b",)) for copy in range(3)]
    groups.append(QuestionGroup(("merged-1", "merged-2"), (("S1", "x"), ("S1", "x")), ("a", "b")))
    none_held_out = SPLIT.model_copy(
        update={"test_per_cell": 9, "held_out_test_behaviors": 0, "held_out_dev_behaviors": 0}
    )
    assert assign_stratified(groups, none_held_out, seed) == {
        "b0": "test", "b1": "test", "b2": "test", "merged-1": "train", "merged-2": "train"
    }  # fmt: skip


def test_held_out_is_what_train_does_not_hold_even_if_it_was_not_held_out() -> None:
    rows = [row for behavior in ("behavior-1", "behavior-2") for row in group_rows(behavior, "S1", "x", behavior)]
    parts = parts_of(pd.DataFrame(rows), {"behavior-1": "train", "behavior-2": "test"}, LANGUAGES, 1)
    assert (parts["test"]["held_out"].all(), parts["train"]["held_out"].any()) == (True, False)


def test_nothing_held_out_leaves_nothing_spare(pairs: pd.DataFrame) -> None:
    config = SPLIT.model_copy(update={"held_out_test_behaviors": 0, "held_out_dev_behaviors": 0, "dev_per_category": 0})
    parts = split(pairs, config=config)
    assert {name: part["group_id"].nunique() for name, part in parts.items()} == {
        "train": 36, "dev": 0, "test": 4, "spare": 0
    }  # fmt: skip


@pytest.mark.parametrize("seed", range(8))
def test_near_duplicates_stay_in_one_part(seed: int, pairs: pd.DataFrame) -> None:
    twins = pd.concat(
        [pairs, pd.DataFrame(group_rows("S1x00-again", "S1", "y", "S1-0", text=unlike("S1x00harmfulen") + "!"))],
        ignore_index=True,
    )
    part_by_group = assign_stratified(merge_near_duplicates(twins, 0.8), SPLIT, seed)
    assert part_by_group["S1x00"] == part_by_group["S1x00-again"]
    parts = parts_of(twins, part_by_group, LANGUAGES, 1)
    for name in ("dev", "test"):
        assert {each.near for each in contamination(parts["train"], parts[name], 0.8).values()} == {0}


def test_the_seed_decides(pairs: pd.DataFrame) -> None:
    groups = merge_near_duplicates(pairs, 0.8)
    assert assign_stratified(groups, SPLIT, 1) == assign_stratified(groups, SPLIT, 1)
    assert assign_stratified(groups, SPLIT, 1) != assign_stratified(groups, SPLIT, 2)
    shuffled = merge_near_duplicates(pairs.sample(frac=1, random_state=1), 0.8)
    assert assign_stratified(shuffled, SPLIT, 1) == assign_stratified(groups, SPLIT, 1)


def phrasebook_groups(behaviors: int = 10, frames: int = 4) -> list[QuestionGroup]:
    """The complete groups of a phrasebook in 2 categories and 3 styles: each behavior in each frame, two of three of them."""
    return [
        QuestionGroup(
            (f"{category}-{style}-{behavior}-{frame}",),
            ((category, style),),
            (f"{category}-{behavior}",),
            None,
            (f"{style}-{frame}",),
        )
        for category in ("S1", "S2")
        for style in "xyz"
        for behavior in range(behaviors)
        for frame in range(frames)
        if (behavior + frame) % 3
    ]


FRAMES = SPLIT.model_copy(update={"test_per_cell": 8, "dev_per_category": 6, "held_out_test_frames": 1})


@pytest.mark.parametrize("seed", range(8))
def test_a_frame_of_each_style_is_unseen_wording_in_about_half_of_the_test(seed: int) -> None:
    groups = phrasebook_groups()
    part_of = assign_stratified(groups, FRAMES, seed)
    by_part = {part: [group for group in groups if part_of[group.group_ids[0]] == part] for part in PARTS}
    behaviors, frames = (
        {part: {each for group in there for each in getattr(group, name)} for part, there in by_part.items()}
        for name in ("behaviors", "frames")
    )
    unseen = frames["test"] - frames["train"]
    assert sorted(frame[0] for frame in unseen) == ["x", "y", "z"], "one frame of each style"
    assert not unseen & frames["dev"]
    assert not (behaviors["test"] - behaviors["train"]) & behaviors["dev"]
    tested = Counter(
        (not group.behaviors & behaviors["train"], not group.frames & frames["train"]) for group in by_part["test"]
    )
    assert tested.total() == 48
    assert set(tested) == {(False, False), (False, True), (True, False), (True, True)}
    assert abs(sum(count for (_, frame), count in tested.items() if frame) - 24) <= 3


@pytest.mark.parametrize("seed", range(8))
def test_one_question_a_cell_is_enough_for_unseen_and_seen_frames(seed: int) -> None:
    groups = phrasebook_groups()
    part_of = assign_stratified(groups, FRAMES.model_copy(update={"test_per_cell": 1}), seed)
    trained = {frame for group in groups if part_of[group.group_ids[0]] == "train" for frame in group.frames}
    tested = [group for group in groups if part_of[group.group_ids[0]] == "test"]
    assert len(tested) == 6
    assert 2 <= sum(not group.frames & trained for group in tested) <= 4


def test_the_last_frame_of_a_style_is_never_held_out_and_unknown_frames_are_not_either() -> None:
    one = assign_stratified(phrasebook_groups(frames=1), FRAMES, 1)
    unknown = [
        QuestionGroup(group.group_ids, group.cells, group.behavior_ids, None, (None,)) for group in phrasebook_groups()
    ]
    without = FRAMES.model_copy(update={"held_out_test_frames": 0})
    assert one == assign_stratified(phrasebook_groups(frames=1), without, 1)
    assert assign_stratified(unknown, FRAMES, 1) == assign_stratified(unknown, without, 1)


@pytest.mark.parametrize("seed", range(8))
def test_a_group_that_is_not_in_every_language_is_trained_on_or_spare(seed: int) -> None:
    groups = [
        QuestionGroup(group.group_ids, group.cells, group.behavior_ids, None, group.frame_ids, testable=place % 3 > 0)
        for place, group in enumerate(phrasebook_groups())
    ]
    part_of = assign_stratified(groups, FRAMES, seed)
    assert {part_of[group.group_ids[0]] for group in groups if not group.testable} == {"train", "spare"}
    assert {part_of[group.group_ids[0]] for group in groups if group.testable} == set(PARTS)
