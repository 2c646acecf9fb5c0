"""The settings of the judges, and of the panel that they make."""

from typing import Annotated, Literal, Self

from pydantic import Field, model_validator

from refuseu.core.sections import Section


class PhrasebookJudge(Section):
    """A judge of the miniature: it knows the phrasebook and needs no model."""

    kind: Literal["lexicon", "ngrams", "nearest"]


class GuardJudge(Section):
    """A guard model, asked in its own format."""

    kind: Literal["llama-guard-3", "polyguard"]
    model: str
    """One of the profile's ``models``."""


class Qwen3Guard(Section):
    """Qwen3Guard, whose third verdict, controversial, counts as unsafe where it is read strictly."""

    kind: Literal["qwen3guard"]
    model: str
    """One of the profile's ``models``."""
    strict: bool


class ChatJudge(Section):
    """A chat model that is told the task in words."""

    kind: Literal["chat"]
    model: str
    """One of the profile's ``models``."""


class PhrasesJudge(Section):
    """Refusals by lists of phrases, in any text and without a model."""

    kind: Literal["phrases"]
    questions: Annotated[PhrasebookJudge | GuardJudge | Qwen3Guard | ChatJudge, Field(discriminator="kind")] | None = (
        None
    )
    """Who judges the questions; nothing to take every question that was answered for harmful."""


JudgeSettings = Annotated[
    PhrasebookJudge | PhrasesJudge | GuardJudge | Qwen3Guard | ChatJudge, Field(discriminator="kind")
]


class PanelSettings(Section):
    """Who judges: the panel, and who decides where it differs."""

    judges: Annotated[dict[str, JudgeSettings], Field(min_length=1)]
    """The panel, by the names that the judges have in tables."""
    adjudicator: JudgeSettings | None = None
    """Decides in evaluation where the judges differ; a single judge needs none."""
    adjudicator_labels: bool = True
    """Whether it judges all pairs too, without a vote, so that its agreement with the judges is known; it may be dear."""

    @property
    def voters(self) -> tuple[str, ...]:
        """The names of those who judge pairs; the adjudicator is called by its kind."""
        return (*self.judges, *([self.adjudicator.kind] if self.adjudicator and self.adjudicator_labels else []))

    @model_validator(mode="after")
    def _adjudicated(self) -> Self:
        if self.adjudicator is None and len(self.judges) > 1:
            raise ValueError("adjudicator: missing; someone must decide where the judges differ")
        if self.adjudicator in self.judges.values():
            raise ValueError("adjudicator: must differ from all judges")
        if self.adjudicator and self.adjudicator.kind in self.judges:
            raise ValueError(f"judges.{self.adjudicator.kind}: is the adjudicator's name in tables; take another")
        return self
