"""What the stage ``release`` reads; it has no section of its own."""

from refuseu.base.settings import Base
from refuseu.core.sections import Seed
from refuseu.dpo.settings import Dpo
from refuseu.experiment import Experiment
from refuseu.llm.settings import Weights
from refuseu.mixes import Train


class ReleaseParameters(Experiment):
    seed: Seed
    models: dict[str, Weights]
    base: Base
    train: Train
    dpo: Dpo
