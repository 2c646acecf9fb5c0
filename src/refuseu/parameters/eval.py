"""The section ``eval``, and what its stage reads."""

from typing import Annotated, Literal

from pydantic import Field

from refuseu.parameters.experiment import Experiment
from refuseu.parameters.label import Label
from refuseu.parameters.lm_eval import LmEvalKnowledge
from refuseu.parameters.models import Asked, Models
from refuseu.parameters.section import Positive, Section, Share
from refuseu.parameters.train import Train


class BigramFluency(Section):
    """Fluency by the word pairs of the phrasebook."""

    kind: Literal["bigrams"]


class NoPart(Section):
    """A part that nobody plays."""

    kind: Literal["none"]


class ChatRating(Asked):
    """Fluency and correctness by an LLM judge, which is told ``data/prompts/fluency.md``."""

    kind: Literal["chat"]
    prompts_per_language: Positive
    """Questions of each language whose answers are rated; 50 in the paper."""


class FactKnowledge(Section):
    """Knowledge by the phrasebook's facts."""

    kind: Literal["facts"]


class Eval(Section):
    """What the models are asked, and how it is counted."""

    fluency: Annotated[BigramFluency | NoPart, Field(discriminator="kind")]
    """Scores every answer by rule."""
    rating: Annotated[ChatRating | NoPart, Field(discriminator="kind")] = NoPart(kind="none")
    """Rates some of the answers."""
    knowledge: Annotated[FactKnowledge | LmEvalKnowledge, Field(discriminator="kind")]
    reference: str
    """The config every other one is compared with by paired tests."""
    confidence: Annotated[float, Field(gt=0, lt=1)]
    """Confidence level of the Wilson intervals (0-1): 0.95 for 95%."""
    max_unparsed: Share
    """Largest share of a language's harmful questions whose answers could not be judged; above it, ASR is a range."""
    max_new_tokens: Positive
    """Of an answer."""


class EvalParameters(Experiment):
    models: Models
    label: Label
    train: Train
    eval: Eval
