"""What the stage ``release`` reads; it has no section of its own."""

from typing import Annotated

from pydantic import Field

from refuseu.base.settings import Base
from refuseu.core.sections import Seed
from refuseu.dpo.settings import Dpo
from refuseu.experiment import Experiment
from refuseu.llm.settings import Weights
from refuseu.mixes import Train


class ReleaseParameters(Experiment):
    seed: Seed
    model: Annotated[Weights, Field(alias="models.base")]
    base: Base
    train: Train
    dpo: Dpo
