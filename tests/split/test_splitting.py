from collections import Counter
from hashlib import sha256
from pathlib import Path

import pandas as pd
import pytest

from refuseu.core.errors import UserError
from refuseu.core.schema import read_table
from refuseu.mixes import Train
from refuseu.split.settings import Split
from refuseu.split.splitting import (
    PARTS,
    Contamination,
    QuestionGroup,
    assert_clean,
    assert_filled,
    assign,
    complete_groups,
    contamination,
    glue,
    mix,
    mixes,
    parts_of,
    split_up,
    summary,
)
from refuseu.tables.schemas import PART
from refuseu.tables.writing import write_table

LANGUAGES = ["en", "de"]
SPLIT = Split(
    test_per_cell=1, dev_per_category=2, held_out_test_behaviors=1, held_out_dev_behaviors=1, near_duplicate=0.8
)
TRAIN = Train.model_validate(
    {
        "languages": ["de"],
        "benign_share": 0.2,
        "configs": {"all": {"languages": "all"}, "custom": {}, "no-benign": {"languages": "all", "benign_share": 0.0}},
    }
)


def slot_rows(
    group_id: str, category: str, style: str, behavior_id: str | None, text: str = ""
) -> list[dict[str, str | None]]:
    """A harmful question and its benign twin in both languages; texts are unlike each other unless given."""
    return [
        {
            "question_id": f"{group_id}-{kind}",
            "lang": lang,
            "kind": kind,
            "group_id": group_id,
            "category": category,
            "style": style,
            "behavior_id": behavior_id,
            "text": text if text and kind == "harmful" and lang == "en" else unlike(f"{group_id}{kind}{lang}"),
            "chosen": "chosen",
            "rejected": "rejected",
        }
        for kind in ("harmful", "benign")
        for lang in LANGUAGES
    ]


def unlike(name: str) -> str:
    return sha256(name.encode()).hexdigest()


@pytest.fixture
def pairs() -> pd.DataFrame:
    """2 categories x 2 styles x 5 behaviors x 2 wordings: 40 groups, none like another."""
    return pd.DataFrame(
        [
            row
            for category in ("S1", "S2")
            for style in ("x", "y")
            for behavior in range(5)
            for wording in range(2)
            for row in slot_rows(f"{category}{style}{behavior}{wording}", category, style, f"{category}-{behavior}")
        ]
    )


def split(pairs: pd.DataFrame, seed: int = 1, config: Split = SPLIT) -> dict[str, pd.DataFrame]:
    return parts_of(pairs, assign(glue(pairs, config.near_duplicate), config, seed))


def test_complete_slots_need_every_language_of_both_kinds(pairs: pd.DataFrame) -> None:
    missing = pairs.index[(pairs["question_id"] == "S1x00-benign") & (pairs["lang"] == "de")]
    whole = complete_groups(pairs.drop(missing), LANGUAGES)
    assert set(pairs["group_id"]) - set(whole["group_id"]) == {"S1x00"}
    assert len(whole) == len(pairs) - 4
    assert len(complete_groups(pairs, LANGUAGES)) == len(pairs)
    assert complete_groups(pairs, ["en", "de", "lv"]).empty


@pytest.mark.parametrize("kind", ["harmful", "benign"])
def test_a_slot_without_a_twin_is_complete_and_one_without_its_harmful_question_is_not(
    kind: str, pairs: pd.DataFrame
) -> None:
    alone = pairs[(pairs["group_id"] != "S1x00") | (pairs["kind"] == kind)]
    whole = complete_groups(alone, LANGUAGES)
    assert ("S1x00" in set(whole["group_id"])) == (kind == "harmful")
    half = alone.drop(alone.index[(alone["group_id"] == "S1x00") & (alone["lang"] == "de")])
    assert set(pairs["group_id"]) - set(complete_groups(half, LANGUAGES)["group_id"]) == {"S1x00"}


def test_slots_without_twins_are_split_like_the_others(pairs: pd.DataFrame) -> None:
    harmful = complete_groups(pairs[pairs["kind"] == "harmful"], LANGUAGES)
    assert len(harmful) == 80
    with_twins, without = split(pairs), split(harmful)
    assert {name: set(part["group_id"]) for name, part in without.items()} == {
        name: set(part["group_id"]) for name, part in with_twins.items()
    }


