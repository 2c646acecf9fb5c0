"""The models that a run asks: which they are, how large, and what they take of a GPU. 1 GB is 1e9 bytes."""

import json
import re
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from functools import cache
from pathlib import Path
from typing import assert_never

from refuseu.base.settings import GgufBase, TrainedBase
from refuseu.core.errors import UserError
from refuseu.core.network import network_explained
from refuseu.dpo.settings import Lora
from refuseu.engines.model import LocalModel, Model, ServedModel
from refuseu.eval.models import computed, in_folder
from refuseu.eval.settings import ExternalModel, ExternalWeights, NamedModel
from refuseu.llm.settings import BASE
from refuseu.llm.size import BYTES, Size, Spread
from refuseu.parameters import Parameters, WholeMachine
from refuseu.plan import host
from refuseu.rainbow_teaming.settings import Generator
from refuseu.results.markdown import Table, shown
from refuseu.sources.settings import ByPublished
from refuseu.weights.reference import ModelReference, is_folder

ENGINE_GB = 3.0
"""What an engine itself takes of each GPU beside weights and cache (activations, graphs, libraries): a guess."""
TRAINED_BYTES = 16
"""Of a trained parameter: the weight, its gradient and Adam's two moments, in float32."""
ADAPTER = 0.005 / 16
"""Parameters of an adapter for each parameter of the model and rank; Llama 3.1 8B has 42 million at rank 16."""


def size_of(model: Model) -> Size | None:
    """The size of a model in a folder, in the hub's cache or on the hub, or as its name tells; ``None`` where none of them does.

    Of a repository that is not in the cache, the hub is asked for the headers of its files and for ``config.json``.
    """
    if not isinstance(model, LocalModel) or not model.repo:
        return None
    return _size(model.repo, model.revision) or (None if model.in_folder else _size_named(model.repo))


def _size_named(repo: str) -> Size | None:
    """What the name of a repository tells: ``Llama-3.1-8B`` has about 8e9 parameters; ``8x7B`` and ``Qwen`` tell nothing."""
    found = re.search(r"(?<![\w.])(\d+(?:\.\d+)?)([BM])(?![a-z0-9])", repo.rpartition("/")[2], re.IGNORECASE)
    return Size(round(float(found[1]) * {"b": 1e9, "m": 1e6}[found[2].lower()]), named=True) if found else None


def size_in(parameters: Parameters, name: str) -> Size | None:
    """The size of a model of the profile, of a base that the run makes itself too; ``None`` where nobody tells it."""
    base = parameters.base
    if name == BASE and isinstance(base, TrainedBase):
        layer = 4 * base.hidden_size**2 + 3 * base.hidden_size * base.intermediate_size
        return Size(2 * base.vocabulary * base.hidden_size + base.layers * layer)
    if name == BASE and isinstance(base, GgufBase):
        return _size_named(base.file or "SmolLM2-135M-Instruct")
    return size_of(model_of(parameters, name))


@cache
def _size(repo: str, revision: str | None) -> Size | None:
    from httpx2 import HTTPError
    from huggingface_hub import get_safetensors_metadata, hf_hub_download
    from huggingface_hub.errors import NotASafetensorsRepoError, SafetensorsParsingError

    folder = Path(repo) if is_folder(repo) else host.cached(repo, revision)
    if folder:
        return Size.in_folder(folder)
    if host.offline():
        return None
    try:
        with network_explained():
            counts = get_safetensors_metadata(repo, revision=revision).parameter_count
            config = Path(hf_hub_download(repo, "config.json", revision=revision))
        content = json.loads(config.read_text(encoding="utf-8"))
    except (HTTPError, OSError, ValueError, NotASafetensorsRepoError, SafetensorsParsingError):
        return None
    return Size.counted(counts, content)


