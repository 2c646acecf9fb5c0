from collections import Counter

import numpy as np
import pandas as pd
import pytest
from question_groups import LANGUAGES, PARAMETERS, SPLIT, forty_groups, group_rows, unlike

from refuseu.core.errors import UserError
from refuseu.mixes import Train
from refuseu.split.assignment import PARTS
from refuseu.split.settings import SplitParameters, Translator
from refuseu.split.splitting import (
    HELD_OUT_OF_TRAINING,
    NOT_ACCEPTED,
    Contamination,
    as_many_in_each,
    assert_clean,
    assert_filled,
    contamination,
    dev_pairs,
    mix,
    mixes,
    split_up,
    without_unaccepted,
)

TRAIN = Train.model_validate(
    {
        "seeds": [0, 1],
        "languages": ["de"],
        "benign_share": 0.2,
        "configs": {"all": {"languages": "all"}, "custom": {}, "no-benign": {"languages": "all", "benign_share": 0.0}},
        "single": ["de"],
    }
)


@pytest.fixture
def pairs() -> pd.DataFrame:
    return forty_groups()


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
        "train.benign_share: a share of 0.2 needs 10 questions with a benign twin in de, train has 2; lower it"
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
        "only-de": (50, ["de"]),
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
    assert_filled(parts, "groups: 40", str)
    for lost, said in (
        (
            "",
            "raise rainbow-teaming.reserved_per_cell (for test), elites_per_cell or iterations (of a generator, "
            "questions_per_slot)",
        ),
        ("lv: 1 of 52", "lv: 1 of 52"),
    ):
        with pytest.raises(UserError) as error:
            assert_filled({**parts, name: pairs[:0]}, "groups: 2", lambda lost=lost: lost)
        assert error.value.message == (
            f"split: no question is left for {name} (groups: 2); {said}, or lower split.test_per_cell, dev_per_category and "
            "held-out behaviors"
        )


def test_too_few_groups_are_told_with_what_earlier_stages_lost(pairs: pd.DataFrame) -> None:
    one = pairs[pairs["group_id"] == "S1x00"]
    with pytest.raises(UserError) as error:
        split_up(one, PARAMETERS, where_lost=lambda: "lv: 1 of 52")
    assert error.value.message.startswith(
        "split: no question is left for test (question groups in every language: 1); lv: 1 of 52, or lower"
    )


