"""The cells (category x style) that hold fewer question groups than test takes of each: the test is short of their questions."""

from collections import Counter
from collections.abc import Sequence
from typing import Any

from refuseu.core.terminal import say
from refuseu.experiment import RESTRICTED
from refuseu.split.assignment import QuestionGroup
from refuseu.split.settings import SplitParameters

SHOWN = 10
"""The largest number of cells that are named on stderr."""


def scarce_cells(groups: Sequence[QuestionGroup], parameters: SplitParameters) -> list[dict[str, Any]]:
    """Return a row for each cell with fewer groups than ``split.test_per_cell``, those with the fewest first.

    Where each question was written in its language alone, the groups of a cell are counted in each language, and restricted
    categories are left out, since no model writes questions of them; otherwise ``lang`` is ``None``.
    """
    there = Counter((group.lang, *group.cells[0]) for group in groups)
    scarce = [cell for cell in _cells(parameters) if there[cell] < parameters.split.test_per_cell]
    return [
        {"category": category, "style": style, "lang": lang, "groups": there[lang, category, style]}
        for lang, category, style in sorted(scarce, key=lambda cell: there[cell])
    ]


def _cells(parameters: SplitParameters) -> list[tuple[str | None, str, str]]:
    native = parameters.translator.native
    categories = [key for key in parameters.categories if not (native and key in RESTRICTED)]
    languages = parameters.languages if native else [None]
    return [(lang, category, style) for lang in languages for category in categories for style in parameters.styles]


def tell_scarce(rows: Sequence[dict[str, Any]], parameters: SplitParameters) -> None:
    """Say on stderr which cells are scarce, if any."""
    if not rows:
        return
    shown = [
        " ".join(filter(None, [f"{row['category']} x {row['style']}:", row["lang"], str(row["groups"])]))
        for row in rows[:SHOWN]
    ]
    more = f" and {len(rows) - SHOWN} more (metrics/split.json)" if len(rows) > SHOWN else ""
    say(
        f"Note: {len(rows)} of {len(_cells(parameters))} cells hold fewer question groups than split.test_per_cell "
        f"({parameters.split.test_per_cell}): {', '.join(shown)}{more}",
        err=True,
    )
