"""Parameters of the stage ``translate``."""

from typing import Annotated, Literal

from pydantic import Field

from refuseu.core.sections import Positive, Section
from refuseu.engines.registry import Models
from refuseu.experiment import Experiment
from refuseu.llm.settings import ModelRole, PhrasebookRole
from refuseu.sources.settings import ByPublished, Published
from refuseu.text.identification import PY3LANGID, Identification


class LlmTranslator(ModelRole):
    """A chat model; its prompt is ``data/prompts/translation.md``."""

    kind: Literal["llm"]


class Seq2SeqTranslator(Section):
    """A translation model (NLLB or MADLAD-400), which transformers runs."""

    kind: Literal["seq2seq"]
    model: str
    """One of the profile's ``models``, with the engine transformers."""
    max_tokens: Positive
    """Most tokens that a text may have, before and after the translation."""


class Native(Section):
    """Nobody translates: a generator has written each question in its language, so that alone is checked."""

    kind: Literal["native"]


TranslatingRole = PhrasebookRole | LlmTranslator | Seq2SeqTranslator
"""Who translates; ``factory.build_translator`` builds each kind."""


class Translate(Section):
    """Who translates, and which translations are kept."""

    translator: Annotated[TranslatingRole | Native | ByPublished, Field(discriminator="kind")]
    """Who translates. A generator and a published set have their own questions in each language, so nothing is translated."""
    min_chrf: Annotated[float, Field(ge=0, le=100)]
    """Lowest chrF (0-100) of the back-translation against the English question with which a translation is kept."""


class TranslateParameters(Experiment):
    identifier: Identification = PY3LANGID
    models: Models
    published: Published
    translate: Translate
