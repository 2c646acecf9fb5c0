"""The models that are evaluated: the base, a model a config, and those that ``eval.models`` names."""

from collections.abc import Collection
from dataclasses import dataclass
from pathlib import Path
from typing import assert_never

from pydantic import TypeAdapter

from refuseu.core.errors import UserError
from refuseu.core.faults import validated
from refuseu.engines.model import LocalModel, ServedModel
from refuseu.engines.registry import AnyLocalModel, EngineFactory, Models, Weights
from refuseu.eval.settings import EvalParameters, ExternalModel, ExternalWeights, NamedModel
from refuseu.llm.settings import BASE, WeightsSettings
from refuseu.mixes import Seeded
from refuseu.store.revisions import hub_model
from refuseu.weights.identity import assert_configured
from refuseu.weights.reference import ModelReference


@dataclass(frozen=True)
class Served:
    """A model behind a server; it gives no log-likelihoods, so it takes no test of knowledge."""

    key: str
    """Where its settings stand, such as ``models.gpt`` or ``eval.models.mine``; the machine knows it by the last name."""
    model: ServedModel

    @property
    def name(self) -> str:
        return self.key.partition("models.")[2]


EvaluatedModel = Weights | Served
COMPUTED: TypeAdapter[LocalModel] = TypeAdapter(AnyLocalModel)


def evaluated_models(
    base: Path, models: Path, parameters: EvalParameters, engines: EngineFactory
) -> dict[Seeded, EvaluatedModel]:
    """All models: the base, those of ``train`` in its order, then those of ``eval.models``.

    Raises:
        UserError: when a model is missing or this machine lacks what it takes, or ``models`` holds one that is not trained.
    """
    own = model_folders(base, models, parameters.train.runs)
    computed = engines.base_model()
    found: dict[Seeded, EvaluatedModel] = {model: (reference, computed) for model, reference in own.items()}
    for each in found.values():
        _assert_ready(each, engines)
    for name, asked in parameters.eval.models.items():
        found[Seeded(name)] = external(name, asked, own[Seeded(BASE)], parameters.models, engines)
    return found


def external(
    name: str, asked: ExternalModel, base: ModelReference | None, models: Models, engines: EngineFactory
) -> EvaluatedModel:
    """The model that an entry of ``eval.models`` names, checked; ``base`` is what an adapter stands on.

    Raises:
        UserError: when it is not whole, or this machine lacks what it takes.
    """
    found = _external(name, asked, base, models, engines)
    _assert_ready(found, engines)
    return found


def _external(
    name: str, asked: ExternalModel, base: ModelReference | None, models: Models, engines: EngineFactory
) -> EvaluatedModel:
    match asked:
        case ServedModel():
            return Served(f"eval.models.{name}", asked)
        case NamedModel():
            named = models.get(asked.model)
            if isinstance(named, ServedModel):
                return Served(f"models.{asked.model}", named)
            return engines.weights(asked.model)
        case ExternalWeights():
            model = computed(name, asked, engines.base_model())
            if asked.repo:
                return hub_model(asked.repo, asked.revision, engines.store, f"eval.models.{name}"), model
            return in_folder(name, Path(str(asked.folder)), base), model
        case unknown:
            assert_never(unknown)


def _assert_ready(each: EvaluatedModel, engines: EngineFactory) -> None:
    """Check each model here, since the models are asked later, in other processes and group by group."""
    if isinstance(each, Served):
        each.model.assert_ready(each.name, engines.machine)
    else:
        reference, model = each
        model.assert_ready(reference.label, engines.machine)


def model_folders(base: Path, models: Path, trained: Collection[Seeded]) -> dict[Seeded, ModelReference]:
    """The base, and the ``trained`` models below ``models``.

    Raises:
        UserError: when a model is missing, or ``models`` holds another one.
    """
    if not models.is_dir():
        raise UserError(f"{models}: no such folder; 'dvc repro' trains the models, 'dvc pull' brings them")
    assert_configured(models, [model.folder for model in trained])
    unaligned = ModelReference.read(base)
    own = {model: ModelReference.read(models / model.folder, unaligned) for model in trained}
    return {Seeded(BASE): unaligned, **own}


def in_folder(name: str, folder: Path, base: ModelReference | None) -> ModelReference:
    """The model that lies in a user's folder, or the adapter on our ``base``.

    Raises:
        UserError: when the folder holds neither.
    """
    return ModelReference.read(folder, base, f"eval.models.{name}")


def computed(name: str, asked: ExternalWeights, base: LocalModel) -> LocalModel:
    """The repository that ``asked`` names, if it does, with the engine and its settings; else those of the ``base``.

    Raises:
        UserError: for an engine that does not take these settings.
    """
    alike = asked.engine in (None, base.engine)
    general = {"dtype", "chat_template_kwargs"}
    of_base = base.model_dump(exclude={*WeightsSettings.model_fields}, include=None if alike else general)
    own = {"engine": asked.engine or base.engine, **(asked.model_extra or {})}
    model = validated(COMPUTED, {**of_base, **own}, f"eval.models.{name}")
    return model.model_copy(update={"repo": asked.repo, "revision": asked.revision})
