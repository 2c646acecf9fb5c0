"""The models that a run asks: which they are, how large, and what they take of a GPU. 1 GB is 1e9 bytes."""

import json
import re
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from functools import cache
from pathlib import Path
from typing import Any, assert_never

from refuseu.base.settings import GgufBase, TrainedBase
from refuseu.core.errors import UserError
from refuseu.core.network import network_explained
from refuseu.dpo.settings import Lora
from refuseu.engines.model import LocalModel, Model, ServedModel
from refuseu.eval.models import computed, in_folder
from refuseu.eval.settings import ExternalModel, ExternalWeights, NamedModel
from refuseu.llm.settings import BASE
from refuseu.parameters import Parameters, WholeMachine
from refuseu.plan import host
from refuseu.rainbow_teaming.settings import Generator
from refuseu.results.markdown import Table, shown
from refuseu.sources.settings import ByPublished
from refuseu.weights.reference import ModelReference, is_folder

BYTES = {"float64": 8, "float32": 4, "bfloat16": 2, "float16": 2}
"""Of a number as a profile names its type."""
STORED = {"F64": 8, "I64": 8, "F32": 4, "I32": 4, "U32": 4, "BF16": 2, "F16": 2, "I16": 2}
"""Of a number as safetensors names its type; one byte for all others (FP8, I8, U8)."""
PACKED = {"I64", "I32", "U32", "I16", "I8", "U8"}
"""Types of safetensors in which quantized weights of a few bits each lie together."""
ENGINE_GB = 3.0
"""What an engine itself takes of each GPU beside weights and cache (activations, graphs, libraries): a guess."""
TRAINED_BYTES = 16
"""Of a trained parameter: the weight, its gradient and Adam's two moments, in float32."""
ADAPTER = 0.005 / 16
"""Parameters of an adapter for each parameter of the model and rank; Llama 3.1 8B has 42 million at rank 16."""


@dataclass(frozen=True)
class Size:
    """The size of a model, as its repository or folder tells it."""

    parameters: int
    stored_gb: float | None = None
    """Size of its files of weights; ``None`` where nobody tells it."""
    config: dict[str, Any] = field(default_factory=dict, hash=False)
    """Its ``config.json``; empty where that could not be read."""
    named: bool = False
    """Whether only the model's name tells how large it is, as ``Llama-3.1-8B`` does."""

    @property
    def heads(self) -> int | None:
        """Attention heads, which GPUs must share evenly; ``None`` where ``config.json`` does not tell."""
        return self.config.get("num_attention_heads")

    def weights_gb(self, dtype: str) -> float:
        """In memory: as ``dtype``, or as they are stored, where they are quantized (FP8, GPTQ, AWQ, NF4, MXFP4)."""
        if self.stored_gb is not None and "quantization_config" in self.config:
            return self.stored_gb
        return self.parameters * BYTES[dtype] / 1e9

    def cache_gb(self, dtype: str, tokens: int | None) -> float:
        """Keys and values of one conversation of ``tokens`` tokens (``None``: as many as the model can attend to)."""
        try:
            heads, layers = self.config["num_attention_heads"], self.config["num_hidden_layers"]
            head = self.config.get("head_dim") or self.config["hidden_size"] // heads
            kept = 2 * layers * (self.config.get("num_key_value_heads") or heads) * head
            return float(kept * BYTES[dtype] * (tokens or self.config["max_position_embeddings"]) / 1e9)
        except KeyError:
            return 0.0


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
    from huggingface_hub import get_local_safetensors_metadata, get_safetensors_metadata, hf_hub_download
    from huggingface_hub.errors import NotASafetensorsRepoError, SafetensorsParsingError

    folder = Path(repo) if is_folder(repo) else host.cached(repo, revision)
    if folder is None and host.offline():
        return None
    try:
        if folder:
            counts = get_local_safetensors_metadata(folder).parameter_count
            config = folder / "config.json"
        else:
            with network_explained():
                counts = get_safetensors_metadata(repo, revision=revision).parameter_count
                config = Path(hf_hub_download(repo, "config.json", revision=revision))
        content = json.loads(config.read_text(encoding="utf-8"))
    except (HTTPError, OSError, ValueError, NotASafetensorsRepoError, SafetensorsParsingError):
        return None
    stored = sum(count * STORED.get(kind, 1) for kind, count in counts.items())
    parameters = sum(count * together(kind, content) for kind, count in counts.items())
    return Size(round(parameters), stored / 1e9, content)


