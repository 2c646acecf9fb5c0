"""The smoke profile as a test changes it, and machines to run it on."""

from pathlib import Path

from parameter_files import Content, Edit, write

from refuseu.parameters import Parameters, WholeMachine, load_all

SERVED: Content = {"engine": "openai", "model": "a-model", "key": "A_KEY"}
WEIGHTS: Content = {"engine": "vllm", "dtype": "bfloat16", "repo": "org/name-8b", "max_model_len": 1000}
RAY: Content = {"workers": 2, "batch_size": 1, "cpus_per_worker": 1}


def changed(folder: Path, edit: Edit = lambda params, profile: None) -> Parameters:
    folder.mkdir(exist_ok=True)
    return load_all(write(folder, edit))


def machine(**sections: object) -> WholeMachine:
    """The two cores, with other sections."""
    content = {
        "workers": 1,
        "loaded": 1,
        "transformers": {"batch_size": 2, "device": "cpu"},
        "openai": {"concurrency": 2, "retries": 0, "timeout": 5.0},
        "training": training(device="cpu"),
    }
    return WholeMachine.model_validate({**content, **sections})


def training(**settings: object) -> Content:
    alone = {"device": "cuda", "processes": 1, "batch_size": 4, "accelerate": "none"}
    return {**alone, "gradient_checkpointing": False, "checkpoint_every": 50, **settings}


def vllm(**settings: object) -> Content:
    return {"tensor_parallel": 1, "memory_fraction": 0.9, "chunk_size": 10, **settings}
