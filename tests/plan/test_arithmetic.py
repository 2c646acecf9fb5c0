from pathlib import Path

import pytest
from parameter_files import Content
from planned import RAY, WEIGHTS, changed, machine, training, vllm
from repository import ROOT

from refuseu.core.files import read_json
from refuseu.parameters import WholeMachine, load_all
from refuseu.plan import arithmetic, models
from refuseu.plan.arithmetic import (
    H100,
    Line,
    Run,
    gpus_taken,
    hours_here,
    paid,
    unknown,
    work_of,
    work_of_a_seed,
    work_of_models,
)
from refuseu.plan.models import Size


def real(params: Content, profile: Content) -> None:
    """A model plays every role; two languages, and 2 of 14 categories are restricted."""
    params["languages"] = ["en", "de"]
    params["report"]["benign_pairs"] = None
    params["train"] = {
        "seeds": [0],
        "languages": ["de"],
        "benign_share": 0.0,
        "configs": {"balanced": {"languages": "all"}, "custom": {}},
        "single": [],
    }
    for name in ("writer", "guard", "poly", "chat"):
        profile["models"][name] = {"engine": "openai", "model": name}
    profile["models"]["chat"]["key"] = "A_KEY"
    writer = {"kind": "llm", "model": "writer", "max_new_tokens": 50}
    guard, poly = ({"kind": kind, "model": name} for kind, name in (("llama-guard-3", "guard"), ("polyguard", "poly")))
    profile["rainbow-teaming"].update(mutator=writer, twin=writer, preference=writer, scorer=guard)
    profile["rainbow-teaming"].update(elites_per_cell=1, reserved_per_cell=1, iterations=10, mutations=42)
    profile["translate"]["translator"] = writer
    profile["respond"]["refuser"] = writer
    profile["label"] = {"judges": {"guard": guard, "poly": poly}, "adjudicator": {"kind": "chat", "model": "chat"}}


def test_rows_of_every_model_in_every_stage(tmp_path: Path) -> None:
    run = Run(changed(tmp_path, real))
    assert (run.candidates, run.contests, run.questions, run.pairs) == (420, 70, 280, 1008)
    assert (run.labelled, run.parts, run.models) == (302, 48, 3)
    rows = {key: round(line.rows) for key, line in work_of(run).items()}
    facts = 113 * 2 * 4 * run.models
    assert rows == {
        ("base", "base"): 500 * 32,
        ("rainbow-teaming", "base"): 420,
        ("rainbow-teaming", "writer"): 2 * 420 * 12 / 14 + 2 * 70 + 280 * 12 / 14,
        ("rainbow-teaming", "guard"): 420,
        ("translate", "writer"): 2 * 560 * 12 / 14,
        ("respond", "base"): 1008,
        ("respond", "writer"): 1008 * 12 / 14,
        ("label", "guard"): 3 * 1008,
        ("label", "poly"): 3 * 1008,
        ("label", "chat"): 3 * 1008,
        ("dpo", "base"): run.trained,
        ("eval", "base"): run.test * 3 + facts,
        ("eval", "guard"): run.test * 3,
        ("eval", "poly"): run.test * 3,
        ("eval", "chat"): round(run.test * 3 * 0.2),
    }


def test_only_calls_of_models_with_a_key_are_paid(tmp_path: Path) -> None:
    run = Run(changed(tmp_path, real))
    work = work_of(run)
    assert paid(run, work) == {"chat": Line.sum([work["label", "chat"], work["eval", "chat"]])}


def test_a_search_by_phrasebook_is_counted_as_the_miniature_was(tmp_path: Path) -> None:
    parameters = load_all(ROOT, "miniature")
    run = Run(parameters)
    # The committed results are of twelve languages.
    found, labelled, split = (
        read_json(ROOT / f"metrics/{name}.json") for name in ("rainbow-teaming", "label", "split")
    )
    assert run.candidates == 2560
    assert run.questions == pytest.approx(found["rows_out"], rel=0.05)
    assert run.labelled == pytest.approx(labelled["rows_out"] * len(parameters.languages) / 12, rel=0.05)
    assert run.test == pytest.approx(split["parts"]["test"]["rows"] * len(parameters.languages) / 12, rel=0.05)
    assert set(work_of(run)) == {(stage, "base") for stage in ("base", "rainbow-teaming", "respond", "dpo", "eval")}


def test_a_search_adds_what_is_reserved_for_dev_and_test() -> None:
    parameters = load_all(ROOT, "smollm2")
    run = Run(parameters)
    # docs/real-model.md: 210 of 480 candidates entered.
    cells = 12 * len(parameters.styles)
    assert run.candidates == 480 and run.questions == pytest.approx(210 + 2 * cells, abs=2)
    assert run.test == cells * parameters.split.test_per_cell * 12 * 2