def test_glue_knows_which_asks_are_unknown() -> None:
    rows = [
        *slot_rows("a", "S1", "x", None, text=unlike("glue")),
        *slot_rows("b", "S1", "y", "behavior-1", text=unlike("glue") + "!"),
        *slot_rows("c", "S1", "x", None),
    ]
    one, other = glue(pd.DataFrame(rows), 0.8)
    assert one == QuestionGroup(("a", "b"), (("S1", "x"), ("S1", "y")), (None, "behavior-1"))
    assert (one.behaviors, other.behavior_ids, other.behaviors) == ({"behavior-1"}, (None,), frozenset())


@pytest.mark.parametrize("seed", range(4))
def test_where_no_ask_is_known_nothing_is_held_out_and_unseen_is_null(seed: int, pairs: pd.DataFrame) -> None:
    parts = split(pairs.assign(behavior_id=None), seed)
    assert {name: part["group_id"].nunique() for name, part in parts.items()} == {
        "train": 32, "dev": 4, "test": 4, "spare": 0
    }  # fmt: skip
    assert all(part["held_out"].isna().all() for part in parts.values())


@pytest.mark.parametrize("seed", range(4))
def test_an_unknown_ask_is_never_held_out_beside_known_ones(seed: int, pairs: pd.DataFrame, tmp_path: Path) -> None:
    unknown = pairs["group_id"].isin([f"S1{style}{behavior}0" for style in "xy" for behavior in range(5)])
    some = pairs.assign(behavior_id=pairs["behavior_id"].mask(unknown, None))
    parts = split(some, seed)
    for name, part in parts.items():
        assert part["held_out"].isna().tolist() == part["behavior_id"].isna().tolist(), name
    assert set(parts["spare"]["behavior_id"].isna()) <= {False}
    held = asks_out_of_train(parts["test"]) | asks_out_of_train(parts["dev"])
    assert len({behavior for behavior in held if behavior.startswith("S1")}) == 2
    write_table(parts["test"], tmp_path / "test.parquet", PART)
    read = read_table(tmp_path / "test.parquet", PART).sort_values(["question_id", "lang"])
    ordered = parts["test"].sort_values(["question_id", "lang"])
    assert read["held_out"].isna().tolist() == ordered["held_out"].isna().tolist()


def test_a_test_slot_of_an_unknown_ask_is_neither_seen_nor_unseen() -> None:
    rows = [
        *slot_rows("a", "S1", "x", "behavior-1"),
        *slot_rows("b", "S1", "x", None),
        *slot_rows("c", "S1", "x", "behavior-2"),
    ]
    parts = parts_of(pd.DataFrame(rows), {"a": "train", "b": "test", "c": "test"})
    assert dict(zip(parts["test"]["group_id"], parts["test"]["held_out"], strict=True)) == {"b": None, "c": True}
    assert parts["train"]["held_out"].tolist() == [False] * 4


def test_glue_leaves_unlike_slots_alone_in_the_order_of_their_ids() -> None:
    rows = [*slot_rows("b", "S2", "y", "behavior-2"), *slot_rows("a", "S1", "x", "behavior-1")]
    assert glue(pd.DataFrame(rows), 0.8) == [
        QuestionGroup(("a",), (("S1", "x"),), ("behavior-1",)),
        QuestionGroup(("b",), (("S2", "y"),), ("behavior-2",)),
    ]


def test_glue_is_transitive_and_works_in_any_language() -> None:
    one, two = "abcdefghijklmnopqrst", "abcdefghijklmnopqrst!"
    rows = [
        *slot_rows("a", "S1", "x", "behavior-1", text=one),
        *slot_rows("b", "S2", "y", "behavior-2"),
        *slot_rows("c", "S1", "y", "behavior-3", text=two),
        *slot_rows("d", "S1", "x", "behavior-1"),
    ]
    table = pd.DataFrame(rows)
    german = (table["lang"] == "de") & (table["kind"] == "harmful") & table["group_id"].isin(["c", "d"])
    table.loc[german, "text"] = ["Ein Satz wie der andere.", "EIN SATZ  wie der andere."]
    assert glue(table, 0.8) == [
        QuestionGroup(
            ("a", "c", "d"), (("S1", "x"), ("S1", "y"), ("S1", "x")), ("behavior-1", "behavior-3", "behavior-1")
        ),
        QuestionGroup(("b",), (("S2", "y"),), ("behavior-2",)),
    ]


