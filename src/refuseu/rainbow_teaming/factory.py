"""Who plays the parts of the search."""

from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING

from refuseu.engines.prompts import Prompt
from refuseu.engines.registry import EngineFactory, sampling_of
from refuseu.experiment import PIVOT
from refuseu.judges.registry import build_guard, judge_named
from refuseu.judges.settings import GuardJudge, Qwen3Guard
from refuseu.phrasebook.phrasebook import Phrasebook
from refuseu.rainbow_teaming.interfaces import Mutator, Preference, Scorer, Twins
from refuseu.rainbow_teaming.phrasebook import PhrasebookMutator, PhrasebookTwins
from refuseu.rainbow_teaming.settings import (
    LlmMutator,
    LlmRole,
    NgramsRole,
    NoRole,
    PhrasebookRole,
    RainbowTeamingParameters,
)
from refuseu.sources.settings import ByPublished
from refuseu.text.identification import Identifier

if TYPE_CHECKING:
    from refuseu.judges.ngrams import NgramJudge
    from refuseu.rainbow_teaming.replies import RepliedHarm


@dataclass(frozen=True)
class RoleFactory:
    """Makes the parts that the profile names."""

    parameters: RainbowTeamingParameters
    books: dict[str, Phrasebook]
    engines: EngineFactory
    prompts: Path
    """Folder of what LLMs are told."""
    seeds: Path
    """Folder of seed sets."""
    refusals: Path
    """Folder of phrases that refuse."""

    def mutator(self) -> Mutator:
        """Who writes questions out of other questions."""
        by_rule = PhrasebookMutator(self.books[PIVOT])
        match self.parameters.rainbow_teaming.mutator:
            case PhrasebookRole():
                return by_rule
            case LlmMutator() as part:
                from refuseu.rainbow_teaming import llm
                from refuseu.rainbow_teaming.hazards import read_hazards
                from refuseu.rainbow_teaming.seeds import read_seeds

                wording = llm.Wording(
                    Prompt.read(self.prompts / "category.md", llm.CATEGORY_PLACEHOLDERS),
                    Prompt.read(self.prompts / "style.md", llm.STYLE_PLACEHOLDERS),
                    read_hazards(self.prompts / "hazards.yaml", self.parameters.categories),
                    self.parameters.styles,
                )
                categories, engine = self.parameters.categories, self.engines.named(part.model)
                seeds = read_seeds(part.seeds, self.seeds, categories) if part.seeds else by_rule.seed_set()
                return llm.LlmMutator(engine, sampling_of(part), wording, seeds, self._identifier(), by_rule)
            case ByPublished():
                raise ValueError("the questions of a published set are taken without a search")

    def twins(self) -> Twins | None:
        """Who writes the benign twins; ``None`` where there shall be none, as in the paper."""
        by_rule = PhrasebookTwins(self.books[PIVOT])
        match self.parameters.rainbow_teaming.twin:
            case PhrasebookRole():
                return by_rule
            case LlmRole() as part:
                from refuseu.rainbow_teaming.llm import TWIN_PLACEHOLDERS, LlmTwins

                prompt = Prompt.read(self.prompts / "twin.md", TWIN_PLACEHOLDERS)
                return LlmTwins(self.engines.named(part.model), sampling_of(part), prompt, self._identifier(), by_rule)
            case NoRole():
                return None

    def scorer(self) -> Scorer:
        """Who gives the probability of harm."""
        match self.parameters.rainbow_teaming.scorer:
            case NgramsRole() as part:
                return self._by_ngrams(part)
            case GuardJudge() | Qwen3Guard() as part:
                return build_guard(part, self.engines)

    def preference(self) -> Preference:
        """Who says which of two exchanges is the more harmful one."""
        match self.parameters.rainbow_teaming.preference:
            case NgramsRole() as part:
                return self._by_ngrams(part)
            case LlmRole() as part:
                from refuseu.rainbow_teaming.known import RestrictedFirst
                from refuseu.rainbow_teaming.llm import PREFERENCE_PLACEHOLDERS, LlmPreference

                prompt = Prompt.read(self.prompts / "preference.md", PREFERENCE_PLACEHOLDERS)
                by_llm = LlmPreference(self.engines.named(part.model), prompt)
                return RestrictedFirst(self._ngrams, by_llm, self.books[PIVOT])

    def _by_ngrams(self, part: NgramsRole) -> "NgramJudge | RepliedHarm":
        if part.replies is None:
            return self._ngrams
        from refuseu.rainbow_teaming.replies import RepliedHarm

        return RepliedHarm(self._ngrams, judge_named(part.replies, self.refusals, lambda: self.books))

    @cached_property
    def _ngrams(self) -> "NgramJudge":
        """One for all parts: it is trained at start."""
        from refuseu.judges.ngrams import NgramJudge

        return NgramJudge(self.books)

    def _identifier(self) -> Identifier:
        return Identifier(self.parameters.languages)
