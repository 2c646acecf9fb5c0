"""The paper's figures as PNG, drawn by matplotlib from the rows behind the DVC plots.

The same rows are the same bytes (under the locked matplotlib): the font is matplotlib's own DejaVu, no configuration of
the user's has a say, and the file carries no date and no version. Names that came from data are shown as they are, never
read as TeX.
"""

import math
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Self

from refuseu.records import atomic, read_json
from refuseu.taxonomy import HIGH_RESOURCE

if TYPE_CHECKING:
    from matplotlib.artist import Artist
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

Row = dict[str, Any]

SINGLE = "only-"
"""Configs of this prefix train on a single language; they have a table and a heatmap of their own."""

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
"""A colour's; the base is a dot."""
HATCHES = ("", "////", "....", "xxxx")
DASHES = ("-", "--", ":", "-.")
"""When there are more configs than colours, these tell the rounds of colours apart, and so do hollow markers."""

LONG = 4
"""Characters from which a heatmap's column names are slanted."""

DARK = 72
"""Percentage from which a heatmap's cell is so dark that its number is white."""

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


def draw(plots: PlotRows, languages: list[str], dpi: int, folder: Path) -> list[str]:
    """Write every figure that there are rows for.

    Returns:
        The names of the files, in the order of ``FIGURES``.
    """
    drawn = []
    for name, drawing in FIGURES.items():
        if getattr(plots, drawing.needs):
            with paper_style():
                save(drawing.paint(plots, by_resource(languages)), folder / name, dpi)
            drawn.append(name)
        else:
            (folder / name).unlink(missing_ok=True)
    return drawn


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


def by_resource(languages: Sequence[str]) -> list[str]:
    """High-resource languages first, each group in the order given."""
    return sorted(languages, key=lambda lang: lang not in HIGH_RESOURCE)


def main_configs(configs: Sequence[str]) -> list[str]:
    """Base and main configs, each once, in the order given: all but the single-language runs."""
    return [name for name in dict.fromkeys(configs) if not name.startswith(SINGLE)]


def number(value: float | None) -> float:
    """``value``, or NaN, which matplotlib leaves out."""
    return math.nan if value is None else float(value)


def asr_by_language(plots: PlotRows, languages: list[str]) -> "Figure":
    """Grouped bars of the ASR (percent) with its interval, base and main configs."""
    figure, axes = _page(3.1)
    cells = {(row["config"], row["language"]): row for row in plots.rows}
    configs = _configs(plots)
    series: list[Artist] = []
    width = 0.86 / len(configs)
    for index, config in enumerate(configs):
        found = [cells.get((config, lang), {}) for lang in languages]
        asr, low, high = ([number(row.get(name)) for row in found] for name in ("asr", "asr_low", "asr_high"))
        bars = axes.bar(
            _dodged(len(languages), index, len(configs), width),
            asr,
            0.92 * width,
            # Rounding may put an end of the interval on the wrong side of the share by a hair.
            yerr=[
                [max(0.0, value - end) for value, end in zip(asr, low, strict=True)],
                [max(0.0, end - value) for value, end in zip(asr, high, strict=True)],
            ],
            error_kw={"elinewidth": 0.5, "ecolor": "black", "capsize": 0},
            color=_color(index),
            hatch=HATCHES[_round(index)],
        )
        series.append(bars.patches[0])
    axes.set(ylabel="ASR (%)", ylim=(0, 101), title="Attack success rate by language, lower is safer")
    axes.grid(axis="y")
    _language_axis(axes, languages)
    _legend(figure, series, configs)
    return figure


def language_consistency(plots: PlotRows, languages: list[str]) -> "Figure":
    """Dots of the share (percent) of answers in the question's language, base and main configs."""
    figure, axes = _page(2.8)
    cells = {(row["config"], row["language"]): row.get("language_consistency") for row in plots.rows}
    configs = _configs(plots)
    series: list[Artist] = []
    for index, config in enumerate(configs):
        series += axes.plot(
            _dodged(len(languages), index, len(configs), 0.8 / len(configs)),
            [number(cells.get((config, lang))) for lang in languages],
            linestyle="none",
            markersize=3.8,
            clip_on=False,
            **_marker(index),
        )
    shown = [number(cells.get((config, lang))) for config in configs for lang in languages]
    lowest = min((value for value in shown if not math.isnan(value)), default=0.0)
    title = "Language consistency by language, higher is better"
    axes.set(ylabel="answers in the language (%)", ylim=(max(0, 10 * math.floor(lowest / 10 - 0.2)), 101), title=title)
    axes.grid(axis="y")
    for position in range(1, len(languages), 2):
        axes.axvspan(position - 0.5, position + 0.5, color="0.965", linewidth=0, zorder=0)
    _language_axis(axes, languages)
    _legend(figure, series, configs)
    return figure