@pytest.mark.parametrize("seed", range(8))
def test_no_slot_is_on_two_sides_and_none_is_lost(seed: int, pairs: pd.DataFrame) -> None:
    parts = split(pairs, seed)
    assert tuple(parts) == PARTS
    sides = [set(part["group_id"]) for part in parts.values()]
    assert sum(len(side) for side in sides) == len(set().union(*sides)) == 40
    assert all(len(part) == 4 * part["group_id"].nunique() for part in parts.values())


@pytest.mark.parametrize("seed", range(8))
def test_sizes_are_as_asked_for(seed: int, pairs: pd.DataFrame) -> None:
    parts = split(pairs, seed)
    test, dev = (parts[name].drop_duplicates("group_id") for name in ("test", "dev"))
    assert Counter(zip(test["category"], test["style"], strict=True)) == Counter(
        {("S1", "x"): 1, ("S1", "y"): 1, ("S2", "x"): 1, ("S2", "y"): 1}
    )
    assert Counter(dev["category"]) == {"S1": 2, "S2": 2}
    assert dev.groupby("category")["held_out"].sum().to_dict() == {"S1": 1, "S2": 1}


@pytest.mark.parametrize("seed", range(8))
def test_unseen_asks_are_not_in_train(seed: int, pairs: pd.DataFrame) -> None:
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


def asks_out_of_train(part: pd.DataFrame) -> set[str]:
    return set(part.loc[part["held_out"].eq(True), "behavior_id"])


@pytest.mark.parametrize("seed", range(30))
def test_no_ask_gets_unseen_by_accident_nor_in_both_dev_and_test(seed: int) -> None:
    # Asks of one to four groups, and a pair glued across categories.
    rows = [
        row
        for category in ("S1", "S2")
        for behavior in range(5)
        for wording in range(1 + behavior % 4)
        for row in slot_rows(f"{category}{behavior}{wording}", category, "xy"[wording % 2], f"{category}-{behavior}")
    ]
    rows += slot_rows("S1glued", "S1", "x", "S1-1", text=unlike("glue"))
    rows += slot_rows("S2glued", "S2", "y", "S2-2", text=unlike("glue") + "!")
    parts = split(pd.DataFrame(rows), seed)
    test, dev = asks_out_of_train(parts["test"]), asks_out_of_train(parts["dev"])
    assert not test & dev
    assert max(len(test), len(dev)) <= 2, "one held out in each of the two categories, no more"


def test_the_last_ask_of_a_category_is_never_held_out() -> None:
    rows = [row for number in range(6) for row in slot_rows(f"s{number}", "S1", "x", "behavior")]
    parts = split(pd.DataFrame(rows))
    assert {name: part["group_id"].nunique() for name, part in parts.items()} == {
        "train": 3, "dev": 2, "test": 1, "spare": 0
    }  # fmt: skip
    assert not parts["test"]["held_out"].any()


@pytest.mark.parametrize(("behaviors", "held"), [(1, 0), (2, 1), (3, 2), (4, 2)])
@pytest.mark.parametrize("seed", range(4))
def test_train_keeps_an_ask_of_every_category(seed: int, behaviors: int, held: int) -> None:
    groups = [
        QuestionGroup((f"{behavior}{copy}",), (("S1", "x"),), (f"behavior-{behavior}",))
        for behavior in range(behaviors)
        for copy in range(3)
    ]
    part = assign(groups, SPLIT, seed)
    assert len({group.behavior_ids for group in groups if part[group.group_ids[0]] == "train"}) == behaviors - held


@pytest.mark.parametrize("seed", range(8))
def test_a_slot_of_a_held_out_and_a_seen_ask_leaves_train(seed: int) -> None:
    groups = [
        QuestionGroup((f"{behavior}{copy}",), (("S1", "x"),), (behavior,)) for behavior in "abc" for copy in range(3)
    ]
    groups.append(QuestionGroup(("glued-1", "glued-2"), (("S1", "x"), ("S1", "x")), ("a", "b")))
    part = assign(groups, SPLIT.model_copy(update={"held_out_dev_behaviors": 0}), seed)
    trained = {behavior for group in groups if part[group.group_ids[0]] == "train" for behavior in group.behavior_ids}
    assert len(trained) == 2
    assert part["glued-1"] == part["glued-2"]


