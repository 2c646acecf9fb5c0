"""What a machine's memory and its GPUs do to a model is one sentence; other errors stay what they are."""

import pickle

import pytest

from refuseu.core.errors import UserError
from refuseu.llm.faults import enough_memory
from refuseu.llm.worker_process import UselessError


class EngineDeadError(Exception):
    """As vLLM names it."""


def raised(error: Exception) -> Exception:
    try:
        with enough_memory("a model", "compute 8 rows at once; lower it"):
            raise error
    except Exception as after:
        return after


@pytest.mark.parametrize(
    ("error", "first_line"),
    [
        (
            RuntimeError(
                "CUDA error: an illegal memory access was encountered\nCUDA kernel errors might be reported later"
            ),
            "CUDA error: an illegal memory access was encountered",
        ),
        (RuntimeError("NCCL error in: watchdog.cpp"), "NCCL error in: watchdog.cpp"),
        (RuntimeError("Executor failed."), "Executor failed."),
        (EngineDeadError("EngineCore encountered an issue. See above"), "EngineCore encountered an issue. See above"),
    ],
)
def test_a_gpu_that_fails_is_one_sentence_with_the_first_line_of_the_cause(error: Exception, first_line: str) -> None:
    found = raised(error)
    assert isinstance(found, UselessError)
    assert found.message == (
        f"a model: the GPU failed ({first_line}); run the stage again, which goes on from what was kept, and where it "
        "fails again look for the cause in the node's own log (dmesg, nvidia-smi -q), or take another node"
    )
    assert found.__cause__ is None and found.__suppress_context__
    assert type(pickle.loads(pickle.dumps(found))) is UselessError


@pytest.mark.parametrize("error", [MemoryError(), RuntimeError("CUDA error: out of memory"), RuntimeError("allocate")])
def test_memory_is_told_apart_from_a_gpu_that_fails(error: Exception) -> None:
    found = raised(error)
    assert type(found) is UserError
    assert found.message == "a model: not enough memory to compute 8 rows at once; lower it"


@pytest.mark.parametrize("error", [RuntimeError("shapes differ"), ValueError("CUDA error"), UserError("out of memory")])
def test_other_errors_stay_what_they_are(error: Exception) -> None:
    assert raised(error) is error
