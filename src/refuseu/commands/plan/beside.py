"""The models of others that are evaluated beside our own, and that are none of the profile's ``models``."""

from dataclasses import dataclass
from pathlib import Path

from refuseu.commands.parameters import Parameters
from refuseu.core.errors import UserError
from refuseu.engines.settings import BASE, LocalModel
from refuseu.eval.models import computed, in_folder
from refuseu.eval.settings import ExternalModel
from refuseu.weights.reference import ModelReference

SECTION = "eval.models."
ANY_BASE = ModelReference(BASE)
"""An adapter needs one; which it is, is known when the stage base has run."""


@dataclass(frozen=True)
class Beside:
    """What ``eval.models`` names by ``repo`` or ``folder``."""

    models: dict[str, LocalModel]
    """By key, as ``eval.models.mine``; one in a folder has no repo."""
    faults: list[str]
    """A sentence for each that can be asked nowhere."""


def beside(parameters: Parameters) -> Beside:
    found = Beside({}, [])
    for name, asked in parameters.eval.models.items():
        if asked.model is None:
            try:
                found.models[f"{SECTION}{name}"] = _model(name, asked, parameters)
            except UserError as error:
                found.faults.append(error.message)
    return found


def _model(name: str, asked: ExternalModel, parameters: Parameters) -> LocalModel:
    base = parameters.models[BASE]
    assert isinstance(base, LocalModel)
    model = computed(name, asked, base)
    if asked.folder:
        in_folder(name, Path(asked.folder), ANY_BASE)
    return model.model_copy(update={"repo": asked.repo, "revision": asked.revision})
