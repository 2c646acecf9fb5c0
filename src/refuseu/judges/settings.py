"""What the settings of every judge have in common; a judge's own stand in its own file, as the class ``Settings``."""

from abc import abstractmethod
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import ClassVar

from refuseu.core.sections import Section
from refuseu.judges.verdict import Guard, Judge
from refuseu.llm.protocol import Engine
from refuseu.phrasebook.phrasebook import Phrasebook


@dataclass(frozen=True)
class Resources:
    """All that judges are built from. Nothing is read or opened before a judge asks for it."""

    books: Callable[[], dict[str, Phrasebook]]
    """Loads the phrasebooks, by language."""
    engine: Callable[[str], Engine]
    """Opens one of the profile's models by its name."""
    prompts: Path
    """The folder of what chat models are told."""
    refusals: Path
    """The folder of phrases that refuse."""


@dataclass(frozen=True)
class ModelUse:
    """A model that a judge asks, and what one exchange costs in tokens, about; ``make plan`` counts with it."""

    model: str
    """One of the profile's ``models``."""
    prompt_tokens: int
    """Tokens that the model is told around an exchange."""
    verdict_tokens: int
    """Tokens of the verdict."""
    only_questions: bool = False
    """Whether the model judges each question alone, and never an answer."""


class JudgeSettings(Section):
    """The settings of one judge. A class for each kind derives from this one and builds the judge.

    The class is final, so that mypy rejects it while it has no ``build`` or does not say whether it reports refusals.
    """

    kind: str

    @property
    @abstractmethod
    def reports_refusals(self) -> bool:
        """Whether the judge says of an answer that it refuses or complies."""

    @property
    def judges_questions(self) -> bool:
        """Whether the judge says of a question alone whether it is harmful."""
        return True

    @abstractmethod
    def build(self, resources: Resources) -> Judge:
        """The judge that these settings describe.

        Raises:
            UserError: when a file or a model that the judge needs is missing or wrong.
        """

    def model_uses(self) -> list[ModelUse]:
        """The models that the judge asks; none for a judge by rule."""
        return []

    def shadow_judges(self, name: str) -> "dict[str, JudgeSettings]":
        """Other readings of what the judge ``name`` says, by names of their own. They are counted and have no vote."""
        return {}


class ModelJudgeSettings(JudgeSettings):
    """The settings of a judge that is a model."""

    model: str
    """One of the profile's ``models``."""
    prompt_tokens: ClassVar[int]
    """Tokens that the model is told around an exchange, about."""
    verdict_tokens: ClassVar[int]
    """Tokens of a verdict, about."""

    def model_uses(self) -> list[ModelUse]:
        return [ModelUse(self.model, self.prompt_tokens, self.verdict_tokens)]


class GuardSettings(ModelJudgeSettings):
    """The settings of a guard model, which can score the search as well."""

    @abstractmethod
    def build(self, resources: Resources) -> Guard: ...
