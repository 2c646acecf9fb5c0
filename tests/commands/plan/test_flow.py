from pathlib import Path

import pytest
from parameter_files import Content
from planned import changed
from published_set import published_row, write_set
from repository import ROOT

from refuseu.commands.parameters import load_all
from refuseu.commands.plan.flow import flow_of

PROFILES = sorted(path.stem for path in (ROOT / "profiles").glob("*.yaml"))


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
    profile["split"].update(test_per_cell=2, dev_per_category=3, held_out_test_behaviors=0, held_out_dev_behaviors=0)
    profile["dpo"].update(steps=7, batch_size=4)


def test_rows_follow_from_sizes_and_shares(tmp_path: Path) -> None:
    flow = flow_of(changed(tmp_path, small))
    assert (flow.candidates, flow.questions, flow.contests) == (1000, round(120 * 0.97), 380 - 116)
    assert (flow.kinds, flow.languages) == (2, 2)
    assert (flow.to_translate, flow.pairs, flow.labelled) == (464, 464, round(464 * 0.98))
    assert (flow.test, flow.dev, flow.train) == (8, 6, round(116 * 0.97**2) - 14)
    assert flow.mixes == {"balanced": 95 * 4, "custom": 95 * 2, "bad": 95}
    assert flow.trained_on == dict.fromkeys(flow.mixes, 28)
    assert (flow.parts_rows, flow.test_rows, flow.models) == (109 * 4, 32, 4)


def test_epochs_see_each_pair_as_often_as_they_say(tmp_path: Path) -> None:
    def edit(params: Content, profile: Content) -> None:
        small(params, profile)
        del profile["dpo"]["steps"]
        profile["dpo"].update(epochs=2.0, batch_size=95)

    assert flow_of(changed(tmp_path, edit)).trained_on == {"balanced": 760, "custom": 380, "bad": 190}


def test_without_twins_there_is_one_kind_and_no_share_of_it(tmp_path: Path) -> None:
    def edit(params: Content, profile: Content) -> None:
        small(params, profile)
        profile["rainbow-teaming"]["twin"] = {"kind": "none"}

    flow = flow_of(changed(tmp_path, edit))
    assert flow.kinds == 1
    assert flow.mixes == {"balanced": 95 * 2, "custom": 95, "bad": 95}


def test_a_search_that_is_too_short_fills_no_archive(tmp_path: Path) -> None:
    def edit(params: Content, profile: Content) -> None:
        small(params, profile)
        profile["rainbow-teaming"].update(iterations=1)

    flow = flow_of(changed(tmp_path, edit))
    assert (flow.candidates, flow.questions, flow.contests) == (100, 38, 0)


@pytest.mark.parametrize("profile", PROFILES)
def test_every_config_of_every_profile_has_pairs_to_train_on(profile: str) -> None:
    flow = flow_of(load_all(ROOT, profile))
    assert [name for name, rows in flow.mixes.items() if not rows] == []
    assert flow.test > 0 and min(flow.trained_on.values()) > 0


def published(params: Content, profile: Content) -> None:
    """Everything is the published set's, in two languages."""
    params["languages"] = ["en", "de"]
    params["train"] = {"languages": ["de"], "benign_share": 0.0, "configs": {"balanced": {"languages": "all"}}}
    profile["rainbow-teaming"].update(mutator={"kind": "published"}, twin={"kind": "none"})
    profile["translate"]["translator"] = {"kind": "published"}
    profile["respond"].update(refuser={"kind": "published"}, rejected="published")
    profile["split"].update(assignment="published", dev_per_category=20)


def test_the_published_set_has_the_papers_sizes_without_two_of_14_categories(tmp_path: Path) -> None:
    flow = flow_of(changed(tmp_path, published))
    train, test = round(2889 * 12 / 14), 1200
    assert (flow.candidates, flow.contests, flow.questions) == (4289, 0, train + test)
    assert (flow.to_translate, flow.pairs, flow.labelled) == (2 * (train + test),) * 3
    assert (flow.train, flow.dev, flow.test) == (train - 240, 240, test)
    assert flow.mixes == {"balanced": 2 * (train - 240)}
    assert flow.source.startswith("all, the most that there can be: judges keep fewer; NASK-PIB/RefusEU has 2,889 ")


def test_the_questions_of_a_set_on_this_machine_are_counted(tmp_path: Path) -> None:
    def rows(*names: str, category: str = "S2") -> list[Content]:
        return [published_row(name, lang, category=category) for name in names for lang in ("en", "de")]

    def edit(params: Content, profile: Content) -> None:
        published(params, profile)
        params["published"]["source"] = "mine"
        profile["split"]["dev_per_category"] = 1

    parameters = changed(tmp_path, edit)
    write_set(tmp_path / "sets" / "mine", rows("a", "b", "c") + rows("d", category="S4"), rows("e"))
    flow = flow_of(parameters, tmp_path / "sets")
    assert (flow.candidates, flow.questions, flow.pairs) == (5, 4, 8)
    assert (flow.train + flow.dev, flow.test) == (3, 1)


@pytest.mark.parametrize(("source", "why"), [("org/theirs", "are not counted"), ("gone", "cannot be read")])
def test_a_set_of_unknown_size_is_not_counted(source: str, why: str, tmp_path: Path) -> None:
    def edit(params: Content, profile: Content) -> None:
        published(params, profile)
        params["published"]["source"] = source

    flow = flow_of(changed(tmp_path, edit), tmp_path)
    assert (flow.candidates, flow.pairs, flow.train) == (0, 0, 0)
    assert why in flow.source


def test_sides_that_are_drawn_anew_are_the_splits(tmp_path: Path) -> None:
    def edit(params: Content, profile: Content) -> None:
        published(params, profile)
        profile["split"].update(assignment="stratified", test_per_cell=2)

    flow = flow_of(changed(tmp_path, edit))
    assert (flow.dev, flow.test) == (280, 2 * 140)
    assert flow.train == flow.questions - 560
