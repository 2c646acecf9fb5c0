"""Who plays the parts of the search."""

from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING

from refuseu.engines.opening import Opener, sampling_of
from refuseu.identification import Identifier
from refuseu.judges.named import judge_named
from refuseu.judges.seating import guard_of
from refuseu.parameters.label import GuardJudge, Qwen3Guard
from refuseu.parameters.published import ByPublished
from refuseu.parameters.rainbow_teaming import (
    LlmMutator,
    LlmPart,
    NgramsPart,
    NoPart,
    PhrasebookPart,
    RainbowTeamingParameters,
)
from refuseu.phrasebook import Phrasebook
from refuseu.prompts import Prompt
from refuseu.redteam.parts import Mutator, Preference, Scorer, Twins
from refuseu.redteam.phrasebook import PhrasebookMutator, PhrasebookTwins
from refuseu.taxonomy import PIVOT

if TYPE_CHECKING:
    from refuseu.judges.ngrams import NgramJudge
    from refuseu.redteam.replies import RepliedHarm


@dataclass(frozen=True)
class Cast:
    """Makes the parts that the profile names."""

    parameters: RainbowTeamingParameters
    books: dict[str, Phrasebook]
    opener: Opener
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
            case PhrasebookPart():
                return by_rule
            case LlmMutator() as part:
                from refuseu.redteam import llm
                from refuseu.redteam.hazards import read_hazards
                from refuseu.redteam.seeds import read_seeds

                wording = llm.Wording(
                    Prompt.read(self.prompts / "category.md", llm.CATEGORY_PLACEHOLDERS),
                    Prompt.read(self.prompts / "style.md", llm.STYLE_PLACEHOLDERS),
                    read_hazards(self.prompts / "hazards.yaml", self.parameters.categories),
                    self.parameters.styles,
                )
                categories, engine = self.parameters.categories, self.opener.named(part.model)
                seeds = read_seeds(part.seeds, self.seeds, categories) if part.seeds else by_rule.seed_set()
                return llm.LlmMutator(engine, sampling_of(part), wording, seeds, self._identifier(), by_rule)
            case ByPublished():
                raise ValueError("the questions of a published set are taken without a search")

    def twins(self) -> Twins | None:
        """Who writes the benign twins; ``None`` where there shall be none, as in the paper."""
        by_rule = PhrasebookTwins(self.books[PIVOT])
        match self.parameters.rainbow_teaming.twin:
            case PhrasebookPart():
                return by_rule
            case LlmPart() as part:
                from refuseu.redteam.llm import TWIN_PLACEHOLDERS, LlmTwins

                prompt = Prompt.read(self.prompts / "twin.md", TWIN_PLACEHOLDERS)
                return LlmTwins(self.opener.named(part.model), sampling_of(part), prompt, self._identifier(), by_rule)
            case NoPart():
                return None

    def scorer(self) -> Scorer:
        """Who gives the probability of harm."""
        match self.parameters.rainbow_teaming.scorer:
            case NgramsPart() as part:
                return self._by_ngrams(part)
            case GuardJudge() | Qwen3Guard() as part:
                return guard_of(part, self.opener)

    def preference(self) -> Preference:
        """Who says which of two exchanges is the more harmful one."""
        match self.parameters.rainbow_teaming.preference:
            case NgramsPart() as part:
                return self._by_ngrams(part)
            case LlmPart() as part:
                from refuseu.redteam.known import WithheldFirst
                from refuseu.redteam.llm import PREFERENCE_PLACEHOLDERS, LlmPreference

                prompt = Prompt.read(self.prompts / "preference.md", PREFERENCE_PLACEHOLDERS)
                by_llm = LlmPreference(self.opener.named(part.model), prompt)
                return WithheldFirst(self._ngrams, by_llm, self.books[PIVOT])

    def _by_ngrams(self, part: NgramsPart) -> "NgramJudge | RepliedHarm":
        if part.replies is None:
            return self._ngrams
        from refuseu.redteam.replies import RepliedHarm

        return RepliedHarm(self._ngrams, judge_named(part.replies, self.refusals, lambda: self.books))

    @cached_property
    def _ngrams(self) -> "NgramJudge":
        """One for all parts: it is trained at start."""
        from refuseu.judges.ngrams import NgramJudge

        return NgramJudge(self.books)

    def _identifier(self) -> Identifier:
        return Identifier(self.parameters.languages)
