"""What the stage ``release`` reads; it has no section of its own."""

from refuseu.parameters.base import Base
from refuseu.parameters.dpo import Dpo
from refuseu.parameters.experiment import Experiment
from refuseu.parameters.models import Models
from refuseu.parameters.section import Seed
from refuseu.parameters.train import Train


class ReleaseParameters(Experiment):
    seed: Seed
    models: Models
    base: Base
    train: Train
    dpo: Dpo
