"""Translations that a published set holds."""

from collections.abc import Sequence
from functools import cached_property

from refuseu.sources.published import PublishedSet


class PublishedTranslator:
    """Looks a question up in one language and gives the set's own text of it in another.

    So the back-translation is the set's English question itself: no distance is measured, since the set's makers checked their
    texts. Of two questions with the same text the set's first is found.
    """

    def __init__(self, published: PublishedSet) -> None:
        self._published = published

    def translate(self, texts: Sequence[str], source: str, target: str) -> list[str | None]:
        return [self._question(self._rows.get((source, text), ""), target) for text in texts]

    def _question(self, row_id: str, lang: str) -> str | None:
        pair = self._published.by_row.get((row_id, lang))
        return pair.question if pair else None

    @cached_property
    def _rows(self) -> dict[tuple[str, str], str]:
        """Row by language and text."""
        return {(pair.lang, pair.question): pair.row_id for pair in reversed(self._published.pairs)}
