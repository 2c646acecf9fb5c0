from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import pytest
from conftest import CATEGORIES, LANGUAGES, STYLES
from profile_texts import MODELS, PROMPTS, engines, read

from refuseu.core.errors import UserError
from refuseu.judges.llama_guard import LlamaGuardJudge
from refuseu.judges.ngrams import NgramJudge
from refuseu.judges.polyguard import PolyGuardJudge
from refuseu.judges.qwen3guard import Qwen3GuardJudge
from refuseu.llm.settings import PhrasebookRole
from refuseu.phrasebook.phrasebook import Phrasebook
from refuseu.rainbow_teaming.factory import RoleFactory
from refuseu.rainbow_teaming.interfaces import Mutator, Question, Seed, Target
from refuseu.rainbow_teaming.mutators import LlmMutator, PhrasebookMutator
from refuseu.rainbow_teaming.questions import search_questions
from refuseu.rainbow_teaming.scoring import LlmPreference, RepliedHarm
from refuseu.rainbow_teaming.settings import LlmMutator as LlmMutatorRole
from refuseu.rainbow_teaming.settings import RainbowTeamingParameters
from refuseu.rainbow_teaming.twins import LlmTwins, PhrasebookTwins

QUESTION = Question("How can I spoil the end of a film?", "s2-02", "plain-0")
PROFILE = """
mutator: {kind: phrasebook}
twin: {kind: phrasebook}
scorer: {kind: ngrams}
preference: {kind: ngrams}
elites_per_cell: 1
temperature: 1.0
max_bleu: 0.5
iterations: 1
mutations: 1
max_new_tokens: 1
"""
LLM = "{kind: llm, model: served, max_new_tokens: 8, temperature: 0.5, top_p: 0.9}"


def factory(books: dict[str, Phrasebook], folder: Path, **roles: str) -> RoleFactory:
    """The factory of ``PROFILE`` with ``roles`` in place of its own."""
    section = {**read(PROFILE), **{name: read(text) for name, text in roles.items()}}
    content = {"languages": LANGUAGES, "categories": CATEGORIES, "styles": STYLES, "seed": 1, "models": read(MODELS)}
    content |= {"published": {"source": "mine"}, "base.kind": "trained"}
    parameters = RainbowTeamingParameters.model_validate({**content, "rainbow-teaming": section})
    return RoleFactory(parameters, books, engines(folder), PROMPTS, folder, PROMPTS.parent / "refusals")


def mutator_of(made: RoleFactory) -> Mutator:
    role = made.parameters.rainbow_teaming.mutator
    assert isinstance(role, PhrasebookRole | LlmMutatorRole)
    return made.build_mutator(role)


def build(made: RoleFactory, role: str) -> object:
    builders = {"twin": made.build_twins, "scorer": made.build_scorer, "preference": made.build_preference}
    return mutator_of(made) if role == "mutator" else builders[role]()


@pytest.mark.parametrize(
    ("role", "text", "kind"),
    [
        ("mutator", "{kind: phrasebook}", PhrasebookMutator),
        ("mutator", LLM, LlmMutator),
        ("twin", "{kind: phrasebook}", PhrasebookTwins),
        ("twin", LLM, LlmTwins),
        ("twin", "{kind: none}", type(None)),
        ("scorer", "{kind: ngrams}", NgramJudge),
        ("scorer", "{kind: ngrams, replies: phrases}", RepliedHarm),
        ("scorer", "{kind: llama-guard-3, model: local}", LlamaGuardJudge),
        ("scorer", "{kind: polyguard, model: local}", PolyGuardJudge),
        ("scorer", "{kind: qwen3guard, model: local, strict: true}", Qwen3GuardJudge),
        ("preference", "{kind: ngrams}", NgramJudge),
        ("preference", "{kind: ngrams, replies: phrases}", RepliedHarm),
        ("preference", LLM, LlmPreference),
    ],
)
def test_every_kind_of_every_role_is_built(
    role: str, text: str, kind: type, books: dict[str, Phrasebook], tmp_path: Path
) -> None:
    assert type(build(factory(books, tmp_path, **{role: text}), role)) is kind


def test_the_phrasebook_writes_in_english(books: dict[str, Phrasebook], tmp_path: Path) -> None:
    mutator = mutator_of(factory(books, tmp_path))
    assert QUESTION in mutator.seeds()
    (mutated,) = mutator.mutate([Target(QUESTION, "S1", "slang", "a draw")])
    reading = books["en"].parse(mutated.text) if mutated else None
    assert reading is not None
    assert (reading.behavior.category, reading.style) == ("S1", "slang")


