from collections import Counter
from pathlib import Path

from parameter_files import Content
from planned import asks_of, changed

from refuseu.commands.plan.flow import flow_of
from refuseu.judges.polyguard import Settings as PolyGuard


def real(params: Content, profile: Content) -> None:
    """Every part that an LLM can play is played by one; two languages, 2 of 14 categories are restricted."""
    params["languages"] = ["en", "de"]
    params["train"] = {
        "languages": ["de"],
        "benign_share": 0.0,
        "configs": {"balanced": {"languages": "all"}, "custom": {}},
    }
    writer = {"kind": "llm", "model": "writer", "max_new_tokens": 50}
    for name in ("writer", "guard", "poly", "chat"):
        profile["models"][name] = {"engine": "openai", "model": name}
    profile["rainbow-teaming"].update(
        mutator=writer,
        twin=writer,
        preference=writer,
        scorer={"kind": "llama-guard-3", "model": "guard"},
        elites_per_cell=1,
        iterations=10,
        mutations=42,
    )
    profile["translate"]["translator"] = writer
    profile["respond"]["refuser"] = writer
    profile["label"] = {
        "judges": {
            "guard": {"kind": "llama-guard-3", "model": "guard"},
            "poly": {"kind": "polyguard", "model": "poly"},
        },
        "adjudicator": {"kind": "chat", "model": "chat"},
    }


def test_rows_of_every_model_in_every_stage(tmp_path: Path) -> None:
    parameters = changed(tmp_path, real)
    flow = flow_of(parameters)
    rows: Counter[tuple[str, str]] = Counter()
    for ask in asks_of(parameters):
        rows[ask.stage, ask.model] += ask.rows
    assert (flow.candidates, flow.contests, flow.questions, flow.pairs) == (420, 70, 140, 504)
    facts = rows["eval", "base"] - flow.test_rows * 3
    assert facts > 0 and facts % (4 * 2 * 3) == 0
    del rows["eval", "base"]
    assert rows == {
        ("rainbow-teaming", "base"): 420,
        # two steps and the twin without restricted categories, and both orders of each contest
        ("rainbow-teaming", "writer"): 2 * 360 + 120 + 2 * 70,
        ("rainbow-teaming", "guard"): 420,
        ("translate", "writer"): 2 * 240,  # there and back, into one language, two kinds, 120 of 140 shown
        ("respond", "base"): 504,
        ("respond", "writer"): 432,
        ("label", "guard"): 3 * 504,
        ("label", "poly"): 3 * 504,
        ("label", "chat"): 3 * 504,
        ("eval", "guard"): flow.test_rows * 3,
        ("eval", "poly"): flow.test_rows * 3,
        ("eval", "chat"): round(flow.test_rows * 3 * 0.2),
    }


def test_tokens_are_rows_times_what_each_is_told_and_writes(tmp_path: Path) -> None:
    asks = asks_of(changed(tmp_path, real), told="word " * 1000)
    (translation,) = (each for each in asks if each.stage == "translate")
    assert 1200 < translation.each_in < 1300
    assert translation.tokens_in == round(translation.rows * translation.each_in)
    (verdicts,) = (each for each in asks if (each.stage, each.model) == ("label", "poly"))
    assert verdicts.tokens_out == 3 * 504 * PolyGuard.verdict_tokens


def test_the_miniature_asks_its_base_alone(tmp_path: Path) -> None:
    asks = asks_of(changed(tmp_path, lambda params, profile: None))
    assert {each.model for each in asks} == {"base"}


def test_a_judge_of_questions_alone_is_asked_about_one_item_in_three(tmp_path: Path) -> None:
    def edit(_: Content, profile: Content) -> None:
        profile["models"]["chat"] = {"engine": "openai", "model": "chat"}
        profile["label"] = {"judges": {"phrases": {"kind": "phrases", "questions": {"kind": "chat", "model": "chat"}}}}

    parameters = changed(tmp_path, edit)
    rows = {each.stage: each.rows for each in asks_of(parameters) if each.model == "chat"}
    assert rows == {"label": flow_of(parameters).pairs, "eval": 0}


def test_models_of_others_answer_too_and_are_judged_but_served_ones_sit_no_test(tmp_path: Path) -> None:
    def edit(params: Content, profile: Content) -> None:
        real(params, profile)
        params["eval"]["models"] = {"theirs": {"model": "writer"}, "mine": {"folder": "a/folder"}}

    parameters = changed(tmp_path, edit)
    flow = flow_of(parameters)
    rows = [(each.model, each.rows) for each in asks_of(parameters) if each.stage == "eval"]
    answers, tests = rows[:2], rows[2:-3]
    assert (flow.models, answers) == (5, [("base", flow.test_rows * 4), ("writer", flow.test_rows)])
    assert [name for name, _ in tests] == ["base"]
    assert tests[0][1] % 4 == 0
    assert rows[-3:-1] == [("guard", flow.test_rows * 5), ("poly", flow.test_rows * 5)]


def test_of_a_published_set_the_judges_and_the_aligned_models_are_asked(tmp_path: Path) -> None:
    def edit(params: Content, profile: Content) -> None:
        real(params, profile)
        profile["rainbow-teaming"].update(mutator={"kind": "published"}, twin={"kind": "none"})
        profile["translate"]["translator"] = {"kind": "published"}
        profile["respond"].update(refuser={"kind": "published"}, rejected="published")
        profile["split"]["assignment"] = "published"

    parameters = changed(tmp_path, edit)
    pairs = 2 * (round(2889 * 12 / 14) + 1200)
    asks = asks_of(parameters)
    rows = {(each.stage, each.model): each.rows for each in asks if each.stage != "eval"}
    assert rows == {("label", name): 3 * pairs for name in ("guard", "poly", "chat")}
    assert asks[3].stage == "eval" and asks[3].rows == 2 * 1200 * 3


def test_the_base_answers_the_questions_of_a_published_set_and_llms_may_see_them_all(tmp_path: Path) -> None:
    def edit(params: Content, profile: Content) -> None:
        real(params, profile)
        profile["rainbow-teaming"].update(mutator={"kind": "published"}, twin={"kind": "none"})

    parameters = changed(tmp_path, edit)
    flow = flow_of(parameters)
    rows = [
        (each.stage, each.model, each.rows) for each in asks_of(parameters) if each.stage in ("translate", "respond")
    ]
    assert rows == [
        ("translate", "writer", 2 * flow.questions),
        ("respond", "base", flow.pairs),
        ("respond", "writer", flow.pairs),
    ]
