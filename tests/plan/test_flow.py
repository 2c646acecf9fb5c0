from pathlib import Path

import pytest
from parameter_files import Content
from planned import changed

from refuseu.plan.flow import MINIATURE, PAPER, flow_of, shares_of


def small(params: Content, profile: Content) -> None:
    """2 categories x 2 styles, 3 places a cell, 100 candidates, in 2 languages."""
    params["languages"] = ["en", "de"]
    params["categories"] = {key: params["categories"][key] for key in ("S1", "S4")}
    params["styles"] = {key: params["styles"][key] for key in ("slang", "role_play")}
    params["train"] = {
        "languages": ["de"],
        "benign_share": 0.5,
        "configs": {"balanced": {"languages": "all"}, "custom": {}, "bad": {"benign_share": 0.0}},
    }
    profile["rainbow-teaming"].update(elites_per_cell=30, iterations=10, mutations=100)
    profile["split"].update(test_per_cell=2, dev_per_category=3, unseen_test_asks=0, unseen_dev_asks=0)
    profile["dpo"].update(steps=7, batch_size=4)


def test_rows_follow_from_sizes_and_shares(tmp_path: Path) -> None:
    flow = flow_of(changed(tmp_path, small))
    assert (flow.candidates, flow.questions, flow.contests) == (1000, round(120 * 0.97), 380 - 116)
    assert (flow.kinds, flow.languages) == (2, 2)
    assert (flow.to_translate, flow.pairs, flow.labelled) == (464, 464, round(464 * 0.98))
    assert (flow.test, flow.dev, flow.train) == (8, 6, round(116 * 0.7) - 14)
    assert flow.mixes == {"balanced": 67 * 4, "custom": 67 * 2, "bad": 67}
    assert flow.trained_on == dict.fromkeys(flow.mixes, 28)
    assert (flow.parts_rows, flow.test_rows, flow.models) == (81 * 4, 32, 4)


def test_epochs_see_each_pair_as_often_as_they_say(tmp_path: Path) -> None:
    def edit(params: Content, profile: Content) -> None:
        small(params, profile)
        del profile["dpo"]["steps"]
        profile["dpo"].update(epochs=2.0, batch_size=67)

    assert flow_of(changed(tmp_path, edit)).trained_on == {"balanced": 536, "custom": 268, "bad": 134}


def test_without_twins_there_is_one_kind_and_no_share_of_it(tmp_path: Path) -> None:
    def edit(params: Content, profile: Content) -> None:
        small(params, profile)
        profile["rainbow-teaming"]["twin"] = {"kind": "none"}

    flow = flow_of(changed(tmp_path, edit))
    assert flow.kinds == 1
    assert flow.mixes == {"balanced": 67 * 2, "custom": 67, "bad": 67}


def test_a_search_that_is_too_short_fills_no_archive(tmp_path: Path) -> None:
    def edit(params: Content, profile: Content) -> None:
        small(params, profile)
        profile["rainbow-teaming"].update(iterations=1)

    flow = flow_of(changed(tmp_path, edit))
    assert (flow.candidates, flow.questions, flow.contests) == (100, 38, 0)


@pytest.mark.parametrize("written", ["phrasebook", "llm"])
def test_the_miniatures_shares_are_taken_where_its_judges_know_the_questions(written: str, tmp_path: Path) -> None:
    def edit(_: Content, profile: Content) -> None:
        if written == "llm":
            profile["models"]["writer"] = {"engine": "openai", "model": "a-model"}
            profile["rainbow-teaming"]["mutator"] = {"kind": "llm", "model": "writer", "max_new_tokens": 9}

    assert shares_of(changed(tmp_path, edit)) is (MINIATURE if written == "phrasebook" else PAPER)
