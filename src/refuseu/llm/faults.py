"""What a machine's memory and its GPUs do to a model that answers, as one sentence."""

from contextlib import AbstractContextManager

from refuseu.llm.worker_process import UselessError
from refuseu.weights.faults import sound_device


def enough_memory(model: object, task: str) -> AbstractContextManager[None]:
    """Turns what PyTorch and vLLM raise where memory runs out, or a GPU fails, into a sentence; ``task`` is what takes memory.

    Raises:
        UselessError: for a GPU that failed.
    """
    return sound_device(model, task, UselessError)
