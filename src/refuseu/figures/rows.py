"""The rows behind the figures, and which of them are drawn."""

from dataclasses import dataclass
from pathlib import Path
from typing import Self

from refuseu.order import main_configs
from refuseu.records import Row, read_json


@dataclass(frozen=True)
class PlotRows:
    """The rows behind the plots, as the stages before wrote them; shares of ``eval`` are percentages."""

    rows: list[Row]
    """One a (config, language)."""
    by_category: list[Row]
    by_style: list[Row]
    transfer: list[Row]
    """One a (language of training, language of evaluation)."""
    search: list[Row]
    """One an iteration."""
    curves: dict[str, list[Row]]
    """Of each config; one a logging step."""

    @classmethod
    def read(cls, rows: Path, plots: Path, search: Path, curves: Path) -> Self:
        """Read the files ``rows`` and ``search`` and the folders ``plots`` and ``curves`` (a file a config)."""
        return cls(
            rows=read_json(rows),
            by_category=read_json(plots / "by-category.json"),
            by_style=read_json(plots / "by-style.json"),
            transfer=read_json(plots / "transfer.json"),
            search=read_json(search),
            curves={path.stem: read_json(path) for path in sorted(curves.glob("*.json"))},
        )

    @property
    def configs(self) -> list[str]:
        """Base and main configs; all figures give a config the same place, and so the same colour."""
        return main_configs([row["config"] for row in self.rows])
