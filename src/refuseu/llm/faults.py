"""What PyTorch and vLLM raise where a machine has not enough memory, or a GPU fails, as one sentence."""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager

from refuseu.core.errors import UserError
from refuseu.llm.worker_process import UselessError

NO_MEMORY = ("allocate", "out of memory")
"""How PyTorch says that memory ran out."""
NO_DEVICE = (
    "CUDA error",
    "cuDNN error",
    "NCCL error",
    "CUBLAS_STATUS",
    "EngineCore",
    "Executor failed",
    "Worker failed",
)
"""How PyTorch, or vLLM of the processes that share a model's weights, says that a GPU does no more work."""


@contextmanager
def enough_memory(model: object, task: str) -> Iterator[None]:
    """Turns what PyTorch and vLLM raise where memory runs out, or a GPU fails, into a sentence; ``task`` is what takes memory.

    Raises:
        UselessError: for a GPU that failed.
    """
    try:
        yield
    except Exception as error:
        # On a CPU it is a plain RuntimeError, and so is what vLLM makes of that of a GPU: told from others by their text alone.
        text = str(error)
        if isinstance(error, MemoryError) or _says(error, NO_MEMORY):
            raise UserError(f"{model}: not enough memory to {task}") from None
        if not _says(error, NO_DEVICE):
            raise
        raise UselessError(
            f"{model}: the GPU failed ({text.splitlines()[0].strip()}); run the stage again, which goes on from what "
            "was kept, and where it fails again look for the cause in the node's own log (dmesg, nvidia-smi -q), or take another "
            "node"
        ) from None


def _says(error: Exception, signs: Sequence[str]) -> bool:
    """Whether the error is PyTorch's or vLLM's, whose text has one of the signs."""
    dead = type(error).__name__ == "EngineDeadError"
    return (dead or isinstance(error, RuntimeError)) and any(sign in str(error) for sign in signs)
