"""The paper's own attack success rates (``data/paper``), and which of them stand beside a run's.

They are shown only where a model, its size and the language are the paper's, and enter no other number. Which base a run has
follows from the identities of its models, so no parameter has to say it.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Literal, NamedTuple, Self

from pydantic import TypeAdapter

from refuseu.core.errors import UserError
from refuseu.core.faults import validated
from refuseu.results.outputs import Record

UNALIGNED = "base"
"""What every run calls the model that it aligns."""
TRAINED = ("balanced", "high-resource", "english-only", "no-english")
"""The configs that the paper trained at both sizes; ours have the same names."""


class Counterpart(NamedTuple):
    """A model of the paper."""

    size: Literal["8b", "70b"]
    config: str


MODELS = {
    "meta-llama/Llama-3.1-8B-Instruct": Counterpart("8b", "instruct"),
    "meta-llama/Llama-3.1-70B-Instruct": Counterpart("70b", "instruct"),
    "mlabonne/Meta-Llama-3.1-8B-Instruct-abliterated": Counterpart("8b", "abliterated"),
    "mlabonne/Llama-3.1-70B-Instruct-lorablated": Counterpart("70b", "abliterated"),
}
"""The models that the paper did not train, by their repositories."""


class PaperRow(Record):
    """One number of the paper's Table 1, in percent."""

    language: str
    """A code, or ``high-resource``, ``others`` or ``all`` for a mean."""
    size: Literal["8b", "70b"]
    config: str
    asr: float


@dataclass(frozen=True)
class PaperAsr:
    """The paper's Table 1."""

    rows: tuple[PaperRow, ...]

    @classmethod
    def read(cls, path: Path) -> Self:
        """Read the table.

        Raises:
            UserError: for a file that is missing or holds something else.
        """
        import pandas as pd

        way_out = f"'git restore {path}' brings it back"
        try:
            content = pd.read_csv(path).to_dict("records")
        except (OSError, ValueError) as error:
            raise UserError(f"{path}: not a readable table ({str(error).splitlines()[0]}); {way_out}") from None
        return cls(tuple(validated(TypeAdapter(list[PaperRow]), content, path, way_out)))

    def of(self, model: Counterpart) -> dict[str, float]:
        """The rates of a model of the paper by language, means among them; nothing for a model that the table lacks."""
        return {row.language: row.asr for row in self.rows if (row.size, row.config) == model}


def counterparts(identities: Mapping[str, str], benign: Mapping[str, int]) -> dict[str, Counterpart]:
    """Which models of a run are models of the paper, by their names in the run.

    Args:
        identities: of every evaluated model. Where the base is the paper's, the aligned models have its size.
        benign: by config, how many benign pairs its mix holds. The paper's mixes hold none.
    """
    known = {name: MODELS.get(identity.partition("@")[0]) for name, identity in identities.items()}
    base = known.get(UNALIGNED)
    found = {name: model for name, model in known.items() if model and _is_whole(identities[name])}
    if base and base.config == "abliterated":
        found |= {
            name: Counterpart(base.size, name) for name in TRAINED if name in identities and benign.get(name) == 0
        }
    return {name: found[name] for name in identities if name in found}


def _is_whole(identity: str) -> bool:
    """Whether it is the repository's model itself, and not an adapter on it."""
    return "+" not in identity
