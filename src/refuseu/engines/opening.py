"""Opens the models of a profile: which engine runs a model on this machine."""

from collections.abc import Callable
from functools import partial

from refuseu.engines.hub import fetched, hub_model
from refuseu.engines.identity import identity
from refuseu.engines.openai import OpenaiEngine, served_identity
from refuseu.engines.protocol import Engine
from refuseu.engines.reference import ModelReference
from refuseu.engines.stored import StoredEngine
from refuseu.engines.transformers import TransformersEngine
from refuseu.errors import UserError
from refuseu.parameters.machine import Machine
from refuseu.parameters.models import BASE, LocalModel, Models, ServedModel
from refuseu.store import Store


class Opener:
    """Opens models by name; each is loaded when the first of its rows is missing from the store, and once."""

    def __init__(self, models: Models, machine: Machine, store: Store) -> None:
        self._models = models
        self._machine = machine
        self._store = store
        self._open: dict[str, Engine] = {}

    def named(self, name: str) -> Engine:
        """One of the profile's models.

        Raises:
            UserError: when the profile has no such model, or it cannot be had on this machine.
        """
        if name not in self._open:
            self._open[name] = self._named(name)
        return self._open[name]

    def _named(self, name: str) -> Engine:
        match self._models.get(name):
            case LocalModel(repo=str(repo), revision=revision) as model:
                return self._local(hub_model(repo, revision), model, None)
            case ServedModel() as model:
                return StoredEngine(served_identity(model.model), partial(self._served, model), self._store)
            case _:
                known = ", ".join(self._models) or "none"
                raise UserError(f"models.{name}: the profile has no such model with a repo; it has {known}")

    def folder(self, reference: ModelReference, progress: str | None = None) -> Engine:
        """The base or a model aligned from it; ``progress`` is the stage whose rows are shown as they get done."""
        model = self._models.get(BASE)
        if not isinstance(model, LocalModel):
            raise UserError(f"models.{BASE}: must be a model with weights, for it is trained further")
        return self._local(reference, model, progress)

    def _local(self, reference: ModelReference, model: LocalModel, progress: str | None) -> Engine:
        name = f"{identity(reference)} {model.engine} {model.dtype}"
        return StoredEngine(name, self._loader(reference, name, model, progress), self._store)

    def _loader(
        self, reference: ModelReference, name: str, model: LocalModel, progress: str | None
    ) -> Callable[[], Engine]:
        machine = self._machine

        def load() -> Engine:
            own = machine.transformers
            return TransformersEngine(fetched(reference), name, own.batch_size, model.dtype, own.device, progress)

        return load

    def _served(self, model: ServedModel) -> Engine:
        own = self._machine.openai
        return OpenaiEngine(model.model, own.base_url, model.key, own.concurrency, own.retries, own.timeout)