@pytest.mark.parametrize("seed", range(8))
def test_a_slot_with_the_last_wording_of_an_ask_stays_in_train(seed: int) -> None:
    groups = [QuestionGroup((f"b{copy}",), (("S1", "x"),), ("b",)) for copy in range(3)]
    groups.append(QuestionGroup(("glued-1", "glued-2"), (("S1", "x"), ("S1", "x")), ("a", "b")))
    none_unseen = SPLIT.model_copy(
        update={"test_per_cell": 9, "held_out_test_behaviors": 0, "held_out_dev_behaviors": 0}
    )
    assert assign(groups, none_unseen, seed) == {
        "b0": "test", "b1": "test", "b2": "test", "glued-1": "train", "glued-2": "train"
    }  # fmt: skip


def test_unseen_is_what_train_does_not_hold_even_if_it_was_not_held_out() -> None:
    rows = [row for behavior in ("behavior-1", "behavior-2") for row in slot_rows(behavior, "S1", "x", behavior)]
    parts = parts_of(pd.DataFrame(rows), {"behavior-1": "train", "behavior-2": "test"})
    assert (parts["test"]["held_out"].all(), parts["train"]["held_out"].any()) == (True, False)


def test_nothing_held_out_leaves_nothing_spare(pairs: pd.DataFrame) -> None:
    config = SPLIT.model_copy(update={"held_out_test_behaviors": 0, "held_out_dev_behaviors": 0, "dev_per_category": 0})
    parts = split(pairs, config=config)
    assert {name: part["group_id"].nunique() for name, part in parts.items()} == {
        "train": 36, "dev": 0, "test": 4, "spare": 0
    }  # fmt: skip


@pytest.mark.parametrize("seed", range(8))
def test_near_duplicates_stay_on_one_side(seed: int, pairs: pd.DataFrame) -> None:
    twins = pd.concat(
        [pairs, pd.DataFrame(slot_rows("S1x00-again", "S1", "y", "S1-0", text=unlike("S1x00harmfulen") + "!"))]
    )
    part_by_group = assign(glue(twins, 0.8), SPLIT, seed)
    assert part_by_group["S1x00"] == part_by_group["S1x00-again"]
    parts = parts_of(twins, part_by_group)
    for name in ("dev", "test"):
        assert {each.near for each in contamination(parts["train"], parts[name], 0.8).values()} == {0}


def test_the_seed_decides(pairs: pd.DataFrame) -> None:
    groups = glue(pairs, 0.8)
    assert assign(groups, SPLIT, 1) == assign(groups, SPLIT, 1)
    assert assign(groups, SPLIT, 1) != assign(groups, SPLIT, 2)
    shuffled = glue(pairs.sample(frac=1, random_state=1), 0.8)
    assert assign(shuffled, SPLIT, 1) == assign(groups, SPLIT, 1)


@pytest.mark.parametrize(("share", "benign"), [(0.0, 0), (0.2, 10), (0.5, 40)])
def test_a_mix_has_equal_rows_a_language_and_its_benign_share(share: float, benign: int, pairs: pd.DataFrame) -> None:
    rows = mix(pairs, LANGUAGES, share, seed=1)
    for lang in LANGUAGES:
        mine = rows[rows["lang"] == lang]
        assert Counter(mine["kind"]) == Counter(harmful=40, benign=benign)
        assert benign / len(mine) == share
        assert set(mine.loc[mine["kind"] == "harmful", "group_id"]) == set(pairs["group_id"])
    drawn = rows[rows["kind"] == "benign"].groupby("lang")["group_id"].agg(set)
    assert all(drawn["en"] == groups for groups in drawn)
    assert "prompt" in rows.columns and "text" not in rows.columns


def test_a_mix_of_some_languages_is_a_part_of_the_whole(pairs: pd.DataFrame) -> None:
    whole, german = mix(pairs, LANGUAGES, 0.2, seed=1), mix(pairs, ["de"], 0.2, seed=1)
    pd.testing.assert_frame_equal(german, whole[whole["lang"] == "de"])
    other = mix(pairs, ["de"], 0.2, seed=2)
    assert set(other["question_id"]) != set(german["question_id"])


