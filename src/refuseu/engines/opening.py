"""Opens models: which engine runs a model on this machine."""

from refuseu.engines.identity import identity
from refuseu.engines.protocol import Engine
from refuseu.engines.reference import ModelReference
from refuseu.engines.stored import StoredEngine
from refuseu.engines.transformers import TransformersEngine
from refuseu.parameters.machine import Machine
from refuseu.store import Store


def open_model(reference: ModelReference, machine: Machine, store: Store, progress: str | None = None) -> Engine:
    """An engine whose rows are kept; the model is loaded when the first row is missing.

    ``progress`` is the stage whose rows are shown as they get done; without it nothing is shown.
    """
    name = identity(reference)

    def load() -> Engine:
        return TransformersEngine(reference, name, machine.transformers.batch_size, progress=progress)

    return StoredEngine(name, load, store)
