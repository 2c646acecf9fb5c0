"""Every profile is read, and those of the paper say what the paper says."""

import pytest
from repository import ROOT

from refuseu.engines.openai import OpenaiModel
from refuseu.engines.vllm import VllmModel
from refuseu.eval.settings import ChatRating
from refuseu.experiment import RESTRICTED
from refuseu.judges import chat
from refuseu.judges.settings import GuardSettings
from refuseu.knowledge.settings import LmEvalKnowledge
from refuseu.llm.settings import BASE, NoRole
from refuseu.parameters import Parameters, load_all
from refuseu.rainbow_teaming.generator import read_activities
from refuseu.rainbow_teaming.settings import Generator
from refuseu.respond.settings import LlmRejected
from refuseu.text.identification import FastText
from refuseu.translate.settings import Native

PROFILES = sorted(path.stem for path in ROOT.glob("profiles/*.yaml"))
PAPERS = {
    "paper-8b": "mlabonne/Meta-Llama-3.1-8B-Instruct-abliterated",
    "paper-70b": "mlabonne/Llama-3.1-70B-Instruct-lorablated",
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
        **({"lorablated": PAPERS["paper-70b"]} if profile == "paper-8b" else {}),
        "instruct": "meta-llama/Llama-3.1-70B-Instruct",
        "mistral": "mistralai/Mistral-Small-24B-Instruct-2501",
        "llama-guard-3": "meta-llama/Llama-Guard-3-8B",
        "polyguard": "ToxicityPrompts/PolyGuard-Qwen",
        "gpt-oss-120b": "openai/gpt-oss-120b",
    }
    search, label = parameters.rainbow_teaming, parameters.label
    assert isinstance(search.mutator, Generator) and search.mutator.models == ["mistral", "instruct"]
    assert isinstance(search.twin, NoRole) and isinstance(parameters.translate.translator, Native)
    assert isinstance(parameters.identifier, FastText)
    assert parameters.identifier.repo == "facebook/fasttext-language-identification"
    assert {name: judge.kind for name, judge in label.judges.items() if isinstance(judge, GuardSettings)} == {
        "llama-guard-3": "llama-guard-3",
        "polyguard": "polyguard",
    }
    assert isinstance(label.adjudicator, chat.Settings) and label.adjudicator.form == "lines"
    adjudicator = parameters.models[label.adjudicator.model]
    assert isinstance(adjudicator, OpenaiModel) and adjudicator.model == "gpt-4o-mini-2024-07-18"
    rejected = parameters.respond.rejected
    asked = parameters.models[rejected.model if isinstance(rejected, LlmRejected) else BASE]
    assert isinstance(asked, VllmModel) and asked.repo == PAPERS["paper-70b"]  # at both sizes
    rating = parameters.eval.rating
    assert isinstance(rating, ChatRating) and (rating.model, rating.prompts_per_language) == ("gpt-oss-120b", 50)
    assert isinstance(parameters.eval.knowledge, LmEvalKnowledge)
    assert [test.name for test in parameters.eval.knowledge.tests] == ["global-mmlu", "belebele"]
    assert (label.question, label.chosen, label.rejected) == ("all", "all", "any")


@pytest.mark.parametrize("profile", PAPERS)
def test_the_papers_sizes(profile: str) -> None:
    parameters = read(profile)
    mutator, cells = parameters.rainbow_teaming.mutator, 12 * 10
    activities = read_activities(ROOT / "data/prompts/activities.yaml", parameters.categories)
    (each,) = {len(of_category) for category, of_category in activities.items() if category not in RESTRICTED}
    assert isinstance(mutator, Generator) and cells * each * mutator.questions_per_slot > 100_000
    assert cells * parameters.split.test_per_cell == 12 * 100  # nobody writes for S4 and S12
    assert all(model.max_model_len for model in parameters.models.values() if isinstance(model, VllmModel))
