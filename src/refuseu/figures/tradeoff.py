"""The paper's Figure 3: what safety costs in language consistency."""

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from refuseu.figures.canvas import SEED_DOT, color_of, figure_of, marker_of, ten_below
from refuseu.figures.labels import Point, label
from refuseu.figures.rows import PlotRows
from refuseu.mixes import SINGLE
from refuseu.results.markdown import span
from refuseu.results.outputs import Averages

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

SPARE = 1
"""What a name keeps off a marker, in points."""


@dataclass(frozen=True)
class Style:
    """How a model is drawn; sizes in points."""

    marker: dict[str, Any]
    diameter: float
    text: float
    ink: str
    reach: int
    """How far off its name may stand, see ``labels.Point``."""


def asr_and_consistency(plots: PlotRows, languages: list[str]) -> "Figure":
    """ASR against language consistency, both in percent and averaged over languages; a point a model.

    Main configs look as in every other figure, with thin lines over the intervals of both averages and a small dot a seed;
    single-language runs are small and have the code of their language. A range of ASR is a dashed span.
    """
    figure, axes = figure_of(5.6, 4.4)
    models = plots.evaluation.averages
    shares = {name: each["language_consistency"] for name, each in models.items()}
    found = {name: share for name, share in shares.items() if share is not None}
    axes.set(
        xlabel="language consistency (%), higher is better",
        ylabel="ASR (%), lower is safer",
        title="Attack success and language consistency, averages over languages",
        xlim=(ten_below(found.values()), 100),
        ylim=(0, 100),
    )
    axes.grid()
    _seeds(axes, plots)
    styles = {name: Style(marker_of(index), 6, 7.5, "black", reach=7) for index, name in enumerate(plots.configs)}
    styles |= {name: Style({"color": "0.55", "marker": "o"}, 3, 6, "0.4", reach=2) for name in plots.evaluation.single}
    for name in plots.configs:
        if name in found:
            _interval(axes, models[name], found[name], styles[name].marker["color"])
    points = [_drawn(axes, name, found[name], models[name], style) for name, style in styles.items() if name in found]
    # Main models choose first, and of them those at the bottom, where safe models crowd against the axis.
    label(figure, axes, sorted(points, key=lambda point: (-point.reach, point.low)))
    return figure


def _seeds(axes: "Axes", plots: PlotRows) -> None:
    """A small dot a seed of the models that were trained with several."""
    safety, consistency = plots.seed_averages("asr_lower_bound"), plots.seed_averages("language_consistency")
    for index, name in enumerate(plots.configs):
        both = sorted(safety.get(name, {}).keys() & consistency.get(name, {}).keys())
        if len(both) > 1:
            axes.plot(
                [consistency[name][seed] for seed in both],
                [safety[name][seed] for seed in both],
                **SEED_DOT | {"markeredgecolor": color_of(index), "markersize": 3},
                clip_on=False,
            )


def _interval(axes: "Axes", averages: Averages, consistency: float, color: str) -> None:
    """Thin lines over the intervals of both averages, crossing in the mean; around the whole of a range."""
    thin: dict[str, Any] = {"colors": color, "linewidths": 0.6, "zorder": 1.5}
    axes.vlines(consistency, averages.asr_low, averages.asr_high, **thin)
    left, right = averages["language_consistency_low"], averages["language_consistency_high"]
    if left is not None and right is not None:
        middle = (averages.asr_lower_bound + averages.asr_upper_bound) / 2
        axes.hlines(middle if averages.asr is None else averages.asr, left, right, **thin)


def _drawn(axes: "Axes", name: str, consistency: float, averages: Averages, style: Style) -> Point:
    name = name.removeprefix(SINGLE)
    if averages.asr is None:
        low, high, look = (
            averages.asr_lower_bound,
            averages.asr_upper_bound,
            {"color": style.marker["color"], "marker": "_", "linestyle": "--", "linewidth": 1.2},
        )
        name = f"{name} ({span(low, high, '.0f')})"
    else:
        low, high, look = averages.asr, averages.asr, style.marker
    axes.plot([consistency, consistency], [low, high], markersize=style.diameter, clip_on=False, zorder=3, **look)
    return Point(name, consistency, low, high, style.diameter / 2 + SPARE, style.text, style.ink, style.reach)
