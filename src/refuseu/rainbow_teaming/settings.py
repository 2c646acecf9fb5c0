"""The section ``rainbow-teaming``, and what its stage reads."""

from typing import Annotated, Any, ClassVar, Literal, Self

from pydantic import BeforeValidator, Field, SerializeAsAny, model_validator

from refuseu.core.sections import Positive, Rate, Section, Seed
from refuseu.engines.registry import Models
from refuseu.engines.settings import ModelRole
from refuseu.experiment import Experiment
from refuseu.judges.registry import guard_settings
from refuseu.judges.settings import GuardSettings
from refuseu.sources.settings import ByPublished, ExternalTable, Published


class PhrasebookRole(Section):
    """A part that the phrasebook plays."""

    kind: Literal["phrasebook"]


class NoRole(Section):
    """A part that nobody plays."""

    kind: Literal["none"]


class LlmRole(ModelRole):
    """A part that a chat model plays; its prompts are in ``data/prompts``."""

    kind: Literal["llm"]


class SeedSet(ExternalTable):
    """Questions of others that a search starts from; files lie in ``data/seeds``."""

    called: ClassVar[str] = "seed set"


class LlmMutator(LlmRole):
    """Rewrites questions by a chat model, the first of them from a seed set."""

    seeds: SeedSet | None = None
    """Nothing for the phrasebook's behaviors."""


class NgramsRole(Section):
    """A part that the judge ``ngrams`` plays."""

    kind: Literal["ngrams"]
    replies: Literal["phrases"] | None = None
    """Who tells whether the target complied; nothing for the n-grams themselves, which know the phrasebook's answers alone."""


def _scorer(entry: Any) -> Any:
    """Validate the n-grams, or any registered judge that gives the probability of harm."""
    if isinstance(entry, dict) and entry.get("kind") == "ngrams":
        return NgramsRole.model_validate(entry)
    return entry if isinstance(entry, NgramsRole) else guard_settings(entry)


class RainbowTeaming(Section):
    """The search: who plays its parts, and how long it goes on."""

    mutator: Annotated[PhrasebookRole | LlmMutator | ByPublished, Field(discriminator="kind")]
    """Writes questions out of other questions; those of a published set are taken as they are, without a search."""
    twin: Annotated[PhrasebookRole | LlmRole | NoRole, Field(discriminator="kind")]
    """Writes the benign twin of a question."""
    scorer: Annotated[NgramsRole | SerializeAsAny[GuardSettings], BeforeValidator(_scorer)]
    """Gives the probability of harm, which is the fitness."""
    preference: Annotated[NgramsRole | LlmRole, Field(discriminator="kind")]
    """Says which of two exchanges is the more harmful one."""
    elites_per_cell: Positive
    """Questions kept in each cell (category x style) of the archive."""
    temperature: Rate
    """Of the softmax over cell fitness that draws the target cell; the lower, the more often weak cells are drawn."""
    max_bleu: Annotated[float, Field(ge=0, lt=1)]
    """A candidate closer than this to its parent or to an elite of its cell is dropped."""
    iterations: Positive
    """Batches of candidates."""
    mutations: Positive
    """Candidates an iteration."""
    max_new_tokens: Positive
    """Of the target's answer."""

    @model_validator(mode="after")
    def _without_twins(self) -> Self:
        if isinstance(self.mutator, ByPublished) and not isinstance(self.twin, NoRole):
            raise ValueError("twin: must be none, since a published set holds no benign twins")
        return self


class RainbowTeamingParameters(Experiment):
    seed: Seed
    published: Published
    models: Models
    rainbow_teaming: Annotated[RainbowTeaming, Field(alias="rainbow-teaming")]