def transfer_heatmap(plots: PlotRows, languages: list[str]) -> "Figure":
    """ASR (percent) of the single-language runs, language of training by language of evaluation."""
    cells = {(row["trained_on"], row["evaluated_in"]): row["asr"] for row in plots.transfer}
    trained_on = [lang for lang in languages if any(lang == key[0] for key in cells)]
    figure, axes = _figure(5.0, 0.9 + 0.31 * len(trained_on))
    values = [[number(cells.get((one, other))) for other in languages] for one in trained_on]
    _heatmap(axes, values, trained_on, languages)
    _colorbar(figure, [axes])
    axes.set(xlabel="evaluated in", ylabel="trained on", title="Transfer between languages")
    first_other = _first_other(languages)
    if first_other:
        axes.axvline(first_other - 0.5, color="black", linewidth=0.8)
    if _first_other(trained_on):
        axes.axhline(_first_other(trained_on) - 0.5, color="black", linewidth=0.8)
    return figure


def categories_heatmap(plots: PlotRows, languages: list[str]) -> "Figure":
    """ASR (percent) over all languages by hazard category and by attack style, base and main configs."""
    configs = _configs(plots)
    figure, panels = _figure_of(PAGE, 2.1 + 0.42 * len(configs), rows=2, columns=1)
    parts = (("category", plots.by_category, "Hazard category"), ("style", plots.by_style, "Attack style"))
    for axes, (column, rows, title) in zip(panels, parts, strict=True):
        cells = {(row["config"], row[column]): row["asr"] for row in rows}
        names = list(dict.fromkeys(row[column] for row in rows))
        values = [[number(cells.get((config, name))) for name in names] for config in configs]
        _heatmap(axes, values, configs, [name.replace("_", " ") for name in names])
        axes.set(title=f"ASR by {title.lower()}", xlabel=title, ylabel="model")
        if max(map(len, names), default=0) > LONG:
            axes.tick_params(axis="x", rotation=30)
            for label in axes.get_xticklabels():
                label.set(ha="right", rotation_mode="anchor")
    _colorbar(figure, panels)
    return figure


def search_metrics(plots: PlotRows, languages: list[str]) -> "Figure":
    """How the archive grew: a panel a metric of the search, over its iterations."""
    figure, panels = _figure_of(PAGE, 3.4, rows=2, columns=3)
    steps = [row["iteration"] for row in plots.search]
    for axes, (name, (title, unit)) in zip(panels, SEARCH_PANELS.items(), strict=False):
        axes.plot(steps, [number(row.get(name)) for row in plots.search], color=COLORS[0], linewidth=1, clip_on=False)
        axes.set(title=title, ylabel=unit, xlabel="iteration")
        _from_zero(axes)
    for axes in panels[len(SEARCH_PANELS) :]:
        axes.remove()
    figure.align_ylabels()
    return figure


def training_curves(plots: PlotRows, languages: list[str]) -> "Figure":
    """Loss, reward margin and reward accuracy over the optimizer steps of all main configs."""
    figure, panels = _figure_of(PAGE, 2.7, rows=1, columns=len(CURVE_PANELS))
    configs = _configs(plots)
    trained = [(index, config) for index, config in enumerate(configs) if config in plots.curves]
    for axes, (name, (title, unit)) in zip(panels, CURVE_PANELS.items(), strict=True):
        series: list[Artist] = []
        for index, config in trained:
            series += axes.plot(
                [row["step"] for row in plots.curves[config]],
                [number(row.get(name)) for row in plots.curves[config]],
                color=_color(index),
                linestyle=DASHES[_round(index)],
                linewidth=1.1,
                clip_on=False,
            )
        axes.set(title=title, ylabel=unit, xlabel="optimizer step")
        _from_zero(axes)
    _legend(figure, series, [config for _, config in trained])
    return figure


def _configs(plots: PlotRows) -> list[str]:
    """All figures give a config the same place, and so the same colour."""
    return main_configs([row["config"] for row in plots.rows])


def _figure(width: float, height: float) -> "tuple[Figure, Axes]":
    figure, panels = _figure_of(width, height, rows=1, columns=1)
    return figure, panels[0]


def _page(height: float) -> "tuple[Figure, Axes]":
    return _figure(PAGE, height)


def _figure_of(width: float, height: float, rows: int, columns: int) -> "tuple[Figure, list[Axes]]":
    """A figure (inches) and its panels by rows. Without pyplot there is no global state and no backend but Agg."""
    from matplotlib.figure import Figure

    figure = Figure(figsize=(width, height))
    return figure, list(figure.subplots(rows, columns, squeeze=False).flat)


def _legend(figure: "Figure", series: "list[Artist]", names: list[str]) -> None:
    """Names below the panels; given outright, because matplotlib leaves out labels that start with an underscore."""
    figure.legend(series, names, loc="outside lower center", ncols=4)


