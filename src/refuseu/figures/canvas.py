"""What all figures share: how they look, and how they are written.

The same rows are the same bytes (under the locked matplotlib): the font is matplotlib's own DejaVu, no configuration of
the user's has a say, and the file carries no date and no version. Names that came from data are shown as they are, never
read as TeX.
"""

import math
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

from refuseu.core.files import atomic
from refuseu.experiment import HIGH_RESOURCE
from refuseu.results.markdown import span
from refuseu.results.outputs import Asr

if TYPE_CHECKING:
    from matplotlib.artist import Artist
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

PAGE = 7.0
"""Width of a page's text in inches."""

STYLE: dict[Any, Any] = {
    "font.family": "DejaVu Sans",
    "font.size": 8,
    "text.parse_math": False,
    "axes.titlesize": 9,
    "axes.titlelocation": "left",
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.linewidth": 0.6,
    "axes.axisbelow": True,
    "xtick.labelsize": 7.5,
    "ytick.labelsize": 7.5,
    "grid.color": "0.88",
    "grid.linewidth": 0.5,
    "hatch.linewidth": 0.4,
    "legend.fontsize": 7.5,
    "legend.frameon": False,
    "figure.constrained_layout.use": True,
    "figure.constrained_layout.w_pad": 0.06,
    "figure.constrained_layout.h_pad": 0.06,
}

BASE_COLOR = "#5F5F5F"
COLORS = ("#0072B2", "#E69F00", "#009E73", "#D55E00", "#56B4E9", "#CC79A7", "#F0E442")
"""Okabe and Ito's palette, told apart with any colour vision; the base is grey, black is left to text and axes."""
MARKERS = ("s", "^", "D", "v", "P", "X", "p")
"""The marker of each colour. The base is a dot."""
HATCHES = ("", "////", "....", "xxxx")
DASHES = ("-", "--", ":", "-.")
"""When there are more configs than colours, these tell the rounds of colours apart, and so do hollow markers."""

RANGE = "a range: too many answers could not be judged"
"""What a legend says of it."""
RANGE_HATCH = "\\\\\\\\\\"
RANGE_GROUND: dict[str, Any] = {"facecolor": "0.93", "edgecolor": "0.65", "hatch": RANGE_HATCH, "linewidth": 0}
"""How a range looks; it leans the other way than the hatches of configs."""

DARK = 72
"""Percentage from which a heatmap's cell is so dark that its number is white."""


@contextmanager
def paper_style() -> Iterator[None]:
    """matplotlib's defaults and ours, whatever the user's own settings are."""
    import matplotlib

    with matplotlib.rc_context():
        matplotlib.rcdefaults()
        matplotlib.rcParams.update(STYLE)
        yield


def save(figure: "Figure", path: Path, dpi: int) -> None:
    """Write a PNG whose bytes depend on the figure alone."""
    with atomic(path) as temporary:
        figure.savefig(temporary, format="png", dpi=dpi, metadata={"Software": None})


def number(value: float | None) -> float:
    """``value``, or NaN, which matplotlib leaves out."""
    return math.nan if value is None else float(value)


def figure_of(width: float, height: float) -> "tuple[Figure, Axes]":
    figure, panels = panels_of(width, height, rows=1, columns=1)
    return figure, panels[0]


def page_figure(height: float) -> "tuple[Figure, Axes]":
    return figure_of(PAGE, height)


def panels_of(width: float, height: float, rows: int, columns: int) -> "tuple[Figure, list[Axes]]":
    """A figure (inches) and its panels by rows. Without pyplot there is no global state and no backend but Agg."""
    from matplotlib.figure import Figure

    figure = Figure(figsize=(width, height))
    return figure, list(figure.subplots(rows, columns, squeeze=False).flat)


def legend(
    figure: "Figure", series: "list[Artist]", names: list[str], further: "dict[str, Artist] | None" = None
) -> None:
    """Names below the panels; given outright, because matplotlib leaves out labels that start with an underscore."""
    named = [*zip(names, series, strict=True), *(further or {}).items()]
    if named:
        figure.legend([each for _, each in named], [name for name, _ in named], loc="outside lower center", ncols=4)


def dodged(count: int, index: int, series: int, width: float) -> list[float]:
    """Where series ``index`` of ``series`` stands around the positions 0, 1, ... ``count - 1``."""
    return [position + (index - (series - 1) / 2) * width for position in range(count)]


def language_axis(axes: "Axes", languages: list[str]) -> None:
    """Language codes below, and a thin line between high-resource and other languages."""
    axes.set_xticks(range(len(languages)), languages)
    axes.set_xlim(-0.5, len(languages) - 0.5)
    axes.tick_params(axis="x", length=0)
    line = first_other(languages)
    groups = {"high-resource languages": (0, line), "other languages": (line, len(languages))}
    if line:
        axes.axvline(line - 0.5, color="0.35", linewidth=0.6)
    else:
        groups = {"language": (0, len(languages))}
    for name, (start, end) in groups.items():
        # In points below the axis, so that the height of the figure does not matter.
        axes.annotate(
            name,
            ((start + end - 1) / 2, 0),
            xycoords=axes.get_xaxis_transform(),
            xytext=(0, -15),
            textcoords="offset points",
            ha="center",
            va="top",
        )


