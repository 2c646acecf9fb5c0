"""All of ``params.yaml`` and of one profile, and what must hold between their sections."""

import re
from pathlib import Path
from typing import Annotated, Self

from pydantic import Field, ValidationError, model_validator

from refuseu.errors import UserError
from refuseu.files.faults import explained
from refuseu.parameters.base import Base
from refuseu.parameters.dpo import Dpo
from refuseu.parameters.eval import Eval
from refuseu.parameters.experiment import Experiment
from refuseu.parameters.label import Label
from refuseu.parameters.loading import merged_sections
from refuseu.parameters.models import Models
from refuseu.parameters.rainbow_teaming import RainbowTeaming
from refuseu.parameters.report import Report
from refuseu.parameters.respond import Respond
from refuseu.parameters.section import Seed
from refuseu.parameters.split import Split
from refuseu.parameters.train import Train
from refuseu.parameters.translate import Translate
from refuseu.taxonomy import PIVOT, PLAIN


class Parameters(Experiment):
    """All of ``params.yaml`` and of one profile."""

    profile: str
    seed: Seed
    models: Models
    base: Base
    rainbow_teaming: Annotated[RainbowTeaming, Field(alias="rainbow-teaming")]
    translate: Translate
    respond: Respond
    label: Label
    split: Split
    train: Train
    dpo: Dpo
    eval: Eval
    report: Report

    @model_validator(mode="after")
    def _consistent(self) -> Self:
        if PIVOT not in self.languages:
            raise ValueError(f"languages: must hold {PIVOT}, which questions are translated from")
        if PLAIN in self.styles:
            raise ValueError(f"styles.{PLAIN}: is the name of asking without a style; take another")
        if self.eval.reference not in self.train.configs:
            raise ValueError(f"eval.reference: {self.eval.reference!r} is not one of train.configs")
        if self.label.adjudicator in self.label.judges.values():
            raise ValueError("label.adjudicator: must differ from all label.judges")
        for name, config in self.train.configs.items():
            if name == "base" or not re.fullmatch(r"[a-z0-9]+(-[a-z0-9]+)*", name):
                raise ValueError(
                    f"train.configs.{name}: a config's name is a folder's; use a-z, 0-9 and '-', but not 'base'"
                )
            wanted = [] if config.languages == "all" else config.languages or self.train.languages
            for code in [*wanted, *config.without]:
                if code not in self.languages:
                    way_out = "add it there, or take the config out"
                    raise ValueError(f"train.configs.{name}: {code!r} is not in languages; {way_out}")
            if not self.train.languages_of(name, self.languages):
                raise ValueError(f"train.configs.{name}: no language is left")
        return self


def load_all(root: Path = Path()) -> Parameters:
    """Every parameter below ``root``.

    Raises:
        UserError: for a file that is missing or not YAML, and for every key that is unknown, missing, out of range, read as
            something else than it must be, or at odds with another.
    """
    merged, where = merged_sections(root)
    try:
        return Parameters.model_validate(merged)
    except ValidationError as error:
        raise UserError(f"{where}: {explained(error, merged)}") from None
