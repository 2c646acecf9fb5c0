"""The error of an engine that had to leave rows out, which names them by their positions."""

from collections.abc import Sequence
from typing import Self

from refuseu.core.errors import UserError

SHOWN = 10
"""Positions at most that are named in a row."""

Piece = str | tuple[int, ...]
"""Of a sentence: words, or the positions of rows among those that the engine was given."""


class UnaskedError(UserError):
    """Some rows could not be asked; all others were."""

    def __init__(self, *pieces: Piece) -> None:
        super().__init__("".join(piece if isinstance(piece, str) else _named(piece) for piece in pieces))
        self.pieces = pieces

    def at(self, places: Sequence[int]) -> Self:
        """The same sentence for who gave more rows: ``places`` is where each row stands among those."""
        return type(self)(*(piece if isinstance(piece, str) else _moved(piece, places) for piece in self.pieces))


def _moved(positions: tuple[int, ...], places: Sequence[int]) -> tuple[int, ...]:
    return tuple(sorted(places[position] for position in positions))


def _named(positions: tuple[int, ...]) -> str:
    more = f" and {len(positions) - SHOWN} more" if len(positions) > SHOWN else ""
    return f"{', '.join(map(str, positions[:SHOWN]))}{more}"