def together(kind: str, config: dict[str, Any]) -> float:
    """Parameters in one stored number of a type, as safetensors names it: several where weights of a few bits are packed.

    ``quantization_config`` of ``config.json`` tells the bits, in the words of GPTQ, AWQ, compressed-tensors, bitsandbytes (NF4)
    or MXFP4.
    """
    quantized = config.get("quantization_config")
    if not quantized or kind not in PACKED:
        return 1
    groups = (quantized.get("config_groups") or {}).values()
    told = [quantized.get("bits"), quantized.get("w_bit"), *(group["weights"]["num_bits"] for group in groups)]
    of_four = quantized.get("load_in_4bit") or quantized.get("quant_method") == "mxfp4"
    return 8 * STORED.get(kind, 1) / next(filter(None, told), 4 if of_four else 8)


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
                    where = {"repo": external.repo, "revision": external.revision}
                    found.models[key] = model.model_copy(update=where)
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


def gpus_of(model: Model, machine: WholeMachine) -> int:
    """GPUs of this machine that a model takes; 0 on a machine that does not describe its engine."""
    return model.gpus(machine) if isinstance(model, LocalModel) and machine.section(model.section) else 0


def works_on(model: LocalModel, machine: WholeMachine) -> int | None:
    """GPUs that work for a model at once, on other nodes too; 0 where CPUs do, ``None`` where its engine does not run."""
    if not machine.section(model.section):
        return None
    own = model.in_process(machine)
    return 0 if own and own.device == "cpu" else machine.copies * model.gpu_share(machine)[0]


def gpu_gb(model: Model, machine: WholeMachine) -> float | None:
    """What a model takes of each GPU that it is spread over; ``None`` where its size is not known.

    That is its weights, one conversation of full length, without which no engine starts, and ``ENGINE_GB``.
    """
    size = size_of(model)
    if size is None or not isinstance(model, LocalModel):
        return None
    whole = size.weights_gb(model.dtype) + size.cache_gb(model.dtype, model.context_length)
    return whole / model.gpu_share(machine)[0] + ENGINE_GB


def training_gb(parameters: Parameters, machine: WholeMachine) -> float | None:
    """What a training takes of each device, without activations; ``None`` where the base's size is not known."""
    size, dpo = size_in(parameters, BASE), parameters.dpo
    if size is None:
        return None
    if isinstance(dpo.method, Lora):
        trained = size.parameters * ADAPTER * dpo.method.rank
        whole = size.weights_gb(dpo.dtype) + trained * TRAINED_BYTES / 1e9
    else:
        reference = size.weights_gb(dpo.dtype) if dpo.reference == "online" else 0.0
        whole = size.parameters * TRAINED_BYTES / 1e9 + reference
    return whole if machine.training.accelerate == "none" else whole / machine.training.processes


def table(parameters: Parameters) -> Table:
    """The models of a run: what runs them, their sizes, and what of them is still to be fetched."""
    found = run_models(parameters)
    unfetched, rows = found.unfetched(), []
    for key, model in found.models.items():
        key_in_profile = key.removeprefix("models.")
        size = size_in(parameters, key_in_profile) if key_in_profile in parameters.models else size_of(model)
        name = str(getattr(model, "repo", None) or getattr(model, "model", "made here"))
        gb = shown(size.stored_gb if size else None, ".0f") if key in unfetched else ""
        count = ("~" if size and size.named else "") + short(size.parameters if size else 0)
        rows.append([key_in_profile, model.engine, count, gb, name])
    return Table(["model", "engine", "parameters", "GB to fetch", "which"], rows, prose=True)


def short(number: float) -> str:
    """A number in thousands, millions or billions, to three digits; a dash for none."""
    number = float(f"{number:.3g}") if number >= 1e4 else number
    for unit, sign in ((1e9, "G"), (1e6, "M"), (1e3, "k")):
        if number >= max(unit, 1e4):
            return f"{number / unit:g}{sign}"
    return f"{number:,.0f}" if number else "–"
