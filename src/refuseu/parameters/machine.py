"""Where the work runs: ``machines/<name>.yaml``. No output depends on it, so DVC does not track it."""

import os
from pathlib import Path
from typing import Annotated, Literal

from pydantic import Field, ValidationError

from refuseu.errors import UserError
from refuseu.files.faults import explained
from refuseu.files.yaml import read_yaml
from refuseu.parameters.section import Positive, Rate, Section

DEFAULT = "cpu"


class TransformersMachine(Section):
    """How the engine ``transformers`` runs."""

    batch_size: Positive
    """Conversations a forward pass."""
    device: Literal["cpu", "cuda"]


class OpenaiMachine(Section):
    """Where the engine ``openai`` finds its models, and how it asks them."""

    base_url: str | None = None
    """Of the endpoint, as ``http://127.0.0.1:8000/v1``; nothing for OpenAI's own."""
    concurrency: Positive
    """Requests that are under way at once."""
    retries: Annotated[int, Field(ge=0)]
    """How often a request is sent again that the endpoint was too busy for."""
    timeout: Rate
    """Seconds that an answer may take."""


class Machine(Section):
    """One machine, or several that work together."""

    workers: Positive
    """Processes that share the evaluated models out; a core each."""
    transformers: TransformersMachine
    openai: OpenaiMachine


def load_machine(root: Path = Path()) -> Machine:
    """The machine that ``REFUSEU_MACHINE`` names, the two cores of ``machines/cpu.yaml`` by default.

    Raises:
        UserError: for a machine that has no file, and for every key that is unknown, missing or out of range.
    """
    name = os.environ.get("REFUSEU_MACHINE") or DEFAULT
    path = root / "machines" / f"{name}.yaml"
    known = ", ".join(sorted(each.stem for each in path.parent.glob("*.yaml")))
    content = read_yaml(path, f"REFUSEU_MACHINE must be one of: {known}")
    try:
        return Machine.model_validate(content)
    except ValidationError as error:
        raise UserError(f"{path}: {explained(error, content)}") from None
