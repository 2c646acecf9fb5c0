"""All parameters, from ``params.yaml`` and one profile, and the rules that hold between their sections."""

from collections.abc import Iterator
from pathlib import Path
from typing import Annotated, Any, Self

from pydantic import Field, field_validator, model_validator

from refuseu.base.settings import Base, HubBase
from refuseu.core.faults import validated
from refuseu.core.sections import Section, Seed, machine_file, merged_sections
from refuseu.dpo.machine import TrainingMachine
from refuseu.dpo.settings import Dpo
from refuseu.engines.machine import Machine
from refuseu.engines.model import LocalModel, Model
from refuseu.engines.registry import Models
from refuseu.eval.settings import NAME, Eval, well_named, with_board
from refuseu.experiment import PIVOT, PLAIN, Experiment
from refuseu.label.settings import Label
from refuseu.llm.settings import BASE
from refuseu.mixes import SINGLE, Train
from refuseu.rainbow_teaming.settings import Generator, RainbowTeaming
from refuseu.report.settings import Report
from refuseu.respond.settings import Respond
from refuseu.sources.settings import ByPublished, Published
from refuseu.split.settings import Split
from refuseu.text.identification import PY3LANGID, Identification
from refuseu.translate.settings import Native, Translate


class Parameters(Experiment):
    """All of ``params.yaml`` and of one profile."""

    profile: str
    seed: Seed
    identifier: Identification = PY3LANGID
    models: Models
    published: Published
    base: Base
    rainbow_teaming: Annotated[RainbowTeaming, Field(alias="rainbow-teaming")]
    translate: Translate
    respond: Respond
    label: Label
    split: Split
    train: Train
    dpo: Dpo
    eval: Eval
    report: Report

    _named = field_validator("eval")(well_named)

    @classmethod
    def completed(cls, sections: dict[str, Any], root: Path) -> dict[str, Any]:
        return with_board(sections, root)

    @model_validator(mode="after")
    def _consistent(self) -> Self:
        if PIVOT not in self.languages:
            raise ValueError(f"languages: must hold {PIVOT}, which questions are translated from")
        if PLAIN in self.styles:
            raise ValueError(f"styles.{PLAIN}: is the name of asking without a style; take another")
        if self.eval.reference not in self.train.mixes:
            raise ValueError(f"eval.reference: {self.eval.reference!r} is not one of train.configs")
        for key, name in dict(self.report.benign_pairs or {}).items():
            if name not in self.train.mixes:
                raise ValueError(
                    f"report.benign_pairs.{key}: {name!r} is not one of train.configs; name one, or write null"
                )
        self._check_models()
        self._check_published()
        self._check_native()
        self._check_train()
        return self

    def _check_train(self) -> None:
        for code in self.train.single:
            if code not in self.languages:
                raise ValueError(f"train.single: {code!r} is not in languages; add it there, or take it out here")
        for name, config in self.train.configs.items():
            if name == BASE or not NAME.fullmatch(name):
                raise ValueError(
                    f"train.configs.{name}: a config's name is a folder's; use a-z, 0-9 and '-', but not 'base'"
                )
            if name.startswith(SINGLE):
                raise ValueError(
                    f"train.configs.{name}: names that begin with '{SINGLE}' are those of train.single; write the language "
                    "there, or take another name"
                )
            wanted = [] if config.languages == "all" else config.languages or self.train.languages
            for code in [*wanted, *config.without]:
                if code not in self.languages:
                    way_out = "add it there, or take the config out"
                    raise ValueError(f"train.configs.{name}: {code!r} is not in languages; {way_out}")
            if not self.train.languages_of(name, self.languages):
                raise ValueError(f"train.configs.{name}: no language is left")

    def _check_models(self) -> None:
        if BASE not in self.models:
            raise ValueError(f"models.{BASE}: missing; it says what runs the un-aligned model, and in which numbers")
        if not isinstance(self.models[BASE], LocalModel):
            raise ValueError(
                f"models.{BASE}: must be a model with weights, for it is trained further; not engine {self.models[BASE].engine}"
            )
        if isinstance(self.base, HubBase) and not getattr(self.models[BASE], "repo", None):
            raise ValueError(f"models.{BASE}.repo: missing; a base of kind hub is the model of this repository")
        for key, name in self.played():
            if name not in self.models:
                raise ValueError(f"{key}: {name!r} is none of models, which are {', '.join(self.models)}")

    def _check_published(self) -> None:
        """The set has translations, answers and splits of its own questions alone."""
        asked = isinstance(self.rainbow_teaming.mutator, ByPublished)
        worded = isinstance(self.translate.translator, ByPublished)
        answered = ByPublished in map(type, (self.respond.refuser, self.respond.rejected))
        for key, taken, missing in (
            ("translate.translator", worded, "" if asked else "rainbow-teaming.mutator"),
            ("respond", answered, "" if worded else "translate.translator"),
            ("split.assignment", self.split.assignment == "published", "" if asked else "rainbow-teaming.mutator"),
        ):
            if taken and missing:
                raise ValueError(
                    f"{key}: cannot be published where {missing} is not; let both be of the kind published"
                )

    def _check_native(self) -> None:
        """Questions that models write in each language are not translated, and no others stand in each language."""
        generated = isinstance(self.rainbow_teaming.mutator, Generator)
        native = isinstance(self.translate.translator, Native)
        if generated and not native:
            raise ValueError(
                "translate.translator: must be native, since a generator writes questions in each language"
            )
        if native and not generated:
            raise ValueError(
                "translate.translator: cannot be native where rainbow-teaming.mutator is no generator; its questions are "
                "in English"
            )

    def played(self) -> Iterator[tuple[str, str]]:
        """Yield every role that a model plays: the role's key, such as ``translate.translator.model``, and the model's name."""
        for section in ("rainbow-teaming", "translate", "respond", "label", "eval"):
            yield from _played(getattr(self, section.replace("-", "_")), section)


def _played(part: object, place: str) -> Iterator[tuple[str, str]]:
    # What a served model calls its model is the server's name for it.
    entries = dict(part) if isinstance(part, Section | dict) and not isinstance(part, Model) else {}
    for name, value in entries.items():
        key = f"{place}.{name}"
        if name == "model" and isinstance(value, str):
            yield key, value
        if name == "models" and isinstance(value, list):
            yield from ((key, each) for each in value)
        yield from _played(value, key)


class WholeMachine(Machine):
    """A machine, with the section ``training`` that only trainings read."""

    training: TrainingMachine


def load_whole_machine(root: Path = Path()) -> WholeMachine:
    """All sections of the machine that ``REFUSEU_MACHINE`` names.

    Raises:
        UserError: for a machine that has no file, and for every key that is unknown, missing or out of range.
    """
    path, content = machine_file(root)
    return validated(WholeMachine, content, path)


def load_all(root: Path = Path(), profile: str | None = None) -> Parameters:
    """All parameters below ``root``, with the profile that ``params.yaml`` names or with ``profile`` in its place.

    Raises:
        UserError: for a file that is missing or not YAML, and for every key that is unknown, missing, of the wrong type, out
            of range, or at odds with another key.
    """
    merged, where = merged_sections(root, profile)
    return validated(Parameters, Parameters.completed(merged, root), where)
