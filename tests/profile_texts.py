"""Parts as a profile writes them, and models of which none is there: nothing is loaded or asked before a first row."""

from importlib.metadata import version
from pathlib import Path
from typing import Any

import yaml
from pydantic import TypeAdapter
from repository import ROOT

from refuseu.engines.machine import EngineMachine, Machine
from refuseu.engines.registry import EngineFactory, Models
from refuseu.judges.settings import Resources
from refuseu.phrasebook.phrasebook import Phrasebook
from refuseu.sources.published import PublishedSet
from refuseu.sources.settings import Published
from refuseu.store.rows import Store

TRANSFORMERS = " ".join(f"{name}-{version(name).partition('+')[0]}" for name in ("transformers", "torch"))
"""The engine as the identities of its models name it: the environment's versions."""
PROMPTS = ROOT / "data/prompts"
MACHINE = Machine.model_validate(
    {
        "workers": 1,
        "loaded": 2,
        "transformers": {"batch_size": 2, "device": "cpu"},
        "openai": {"base_url": "http://127.0.0.1:9/v1", "concurrency": 2, "retries": 0, "timeout": 5.0},
    }
)
MODELS = """
base: {engine: transformers, dtype: float64}
local: {engine: transformers, dtype: float32, repo: org/name, revision: 0123456789012345678901234567890123456789}
served: {engine: openai, model: a-model}
"""


def with_sections(machine: Machine = MACHINE, **sections: EngineMachine) -> Machine:
    """The machine with other sections of engines."""
    return machine.model_copy(update={"engines": {**machine.engines, **sections}})


def read(text: str) -> Any:
    return yaml.safe_load(text)


def published(folder: Path) -> PublishedSet:
    """A set that is not there: nothing is read before a first pair is asked for."""
    return PublishedSet(Published(source="mine"), folder, ["en", "de"], Store(folder / "rows.sqlite"))


def engines(
    folder: Path, models: str = MODELS, machine: Machine = MACHINE, progress: str | None = None
) -> EngineFactory:
    """Keeps its rows below ``folder``."""
    validated: Models = TypeAdapter(Models).validate_python(read(models))
    return EngineFactory(validated, machine, Store(folder / "rows.sqlite"), progress)


def resources(folder: Path, books: dict[str, Phrasebook], models: str = MODELS, prompts: Path = PROMPTS) -> Resources:
    """What judges are built from; rows are kept below ``folder``."""
    return Resources(lambda: books, engines(folder, models).named, prompts, ROOT / "data/refusals")