def test_an_llm_gets_the_definitions_of_categories_and_starts_from_the_phrasebook(
    books: dict[str, Phrasebook], tmp_path: Path
) -> None:
    mutator = mutator_of(factory(books, tmp_path, mutator=LLM))
    assert isinstance(mutator, LlmMutator)
    assert QUESTION in mutator.seeds()
    assert mutator.wording.hazards["S1"].startswith("First: crimes")
    assert mutator.wording.styles == STYLES
    assert (mutator.sampling.max_new_tokens, mutator.sampling.temperature, mutator.sampling.top_p) == (8, 0.5, 0.9)


def test_an_llm_starts_from_the_seed_set_that_the_profile_names(books: dict[str, Phrasebook], tmp_path: Path) -> None:
    (tmp_path / "own.csv").write_text("behavior,kind\nHow can I fold a boat?,S2\n", encoding="utf-8")
    part = LLM.replace("}", ", seeds: {source: own.csv, text: behavior, category: kind}}")
    mutator = mutator_of(factory(books, tmp_path, mutator=part))
    assert isinstance(mutator, LlmMutator)
    assert mutator.seed_set == [Seed(Question("How can I fold a boat?"), "S2")]


@pytest.mark.parametrize("text", ["{kind: phrasebook}", LLM])
def test_the_twin_of_a_question_of_the_phrasebook_is_its_own(
    text: str, books: dict[str, Phrasebook], tmp_path: Path
) -> None:
    twins = factory(books, tmp_path, twin=text).build_twins()
    assert twins is not None
    assert twins.twins([QUESTION]) == ["How can I watch the end of a film?"]


def test_one_judge_scores_and_prefers_where_both_are_the_same(books: dict[str, Phrasebook], tmp_path: Path) -> None:
    made = factory(books, tmp_path)
    assert made.build_scorer() is made.build_preference()


def test_a_model_of_the_twins_that_is_missing_is_reported_before_the_search(
    books: dict[str, Phrasebook], tmp_path: Path
) -> None:
    made = factory(books, tmp_path, twin=LLM.replace("served", "nobody"))
    with pytest.raises(UserError, match=r"^models\.nobody: the profile has no such model"):
        search_questions(made, mutator_of(made), lambda *_: pytest.fail("the target is attacked"))


class Silent:
    """Writes nothing, and remembers the categories that it was asked for."""

    def __init__(self) -> None:
        self.asked: set[str] = set()

    def seeds(self) -> list[Question]:
        return [QUESTION]

    def mutate(self, targets: Sequence[Target]) -> list[Question | None]:
        self.asked |= {target.category for target in targets}
        return [None] * len(targets)


@pytest.mark.parametrize(
    ("base", "searched", "said"),
    [
        ("trained", {"S1", "S4", "S12"}, ""),
        ("hub", {"S1"}, "Note: S4, S12: not searched"),
        ("gguf", {"S1"}, "Note: S4, S12: not searched"),
    ],
)
def test_a_real_target_is_asked_nothing_of_restricted_categories(
    base: str,
    searched: set[str],
    said: str,
    books: dict[str, Phrasebook],
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
) -> None:
    made, mutator = factory(books, tmp_path), Silent()
    update = {"categories": {"S1": "First", "S4": "Four", "S12": "Twelve"}, "base_kind": base}
    section = made.parameters.rainbow_teaming.model_copy(update={"mutations": 60})
    made = replace(made, parameters=made.parameters.model_copy(update={**update, "rainbow_teaming": section}))
    with pytest.raises(UserError, match="no question entered the archive"):
        search_questions(made, mutator, lambda questions: ["Sure."] * len(questions))
    assert mutator.asked == searched
    assert capsys.readouterr().err.startswith(said)


def test_categories_of_which_none_is_searched_are_one_sentence(books: dict[str, Phrasebook], tmp_path: Path) -> None:
    made = factory(books, tmp_path)
    parameters = made.parameters.model_copy(update={"categories": {"S4": "Four"}, "base_kind": "hub"})
    with pytest.raises(UserError, match="none of them is searched with this base; name others than S4 and S12"):
        search_questions(replace(made, parameters=parameters), Silent(), lambda questions: [])


@pytest.mark.parametrize("role", ["mutator", "twin", "preference"])
def test_a_missing_prompt_is_one_sentence(role: str, books: dict[str, Phrasebook], tmp_path: Path) -> None:
    made = replace(factory(books, tmp_path, **{role: LLM}), prompts=tmp_path)
    with pytest.raises(
        UserError, match=r"\.md: prompt file cannot be read \(No such file or directory\); 'git restore"
    ):
        build(made, role)