@dataclass(frozen=True)
class RunModels:
    """The models that a run asks, those of the profile that play no part left out."""

    models: dict[str, Model]
    """By their keys, as ``models.base`` and ``eval.models.mine``; an external model in a folder has no repo."""
    faults: list[str]
    """A sentence for each external model that could be asked nowhere, and for each folder without a model."""
    folders: dict[str, ModelReference] = field(default_factory=dict)
    """The models that are in folders of this machine."""

    @contextmanager
    def noting(self) -> Iterator[None]:
        """Adds the sentence of an error to the faults."""
        try:
            yield
        except UserError as error:
            self.faults.append(error.message)

    def unfetched(self) -> dict[str, LocalModel]:
        """Models of the hub that are not in its cache."""
        return {
            key: model
            for key, model in self.models.items()
            if isinstance(model, LocalModel)
            and model.repo
            and not model.in_folder
            and not host.cached(model.repo, model.revision)
        }


def run_models(parameters: Parameters) -> RunModels:
    """All models that a run of these parameters asks."""
    asked = {BASE, *(name for _, name in played(parameters))}
    found = RunModels({f"models.{name}": each for name, each in parameters.models.items() if name in asked}, [])
    for key, each in found.models.items():
        if isinstance(each, LocalModel) and each.repo and each.in_folder:
            with found.noting():
                found.folders[key] = ModelReference.read(Path(each.repo), entry=key)
    base = parameters.models[BASE]
    assert isinstance(base, LocalModel)
    for name, external in parameters.eval.models.items():
        key = f"eval.models.{name}"
        match external:
            case ServedModel():
                found.models[key] = external
            case ExternalWeights():
                with found.noting():
                    model = computed(name, external, base)
                    if external.folder:
                        # An adapter needs a base; which it is, is known when the stage base has run.
                        found.folders[key] = in_folder(name, Path(external.folder), ModelReference(BASE))
                    elif is_folder(str(external.repo)):
                        found.folders[key] = ModelReference.read(Path(str(external.repo)), entry=key)
                    found.models[key] = model
    return found


def model_of(parameters: Parameters, name: str) -> Model:
    """The model that a row of the plan names: one of the profile's, or a served one of ``eval.models``."""
    external = parameters.eval.models.get(name)
    return external if isinstance(external, ServedModel) else parameters.models[name]


def counted_as(name: str, external: ExternalModel) -> str:
    """The model as which the plan counts one of ``eval.models``: weights that stand there are taken to be the base's size."""
    match external:
        case NamedModel(model=named):
            return named
        case ExternalWeights():
            return BASE
        case ServedModel():
            return name
        case unknown:
            assert_never(unknown)


def takes_published(parameters: Parameters) -> bool:
    """Whether the questions are a published set's."""
    return isinstance(parameters.rainbow_teaming.mutator, ByPublished)


def played(parameters: Parameters) -> list[tuple[str, str]]:
    """The parts that models play, by their keys; where there is no search, without those that the search alone has."""
    mutator = "rainbow-teaming.mutator"
    searched = not isinstance(parameters.rainbow_teaming.mutator, ByPublished | Generator)
    return [
        (key, name)
        for key, name in parameters.played()
        if searched or key.startswith(mutator) or not key.startswith("rainbow-teaming.")
    ]


def spread_of(model: LocalModel, machine: WholeMachine) -> Spread:
    """How the copies of a model are spread over the GPUs of a machine that describes its engine."""
    return model.spread(machine, size_of(model))


def gpus_of(model: Model, machine: WholeMachine) -> int:
    """GPUs of this machine that a model takes; 0 where its engine is not described, and for a Ray cluster that runs elsewhere."""
    if not isinstance(model, LocalModel) or not machine.section(model.section) or (machine.ray and machine.ray.address):
        return 0
    return spread_of(model, machine).all_gpus


def works_on(model: LocalModel, machine: WholeMachine) -> int | None:
    """GPUs that work for a model at once, on other nodes too; 0 where CPUs do, ``None`` where its engine does not run."""
    return spread_of(model, machine).all_gpus if machine.section(model.section) else None


