"""Opens the models of a profile: which engine runs a model on this machine."""

from collections.abc import Callable, Hashable, Mapping
from dataclasses import replace
from functools import partial
from pathlib import Path

from refuseu.core.errors import UserError
from refuseu.engines import ray, vllm
from refuseu.engines.machine import NO_VLLM, Machine, VllmMachine
from refuseu.engines.openai import OpenaiEngine, served_identity
from refuseu.engines.protocol import Engine, LoadedEngine, Sampling
from refuseu.engines.ray import RayEngine
from refuseu.engines.settings import (
    BASE,
    LocalModel,
    Model,
    ModelRole,
    Models,
    ServedModel,
    TransformersModel,
    VllmModel,
)
from refuseu.engines.stored import StoredEngine
from refuseu.engines.transformers import TransformersEngine
from refuseu.engines.vllm import VllmEngine
from refuseu.engines.vllm_model import VllmSettings
from refuseu.store.revisions import hub_model
from refuseu.store.rows import Store
from refuseu.weights.hub import fetched
from refuseu.weights.identity import identity
from refuseu.weights.reference import ModelReference

Weights = tuple[ModelReference, LocalModel]
"""Where weights are, and what computes with them."""


class EngineFactory:
    """Opens models by name; each is loaded when the first of its rows is missing from the store.

    What a model takes and can be told before it is loaded or asked is looked for when it is opened, so that a stage which opens
    all its models first does no work in vain.
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
        """What those of the profile's models are that somebody else loads, by name."""

    def named(self, name: str) -> Engine:
        """One of the profile's models.

        Raises:
            UserError: when the profile has no such model, or it cannot be had on this machine.
        """
        if name not in self._named:
            self._named[name] = self._open(name)
        return self._named[name]

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
            case TransformersModel(repo=str(repo)) | VllmModel(repo=str(repo)) as model:
                if name == BASE and self._base:
                    return ModelReference.read(self._base), model
                return hub_model(repo, model.revision, self.store), model
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

    def sharing(self, models: Mapping[str, Weights]) -> dict[str, Engine]:
        """Models by the same names; adapters share the weights of their base."""
        # A dict, not a list: two names may mean one adapter, of which vLLM would hold a second one.
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

    def _open(self, name: str) -> Engine:
        model = self._models.get(name)
        return self._served(name, model) if isinstance(model, ServedModel) else self._local(*self.weights(name), ())

    def _local(self, reference: ModelReference, model: LocalModel, adapters: tuple[Path, ...]) -> Engine:
        assert_ready(model, str(reference.source), self.machine)
        whole = reference.base or reference
        name, of_whole = described(reference, model), described(whole, model)
        load = partial(_load, whole, model, of_whole, self.machine, adapters)

        def engine() -> Engine:
            loaded = self._loaded.get(of_whole, load)
            return loaded.adapted(Path(reference.source), name) if reference.base else loaded

        return StoredEngine(name, engine, self.store, self._progress)

    def _served(self, name: str, model: ServedModel) -> StoredEngine:
        engine = _at_server(model, name, self.machine)
        return StoredEngine(served_identity(model.model), lambda: engine, self.store, self._progress)


def assert_ready(model: Model, name: str, machine: Machine) -> None:
    """Look for all that a model takes of a machine and that is told without loading or asking it; nothing is opened.

    ``name`` is a served model's in the profile, and of another what it is called in error texts.

    Raises:
        UserError: without the package, the key or the machine's section that it takes.
    """
    match model:
        case ServedModel():
            _at_server(model, name, machine)
            return
        case VllmModel():
            _vllm_of(machine, name)
            vllm.assert_installed(name)
    if machine.ray:
        ray.assert_installed()


def sampling_of(part: ModelRole) -> Sampling:
    """How the words of a part that a model plays are drawn."""
    return Sampling(part.max_new_tokens, part.temperature, part.top_p)


def described(reference: ModelReference, model: LocalModel) -> str:
    """All that decides what a model says: its weights, what computes with them, and in which numbers."""
    return f"{identity(reference)} {_numbers(model)}"


def shared(reference: ModelReference, model: LocalModel) -> Hashable:
    """What models have in common whose weights lie in memory once: adapters and their base."""
    return reference.base or reference, _numbers(model)


def _numbers(model: LocalModel) -> str:
    length = f" {model.max_model_len}" if isinstance(model, VllmModel) and model.max_model_len else ""
    return f"{model.engine} {model.dtype}{length}"


def _at_server(model: ServedModel, name: str, machine: Machine) -> OpenaiEngine:
    own = machine.openai
    return OpenaiEngine(model.model, own.url_of(name), model.key, own.concurrency, own.retries, own.timeout)


def _vllm_of(machine: Machine, name: str) -> VllmMachine:
    if machine.vllm is None:
        raise UserError(f"{name}: {NO_VLLM}")
    return machine.vllm


def _load(
    reference: ModelReference, model: LocalModel, name: str, machine: Machine, adapters: tuple[Path, ...]
) -> LoadedEngine:
    """The model on this machine, or on the workers of its Ray cluster."""
    if machine.ray is None:
        return _load_here(reference, model, name, machine, adapters)
    own = machine.ray
    # In full: the workers of a cluster that runs were started in another folder.
    whole = replace(reference, source=reference.source.absolute()) if isinstance(reference.source, Path) else reference
    load = partial(_load_here, whole, model, name, machine, tuple(folder.absolute() for folder in adapters))
    return RayEngine(load, name, own.workers, own.batch_size, own.gpus_per_worker, own.cpus_per_worker, own.address)


def _load_here(
    reference: ModelReference, model: LocalModel, name: str, machine: Machine, adapters: tuple[Path, ...]
) -> LoadedEngine:
    match model:
        case TransformersModel(dtype=dtype):
            here = machine.transformers
            return TransformersEngine(fetched(reference), name, here.batch_size, dtype, here.device)
        case VllmModel(dtype=dtype, max_model_len=length):
            own = _vllm_of(machine, str(reference.source))
            folder = Path(fetched(reference).source)
            settings = VllmSettings(
                folder, dtype, length, adapters, own.tensor_parallel, own.memory_fraction, own.eager
            )
            return VllmEngine(settings, name, own.chunk_size)


class LoadedModels:
    """Holds at most ``most`` models, those that were asked last: GPUs seldom hold all that a stage asks."""

    def __init__(self, most: int) -> None:
        self._most = most
        self._engines: dict[str, LoadedEngine] = {}

    def get(self, name: str, load: Callable[[], LoadedEngine]) -> LoadedEngine:
        """The model ``name``; where it is not in memory, it is loaded after the one asked longest ago was closed."""
        engine = self._engines.pop(name, None)
        if engine is None:
            while len(self._engines) >= self._most:
                self._engines.pop(next(iter(self._engines))).close()
            engine = load()
        self._engines[name] = engine  # at the end: a dict keeps its order
        return engine

    def close(self) -> None:
        """All models give their memory back; who asks for one later has it loaded anew."""
        while self._engines:
            self._engines.popitem()[1].close()