def test_a_mix_of_more_twins_than_train_has_is_one_sentence(pairs: pd.DataFrame) -> None:
    some = pairs[(pairs["kind"] == "harmful") | pairs["group_id"].isin(["S1x00", "S2y11"])]
    with pytest.raises(UserError) as caught:
        mix(some, LANGUAGES, 0.2, seed=1)
    assert caught.value.message == (
        "train.benign_share: a share of 0.2 needs 10 questions with a benign twin, train has 2; lower it"
    )
    assert Counter(mix(some, LANGUAGES, 0.05, seed=1)["kind"]) == Counter(harmful=80, benign=4)


def test_where_nobody_wrote_twins_there_are_none_to_mix_in(pairs: pd.DataFrame) -> None:
    harmful = pairs[pairs["kind"] == "harmful"]
    for share in (0.0, 0.2):
        assert Counter(mix(harmful, LANGUAGES, share, seed=1)["kind"]) == Counter(harmful=80)


def test_an_empty_mix(pairs: pd.DataFrame) -> None:
    assert mix(pairs[:0], LANGUAGES, 0.2, seed=1).empty


def test_mixes_of_every_config(pairs: pd.DataFrame) -> None:
    found = dict(mixes(pairs, TRAIN, LANGUAGES, seed=1))
    assert {name: (len(rows), sorted(rows["lang"].unique())) for name, rows in found.items()} == {
        "all": (100, ["de", "en"]),
        "custom": (50, ["de"]),
        "no-benign": (80, ["de", "en"]),
    }


def texts(lang: str, *values: str) -> pd.DataFrame:
    return pd.DataFrame({"lang": [lang] * len(values), "text": list(values)}, columns=["lang", "text"])


def test_contamination_by_language() -> None:
    # abcdefg and abcdefh share 2 of 4 shingles, abcdefg and abcdefg1 3 of 4
    train = pd.concat([texts("en", "abcdefg", "unlike the rest"), texts("de", "abcdefg")])
    test = pd.concat([texts("en", "ABCDEFG ", "abcdefh", "abcdefg1"), texts("de", "abcdefh"), texts("lv", "abcdefg")])
    assert contamination(train, test, 0.75) == {
        "de": Contamination(exact=0, near=0, highest=0.5),
        "en": Contamination(exact=1, near=2, highest=1.0),
        "lv": Contamination(exact=0, near=0, highest=0.0),
    }
    assert contamination(train, test, 0.5)["de"] == Contamination(exact=0, near=1, highest=0.5)
    assert contamination(train, test[:0], 0.5) == {}


@pytest.mark.parametrize(("exact", "near"), [(2, 0), (0, 1)])
def test_a_contaminated_part_is_named(exact: int, near: int) -> None:
    clean = {"en": {"exact": 0, "near": 0, "highest": 0.7}}
    assert_clean({"dev": clean, "test": clean})
    with pytest.raises(UserError) as error:
        assert_clean({"dev": clean, "test": {**clean, "lv": {"exact": exact, "near": near, "highest": 0.9}}})
    assert error.value.exit_code == 1
    assert f"test shares {exact} equal and {near} near-duplicate questions with train in lv" in error.value.message
    assert "a fault of the split" in error.value.message


@pytest.mark.parametrize("name", ["train", "test"])
def test_train_and_test_must_hold_something(name: str, pairs: pd.DataFrame) -> None:
    parts = {**dict.fromkeys(PARTS, pairs), "dev": pairs[:0], "spare": pairs[:0]}
    assert_filled(parts)
    with pytest.raises(UserError, match=f"split: no group is left for {name}; raise rainbow-teaming.elites_per_cell"):
        assert_filled({**parts, name: pairs[:0]})


