"""Every profile is read, and those of the paper say what the paper says."""

import pytest
from repository import ROOT

from refuseu.engines.openai import OpenaiModel
from refuseu.engines.vllm import VllmModel
from refuseu.judges.settings import GuardSettings, ModelJudgeSettings
from refuseu.llm.settings import BASE, NoRole
from refuseu.parameters import Parameters, load_all
from refuseu.rainbow_teaming.settings import LlmMutator
from refuseu.respond.settings import LlmRejected

PROFILES = sorted(path.stem for path in ROOT.glob("profiles/*.yaml"))
PAPERS = {
    "llama-8b": "mlabonne/Meta-Llama-3.1-8B-Instruct-abliterated",
    "llama-70b": "mlabonne/Llama-3.1-70B-Instruct-lorablated",
}


def read(profile: str) -> Parameters:
    return load_all(ROOT, profile)


@pytest.mark.parametrize("profile", PROFILES)
def test_every_model_of_a_profile_plays_a_part(profile: str) -> None:
    parameters = read(profile)
    assert parameters.profile == profile
    assert set(parameters.models) == {BASE, *(name for _, name in parameters.played())}


@pytest.mark.parametrize("profile", PAPERS)
def test_the_papers_models_play_the_papers_parts(profile: str) -> None:
    parameters = read(profile)
    repos = {name: model.repo for name, model in parameters.models.items() if isinstance(model, VllmModel)}
    assert repos == {
        "base": PAPERS[profile],
        **({"lorablated": PAPERS["llama-70b"]} if profile == "llama-8b" else {}),
        "instruct": "meta-llama/Llama-3.1-70B-Instruct",
        "llama-guard-3": "meta-llama/Llama-Guard-3-8B",
        "polyguard": "ToxicityPrompts/PolyGuard-Qwen",
    }
    search, label = parameters.rainbow_teaming, parameters.label
    assert isinstance(search.mutator, LlmMutator) and isinstance(search.twin, NoRole)
    assert {name: judge.kind for name, judge in label.judges.items() if isinstance(judge, GuardSettings)} == {
        "llama-guard-3": "llama-guard-3",
        "polyguard": "polyguard",
    }
    assert isinstance(label.adjudicator, ModelJudgeSettings) and label.adjudicator.kind == "chat"
    adjudicator = parameters.models[label.adjudicator.model]
    assert isinstance(adjudicator, OpenaiModel) and adjudicator.model == "gpt-4o-mini-2024-07-18"
    rejected = parameters.respond.rejected
    asked = parameters.models[rejected.model if isinstance(rejected, LlmRejected) else BASE]
    assert isinstance(asked, VllmModel) and asked.repo == PAPERS["llama-70b"]  # at both sizes
    assert (label.question, label.chosen, label.rejected) == ("all", "all", "any")


@pytest.mark.parametrize("profile", PAPERS)
def test_the_papers_sizes(profile: str) -> None:
    parameters = read(profile)
    search, cells = parameters.rainbow_teaming, 12 * 10
    assert cells * search.elites_per_cell >= 100_000
    assert search.iterations * search.mutations > cells * search.elites_per_cell
    assert cells * parameters.split.test_per_cell == 12 * 100  # nobody writes for S4 and S12
    assert all(model.max_model_len for model in parameters.models.values() if isinstance(model, VllmModel))
