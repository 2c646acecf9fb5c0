"""Two translators as one."""

from collections.abc import Sequence
from dataclasses import dataclass

from refuseu.translation.parts import Translator


@dataclass(frozen=True)
class KnownFirst:
    """What the first translator can translate, the second never sees.

    With the phrasebook as the first, the questions of withheld categories, which are the phrasebook's, reach no model.
    """

    first: Translator
    second: Translator

    def translate(self, texts: Sequence[str], source: str, target: str) -> list[str | None]:
        known = self.first.translate(texts, source, target)
        unknown = [text for text, found in zip(texts, known, strict=True) if found is None]
        others = iter(self.second.translate(unknown, source, target))
        return [next(others) if found is None else found for found in known]
