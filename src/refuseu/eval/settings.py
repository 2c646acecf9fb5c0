"""The section ``eval``, and what its stage reads."""

import re
from pathlib import Path
from typing import Annotated, Any, Literal, Self

from pydantic import (
    BeforeValidator,
    ConfigDict,
    Field,
    SerializeAsAny,
    ValidationInfo,
    field_validator,
    model_validator,
)

from refuseu.core.errors import UserError
from refuseu.core.faults import nearest, validated
from refuseu.core.files import read_yaml
from refuseu.core.sections import Positive, Section, Share
from refuseu.engines.model import ServedModel
from refuseu.engines.registry import ENGINES, Models, engine_class, model_settings
from refuseu.experiment import Experiment
from refuseu.knowledge.settings import KnowledgeSource
from refuseu.label.settings import Label
from refuseu.llm.protocol import Sampling
from refuseu.llm.settings import BASE, ModelRole, NoRole
from refuseu.mixes import Train
from refuseu.sources.settings import ExternalSet
from refuseu.text.identification import PY3LANGID, Identification
from refuseu.weights.reference import check_revision

NAME = re.compile(r"[a-z0-9]+(-[a-z0-9]+)*")
"""What models and test sets may be called: a config's name is a folder's."""


class BigramFluency(Section):
    """Fluency by the word pairs of the phrasebook."""

    kind: Literal["bigrams"]


class ChatRating(ModelRole):
    """Fluency and correctness by an LLM judge, whose prompt is ``data/prompts/fluency.md``."""

    kind: Literal["chat"]
    prompts_per_language: Positive
    """Prompts of ``data/fluency`` in each language, which every model is asked and whose answers are rated; 50 in the paper."""


class NamedModel(Section):
    """One of the profile's ``models``, with its settings there."""

    model: str


class ExternalWeights(Section):
    """Weights that a model of this machine is; exactly one of ``repo`` and ``folder`` says where they are.

    Other entries are settings of the engine, as the profile's ``models`` have them, such as ``dtype``. Where they do not stand
    here, they are the base's.
    """

    model_config = ConfigDict(extra="allow")

    repo: str | None = None
    """A repository of the hub (``org/name``)."""
    folder: str | None = None
    """A folder with a model in the format of the hub, or with an adapter in peft's format on our base."""
    revision: str | None = None
    """A commit of the repository, 40 hexadecimal digits; left open, the newest is looked up."""
    engine: str | None = None
    """The engine that runs it; without one, the engine of the base."""

    @model_validator(mode="after")
    def _is_one_model(self) -> Self:
        named = [name for name in ("repo", "folder", "model") if {**dict(self), **(self.model_extra or {})}.get(name)]
        if len(named) != 1:
            raise ValueError(f"must name one of repo, folder and model; it names {' and '.join(named) or 'none'}")
        check_revision(self.revision, self.repo)
        return self


def external_model(entry: Any) -> Any:
    """Validate an entry of ``eval.models`` by what it names: weights, a model of the profile, or a served model as a whole."""
    if not isinstance(entry, dict):
        return entry
    engine = entry.get("engine")
    if engine is not None and (engine not in ENGINES or issubclass(engine_class(engine), ServedModel)):
        return model_settings(entry)
    if entry.get("model") is None or entry.get("repo") or entry.get("folder"):
        return ExternalWeights.model_validate(entry)
    if others := ", ".join(key for key in entry if key != "model"):
        raise ValueError(f"{others}: stand with the model in the profile's models; take them out here")
    return NamedModel.model_validate(entry)


ExternalModel = Annotated[NamedModel | ExternalWeights | SerializeAsAny[ServedModel], BeforeValidator(external_model)]
"""A model that is evaluated beside our own."""