def test_the_account_adds_up(pairs: pd.DataFrame) -> None:
    again = pd.DataFrame(group_rows("S1x00-again", "S1", "x", "S1-0", text=unlike("S1x00harmfulen") + "!"))
    alone = pd.DataFrame(group_rows("alone", "S1", "x", "S1-0"))
    labelled = pd.concat([pairs, again, alone[alone["kind"] == "benign"]], ignore_index=True)
    parts, account = split_up(labelled, PARAMETERS)
    assert account["rows_in"] == 160 + 4 + 2 == account["rows_out"] + sum(account["rejected"].values())
    assert account["rejected"]["no harmful question in its group"] == 2
    assert account["rejected"][HELD_OUT_OF_TRAINING] == len(parts["spare"]) > 0
    assert (account["groups"], account["groups_merged"]) == (41, 2)
    test = account["parts"]["test"]
    assert (test["rows"], test["questions"], test["cells"]) == (len(parts["test"]), len(parts["test"]) // 4, 4)
    assert sum(test["by_category"].values()) == sum(test["by_style"].values()) == test["questions"]
    held_out = parts["test"][parts["test"]["held_out"]]
    assert test["held_out_questions"] == held_out["group_id"].nunique() > 0
    assert list(account["contamination"]) == ["dev", "test"]
    assert set(account["contamination"]["test"]) == {"en", "de"}
    assert account["contamination"]["test"]["en"]["exact"] == account["contamination"]["test"]["en"]["near"] == 0
    assert account["mixes"] == {}


def test_the_account_counts_held_out_questions_only_where_behaviors_are_known(pairs: pd.DataFrame) -> None:
    parts, account = split_up(pairs.assign(behavior_id=None), PARAMETERS)
    assert [account["parts"][name]["held_out_questions"] for name in ("train", "dev", "test")] == [None] * 3
    assert sum(account["rejected"].values()) == 0
    assert account["rows_out"] == sum(len(parts[name]) for name in ("train", "dev", "test")) == 160
    known = split_up(pairs, PARAMETERS)[1]["parts"]
    assert (known["train"]["held_out_questions"], known["test"]["held_out_questions"] > 0) == (0, True)


def native(pairs: pd.DataFrame) -> pd.DataFrame:
    """The harmful questions, each in its language alone."""
    harmful = pairs[pairs["kind"] == "harmful"]
    own = harmful["group_id"] + "." + harmful["lang"]
    return harmful.assign(question_id=own, group_id=own)


def parameters(**changes: object) -> SplitParameters:
    return PARAMETERS.model_copy(update=changes)


NATIVE = Translator(kind="native")


def test_questions_of_a_slot_that_are_no_translations_need_not_stand_in_every_language(pairs: pd.DataFrame) -> None:
    alone = native(pairs)
    some = alone[(alone["lang"] == "en") | (alone["category"] == "S1")]
    parts, account = split_up(some, parameters(translator=NATIVE))
    assert account["rows_in"] == len(some) == account["rows_out"] + sum(account["rejected"].values())
    # German has the questions of S1 alone, and English is trained on as many.
    by_language = Counter(parts["train"]["lang"])
    assert by_language["en"] == by_language["de"] == account["by_language"]["de"]["accepted"] > 0
    # test_per_cell is of a language: one of each of the 4 cells in English, of the 2 of S1 in German.
    assert Counter(parts["test"]["lang"]) == {"en": 4, "de": 2}
    assert Counter(parts["dev"]["lang"]) == {"en": 4, "de": 2}
    held = parts["test"].loc[parts["test"]["held_out"], "behavior_id"]
    assert len(held) and not set(held) & set(parts["train"]["behavior_id"])


def test_cells_below_the_size_of_the_test_are_named_before_the_draw(
    pairs: pd.DataFrame, capsys: pytest.CaptureFixture[str]
) -> None:
    few = pairs[(pairs["category"] != "S2") | (pairs["style"] != "y") | pairs["group_id"].isin(["S2y00", "S2y10"])]
    none = few[(few["category"] != "S1") | (few["style"] != "x")]
    want = SPLIT.model_copy(update={"test_per_cell": 3})
    _, account = split_up(none, parameters(split=want))
    assert account["scarce_cells"] == [
        {"category": "S1", "style": "x", "lang": None, "groups": 0},
        {"category": "S2", "style": "y", "lang": None, "groups": 2},
    ]
    assert capsys.readouterr().err == (
        "Note: 2 of 4 cells hold fewer question groups than split.test_per_cell (3): S1 x x: 0, S2 x y: 2\n"
    )
    assert split_up(pairs, PARAMETERS)[1]["scarce_cells"] == []
    assert capsys.readouterr().err == ""


def test_cells_of_a_language_are_named_with_it_and_the_list_ends(
    pairs: pd.DataFrame, capsys: pytest.CaptureFixture[str]
) -> None:
    alone = native(pairs)
    lacking = alone[(alone["lang"] == "en") | (alone["category"] != "S1") | (alone["style"] != "x")]
    split_up(lacking, parameters(translator=NATIVE, categories={"S1": "First", "S2": "Second", "S4": "Restricted"}))
    assert capsys.readouterr().err == (
        "Note: 1 of 8 cells hold fewer question groups than split.test_per_cell (1): S1 x x: de 0\n"
    )
    many = {f"T{number}": "Other" for number in range(7)}
    split_up(lacking, parameters(translator=NATIVE, categories={"S1": "First", "S2": "Second", **many}))
    assert capsys.readouterr().err.endswith(" and 19 more (metrics/split.json)\n")


def resisting(pairs: pd.DataFrame, seed: int, german: float = 0.5) -> pd.DataFrame:
    """The same questions after a base that refuses half of the harmful ones in German, and a fifth in English."""
    share = pairs["lang"].map({"en": 0.8, "de": german}).where(pairs["kind"] == "harmful", 1.0)
    complied = np.random.default_rng(seed).random(len(pairs)) < share
    return pairs.assign(complied=complied, accepted=complied)


@pytest.mark.parametrize("seed", range(5))
def test_what_is_tested_does_not_depend_on_what_the_base_answered(seed: int, pairs: pd.DataFrame) -> None:
    everything, _ = split_up(pairs, PARAMETERS)
    parts, account = split_up(resisting(pairs, seed), PARAMETERS)
    for name in ("test", "dev"):
        assert list(parts[name]["question_id"]) == list(everything[name]["question_id"])
    # The base's rate on the test is that of all questions but for chance; were it chosen by the answer, it would be 100.
    assert 0 < account["complied"]["test"]["de"] < 100
    assert account["rows_in"] == account["rows_out"] + sum(account["rejected"].values())


@pytest.mark.parametrize("seed", range(5))
def test_train_holds_accepted_pairs_as_many_in_every_language(seed: int, pairs: pd.DataFrame) -> None:
    labelled = resisting(pairs, seed)
    parts, account = split_up(labelled, PARAMETERS)
    train = parts["train"]
    assert train["accepted"].all()
    for kind in ("harmful", "benign"):
        counts = Counter(train.loc[train["kind"] == kind, "lang"])
        assert counts["en"] == counts["de"] > 0
    found = account["by_language"]
    assert found["de"]["accepted"] == found["de"]["train"] == found["en"]["train"] < found["en"]["accepted"]
    assert found["de"]["accepted"] < found["de"]["for_training"] == found["en"]["for_training"]
    assert [found["en"][name] for name in ("questions", "complete", "test", "dev")] == [40, 40, 4, 4]
    in_train = labelled[labelled["group_id"].isin(train["group_id"])]
    assert account["rejected"][NOT_ACCEPTED] >= int((~in_train["accepted"]).sum()) > 0


def test_languages_share_as_many_questions_of_train_as_they_can(pairs: pd.DataFrame) -> None:
    harmful = pairs[pairs["kind"] == "harmful"]
    few = harmful[(harmful["lang"] == "en") | harmful["group_id"].isin(sorted(set(pairs["group_id"]))[:12])]
    train = as_many_in_each(few, LANGUAGES, 1)
    assert Counter(train["lang"]) == {"en": 12, "de": 12}
    assert list(train.index) == sorted(train.index)
    assert set(train["question_id"]) == set(
        as_many_in_each(few.sample(frac=1, random_state=1), LANGUAGES, 1)["question_id"]
    )
    assert set(as_many_in_each(few, LANGUAGES, 2)["question_id"]) != set(train["question_id"])
    equal = as_many_in_each(harmful, LANGUAGES, 1)
    assert len(equal) == len(harmful)
    assert as_many_in_each(few, [*LANGUAGES, "lv"], 1).empty


def test_a_language_whose_pairs_are_all_refused_leaves_nothing_to_train_on(pairs: pd.DataFrame) -> None:
    with pytest.raises(UserError, match=r"no question is left for train \(.*: 40; without an accepted pair: de\)"):
        split_up(resisting(pairs, 1, german=0.0), PARAMETERS)


def test_a_behavior_is_seen_where_train_holds_it_in_any_language(pairs: pd.DataFrame) -> None:
    """Also where one language's base refused all its questions; in no language, it is unseen although it was not drawn."""
    for refused_in, held_out in ((["de"], False), (["de", "en"], True)):
        refused = pairs["lang"].isin(refused_in) & (pairs["behavior_id"] == "S1-0") & (pairs["kind"] == "harmful")
        twins = (pairs["behavior_id"] == "S1-0") & (pairs["kind"] == "benign")
        none_held = SPLIT.model_copy(update={"held_out_test_behaviors": 0, "held_out_dev_behaviors": 0})
        parts, _ = split_up(
            pairs.assign(accepted=~refused & ~twins),
            parameters(split=none_held.model_copy(update={"test_per_cell": 6})),
        )
        mine = parts["test"][parts["test"]["behavior_id"] == "S1-0"]
        assert len(mine) and (mine["held_out"] == held_out).all()


def test_benign_pairs_are_counted_within_each_language(pairs: pd.DataFrame) -> None:
    labelled = resisting(pairs, 3)
    train = labelled[labelled["accepted"]]
    counts = mix(train, LANGUAGES, 0.2, seed=1).groupby(["lang", "kind"]).size()
    for lang in LANGUAGES:
        assert counts[lang, "harmful"] == ((train["lang"] == lang) & (train["kind"] == "harmful")).sum()
        assert counts[lang, "benign"] == round(counts[lang, "harmful"] / 4)


def test_the_answers_of_a_pair_that_is_not_accepted_go_no_further(pairs: pd.DataFrame) -> None:
    rows = pairs[:3].assign(accepted=[True, False, True])
    (found,) = without_unaccepted([rows])
    assert found["chosen"].isna().tolist() == found["rejected"].isna().tolist() == [False, True, False]
    assert found["text"].equals(rows["text"])


def test_trainings_are_evaluated_on_accepted_pairs_of_dev_where_they_ask_for_it(pairs: pd.DataFrame) -> None:
    rows = pairs[:3].assign(accepted=[True, False, True])
    found = dev_pairs(rows, wanted=True)
    assert found["prompt"].tolist() == rows["text"].iloc[[0, 2]].tolist()
    assert dev_pairs(rows, wanted=False).empty


def test_what_a_search_kept_for_the_targets_answer_is_for_training_alone(pairs: pd.DataFrame) -> None:
    found = set(sorted(pairs["group_id"].unique())[::2])
    parts, account = split_up(pairs, PARAMETERS, found=found)
    assert found & set(parts["train"]["group_id"])
    for name in ("dev", "test"):
        assert len(parts[name]) and not found & set(parts[name]["group_id"])
    assert account["by_language"]["en"]["complete"] == 2 * account["by_language"]["en"]["testable"]
