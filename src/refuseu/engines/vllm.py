"""A model in vLLM on this machine, in a child process of its own."""

from collections.abc import Callable, Iterator, Sequence
from copy import copy
from functools import partial
from importlib.util import find_spec
from pathlib import Path
from typing import Self, TypeVar

from refuseu.core.errors import UserError
from refuseu.engines.child import Child
from refuseu.engines.prompting import REFUSED, REFUSED_OR_LONG, assert_asked
from refuseu.engines.protocol import Completion, Prompt, Sampling
from refuseu.engines.vllm_model import Scored, VllmModel, VllmRequest, VllmSettings

Item = TypeVar("Item")
Result = TypeVar("Result")

CHUNK = 1024
"""Rows in one call: as many as keep a large GPU busy, and no more than one wants to lose when the stage is killed."""


class VllmEngine:
    """Answers in chunks, so that rows are handed on, and kept, long before the last one is done.

    On a GPU a greedy answer may differ in its last bits with the rows beside it; with ``VLLM_BATCH_INVARIANT=1`` in the
    environment (compute capability 8.0 or more) it does not.
    """

    def __init__(self, settings: VllmSettings, identity: str, chunk_size: int = CHUNK) -> None:
        """Loads the model.

        Raises:
            UserError: when vLLM is not installed, there are too few GPUs, or the model or an adapter cannot be read.
        """
        assert_installed(str(settings.source))
        self.identity = identity
        self._adapter: Path | None = None
        self._adapters = settings.adapters
        self._chunk_size = chunk_size
        self._child = Child(partial(VllmModel, settings), str(settings.source))

    def adapted(self, folder: Path, identity: str) -> Self:
        """``folder`` must be one of the settings' adapters."""
        assert folder in self._adapters, f"{folder} is not among the settings' adapters"
        view = copy(self)
        view.identity = identity
        view._adapter = folder
        return view

    def complete(self, prompts: Sequence[Prompt], sampling: Sampling) -> Iterator[tuple[int, Completion]]:
        chunks = [VllmRequest(chunk, sampling, self._adapter) for chunk in self._chunks(prompts)]
        return self._answered(VllmModel.complete, chunks, REFUSED)

    def log_likelihoods(self, pairs: Sequence[tuple[Prompt, str]]) -> Iterator[tuple[int, float]]:
        chunks = [Scored(chunk, self._adapter) for chunk in self._chunks(pairs)]
        return self._answered(VllmModel.score, chunks, REFUSED_OR_LONG)

    def close(self) -> None:
        self._child.close()

    def _chunks(self, rows: Sequence[Item]) -> list[Sequence[Item]]:
        return [rows[start : start + self._chunk_size] for start in range(0, len(rows), self._chunk_size)]

    def _answered(
        self, method: Callable[[VllmModel, Item], list[Result | None]], chunks: list[Item], why: str
    ) -> Iterator[tuple[int, Result]]:
        refused: list[int] = []
        position = 0
        for answers in self._child.map(method, chunks):
            for answer in answers:
                if answer is None:
                    refused.append(position)
                else:
                    yield position, answer
                position += 1
        assert_asked(self.identity, refused, why)


def assert_installed(model: str) -> None:
    """
    Raises:
        UserError: when vLLM, which ``model`` takes, is not installed.
    """
    if find_spec("vllm") is None:
        raise UserError(
            f"{model}: the engine vllm takes the package vllm, which is not installed; "
            "'.venv/bin/uv pip install -r requirements-gpu.lock' brings it"
        )
