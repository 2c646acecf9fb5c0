"""The paper's Figure 3: what safety costs in language consistency."""

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from refuseu.report.figures.canvas import figure_of, marker_of, ten_below
from refuseu.report.figures.labels import Point, label
from refuseu.report.figures.rows import PlotRows
from refuseu.results.markdown import span
from refuseu.results.outputs import SINGLE, Averages

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

    Main configs look as in every other figure; single-language runs are small and have the code of their language. A range
    of ASR is a span.
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
    styles = {name: Style(marker_of(index), 6, 7.5, "black", reach=7) for index, name in enumerate(plots.configs)}
    styles |= {name: Style({"color": "0.55", "marker": "o"}, 3, 6, "0.4", reach=2) for name in plots.evaluation.single}
    points = [_drawn(axes, name, found[name], models[name], style) for name, style in styles.items() if name in found]
    # Main models choose first, and of them those at the bottom, where safe models crowd against the axis.
    label(figure, axes, sorted(points, key=lambda point: (-point.reach, point.low)))
    return figure


def _drawn(axes: "Axes", name: str, consistency: float, averages: Averages, style: Style) -> Point:
    name = name.removeprefix(SINGLE)
    if averages.asr is None:
        low, high, look = (
            averages.asr_lower_bound,
            averages.asr_upper_bound,
            {"color": style.marker["color"], "marker": "_"},
        )
        name = f"{name} ({span(low, high, '.0f')})"
    else:
        low, high, look = averages.asr, averages.asr, style.marker
    axes.plot([consistency, consistency], [low, high], markersize=style.diameter, clip_on=False, zorder=3, **look)
    return Point(name, consistency, low, high, style.diameter / 2 + SPARE, style.text, style.ink, style.reach)