def gpu_gb(model: Model, machine: WholeMachine) -> float | None:
    """What a model takes of each GPU that it is spread over; ``None`` where its size is not known.

    That is its weights, one conversation of full length, without which no engine starts, and ``ENGINE_GB``.
    """
    size = size_of(model)
    if size is None or not isinstance(model, LocalModel):
        return None
    whole = size.weights_gb(model.dtype) + size.cache_gb(model.dtype, model.context_length)
    return whole / max(1, model.spread(machine, size).gpus) + ENGINE_GB


def training_gb(parameters: Parameters, machine: WholeMachine) -> float | None:
    """What a training takes of each device, without activations; ``None`` where the base's size is not known."""
    size, dpo = size_in(parameters, BASE), parameters.dpo
    if size is None:
        return None
    if isinstance(dpo.method, Lora):
        trained = size.parameters * ADAPTER * dpo.method.rank
        base = four_bits_gb(size, dpo.dtype) if dpo.method.load_in_4bit else size.weights_gb(dpo.dtype)
        whole = base + trained * TRAINED_BYTES / 1e9
    else:
        reference = size.weights_gb(dpo.dtype) if dpo.reference == "online" else 0.0
        whole = size.parameters * TRAINED_BYTES / 1e9 + reference
    return whole if machine.training.accelerate == "none" else whole / machine.training.devices


def four_bits_gb(size: Size, dtype: str) -> float:
    """A base with layers in 4 bits (NF4, a factor of 4 bytes for 64 of them), and the tables of tokens as ``dtype``."""
    tables = 1 if size.config.get("tie_word_embeddings") else 2
    kept = tables * size.config.get("vocab_size", 0) * size.config.get("hidden_size", 0)
    return float((kept * BYTES[dtype] + (size.parameters - kept) * (0.5 + 4 / 64)) / 1e9)


def host_gb(parameters: Parameters, machine: WholeMachine) -> float | None:
    """What a training takes of the memory of its host; ``None`` where the base's size is not known.

    On CPUs that is the training itself. For GPUs each process reads the base into it, and the reference model of a full
    fine-tuning; where FSDP2 divides the base of adapters, the first process alone does (``dpo.trainer.divided``). A base in 4
    bits is read a weight at a time.
    """
    size, dpo, training = size_in(parameters, BASE), parameters.dpo, machine.training
    on_device = training_gb(parameters, machine)
    if size is None or on_device is None:
        return None
    if training.device == "cpu":
        return on_device * training.processes
    if isinstance(dpo.method, Lora):
        copies = 0 if dpo.method.load_in_4bit else 1 if training.accelerate == "fsdp2" else training.processes
    else:
        copies = training.processes * (2 if dpo.reference == "online" else 1)
    return copies * size.weights_gb(dpo.dtype)


def table(parameters: Parameters, machine: WholeMachine) -> Table:
    """The models of a run: what runs them, their sizes, what of them is still to be fetched, and copies x GPUs of a copy."""
    found = run_models(parameters)
    unfetched, rows = found.unfetched(), []
    for key, model in found.models.items():
        key_in_profile = key.removeprefix("models.")
        size = size_in(parameters, key_in_profile) if key_in_profile in parameters.models else size_of(model)
        name = str(getattr(model, "repo", None) or getattr(model, "model", "made here"))
        gb = shown(size.stored_gb if size else None, ".0f") if key in unfetched else ""
        count = ("~" if size and size.named else "") + short(size.parameters if size else 0)
        spread = ""
        if isinstance(model, LocalModel) and works_on(model, machine):
            spread = "{} x {}".format(*spread_of(model, machine)) if size else "?"
        rows.append([key_in_profile, model.engine, count, gb, spread, name])
    return Table(["model", "engine", "parameters", "fetch GB", "GPUs", "which"], rows, prose=True)


def short(number: float) -> str:
    """A number in thousands, millions or billions, to three digits; a dash for none."""
    number = float(f"{number:.3g}") if number >= 1e4 else number
    for unit, sign in ((1e9, "G"), (1e6, "M"), (1e3, "k")):
        if number >= max(unit, 1e4):
            return f"{number / unit:g}{sign}"
    return f"{number:,.0f}" if number else "–"
