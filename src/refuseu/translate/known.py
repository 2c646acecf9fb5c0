"""Two translators as one."""

from collections.abc import Container, Sequence
from dataclasses import dataclass

from refuseu.translate.interfaces import Translator


@dataclass(frozen=True)
class KnownFirst:
    """What the first translator can translate, the second never sees; nor does it see what is restricted.

    With the phrasebook as the first, the questions of restricted categories, which are the phrasebook's, are translated all the
    same.
    """

    first: Translator
    second: Translator
    restricted: Container[str]
    """Texts that the second must not see, whoever wrote them; they are not translated where the first cannot."""

    def translate(self, texts: Sequence[str], source: str, target: str) -> list[str | None]:
        known = self.first.translate(texts, source, target)
        shown = [found is None and text not in self.restricted for text, found in zip(texts, known, strict=True)]
        unknown = [text for text, show in zip(texts, shown, strict=True) if show]
        others = iter(self.second.translate(unknown, source, target))
        return [next(others) if show else found for show, found in zip(shown, known, strict=True)]
