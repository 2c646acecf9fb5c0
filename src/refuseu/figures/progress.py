"""The figures of what runs step by step: the search and DPO."""

from statistics import fmean
from typing import TYPE_CHECKING

from refuseu.figures.canvas import COLORS, DASHES, PAGE, color_of, from_zero, legend, panels_of, round_of
from refuseu.figures.rows import PlotRows

if TYPE_CHECKING:
    from matplotlib.artist import Artist
    from matplotlib.figure import Figure

SEARCH_PANELS = {
    "coverage": ("Coverage", "share of cells"),
    "mean_fitness": ("Mean fitness", "probability (0–1)"),
    "qd_score": ("QD score", "sum over cells"),
    "self_bleu": ("Self-BLEU", "BLEU (0–1)"),
    "acceptance": ("Acceptance", "share of mutations"),
}
CURVE_PANELS = {
    "loss": ("Loss", "nats"),
    "reward_margin": ("Reward margin", "beta × nats"),
    "reward_accuracy": ("Reward accuracy", "share of pairs"),
}


def search_metrics(plots: PlotRows, languages: list[str]) -> "Figure":
    """How the archive grew: a panel a metric of the search, over its iterations."""
    figure, panels = panels_of(PAGE, 3.4, rows=2, columns=3)
    steps = [row.iteration for row in plots.search]
    for axes, (name, (title, unit)) in zip(panels, SEARCH_PANELS.items(), strict=False):
        axes.plot(steps, [getattr(row, name) for row in plots.search], color=COLORS[0], linewidth=1, clip_on=False)
        axes.set(title=title, ylabel=unit, xlabel="iteration")
        from_zero(axes)
    for axes in panels[len(SEARCH_PANELS) :]:
        axes.remove()
    figure.align_ylabels()
    return figure


def training_curves(plots: PlotRows, languages: list[str]) -> "Figure":
    """Loss, reward margin and reward accuracy over the optimizer steps of all main configs: mean and range over seeds."""
    figure, panels = panels_of(PAGE, 2.7, rows=1, columns=len(CURVE_PANELS))
    configs = plots.configs
    trained = [(index, config) for index, config in enumerate(configs) if config in plots.curves]
    for axes, (name, (title, unit)) in zip(panels, CURVE_PANELS.items(), strict=True):
        series: list[Artist] = []
        for index, config in trained:
            color = color_of(index)
            steps = [row.step for row in plots.curves[config][0]]
            by_seed = [[getattr(row, name) for row in curve] for curve in plots.curves[config]]
            means, *ends = ([of(values) for values in zip(*by_seed, strict=True)] for of in (fmean, min, max))
            axes.fill_between(steps, *ends, color=color, alpha=0.2, linewidth=0)
            series += axes.plot(
                steps, means, color=color, linestyle=DASHES[round_of(index)], linewidth=1.1, clip_on=False
            )
        axes.set(title=title, ylabel=unit, xlabel="optimizer step")
        from_zero(axes)
    legend(figure, series, [config for _, config in trained])
    return figure