class Eval(Section):
    """What the models are asked, and how it is counted."""

    fluency: Annotated[BigramFluency | NoRole, Field(discriminator="kind")]
    """Scores every answer by rule."""
    rating: Annotated[ChatRating | NoRole, Field(discriminator="kind")] = NoRole(kind="none")
    """Rates the answers to prompts of their own."""
    knowledge: KnowledgeSource
    reference: str
    """The config every other model is compared with (``plots/eval/differences.json``)."""
    confidence: Annotated[float, Field(gt=0, lt=1)]
    """Confidence level of all intervals (0-1): 0.95 for 95%."""
    max_unparsed: Share
    """Largest share of a language's harmful questions whose answers could not be judged; above it, ASR is a range."""
    max_new_tokens: Positive
    """The largest number of tokens of an answer."""
    board: list[str] = Field(default_factory=list)
    """Ready models and sets that are evaluated too, by their names in ``boards/<name>.yaml``, or whole boards by theirs."""
    models: dict[str, ExternalModel] = Field(default_factory=dict)
    """Models that are evaluated beside the base and those of ``train``, by the names that tables give them."""
    sets: dict[str, ExternalSet] = Field(default_factory=dict)
    """Test sets beside our own, by the names that tables give them."""

    @property
    def sampling(self) -> Sampling:
        """How the answers are chosen: greedily."""
        return Sampling(self.max_new_tokens)


class Board(Section):
    """A file of ready entries: models and sets that ``eval.board`` names in one word."""

    models: dict[str, ExternalModel] = Field(default_factory=dict)
    sets: dict[str, ExternalSet] = Field(default_factory=dict)


KINDS_OF_ENTRY = ("models", "sets")


def read_boards(root: Path) -> dict[str, Board]:
    """All boards below ``root``, by name.

    Raises:
        UserError: for a file that is not YAML, and for each wrong entry.
    """
    return {
        path.stem: validated(Board, read_yaml(path, "'git restore boards' brings it back"), path)
        for path in sorted((root / "boards").glob("*.yaml"))
    }


def with_board(sections: dict[str, Any], root: Path) -> dict[str, Any]:
    """``sections``, whose ``eval`` has the entries that ``eval.board`` names among its models and sets.

    Raises:
        UserError: for a name that no board has, and for one that ``eval`` has itself.
    """
    section = sections.get("eval")
    evaluation: dict[str, Any] = section if isinstance(section, dict) else {}
    named = evaluation.get("board")
    if not isinstance(named, list) or not named:
        return sections
    boards = read_boards(root)
    wholes = {board: [*entries.models, *entries.sets] for board, entries in boards.items()}
    wanted = [entry for name in named for entry in wholes.get(name, [name])]
    found: dict[str, dict[str, Any]] = {
        kind: {
            name: entry for board in boards.values() for name, entry in getattr(board, kind).items() if name in wanted
        }
        for kind in KINDS_OF_ENTRY
    }
    for name in wanted:
        if not any(name in entries for entries in found.values()):
            known = {*wholes, *(each for entries in wholes.values() for each in entries)}
            raise UserError(f"params.yaml: eval.board: no file of boards has {name!r}{nearest(str(name), known)}")
    for kind, entries in found.items():
        own = evaluation.get(kind) or {}
        if twice := next((name for name in entries if name in own), None):
            raise UserError(
                f"params.yaml: eval.{kind}.{twice}: eval.board names it too; give one of the two another name"
            )
        found[kind] = {**own, **entries}
    return {**sections, "eval": {**evaluation, **found}}


def well_named(evaluation: Eval, fields: ValidationInfo) -> Eval:
    """``evaluation``, where its models and sets have names that a table can show beside our own; ``train`` is known.

    Raises:
        ValueError: for the first that has not.
    """
    for section in ("models", "sets"):
        for name in getattr(evaluation, section):
            if not NAME.fullmatch(name):
                raise ValueError(f"{section}: {name!r} is no name; use a-z, 0-9 and '-'")
    train, models = fields.data.get("train"), fields.data.get("models", {})
    for name, each in evaluation.models.items():
        if name == BASE or (train and name in train.mixes):
            raise ValueError(f"models.{name}: is the name of one of our own models; take another")
        if isinstance(each, ServedModel) and name in models:
            # The machine file tells the addresses of both by this name.
            raise ValueError(f"models.{name}: is the name of one of the profile's models; take another")
    return evaluation


class EvalParameters(Experiment):
    identifier: Identification = PY3LANGID
    models: Models
    label: Label
    train: Train
    eval: Eval
    near_duplicate: Annotated[float, Field(alias="split.near_duplicate")]
    """As the split keeps test questions from being near-duplicates of training questions."""

    _named = field_validator("eval")(well_named)

    @classmethod
    def completed(cls, sections: dict[str, Any], root: Path) -> dict[str, Any]:
        return with_board(sections, root)
