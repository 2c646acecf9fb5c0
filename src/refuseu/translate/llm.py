"""The translator that an LLM plays."""

from collections.abc import Sequence
from dataclasses import dataclass

from refuseu.engines.prompts import Prompt
from refuseu.engines.protocol import Engine, Sampling
from refuseu.engines.writing import written
from refuseu.experiment import LANGUAGES

PLACEHOLDERS = ("text", "source", "target")
FIELD = "translation"
"""The entry of the JSON object that a translation is written in."""


@dataclass(frozen=True)
class LlmTranslator:
    """Told both languages by their English names.

    A text does not say its category: ``known.KnownFirst`` keeps the phrasebook's, and so the restricted categories, away from it.
    Whether a translation is in the right language and faithful is for the stage to find out.
    """

    engine: Engine
    sampling: Sampling
    prompt: Prompt
    """With ``PLACEHOLDERS``."""

    def translate(self, texts: Sequence[str], source: str, target: str) -> list[str | None]:
        """Each text in ``target``, in order, as it is where that is its language; ``None`` where the LLM wrote none."""
        if source == target:
            return list(texts)
        names = {"source": LANGUAGES[source].name, "target": LANGUAGES[target].name}
        conversations = [self.prompt.conversation(text=text, **names) for text in texts]
        return written(self.engine, conversations, self.sampling, FIELD)
