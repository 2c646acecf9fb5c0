"""Translators: the role, and the kinds that need no code of their own size (the phrasebook, an LLM)."""

from collections.abc import Container, Sequence
from dataclasses import dataclass
from typing import Protocol

from refuseu.experiment import LANGUAGES
from refuseu.llm.prompts import PromptTemplate
from refuseu.llm.protocol import Engine, Sampling
from refuseu.llm.routing import route
from refuseu.llm.writing import written
from refuseu.phrasebook.phrasebook import Phrasebook
from refuseu.text.normal import composed

PLACEHOLDERS = ("text", "source", "target")
"""Placeholders of the prompt ``translation.md``."""
FIELD = "translation"
"""The entry of the JSON object in which the LLM writes a translation."""


class Translator(Protocol):
    """Translates texts from one language into another."""

    def translate(self, texts: Sequence[str], source: str, target: str) -> list[str | None]:
        """Return each text in the language ``target``, in order; ``None`` where it cannot be translated."""


class PhrasebookTranslator:
    """Reads the parts of a question in one language's phrasebook and composes the same question from another's."""

    def __init__(self, books: dict[str, Phrasebook]) -> None:
        self._books = books

    def translate(self, texts: Sequence[str], source: str, target: str) -> list[str | None]:
        readings = map(self._books[source].parse, map(composed, texts))
        return [self._books[target].compose(reading) if reading else None for reading in readings]


@dataclass(frozen=True)
class LlmTranslator:
    """An LLM that is given both languages by their English names.

    It does not know the hazard category of a text: ``KnownFirst`` keeps the questions of restricted categories away from it.
    The stage checks afterwards whether a translation is in the right language and faithful.
    """

    engine: Engine
    sampling: Sampling
    prompt: PromptTemplate
    """With ``PLACEHOLDERS``."""

    def translate(self, texts: Sequence[str], source: str, target: str) -> list[str | None]:
        """Return each text in ``target``, in order; ``None`` where the LLM wrote no translation.

        Nothing is asked where ``source`` is ``target``: each text is then its own translation.
        """
        if source == target:
            return list(texts)
        names = {"source": LANGUAGES[source].name, "target": LANGUAGES[target].name}
        conversations = [self.prompt.conversation(text=text, **names) for text in texts]
        return written(self.engine, conversations, self.sampling, FIELD)


@dataclass(frozen=True)
class KnownFirst:
    """Asks the second translator only for what the first one cannot translate, and never for restricted texts.

    With the phrasebook as the first translator, questions of restricted categories are still translated: the phrasebook
    wrote all of them.
    """

    first: Translator
    second: Translator
    restricted: Container[str]
    """Texts that the second translator must not see; those that the first cannot translate stay untranslated."""

    def translate(self, texts: Sequence[str], source: str, target: str) -> list[str | None]:
        known = self.first.translate(texts, source, target)
        return route(
            list(zip(texts, known, strict=True)),
            [found is None and text not in self.restricted for text, found in zip(texts, known, strict=True)],
            model=lambda unknown: self.second.translate([text for text, _ in unknown], source, target),
            rule=lambda others: [found for _, found in others],
        )
