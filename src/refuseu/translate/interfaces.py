"""Who translates."""

from collections.abc import Sequence
from typing import Protocol


class Translator(Protocol):
    """Brings texts from one language into another."""

    def translate(self, texts: Sequence[str], source: str, target: str) -> list[str | None]:
        """Each text in ``target``, in order; ``None`` where it cannot be translated."""
