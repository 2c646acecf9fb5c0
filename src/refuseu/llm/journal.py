"""Writes down what every call of a model took and gave, a line of JSON a call, for a rehearsal (``commands/rehearse.py``).

It is off but where ``REFUSEU_JOURNAL`` names a file. Only rows that were asked are in it, none that the row store held.
"""

import json
import os
from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from time import perf_counter
from typing import Any

from refuseu.llm.protocol import Completion, Failed, Prompt, RowEngine, Sampling

JOURNAL = "REFUSEU_JOURNAL"
"""The variable that names the file."""


@dataclass
class Call:
    """What one model was asked at once."""

    stage: str
    """As DVC names it; a training's has its config."""
    model: str
    """What error texts call the model, as ``models.instruct: org/name``."""
    loading: float
    """Seconds until the model could be asked; about 0 where it was in memory."""
    seconds: float = 0.0
    """Until all rows were answered."""
    sampling: dict[str, Any] | None = None
    """How the answers were drawn; ``None`` where log-likelihoods were asked for."""
    rows: list[tuple[Prompt, str, str]] = field(default_factory=list)
    """Prompt, text and how it ended; of a log-likelihood the continuation, and nothing."""


@dataclass(frozen=True)
class Journaled:
    """An engine whose calls are written into ``file``."""

    engine: RowEngine
    call: Call
    file: Path

    @property
    def identity(self) -> str:
        return self.engine.identity

    def complete(self, prompts: Sequence[Prompt], sampling: Sampling) -> Iterator[tuple[int, Completion]]:
        self.call.sampling, began = asdict(sampling), perf_counter()
        for position, completion in self.engine.complete(prompts, sampling):
            self.call.rows.append((prompts[position], completion.text, completion.finish))
            yield position, completion
        self._write(began)

    def log_likelihoods(self, pairs: Sequence[tuple[Prompt, str]]) -> Iterator[tuple[int, float | Failed]]:
        began = perf_counter()
        for position, score in self.engine.log_likelihoods(pairs):
            self.call.rows.append((*pairs[position], ""))
            yield position, score
        self._write(began)

    def _write(self, began: float) -> None:
        self.call.seconds = perf_counter() - began
        line = json.dumps(asdict(self.call), ensure_ascii=False) + "\n"
        # In one piece at the end of the file, since the processes of a stage share it.
        with self.file.open("ab", buffering=0) as file:
            file.write(line.encode())


def journaled(engine: RowEngine, model: str, loading: float) -> RowEngine:
    """The engine itself, or where a rehearsal asks for it one whose next call is written down."""
    named = os.environ.get(JOURNAL)
    return Journaled(engine, Call(os.environ.get("DVC_STAGE", ""), model, loading), Path(named)) if named else engine


def read_journal(file: Path) -> list[Call]:
    """The calls of a file in their order; none where no model was asked."""
    if not file.exists():
        return []
    return [Call(**json.loads(line)) for line in file.read_text(encoding="utf-8").splitlines()]
