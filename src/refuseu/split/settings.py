"""The section ``split``, and what its stage reads."""

from typing import Annotated, Literal

from pydantic import Field

from refuseu.core.sections import Positive, Section, Seed
from refuseu.experiment import Languages
from refuseu.mixes import Train
from refuseu.sources.settings import Published

Count = Annotated[int, Field(ge=0)]


class Split(Section):
    """How the parts are filled, and what a near-duplicate is."""

    assignment: Literal["stratified", "published"] = "stratified"
    """Who says what is train and what is test: a draw, or the published set; of the sizes below it knows dev's alone."""
    test_per_cell: Positive
    """Test groups drawn from each cell (category x style)."""
    dev_per_category: Count
    """Dev groups drawn from each category, for choosing hyper-parameters."""
    held_out_test_behaviors: Count
    """Asks of each category that only the test part may hold, in whatever wording."""
    held_out_dev_behaviors: Count
    """Asks of each category that only the dev part may hold."""
    near_duplicate: Annotated[float, Field(gt=0, lt=1)]
    """Jaccard similarity of character 5-grams from which two questions are near-duplicates."""


class SplitParameters(Section):
    seed: Seed
    languages: Languages
    published: Published
    split: Split
    train: Train
