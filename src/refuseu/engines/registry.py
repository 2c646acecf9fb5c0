"""The engines by their names, and the models of a profile that they run. A new engine is a file and a line of ``ENGINES``."""

from collections.abc import Hashable, Mapping
from dataclasses import replace
from functools import partial
from pathlib import Path
from pkgutil import resolve_name
from typing import Annotated, Any, TypeVar

from pydantic import BeforeValidator, SerializeAsAny

from refuseu.core.errors import UserError
from refuseu.core.sections import by_registry
from refuseu.engines.machine import Machine
from refuseu.engines.model import LocalModel, Model, ServedModel
from refuseu.engines.ray import RayEngine
from refuseu.llm.loaded import LoadedModels
from refuseu.llm.protocol import Engine, LoadedEngine, RowEngine, Sampling
from refuseu.llm.settings import BASE, Drawn
from refuseu.llm.size import Size
from refuseu.llm.stored import StoredEngine
from refuseu.store.revisions import hub_model
from refuseu.store.rows import Store
from refuseu.weights.hub import fetched
from refuseu.weights.identity import identity
from refuseu.weights.reference import ModelReference

ENGINES = {
    "transformers": "refuseu.engines.transformers:TransformersModel",
    "vllm": "refuseu.engines.vllm:VllmModel",
    "openai": "refuseu.engines.openai:OpenaiModel",
}
"""The class of the models of each engine. It is loaded when the engine is named."""


def engine_class(name: str) -> type[Model]:
    """The class of the models of an engine that is in ``ENGINES``."""
    found: type[Model] = resolve_name(ENGINES[name])
    return found


def model_settings(entry: Any) -> Any:
    """Validate a model as a profile writes it, by the class of its engine, as ``by_registry`` does."""
    return by_registry(entry, "engine", ENGINES)


COMPUTING = ("torch", "transformers")
"""Packages that compute answers, or prompts of conversations, under every engine that loads weights."""

AnyModel = Annotated[SerializeAsAny[Model], BeforeValidator(model_settings)]
Models = dict[str, AnyModel]
"""The section ``models`` of a profile: the models that play roles, by the names that the roles call them."""
AnyLocalModel = Annotated[SerializeAsAny[LocalModel], BeforeValidator(model_settings)]

Weights = tuple[ModelReference, LocalModel]
Name = TypeVar("Name", bound=Hashable)
"""Where weights are, and what computes with them."""


