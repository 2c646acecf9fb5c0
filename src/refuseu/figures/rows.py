"""The rows behind the figures, and which of them are drawn."""

from dataclasses import dataclass, field
from pathlib import Path
from statistics import fmean
from typing import Literal, Self

from pydantic import TypeAdapter

from refuseu.experiment import Experiment
from refuseu.mixes import Seeded
from refuseu.results.outputs import (
    CategoryRow,
    CurveRow,
    Evaluation,
    LanguageRow,
    SearchRow,
    SeedRow,
    StyleRow,
    TransferRow,
    read,
)

SeedRate = Literal["asr_lower_bound", "over_refusal", "language_consistency"]


@dataclass(frozen=True)
class PlotRows:
    """The rows behind the plots, as the stages before wrote them; shares of the evaluation are percentages."""

    evaluation: Evaluation
    by_category: list[CategoryRow]
    by_style: list[StyleRow]
    transfer: list[TransferRow]
    search: list[SearchRow]
    curves: dict[str, list[list[CurveRow]]]
    """Of each config, one an evaluated seed, the lowest first."""
    seeds: list[SeedRow] = field(default_factory=list)
    """One a (model, seed, language)."""

    @classmethod
    def read(cls, experiment: Experiment, evaluation: Evaluation, plots: Path, search: Path, curves: Path) -> Self:
        """Read the file ``search`` and the folders ``plots`` and ``curves`` (a folder a config, a file a seed).

        Categories and styles get the names by which people read them.

        Raises:
            UserError: when a file is missing or has another shape.
        """
        categories = read(plots / "by-category.json", TypeAdapter(list[CategoryRow]), "eval")
        styles = read(plots / "by-style.json", TypeAdapter(list[StyleRow]), "eval")
        seeds = read(plots / "seeds.json", TypeAdapter(list[SeedRow]), "eval")
        evaluated = dict.fromkeys(Seeded(row.model, row.seed) for row in seeds)
        return cls(
            evaluation,
            by_category=[row.model_copy(update={"category": experiment.category(row.category)}) for row in categories],
            by_style=[row.model_copy(update={"style": experiment.style(row.style)}) for row in styles],
            transfer=read(plots / "transfer.json", TypeAdapter(list[TransferRow]), "eval"),
            search=read(search, TypeAdapter(list[SearchRow]), "rainbow-teaming"),
            curves=_curves(curves, sorted(evaluated)),
            seeds=seeds,
        )

    def by_seed(self, rate: SeedRate) -> dict[tuple[str, str], list[float]]:
        """A rate (percent) of each seed, by model and language; a seed without a value is left out."""
        found: dict[tuple[str, str], list[float]] = {}
        for row in self.seeds:
            if (value := getattr(row, rate)) is not None:
                found.setdefault((row.model, row.language), []).append(value)
        return found

    def seed_averages(self, rate: SeedRate) -> dict[str, dict[int, float]]:
        """The mean over languages of a rate (percent) by model and seed; nothing for a seed that lacks a language's value."""
        found: dict[str, dict[int, list[float | None]]] = {}
        for row in self.seeds:
            found.setdefault(row.model, {}).setdefault(row.seed, []).append(getattr(row, rate))
        return {
            model: {
                seed: fmean(value for value in values if value is not None)
                for seed, values in seeds.items()
                if None not in values
            }
            for model, seeds in found.items()
        }

    @property
    def rows(self) -> list[LanguageRow]:
        """One a (config, language)."""
        return self.evaluation.rows

    @property
    def configs(self) -> list[str]:
        """Base and main configs; all figures give a config the same place, and so the same colour."""
        return self.evaluation.main


def _curves(folder: Path, evaluated: list[Seeded]) -> dict[str, list[list[CurveRow]]]:
    """The curves of the evaluated models that were trained here. The folder may hold others, since Git keeps those of a seed that
    this run does not train.
    """
    found: dict[str, list[list[CurveRow]]] = {}
    for model in evaluated:
        path = folder / f"{model.folder}.json"
        if path.exists():
            found.setdefault(model.name, []).append(read(path, TypeAdapter(list[CurveRow]), model.stage))
    return found