def _dodged(count: int, index: int, series: int, width: float) -> list[float]:
    """Where series ``index`` of ``series`` stands around the positions 0, 1, ... ``count - 1``."""
    return [position + (index - (series - 1) / 2) * width for position in range(count)]


def _language_axis(axes: "Axes", languages: list[str]) -> None:
    """Language codes below, and a thin line between high-resource and other languages."""
    axes.set_xticks(range(len(languages)), languages)
    axes.set_xlim(-0.5, len(languages) - 0.5)
    axes.tick_params(axis="x", length=0)
    line = _first_other(languages)
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


def _first_other(languages: list[str]) -> int:
    """Position of the first language that is not high-resource; 0 when one of the groups is empty."""
    high = sum(lang in HIGH_RESOURCE for lang in languages)
    return high if high < len(languages) else 0


def _heatmap(axes: "Axes", values: list[list[float]], rows: list[str], columns: list[str]) -> None:
    """Cells of percentages with their numbers, dark where they are high; a dash where there is none."""
    axes.imshow(values, cmap="YlOrBr", vmin=0, vmax=100, aspect="auto")
    axes.set_xticks(range(len(columns)), columns)
    axes.set_yticks(range(len(rows)), rows)
    axes.tick_params(length=0)
    axes.spines[:].set_visible(False)
    for edge in range(1, len(rows)):
        axes.axhline(edge - 0.5, color="white", linewidth=1)
    for edge in range(1, len(columns)):
        axes.axvline(edge - 0.5, color="white", linewidth=1)
    for row, line in enumerate(values):
        for column, value in enumerate(line):
            text = "–" if math.isnan(value) else f"{value:.0f}"
            axes.text(column, row, text, ha="center", va="center", size=7, color=_ink(value))


def _ink(value: float) -> str:
    return "white" if value > DARK else "black"


def _colorbar(figure: "Figure", panels: "list[Axes]") -> None:
    bar = figure.colorbar(panels[0].images[0], ax=panels, shrink=0.6, aspect=30, pad=0.015)
    bar.outline.set_visible(False)
    bar.set_label("ASR (%)")


def _from_zero(axes: "Axes") -> None:
    """A grid, and both axes from zero, the upright one unless a value is negative."""
    axes.grid()
    axes.set_xlim(left=0)
    if axes.dataLim.ymin >= 0:
        axes.set_ylim(bottom=0)


def _color(index: int) -> str:
    return BASE_COLOR if index == 0 else COLORS[(index - 1) % len(COLORS)]


def _round(index: int) -> int:
    """How often the colours were all used before series ``index`` came."""
    return max(0, index - 1) // len(COLORS) % len(HATCHES)


def _marker(index: int) -> dict[str, Any]:
    marker = "o" if index == 0 else MARKERS[(index - 1) % len(MARKERS)]
    hollow = {"markerfacecolor": "white"} if _round(index) else {}
    return {"color": _color(index), "marker": marker, **hollow}


@dataclass(frozen=True)
class Drawing:
    needs: str
    """The field of ``PlotRows`` without which there is nothing to draw."""
    paint: "Callable[[PlotRows, list[str]], Figure]"
    title: str
    caption: str


FIGURES: dict[str, Drawing] = {
    "figure2.png": Drawing(
        "rows",
        asr_by_language,
        "Figure 2: attack success rate by language",
        "ASR (%) on the test questions of each language; whiskers are Wilson intervals at the level `eval.confidence`. "
        "The thin line parts high-resource languages from the others.",
    ),
    "figure3.png": Drawing(
        "rows",
        language_consistency,
        "Figure 3: language consistency by language",
        "Share (%) of the answers that are in the question's language. The axis need not start at zero.",
    ),
    "transfer.png": Drawing(
        "transfer",
        transfer_heatmap,
        "Transfer between languages",
        "ASR (%) of the configs that train on one language (rows) in each language of evaluation (columns).",
    ),
    "categories.png": Drawing(
        "by_category",
        categories_heatmap,
        "Hazard categories and attack styles",
        "ASR (%) over all languages.",
    ),
    "archive.png": Drawing(
        "search",
        search_metrics,
        "The search",
        "Rainbow Teaming's archive over the iterations: share of the cells (category x style) that hold a question; mean "
        "probability of harm of the archive's questions; sum over cells of the best one's; BLEU of the questions among "
        "each other; share of the mutations that entered the archive.",
    ),
    "training.png": Drawing(
        "curves",
        training_curves,
        "Training",
        "DPO by optimizer step: loss (with the likelihood of the chosen answer, where `dpo.sft_weight` is set); mean "
        "difference between the rewards of chosen and rejected answers; share of the pairs whose chosen answer has the "
        "higher reward.",
    ),
}
"""File name to figure, in the order of the report."""
