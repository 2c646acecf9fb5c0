"""Decides which harmful questions the miniature's base answers, once for each behavior, frame and language.

The logit of an answer is a sum of effects: language, attack style, category, behavior and frame. Those of languages and styles
stand in ``data/base/resistance.yaml``, the others are drawn from the seed. A behavior or a wording that is refused once is mostly
refused elsewhere too, so a search can climb, and a model can learn the sum without learning each question by heart.
"""

import random
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Annotated

import numpy as np
from pydantic import BaseModel, ConfigDict, Field

from refuseu.core.faults import validated
from refuseu.core.files import read_yaml
from refuseu.experiment import PLAIN
from refuseu.phrasebook.phrasebook import Phrasebook, Reading

CERTAIN = 50.0
"""A logit at which nothing is left to chance."""


class _Part(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")


class Spread(_Part):
    """Standard deviations of the effects that the seed draws, as logits."""

    category: float = Field(ge=0)
    behavior: float = Field(ge=0)
    frame: float = Field(ge=0)


class Table(_Part):
    """What is chosen and not drawn."""

    languages: dict[str, Annotated[float, Field(gt=0, lt=1)]] = Field(min_length=1)
    """Share (between 0 and 1) of the harmful questions in attack styles that the base is taught to answer."""
    styles: dict[str, float]
    """Effect on the logit; 0 for a style that is not listed."""
    spread: Spread


def read_table(path: Path) -> Table:
    """The table in a file.

    Raises:
        UserError: for a file that cannot be read, and for an entry that is unknown, missing or wrong.
    """
    return validated(Table, read_yaml(path, f"'git restore {path}' brings the project's own back"), path)


@dataclass(frozen=True)
class Resistance:
    """The decisions of one base. They depend on nothing but the table, the seed, and the categories and styles of ``book``."""

    table: Table
    book: Phrasebook
    """Of any language, since all are parallel by id."""
    seed: int

    def complies(self, language: str, asked: Reading) -> bool:
        """Whether the harmful question ``asked`` is answered in ``language``."""
        behavior, frame = asked.behavior, self._frames[asked.style, asked.frame]
        logit = self._language(language) + self._behaviors[behavior.category, behavior.behavior_id] + frame
        rng = random.Random(f"{self.seed}-{behavior.behavior_id}-{asked.style}-{asked.frame}-{language}")
        return rng.random() < _probability(logit)

    def share(self, language: str) -> float:
        """Share (0-1) of the harmful questions in attack styles that the base is taught to answer."""
        shares = self.table.languages
        return shares.get(language, sum(shares.values()) / len(shares))

    def _language(self, language: str) -> float:
        if language not in self._languages:
            self._languages[language] = _effect(self._questions, self.share(language))
        return self._languages[language]

    @cached_property
    def _languages(self) -> dict[str, float]:
        return {}

    @cached_property
    def _behaviors(self) -> dict[tuple[str, str], float]:
        return {
            (category, behavior_id): self._drawn("category", category) + self._drawn("behavior", behavior_id)
            for category, pairs in self.book.behaviors.items()
            for behavior_id in pairs
        }

    @cached_property
    def _frames(self) -> dict[tuple[str, int], float]:
        return {
            (style, number): self.table.styles.get(style, 0.0) + self._drawn("frame", f"{style}-{number}")
            for style, number, _ in self.book.frames()
        }

    @cached_property
    def _questions(self) -> np.ndarray:
        """The logits of all questions in attack styles without the effect of a language."""
        styled = [effect for (style, _), effect in self._frames.items() if style != PLAIN]
        return np.add.outer(list(self._behaviors.values()), styled)

    def _drawn(self, kind: str, key: str) -> float:
        return random.Random(f"{self.seed}-{kind}-{key}").gauss(0.0, getattr(self.table.spread, kind))


def _probability(logit: float) -> float:
    return float(1 / (1 + np.exp(-logit)))


def _effect(logits: np.ndarray, share: float) -> float:
    """What is to be added to ``logits`` for their mean probability to be ``share`` (0-1)."""
    from scipy.optimize import brentq
    from scipy.special import expit

    end = CERTAIN + float(np.abs(logits).max())
    return float(brentq(lambda effect: expit(logits + effect).mean() - share, -end, end))
