"""What PyTorch and vLLM raise where memory runs out, or a GPU fails, as one sentence; for training and for answering alike."""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager

from refuseu.core.errors import UserError

NO_MEMORY = ("allocate", "out of memory")
"""How PyTorch says that memory ran out."""
NO_DEVICE = (
    "CUDA error",
    "CUDA driver error",
    "cuDNN error",
    "NCCL error",
    "CUBLAS_STATUS",
    "EngineCore",
    "Executor failed",
    "Worker failed",
)
"""How PyTorch, or vLLM of the processes that share a model's weights, says that a GPU does no more work."""


@contextmanager
def sound_device(what: object, task: str, failed: type[UserError] = UserError) -> Iterator[None]:
    """Turns what is raised where memory runs out, or a GPU fails, into a sentence that begins with ``what``.

    ``task`` is what takes the memory, with a way to take less. ``failed`` is the class of the error for a GPU that failed.

    Raises:
        UserError: for either; other errors stay what they are.
    """
    try:
        yield
    except Exception as error:
        if _of_memory(error):
            raise UserError(f"{what}: not enough memory to {task}") from None
        if not _says(error, NO_DEVICE):
            raise
        raise failed(
            f"{what}: the GPU failed ({str(error).splitlines()[0].strip()}); run the stage again, which goes on from what "
            "was kept, and where it fails again look for the cause in the node's own log (dmesg, nvidia-smi -q), or take another "
            "node"
        ) from None


def of_device(error: Exception) -> bool:
    """Whether memory ran out, or a GPU failed; then the error says nothing of the files that were read."""
    return _of_memory(error) or _says(error, NO_DEVICE)


def _of_memory(error: Exception) -> bool:
    return isinstance(error, MemoryError) or _says(error, NO_MEMORY) or type(error).__name__ == "OutOfMemoryError"


def _says(error: Exception, signs: Sequence[str]) -> bool:
    """Whether the error is PyTorch's or vLLM's, whose text has one of the signs.

    On a CPU it is a plain RuntimeError, and so is what vLLM makes of that of a GPU: told from others by their text alone.
    """
    dead = type(error).__name__ == "EngineDeadError"
    return (dead or isinstance(error, RuntimeError)) and any(sign in str(error) for sign in signs)
