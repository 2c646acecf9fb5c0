"""Parameters of the stage ``rainbow-teaming``."""

from typing import Annotated, Any, ClassVar, Literal, Self

from pydantic import AfterValidator, BeforeValidator, Field, SerializeAsAny, model_validator

from refuseu.core.sections import Positive, Rate, Section, Seed, distinct
from refuseu.engines.registry import Models
from refuseu.experiment import WithBase
from refuseu.judges.registry import guard_settings
from refuseu.judges.settings import GuardSettings
from refuseu.llm.settings import Drawn, ModelRole, NoRole, PhrasebookRole
from refuseu.sources.settings import ByPublished, ExternalTable, Published
from refuseu.text.identification import PY3LANGID, Identification


class LlmRole(ModelRole):
    """A chat model plays the role; its prompts are in ``data/prompts``."""

    kind: Literal["llm"]


class SeedSet(ExternalTable):
    """External questions that the search starts from; files lie in ``data/seeds``."""

    called: ClassVar[str] = "seed set"


class LlmMutator(LlmRole):
    """A chat model rewrites questions, at first those of a seed set."""

    seeds: SeedSet | None = None
    """Without a seed set the search starts from the phrasebook's behaviors."""


class Generator(Drawn):
    """Chat models write each question in its language, in one step, as the paper's did; their prompt is ``generation.md``."""

    kind: Literal["generator"]
    models: Annotated[list[str], Field(min_length=1), AfterValidator(distinct)]
    """Some of the profile's ``models``, which share the questions of each slot."""
    questions_per_slot: Positive
    """Questions that are asked for in each language for each slot (category x style x activity)."""

    @model_validator(mode="after")
    def _written_anew(self) -> Self:
        if self.temperature == 0 and self.questions_per_slot > len(self.models):
            raise ValueError(
                "temperature: must be above 0 where a model writes several questions for a slot, or they are all the same"
            )
        return self


class NgramsRole(Section):
    """The judge ``ngrams`` plays the role."""

    kind: Literal["ngrams"]
    replies: Literal["phrases"] | None = None
    """The judge of whether the target complied. Without one the n-grams judge it, but they know only the phrasebook's answers."""


def _scorer(entry: Any) -> Any:
    """Validate the n-grams, or any registered judge that gives the probability of harm."""
    if isinstance(entry, dict) and entry.get("kind") == "ngrams":
        return NgramsRole.model_validate(entry)
    return entry if isinstance(entry, NgramsRole) else guard_settings(entry)


SearchMutator = PhrasebookRole | LlmMutator
"""A mutator that searches; ``factory.RoleFactory`` builds each kind, as it does for the other roles."""


class RainbowTeaming(Section):
    """The search: who plays its roles, and its size."""

    mutator: Annotated[SearchMutator | Generator | ByPublished, Field(discriminator="kind")]
    """Rewrites questions into new ones. There is no search where a generator writes questions, or a published set gives them."""
    twin: Annotated[PhrasebookRole | LlmRole | NoRole, Field(discriminator="kind")]
    """Writes the benign twin of a question."""
    scorer: Annotated[NgramsRole | SerializeAsAny[GuardSettings], BeforeValidator(_scorer)]
    """Gives the probability of harm, which is the fitness of a question."""
    preference: Annotated[NgramsRole | LlmRole, Field(discriminator="kind")]
    """Decides which of two exchanges is more harmful."""
    elites_per_cell: Positive
    """Questions that each cell (category x style) of the archive keeps."""
    reserved_per_cell: Annotated[int, Field(ge=0)] = 5
    """Questions of each cell that are written before the search, for dev and test; the target is not asked them."""
    temperature: Rate
    """Temperature of the softmax over cell fitness; the lower it is, the more often cells of low fitness are drawn."""
    max_bleu: Annotated[float, Field(ge=0, lt=1)]
    """Highest BLEU (0-1) that a candidate may have with its parent and with each elite of its cell."""
    iterations: Positive
    """Batches of candidates."""
    mutations: Positive
    """Candidates in each iteration."""
    max_new_tokens: Positive
    """Most tokens of an answer of the target."""

    @model_validator(mode="after")
    def _without_twins(self) -> Self:
        if isinstance(self.mutator, ByPublished | Generator) and not isinstance(self.twin, NoRole):
            raise ValueError("twin: must be none, since twins are written for the questions of a search alone")
        return self


class RainbowTeamingParameters(WithBase):
    seed: Seed
    published: Published
    identifier: Identification = PY3LANGID
    models: Models
    rainbow_teaming: Annotated[RainbowTeaming, Field(alias="rainbow-teaming")]

    @property
    def searched(self) -> list[str]:
        """The hazard categories that are searched: those whose questions the target, which is the base, may answer."""
        return [key for key in self.categories if key not in self.withheld_from_base]