def test_the_account_adds_up(pairs: pd.DataFrame) -> None:
    again = pd.DataFrame(slot_rows("S1x00-again", "S1", "x", "S1-0", text=unlike("S1x00harmfulen") + "!"))
    labelled = pd.concat([pairs, again, pd.DataFrame(slot_rows("incomplete", "S1", "x", "S1-0"))[:3]])
    whole = complete_groups(labelled, LANGUAGES)
    groups = glue(whole, SPLIT.near_duplicate)
    parts = parts_of(whole, assign(groups, SPLIT, 1))
    account = summary(labelled, whole, parts, groups, SPLIT.near_duplicate)
    assert account["rows_in"] == 160 + 4 + 3 == account["rows_out"] + sum(account["rejected"].values())
    assert account["rejected"]["group not complete in every language"] == 3
    assert account["rejected"]["behavior held out of training"] == len(parts["spare"]) > 0
    assert (account["groups"], account["groups_merged"]) == (41, 2)
    test = account["parts"]["test"]
    assert (test["rows"], test["questions"], test["cells"]) == (len(parts["test"]), len(parts["test"]) // 4, 4)
    assert sum(test["by_category"].values()) == sum(test["by_style"].values()) == test["questions"]
    unseen = parts["test"][parts["test"]["held_out"]]
    assert test["held_out_questions"] == unseen["group_id"].nunique() > 0
    assert list(account["contamination"]) == ["dev", "test"]
    assert set(account["contamination"]["test"]) == {"en", "de"}
    assert account["contamination"]["test"]["en"]["exact"] == account["contamination"]["test"]["en"]["near"] == 0
    assert account["mixes"] == {}


def test_the_account_counts_unseen_questions_only_where_what_is_asked_for_is_known(pairs: pd.DataFrame) -> None:
    parts, account = split_up(pairs.assign(behavior_id=None), LANGUAGES, SPLIT, 1)
    assert [account["parts"][name]["held_out_questions"] for name in ("train", "dev", "test")] == [None] * 3
    assert account["rejected"] == {"group not complete in every language": 0, "behavior held out of training": 0}
    assert account["rows_out"] == sum(len(parts[name]) for name in ("train", "dev", "test")) == 160
    known = split_up(pairs, LANGUAGES, SPLIT, 1)[1]["parts"]
    assert (known["train"]["held_out_questions"], known["test"]["held_out_questions"] > 0) == (0, True)


def plain_rows(group_id: str, category: str, text: str = "") -> list[dict[str, str | None]]:
    """A harmful question of an unknown behavior and style, without a twin."""
    return [row for row in slot_rows(group_id, category, "unknown", None, text) if row["kind"] == "harmful"]


NEAR = [f"Where does the old river of the valley cross the long road to the sea{end}" for end in ("?", "!")]


def test_slots_stay_on_the_sides_of_a_published_set_and_dev_comes_from_its_train() -> None:
    sides = {
        f"{category}{number}": "test" if number < 2 else "train" for category in ("S1", "S2") for number in range(6)
    }
    published = pd.DataFrame([row for group_id in sides for row in plain_rows(group_id, group_id[:2])])
    parts, account = split_up(published, LANGUAGES, SPLIT, 1, sides)
    found = {name: set(parts[name]["group_id"]) for name in PARTS}
    assert found["test"] == {"S10", "S11", "S20", "S21"}
    assert Counter(group_id[:2] for group_id in found["dev"]) == {"S1": 2, "S2": 2}
    assert found["train"] | found["dev"] == {group_id for group_id, side in sides.items() if side == "train"}
    assert found["spare"] == set()
    assert account["parts"]["test"]["held_out_questions"] is None


def test_near_duplicates_across_published_sides_stay_and_are_told() -> None:
    sides = {"a": "train", "b": "test", "c": "train"}
    texts = {"a": NEAR[0], "b": NEAR[1]}
    published = pd.DataFrame([row for group_id in sides for row in plain_rows(group_id, "S1", texts.get(group_id, ""))])
    parts, account = split_up(published, LANGUAGES, SPLIT.model_copy(update={"dev_per_category": 1}), 1, sides)
    # Dev may not take what train has a near-duplicate of, and here that stands in test.
    assert {name: list(parts[name]["group_id"].unique()) for name in ("train", "dev", "test")} == {
        "train": ["a"],
        "dev": ["c"],
        "test": ["b"],
    }
    assert account["contamination"]["test"]["en"]["near"] == 1
    assert account["contamination"]["test"]["de"]["near"] == 0


def test_a_question_without_a_side_is_one_sentence() -> None:
    published = pd.DataFrame([row for group_id in ("a", "b") for row in plain_rows(group_id, "S1")])
    with pytest.raises(
        UserError, match=r"^split: question b is not of the published set; let split.assignment be stratified"
    ):
        split_up(published, LANGUAGES, SPLIT, 1, {"a": "train"})
