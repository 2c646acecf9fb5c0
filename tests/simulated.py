"""Outcomes of an evaluation whose truth is known: questions are behaviors in frames, asked in several languages."""

from dataclasses import dataclass, field

import numpy as np
import pandas as pd
from scipy.special import expit

BEHAVIORS, FRAMES, QUESTIONS, LANGUAGES = 140, 40, 139, 12


def _names(letter: str, codes: "np.ndarray", count: int) -> pd.Categorical:
    return pd.Categorical.from_codes(codes, [f"{letter}{number}" for number in range(count)])


@dataclass
class World:
    """Draws questions, and models that answer them; the logit of an outcome is a sum of normal effects."""

    random: np.random.Generator
    behavior: float = 1.0
    frame: float = 0.8
    behavior_in_language: float = 0.4
    frame_in_language: float = 0.3
    question: float = 0.5
    seed: float = 0.0
    """Standard deviation of what one training adds to the logit of all outcomes."""
    languages: np.ndarray = field(default_factory=lambda: np.linspace(-0.8, 0.8, LANGUAGES))

    def truth(self, level: float) -> float:
        """The average (percent) over all questions and trainings that could be drawn, for a model of this mean logit."""
        parts = (self.behavior, self.frame, self.behavior_in_language, self.frame_in_language, self.question, self.seed)
        points, weights = np.polynomial.hermite_e.hermegauss(60)
        logits = level + self.languages[:, None] + np.sqrt(np.square(parts).sum()) * points
        return float(100 * (expit(logits) @ weights).mean() / weights.sum())

    def questions(self) -> tuple[np.ndarray, np.ndarray]:
        """The behavior and the frame of each question."""
        return self.random.integers(BEHAVIORS, size=QUESTIONS), self.random.integers(FRAMES, size=QUESTIONS)

    def answers(self, level: float, questions: tuple[np.ndarray, np.ndarray], seeds: int = 1) -> np.ndarray:
        """Outcomes (0, 1) by seed, language and question of a model with effects of its own."""
        behavior, frame = questions
        draw = self.random.normal
        logits = level + self.languages[:, None] + draw(0, self.question, (LANGUAGES, QUESTIONS))
        logits += draw(0, self.behavior, BEHAVIORS)[behavior] + draw(0, self.frame, FRAMES)[frame]
        logits += draw(0, self.behavior_in_language, (LANGUAGES, BEHAVIORS))[:, behavior]
        logits += draw(0, self.frame_in_language, (LANGUAGES, FRAMES))[:, frame]
        trained = logits + draw(0, self.seed, (seeds, 1, 1)) if self.seed else logits[None]
        return (self.random.random((seeds, LANGUAGES, QUESTIONS)) < expit(trained)).astype(float)


def rows(outcomes: np.ndarray, questions: tuple[np.ndarray, np.ndarray], model: str, rate: str = "asr") -> pd.DataFrame:
    """Rows as ``results.outcomes`` has them."""
    seed, lang, question = (places.ravel() for places in np.indices(outcomes.shape))
    behavior, frame = questions
    table = {
        "rate": rate,
        "model": model,
        "seed": seed,
        "lang": _names("l", lang, LANGUAGES),
        "question_id": _names("q", question, QUESTIONS),
        "behavior_id": _names("b", behavior[question], BEHAVIORS),
        "frame_id": _names("f", frame[question], FRAMES),
        "outcome": outcomes.ravel(),
    }
    return pd.DataFrame(table)
