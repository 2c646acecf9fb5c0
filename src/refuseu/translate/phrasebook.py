"""The translator that the phrasebook plays."""

from collections.abc import Sequence

from refuseu.phrasebook.phrasebook import Phrasebook


class PhrasebookTranslator:
    """Takes a question apart in one language's phrasebook and puts it together in another's."""

    def __init__(self, books: dict[str, Phrasebook]) -> None:
        self._books = books

    def translate(self, texts: Sequence[str], source: str, target: str) -> list[str | None]:
        readings = map(self._books[source].parse, texts)
        return [self._books[target].compose(reading) if reading else None for reading in readings]
