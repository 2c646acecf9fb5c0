"""A plan of a profile of this repository, or of the smoke profile as a test changes it."""

from pathlib import Path

from parameter_files import Content, Edit, write
from repository import ROOT

from refuseu.commands.parameters import Parameters, WholeMachine, load_all
from refuseu.commands.plan.asks import Ask, Asks
from refuseu.commands.plan.flow import flow_of
from refuseu.commands.plan.lengths import lengths_of
from refuseu.phrasebook.phrasebook import Phrasebook, load_phrasebooks

SERVED: Content = {"engine": "openai", "model": "a-model", "key": "A_KEY"}
WEIGHTS: Content = {"engine": "vllm", "dtype": "bfloat16", "repo": "org/name-8b", "max_model_len": 1000}


def changed(folder: Path, edit: Edit) -> Parameters:
    return load_all(write(folder, edit))


def machine(**sections: object) -> WholeMachine:
    """The two cores, with other sections."""
    content = {
        "workers": 1,
        "loaded": 1,
        "transformers": {"batch_size": 2, "device": "cpu"},
        "openai": {"concurrency": 2, "retries": 0, "timeout": 5.0},
        "training": {
            "device": "cpu",
            "processes": 1,
            "batch_size": 4,
            "accelerate": "none",
            "gradient_checkpointing": False,
            "checkpoint_every": 50,
        },
    }
    return WholeMachine.model_validate({**content, **sections})


def vllm(**settings: object) -> dict[str, object]:
    return {"tensor_parallel": 1, "memory_fraction": 0.9, "chunk_size": 10, **settings}


def books_of(parameters: Parameters) -> dict[str, Phrasebook]:
    return load_phrasebooks(ROOT / "data/phrasebook", parameters.languages, parameters.categories, parameters.styles)


def asks_of(parameters: Parameters, told: str = "word " * 100) -> list[Ask]:
    books = books_of(parameters)
    return Asks(parameters, flow_of(parameters), lengths_of(parameters, books), books, lambda _: told).all()
