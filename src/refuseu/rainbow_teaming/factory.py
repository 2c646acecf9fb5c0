"""Builds who plays the roles of the search, or writes the questions without one, as the profile says."""

from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import assert_never

from refuseu.engines.registry import EngineFactory, sampling_of
from refuseu.experiment import PIVOT
from refuseu.judges.ngrams import NgramJudge
from refuseu.judges.registry import settings_class
from refuseu.judges.settings import GuardSettings, Resources
from refuseu.llm.identifier import open_identifier
from refuseu.llm.prompts import PromptTemplate
from refuseu.llm.settings import NoRole, PhrasebookRole
from refuseu.phrasebook.phrasebook import Phrasebook
from refuseu.rainbow_teaming import generator, mutators, scoring, settings, twins
from refuseu.rainbow_teaming.interfaces import Mutator, Preference, Scorer, Twins
from refuseu.text.identification import Identifier


@dataclass(frozen=True)
class RoleFactory:
    """Builds each role from its settings.

    Every method raises a ``UserError`` for a model, a prompt or another file that is missing or wrong.
    """

    parameters: settings.RainbowTeamingParameters
    books: dict[str, Phrasebook]
    """The phrasebooks by language."""
    engines: EngineFactory
    prompts: Path
    """Folder of prompts."""
    seeds: Path
    """Folder of seed sets."""
    refusals: Path
    """Folder of phrases that refuse."""

    def build_mutator(self, role: settings.SearchMutator) -> Mutator:
        by_rule = mutators.PhrasebookMutator(self.books[PIVOT])
        match role:
            case PhrasebookRole():
                return by_rule
            case settings.LlmMutator():
                categories = self.parameters.categories
                wording = mutators.Wording(
                    PromptTemplate.read(self.prompts / "category.md", mutators.CATEGORY_PLACEHOLDERS),
                    PromptTemplate.read(self.prompts / "style.md", mutators.STYLE_PLACEHOLDERS),
                    mutators.read_hazards(self.prompts / "hazards.yaml", categories),
                    self.parameters.styles,
                )
                engine, sampling = self.engines.named(role.model), sampling_of(role)
                seeds = mutators.read_seeds(role.seeds, self.seeds, categories) if role.seeds else by_rule.seed_set()
                return mutators.LlmMutator(engine, sampling, wording, seeds, self._identifier(), by_rule)
            case _:
                assert_never(role)

    def build_generator(self, role: settings.Generator) -> generator.Generator:
        parameters = self.parameters
        return generator.Generator(
            {name: self.engines.named(name) for name in role.models},
            sampling_of(role),
            PromptTemplate.read(self.prompts / "generation.md", generator.PLACEHOLDERS),
            mutators.read_hazards(self.prompts / "hazards.yaml", parameters.categories),
            generator.read_activities(self.prompts / "activities.yaml", parameters.categories),
            self.books,
            parameters,
            role.questions_per_slot,
            parameters.seed,
        )

    def build_twins(self) -> Twins | None:
        """Return ``None`` where no twins shall be written, as in the paper."""
        by_rule = twins.PhrasebookTwins(self.books[PIVOT])
        role = self.parameters.rainbow_teaming.twin
        match role:
            case PhrasebookRole():
                return by_rule
            case settings.LlmRole():
                prompt = PromptTemplate.read(self.prompts / "twin.md", twins.PLACEHOLDERS)
                engine = self.engines.named(role.model)
                return twins.LlmTwins(engine, sampling_of(role), prompt, self._identifier(), by_rule)
            case NoRole():
                return None
            case _:
                assert_never(role)

    def build_scorer(self) -> Scorer:
        role = self.parameters.rainbow_teaming.scorer
        match role:
            case settings.NgramsRole():
                return self._by_ngrams(role)
            case GuardSettings():
                return role.build(self._resources)
            case _:
                assert_never(role)

    def build_preference(self) -> Preference:
        role = self.parameters.rainbow_teaming.preference
        match role:
            case settings.NgramsRole():
                return self._by_ngrams(role)
            case settings.LlmRole():
                prompt = PromptTemplate.read(self.prompts / "preference.md", scoring.PLACEHOLDERS)
                engine = self.engines.named(role.model)
                return scoring.LlmPreference(engine, prompt, self.books[PIVOT], self._ngrams)
            case _:
                assert_never(role)

    def _by_ngrams(self, role: settings.NgramsRole) -> NgramJudge | scoring.RepliedHarm:
        if role.replies is None:
            return self._ngrams
        replies = settings_class(role.replies)(kind=role.replies)
        return scoring.RepliedHarm(self._ngrams, replies.build(self._resources))

    @property
    def _resources(self) -> Resources:
        return Resources(lambda: self.books, self.engines.named, self.prompts, self.refusals)

    @cached_property
    def _ngrams(self) -> NgramJudge:
        """One judge for all roles, because it is trained when it is built."""
        return NgramJudge(self.books)

    def _identifier(self) -> Identifier:
        known = self.parameters
        return open_identifier(known.identifier, known.languages, self.engines.store, self.engines.loaded_elsewhere)