def test_a_published_set_is_taken_whole_without_its_restricted_categories() -> None:
    """Its pairs are 2,748 of train and 141 of dev a language; its 1,400 questions of test have no category to leave out."""
    parameters = load_all(ROOT, "published-8b")
    run = Run(parameters)
    assert run.questions == round(2748 * 12 / 14) + round(141 * 12 / 14) == 2355 + 121
    assert run.test == 1400 * len(parameters.languages)
    assert run.parts == (2355 + 121 + 1400) * len(parameters.languages)
    # A config with one language trains 3 epochs, in steps of 64 pairs.
    assert run.pairs_of["english-only"] == -(-3 * 2355 // 64) * 64
    assert not [key for key in work_of(run) if key[0] in ("rainbow-teaming", "translate", "respond")]


def test_a_generator_writes_every_question_once_in_each_language(tmp_path: Path) -> None:
    """12 categories with 5 activities and 10 styles are 600 slots; nothing is searched, translated or written for S4 and S12."""

    def edit(params: Content, profile: Content) -> None:
        real(params, profile)
        mutator = {"kind": "generator", "models": ["writer", "chat"], "questions_per_slot": 4}
        profile["rainbow-teaming"].update(mutator={**mutator, "max_new_tokens": 50, "temperature": 0.7})
        profile["rainbow-teaming"].update(twin={"kind": "none"})
        profile["translate"]["translator"] = {"kind": "native"}

    run = Run(changed(tmp_path, edit))
    assert (run.candidates, run.generated, run.questions) == (2400, 2400 * 2 / 2, 2160)
    assert (run.found, run.pairs) == (2160 * 2, round(2160 * 2 * 0.9))
    # Of a language's questions so many are kept as of all pairs: none must be kept in the other one too.
    assert run.parts == pytest.approx(run.labelled, abs=2)
    assert run.test == min(run.parts // 2, 120 * run.parameters.split.test_per_cell) * 2
    rows = {key: round(line.rows) for key, line in work_of(run).items()}
    searched = {key: count for key, count in rows.items() if key[0] in ("rainbow-teaming", "translate")}
    assert searched == {("rainbow-teaming", "writer"): 2400, ("rainbow-teaming", "chat"): 2400}
    assert rows["respond", "writer"] == run.pairs
    assert paid(run, work_of(run))["chat"].rows == pytest.approx(
        2400 + sum(rows[stage, "chat"] for stage in ("label", "eval")), abs=1
    )


def test_hours_are_operations_over_what_a_card_does(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    def edit(_: Content, profile: Content) -> None:
        profile["models"]["base"] = WEIGHTS
        profile["base"] = {"kind": "hub"}

    monkeypatch.setattr(models, "_size", lambda repo, revision: Size(8_000_000_000, 16.0))
    work = work_of(Run(changed(tmp_path, edit)))
    respond, dpo = work["respond", "base"], work["dpo", "base"]
    operations = 2 * (respond.read / 0.4 + respond.written / 0.1)
    assert respond.hours(H100) == pytest.approx(operations * 8e9 / 989e12 / 3600)
    assert dpo.hours(H100) == pytest.approx(8 * dpo.read / 0.4 * 8e9 / 989e12 / 3600)


ON_HUB = {"meta-llama/Llama-Guard-3-8B": Size(8_030_261_248), "meta-llama/Llama-3.1-70B-Instruct": Size(70_553_706_496)}


@pytest.fixture
def paper_8b(monkeypatch: pytest.MonkeyPatch) -> Run:
    """The profile ``paper-8b`` in English and Polish, with the sizes of two of its models."""
    monkeypatch.setattr(models, "_size", lambda repo, revision: ON_HUB.get(repo))
    return Run(load_all(ROOT, "paper-8b").model_copy(update={"languages": ["en", "pl"]}))


def test_two_rows_of_paper_8b_as_they_are_reckoned_by_hand(paper_8b: Run) -> None:
    """1.2 and 2.6 tokens a word are 1.9; so a question of 35 words is 66.5 tokens, a refusal of 100 is 190."""
    work = work_of(paper_8b)
    # 600 slots x 170 questions in two languages, of which 90% are written and 90% of these kept: 165,240. None is of S4 and S12.
    refused = work["respond", "instruct"]
    assert paper_8b.pairs == round(2 * 102_000 * 0.9 * 0.9) == 165_240
    assert refused[:3] == pytest.approx((165_240, 165_240 * (300 + 66.5), 165_240 * 190))
    assert refused.hours(H100) == pytest.approx(
        165_240 * (2 * 366.5 / 0.4 + 2 * 190 / 0.1) * 70.553706496e9 / 989e12 / 3600
    )
    # The other answers are written by another model than the base, which is told the question and its template of 10 tokens.
    assert work["respond", "lorablated"][:3] == pytest.approx((165_240, 165_240 * (10 + 66.5), 165_240 * 475))
    assert ("respond", "base") not in work
    # Each pair is three items to a guard: question, refusal, and the base's answer of 475 tokens.
    guard = work["label", "llama-guard-3"]
    assert guard.rows == 3 * 165_240
    template = guard.read / guard.rows - 66.5 - (190 + 475) / 3
    assert round(template, 6) == load_all(ROOT, "paper-8b").label.judges["llama-guard-3"].model_uses()[0].prompt_tokens


def test_hours_here_are_those_of_a_card_over_the_cards_that_work(paper_8b: Run) -> None:
    def here(stage: str, name: str, machine: WholeMachine) -> float | None:
        return hours_here(paper_8b, machine, {(stage, name): work[stage, name]})

    work = work_of(paper_8b)
    hours = {key: line.hours(H100) for key, line in work.items()}
    eight = machine(vllm=vllm(tensor_parallel=4), ray=RAY, training=training(processes=4))
    assert here("respond", "instruct", eight) == pytest.approx(hours["respond", "instruct"] / (2 * 4))
    assert here("dpo", "base", eight) == pytest.approx(hours["dpo", "base"] / 4)
    assert here("label", "polyguard", eight) is None  # nobody tells its size
    assert here("eval", "gpt-4o-mini", eight) is None  # served
    assert unknown(paper_8b, work) == ["polyguard"]
    assert gpus_taken(paper_8b, eight, work) == 8
    elsewhere = machine(vllm=vllm(tensor_parallel=4), ray={**RAY, "address": "auto"})
    assert here("respond", "instruct", elsewhere) == pytest.approx(hours["respond", "instruct"] / 8)
    assert here("respond", "instruct", machine()) is None  # no section for its engine
    assert gpus_taken(paper_8b, machine(), work) is None


def test_cpus_work_at_their_own_speed() -> None:
    run = Run(load_all(ROOT, "miniature"))
    work = work_of(run)
    line = work["respond", "base"]
    base = 2 * 7000 * 96 + 4 * 96**2 + 3 * 96 * 192
    assert hours_here(run, machine(), {("respond", "base"): line}) == pytest.approx(
        2 * base * (line.read / 100e9 + line.written / 60e9) / 3600
    )
    assert gpus_taken(run, machine(), work) == 0


def test_configs_share_out_the_trainings_and_the_evaluation(paper_8b: Run) -> None:
    work, configs = work_of(paper_8b), work_of_models(paper_8b)
    seeds, train = {"balanced": 3, "only-pl": 1}, paper_8b.parameters.train
    assert [sum(model.name == name for model in train.runs) for name in seeds] == list(seeds.values())
    trained = Line.sum(configs[model.name]["dpo", "base"] for model in train.runs)
    assert trained == pytest.approx(work["dpo", "base"])
    assert paper_8b.models == 1 + 6 * 3 + 11 + len(paper_8b.parameters.eval.models)
    more = train.model_copy(update={"seeds": [*train.seeds, 9]})
    grown = Run(paper_8b.parameters.model_copy(update={"train": more}))
    for key, line in work_of_a_seed(paper_8b).items():
        assert work[key].rows + line.rows == pytest.approx(work_of(grown)[key].rows)
    assert configs["balanced"]["dpo", "base"].rows == paper_8b.pairs_of["balanced"] > paper_8b.pairs_of["english-only"]
    for key in (("eval", "base"), ("eval", "polyguard")):
        assert configs["balanced"][key].rows == pytest.approx(work[key].rows / paper_8b.models)


@pytest.mark.parametrize("whole", [False, True])
def test_an_external_model_with_a_model_of_its_own_takes_no_part_of_the_configs(whole: bool, tmp_path: Path) -> None:
    def edit(params: Content, profile: Content) -> None:
        chat = {"engine": "openai", "model": "org/chat", "key": "A_KEY"}
        if whole:
            params["eval"]["models"] = {"chat": chat}
        else:
            profile["models"]["chat"] = chat
            params["eval"]["models"] = {"served": {"model": "chat"}}

    run = Run(changed(tmp_path, edit))
    work, config = work_of(run), work_of_models(run)["balanced"]
    assert config["eval", "base"].rows == pytest.approx(work["eval", "base"].rows / (run.models - 1))
    assert ("eval", "chat") in work and ("eval", "chat") not in config
    assert list(paid(run, work)) == ["chat"]


@pytest.mark.parametrize("profile", sorted(path.stem for path in (ROOT / "profiles").glob("*.yaml")))
def test_every_role_of_every_profile_is_counted(profile: str) -> None:
    parameters = load_all(ROOT, profile)
    asked = {name for _, name in work_of(Run(parameters))}
    assert asked == {name for _, name in models.played(parameters)} | {"base"}


def test_the_limit_of_a_test_of_knowledge_is_a_tasks(tmp_path: Path) -> None:
    own = {"name": "arc", "tasks": {"de": "arc_de"}, "limit": 20}
    tests = [{"name": "global-mmlu", "limit": 10}, {"name": "belebele", "fewshot": 1}, own]
    knowledge = {"kind": "lm-eval", "tests": tests}

    def edit(params: Content, profile: Content) -> None:
        real(params, profile)
        profile["eval"].update(knowledge=knowledge)

    # Letters are scored by one reading of the question; of other options one does not know.
    assert arithmetic.knowledge(changed(tmp_path, edit)) == [(57 * 10 * 2, 80), (900 * 2, 280), (20 * 4, 80)]