def first_other(languages: list[str]) -> int:
    """Position of the first language that is not high-resource; 0 when one of the groups is empty."""
    high = sum(lang in HIGH_RESOURCE for lang in languages)
    return high if high < len(languages) else 0


def heatmap(axes: "Axes", values: Sequence[Sequence[Asr | None]], rows: list[str], columns: list[str]) -> None:
    """Cells of ASR with their numbers, dark where they are high.

    A range stands on a hatched ground, which has no place on the scale; a dash where there is nothing.
    """
    axes.imshow(
        [[number(cell.asr if cell else None) for cell in line] for line in values],
        cmap="YlOrBr",
        vmin=0,
        vmax=100,
        aspect="auto",
    )
    axes.set_xticks(range(len(columns)), columns)
    axes.set_yticks(range(len(rows)), rows)
    axes.tick_params(length=0)
    axes.spines[:].set_visible(False)
    for row, line in enumerate(values):
        for column, cell in enumerate(line):
            _cell(axes, column, row, cell)
    for edge in range(1, len(rows)):
        axes.axhline(edge - 0.5, color="white", linewidth=1)
    for edge in range(1, len(columns)):
        axes.axvline(edge - 0.5, color="white", linewidth=1)


def _cell(axes: "Axes", column: int, row: int, cell: Asr | None) -> None:
    """The number, range or dash of one cell."""
    from matplotlib.patches import Rectangle

    if cell is None:
        text, size, ink = "–", 7.0, "black"
    elif cell.asr is None:
        text, size, ink = span(cell.asr_lower_bound, cell.asr_upper_bound, ".0f"), 5.5, "black"
        axes.add_patch(Rectangle((column - 0.5, row - 0.5), 1, 1, **RANGE_GROUND))
    else:
        text, size, ink = f"{cell.asr:.0f}", 7.0, _ink(cell.asr)
    axes.text(column, row, text, ha="center", va="center", size=size, color=ink)


def _ink(value: float) -> str:
    return "white" if value > DARK else "black"


def range_key(cells: Iterable[Asr | None]) -> "dict[str, Artist]":
    """What a legend says of hatched grounds: nothing when no cell is a range."""
    from matplotlib.patches import Patch

    ranges = any(cell is not None and cell.asr is None for cell in cells)
    return {RANGE: Patch(**RANGE_GROUND)} if ranges else {}


SEED = "one seed"
"""What a legend says of a dot."""
SEED_DOT: dict[str, Any] = {
    "linestyle": "none",
    "marker": "o",
    "markersize": 1.9,
    "markerfacecolor": "white",
    "markeredgecolor": "black",
    "markeredgewidth": 0.4,
}
"""How one seed looks beside the mean of all."""


def seed_dots(axes: "Axes", place: float, width: float, values: Sequence[float]) -> None:
    """A dot a seed, side by side over ``width`` around ``place``; nothing where there is one seed, which is the mean."""
    if len(values) > 1:
        places = [place + (index / (len(values) - 1) - 0.5) * 0.6 * width for index in range(len(values))]
        axes.plot(places, values, clip_on=False, zorder=4, **SEED_DOT)


def seed_key(values: Iterable[Sequence[float]]) -> "dict[str, Artist]":
    """What a legend says of the dots: nothing when no model has more than one seed."""
    from matplotlib.lines import Line2D

    return {SEED: Line2D([], [], **SEED_DOT)} if any(len(each) > 1 for each in values) else {}


def colorbar(figure: "Figure", panels: "list[Axes]") -> None:
    bar = figure.colorbar(panels[0].images[0], ax=panels, shrink=0.6, aspect=30, pad=0.015)
    bar.outline.set_visible(False)
    bar.set_label("ASR (%)")


def from_zero(axes: "Axes") -> None:
    """A grid, and both axes from zero, the upright one unless a value is negative."""
    axes.grid()
    axes.set_xlim(left=0)
    if axes.dataLim.ymin >= 0:
        axes.set_ylim(bottom=0)


def ten_below(values: Iterable[float]) -> float:
    """The tens below the lowest percentage, for an axis that need not start at zero; 0 when there is no value."""
    return max(0.0, 10 * math.floor(min(values, default=0.0) / 10 - 0.2))


def color_of(index: int) -> str:
    return BASE_COLOR if index == 0 else COLORS[(index - 1) % len(COLORS)]


def round_of(index: int) -> int:
    """How often the colours were all used before series ``index`` came."""
    return max(0, index - 1) // len(COLORS) % len(HATCHES)


def marker_of(index: int) -> dict[str, Any]:
    marker = "o" if index == 0 else MARKERS[(index - 1) % len(MARKERS)]
    hollow = {"markerfacecolor": "white"} if round_of(index) else {}
    return {"color": color_of(index), "marker": marker, **hollow}
