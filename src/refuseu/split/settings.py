"""Parameters of the stage ``split``."""

from typing import Annotated, Literal

from pydantic import ConfigDict, Field

from refuseu.core.sections import Positive, Section, Seed
from refuseu.experiment import Experiment
from refuseu.mixes import Train
from refuseu.sources.settings import Published

Count = Annotated[int, Field(ge=0)]


class Split(Section):
    """Sizes of the parts, and the similarity of near-duplicates."""

    assignment: Literal["stratified", "published"] = "stratified"
    """How the parts are assigned: by a stratified draw, or as the published set has them, which uses none of the sizes below."""
    test_per_cell: Positive
    """Question groups that test takes from each cell (category x style)."""
    dev_per_category: Count
    """Question groups that dev takes from each category, for choosing hyper-parameters."""
    held_out_test_behaviors: Count
    """Behaviors of each category that only test may hold, in whatever wording."""
    held_out_dev_behaviors: Count
    """Behaviors of each category that only dev may hold."""
    held_out_test_frames: Count = 0
    """Frames (wordings) of each attack style that only test may hold; for about half of its questions. Where nobody knows the
    frames, as of questions that a language model wrote, none is held out."""
    near_duplicate: Annotated[float, Field(gt=0, lt=1)]
    """Jaccard similarity (0-1) of character 5-grams at which two questions count as near-duplicates."""


class Translator(Section):
    """Who translates, of which the split needs no more than this."""

    model_config = ConfigDict(extra="ignore")

    kind: str

    @property
    def native(self) -> bool:
        """Whether each question was written in its language alone, and has no translations that must be kept together."""
        return self.kind == "native"


class SplitParameters(Experiment):
    seed: Seed
    published: Published
    split: Split
    translator: Annotated[Translator, Field(alias="translate.translator")]
    train: Train
    eval_every: Annotated[int | None, Field(alias="dpo.eval_every")] = None
    """Whether trainings are evaluated on dev, which alone takes its pairs apart from its questions."""