class EngineFactory:
    """Opens models by name; each is loaded when the first of its rows is missing from the store.

    When a model is opened, the factory checks for all that the model needs and that can be checked without loading it: packages,
    keys and sections of the machine. A stage that opens all its models first therefore does no work in vain.
    """

    def __init__(
        self,
        models: Models,
        machine: Machine,
        store: Store,
        progress: str | None = None,
        base: Path | None = None,
    ) -> None:
        """``progress`` is the stage whose rows are shown as they get done; without it nothing is shown.

        ``base`` is what the stage base has made. Where the profile's base plays a part too, it is this one, whatever commit of
        its repository is the newest by now.
        """
        self._base = base
        self.machine = machine
        self.store = store
        self._models = models
        self._progress = progress
        self._loaded = LoadedModels(machine.loaded)
        self._named: dict[str, Engine] = {}
        self.loaded_elsewhere: dict[str, str] = {}
        """The identities of models of the profile that are loaded without an engine, by name."""

    def named(self, name: str) -> Engine:
        """One of the profile's models.

        Raises:
            UserError: when the profile has no such model, or it cannot be had on this machine.
        """
        if name not in self._named:
            model = self._models.get(name)
            self._named[name] = (
                self.served(f"models.{name}", model)
                if isinstance(model, ServedModel)
                else self._local(*self.weights(name), ())
            )
        return self._named[name]

    def served(self, key: str, model: ServedModel) -> Engine:
        """A served model whose settings stand at ``key``, as ``models.gpt``; the machine tells its address by the last name.

        Raises:
            UserError: when it cannot be had on this machine.
        """
        engine = model.open(key.partition("models.")[2], self.machine)
        return StoredEngine(model.identity, lambda: engine, self.store, self._progress, key, encodes=False)

    def identities(self) -> dict[str, str]:
        """What each model is that was opened by name or ``loaded_elsewhere``: commit, engine, numbers. For metrics."""
        found = {name: engine.identity for name, engine in self._named.items()} | self.loaded_elsewhere
        return dict(sorted(found.items()))

    def weights(self, name: str) -> Weights:
        """Where the weights of one of the profile's models are; nothing is fetched.

        Raises:
            UserError: when the profile has no such model, or none with a repository.
        """
        match self._models.get(name):
            case LocalModel(repo=str(repo)) as model:
                if name == BASE and self._base:
                    return ModelReference.read(self._base), model
                return hub_model(repo, model.revision, self.store, f"models.{name}"), model
            case _:
                known = ", ".join(self._models) or "none"
                raise UserError(f"models.{name}: the profile has no such model with a repo; it has {known}")

    def folder(self, reference: ModelReference) -> Engine:
        """The base, or a model that was aligned from it.

        Raises:
            UserError: when the profile's ``models`` has no base with weights.
        """
        return self.sharing({"": (reference, self.base_model())})[""]

    def base_model(self) -> LocalModel:
        """What computes with the weights of the base, and of all models that were aligned from it.

        Raises:
            UserError: when the profile's ``models`` has no base with weights.
        """
        model = self._models.get(BASE)
        if not isinstance(model, LocalModel):
            raise UserError(f"models.{BASE}: must be a model with weights, for it is trained further")
        return model

    def sharing(self, models: Mapping[Name, Weights]) -> dict[Name, Engine]:
        """Models by the same names; adapters share the weights of their base."""
        # A dict, not a list: two names may mean one adapter, of which an engine would hold a second one.
        adapters: dict[Hashable, dict[Path, None]] = {}
        for reference, model in models.values():
            if reference.base:
                adapters.setdefault(shared(reference, model), {})[Path(reference.source)] = None
        return {
            name: self._local(reference, model, tuple(adapters.get(shared(reference, model), ())))
            for name, (reference, model) in models.items()
        }

    def close(self) -> None:
        """All models that were loaded give their memory back."""
        self._loaded.close()

    def _local(self, reference: ModelReference, model: LocalModel, adapters: tuple[Path, ...]) -> Engine:
        model.assert_ready(reference.label, self.machine)
        whole = reference.base or reference
        name, of_whole = described(reference, model), described(whole, model)
        load = partial(_load, whole, model, of_whole, self.machine, adapters)

        def engine() -> RowEngine:
            loaded = self._loaded.get(of_whole, load)
            return loaded.adapted(Path(reference.source), name) if reference.base else loaded

        return StoredEngine(name, engine, self.store, self._progress, reference.label)


def sampling_of(role: Drawn) -> Sampling:
    """How the words of a role that models play are drawn."""
    return Sampling(role.max_new_tokens, role.temperature, role.top_p)


def described(reference: ModelReference, model: LocalModel) -> str:
    """All that decides what a model says: its weights, what computes with them, and in which numbers."""
    return f"{identity(reference)} {model.numbers}"


def shared(reference: ModelReference, model: LocalModel) -> Hashable:
    """What models have in common whose weights lie in memory once: adapters and their base."""
    return reference.base or reference, model.numbers


def _load(
    reference: ModelReference, model: LocalModel, name: str, machine: Machine, adapters: tuple[Path, ...]
) -> LoadedEngine:
    """The model on this machine, or on the workers of its Ray cluster."""
    if machine.ray is None:
        return model.load(reference, name, machine, adapters)
    # In full: the workers of a cluster that runs were started in another folder.
    whole = replace(reference, source=reference.source.absolute()) if isinstance(reference.source, Path) else reference
    load = partial(model.load, whole, name, machine, tuple(folder.absolute() for folder in adapters))
    spread = model.spread(machine, Size.in_folder(Path(fetched(whole).source)))
    return RayEngine(load, name, machine.ray, spread, {*model.computed_by, *COMPUTING})
