from pathlib import Path

import pytest
from parameter_files import Content
from planned import WEIGHTS, changed
from repository import ROOT

from refuseu.parameters import load_all
from refuseu.plan import arithmetic, models
from refuseu.plan.arithmetic import Run, lines_of
from refuseu.plan.models import Size


def real(params: Content, profile: Content) -> None:
    """A model plays every role; two languages, and 2 of 14 categories are restricted."""
    params["languages"] = ["en", "de"]
    params["report"]["benign_pairs"] = None
    params["train"] = {
        "languages": ["de"],
        "benign_share": 0.0,
        "configs": {"balanced": {"languages": "all"}, "custom": {}},
    }
    for name in ("writer", "guard", "poly", "chat"):
        profile["models"][name] = {"engine": "openai", "model": name}
    profile["models"]["chat"]["key"] = "A_KEY"
    writer = {"kind": "llm", "model": "writer", "max_new_tokens": 50}
    guard, poly = ({"kind": kind, "model": name} for kind, name in (("llama-guard-3", "guard"), ("polyguard", "poly")))
    profile["rainbow-teaming"].update(mutator=writer, twin=writer, preference=writer, scorer=guard)
    profile["rainbow-teaming"].update(elites_per_cell=1, iterations=10, mutations=42)
    profile["translate"]["translator"] = writer
    profile["respond"]["refuser"] = writer
    profile["label"] = {"judges": {"guard": guard, "poly": poly}, "adjudicator": {"kind": "chat", "model": "chat"}}


def test_rows_of_every_model_in_every_stage(tmp_path: Path) -> None:
    run = Run(changed(tmp_path, real))
    assert (run.candidates, run.contests, run.questions, run.pairs) == (420, 70, 140, 504)
    assert (run.labelled, run.parts, run.models) == (151, 24, 3)
    rows = {key: round(line.rows) for key, line in lines_of(run).items()}
    facts = 113 * 2 * 4 * run.models
    assert rows == {
        ("rainbow-teaming", "base"): 420,
        ("rainbow-teaming", "writer"): 2 * 420 * 12 / 14 + 2 * 70 + 140 * 12 / 14,
        ("rainbow-teaming", "guard"): 420,
        ("translate", "writer"): 2 * 280 * 12 / 14,
        ("respond", "base"): 504,
        ("respond", "writer"): 504 * 12 / 14,
        ("label", "guard"): 3 * 504,
        ("label", "poly"): 3 * 504,
        ("label", "chat"): 3 * 504,
        ("dpo", "base"): run.trained,
        ("eval", "base"): run.test * 3 + facts,
        ("eval", "guard"): run.test * 3,
        ("eval", "poly"): run.test * 3,
        ("eval", "chat"): round(run.test * 3 * 0.2),
    }


def test_only_calls_of_models_with_a_key_are_paid(tmp_path: Path) -> None:
    paid = {key: line.paid for key, line in lines_of(Run(changed(tmp_path, real))).items() if line.paid}
    assert set(paid) == {("label", "chat"), ("eval", "chat")}


def test_a_search_by_phrasebook_is_counted_as_the_miniature_was(tmp_path: Path) -> None:
    parameters = load_all(ROOT, "miniature")
    run = Run(parameters)
    # metrics/: 2,560 candidates, 816 questions, 19,224 pairs kept in 12 languages.
    assert run.candidates == 2560
    assert run.questions == pytest.approx(816, rel=0.05)
    assert run.labelled == pytest.approx(19_224 * len(parameters.languages) / 12, rel=0.05)
    assert list(lines_of(run)) == [(stage, "base") for stage in ("rainbow-teaming", "respond", "dpo", "eval")]


def test_a_published_set_is_taken_whole_without_its_restricted_categories() -> None:
    parameters = load_all(ROOT, "published-8b")
    run = Run(parameters)
    assert run.questions == round(2889 * 12 / 14) + 1200
    assert run.test == 1200 * len(parameters.languages)
    assert not [key for key in lines_of(run) if key[0] in ("rainbow-teaming", "translate", "respond")]


def test_hours_are_operations_over_what_a_card_does(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    def edit(_: Content, profile: Content) -> None:
        profile["models"]["base"] = WEIGHTS
        profile["base"] = {"kind": "hub"}

    monkeypatch.setattr(models, "_size", lambda repo, revision: Size(8_000_000_000, 16.0))
    lines = lines_of(Run(changed(tmp_path, edit)))
    respond, dpo = lines["respond", "base"], lines["dpo", "base"]
    work = 2 * (respond.read / 0.4 + respond.written / 0.1)
    assert respond.hours == pytest.approx(work * 8e9 / 989e12 / 3600)
    assert dpo.hours == pytest.approx(8 * dpo.read / 0.4 * 8e9 / 989e12 / 3600)


@pytest.mark.parametrize("profile", sorted(path.stem for path in (ROOT / "profiles").glob("*.yaml")))
def test_every_role_of_every_profile_is_counted(profile: str) -> None:
    parameters = load_all(ROOT, profile)
    asked = {name for _, name in lines_of(Run(parameters))}
    assert asked == {name for _, name in models.played(parameters)} | {"base"}


def test_the_limit_of_a_test_of_knowledge_is_a_tasks(tmp_path: Path) -> None:
    tests = [{"name": "global-mmlu", "limit": 10}, {"name": "belebele", "fewshot": 1}]
    knowledge = {"kind": "lm-eval", "tests": tests}

    def edit(params: Content, profile: Content) -> None:
        real(params, profile)
        profile["eval"].update(knowledge=knowledge)

    assert arithmetic.knowledge(changed(tmp_path, edit)) == [(4 * 57 * 10 * 2, 80), (4 * 900 * 2, 280)]
