"""The figures of the evaluation: ASR and language consistency by language, transfer, categories and styles."""

import math
from typing import TYPE_CHECKING

from refuseu.figures.canvas import (
    HATCHES,
    PAGE,
    color_of,
    colorbar,
    dodged,
    figure_of,
    first_other,
    heatmap,
    language_axis,
    legend,
    marker_of,
    number,
    page_figure,
    panels_of,
    round_of,
)
from refuseu.figures.rows import PlotRows

if TYPE_CHECKING:
    from matplotlib.artist import Artist
    from matplotlib.figure import Figure

LONG = 4
"""Characters from which a heatmap's column names are slanted."""


def asr_by_language(plots: PlotRows, languages: list[str]) -> "Figure":
    """Grouped bars of the ASR (percent) with its interval, base and main configs."""
    figure, axes = page_figure(3.1)
    cells = {(row["config"], row["language"]): row for row in plots.rows}
    configs = plots.configs
    series: list[Artist] = []
    width = 0.86 / len(configs)
    for index, config in enumerate(configs):
        found = [cells.get((config, lang), {}) for lang in languages]
        asr, low, high = ([number(row.get(name)) for row in found] for name in ("asr", "asr_low", "asr_high"))
        bars = axes.bar(
            dodged(len(languages), index, len(configs), width),
            asr,
            0.92 * width,
            # Rounding may put an end of the interval on the wrong side of the share by a hair.
            yerr=[
                [max(0.0, value - end) for value, end in zip(asr, low, strict=True)],
                [max(0.0, end - value) for value, end in zip(asr, high, strict=True)],
            ],
            error_kw={"elinewidth": 0.5, "ecolor": "black", "capsize": 0},
            color=color_of(index),
            hatch=HATCHES[round_of(index)],
        )
        series.append(bars.patches[0])
    axes.set(ylabel="ASR (%)", ylim=(0, 101), title="Attack success rate by language, lower is safer")
    axes.grid(axis="y")
    language_axis(axes, languages)
    legend(figure, series, configs)
    return figure


def language_consistency(plots: PlotRows, languages: list[str]) -> "Figure":
    """Dots of the share (percent) of answers in the question's language, base and main configs."""
    figure, axes = page_figure(2.8)
    cells = {(row["config"], row["language"]): row.get("language_consistency") for row in plots.rows}
    configs = plots.configs
    series: list[Artist] = []
    for index, config in enumerate(configs):
        series += axes.plot(
            dodged(len(languages), index, len(configs), 0.8 / len(configs)),
            [number(cells.get((config, lang))) for lang in languages],
            linestyle="none",
            markersize=3.8,
            clip_on=False,
            **marker_of(index),
        )
    shown = [number(cells.get((config, lang))) for config in configs for lang in languages]
    lowest = min((value for value in shown if not math.isnan(value)), default=0.0)
    title = "Language consistency by language, higher is better"
    axes.set(ylabel="answers in the language (%)", ylim=(max(0, 10 * math.floor(lowest / 10 - 0.2)), 101), title=title)
    axes.grid(axis="y")
    for position in range(1, len(languages), 2):
        axes.axvspan(position - 0.5, position + 0.5, color="0.965", linewidth=0, zorder=0)
    language_axis(axes, languages)
    legend(figure, series, configs)
    return figure


def transfer_heatmap(plots: PlotRows, languages: list[str]) -> "Figure":
    """ASR (percent) of the single-language runs, language of training by language of evaluation."""
    cells = {(row["trained_on"], row["evaluated_in"]): row["asr"] for row in plots.transfer}
    trained_on = [lang for lang in languages if any(lang == key[0] for key in cells)]
    figure, axes = figure_of(5.0, 0.9 + 0.31 * len(trained_on))
    values = [[number(cells.get((one, other))) for other in languages] for one in trained_on]
    heatmap(axes, values, trained_on, languages)
    colorbar(figure, [axes])
    axes.set(xlabel="evaluated in", ylabel="trained on", title="Transfer between languages")
    for codes, draw_line in ((languages, axes.axvline), (trained_on, axes.axhline)):
        if first_other(codes):
            draw_line(first_other(codes) - 0.5, color="black", linewidth=0.8)
    return figure


def categories_heatmap(plots: PlotRows, languages: list[str]) -> "Figure":
    """ASR (percent) over all languages by hazard category and by attack style, base and main configs."""
    configs = plots.configs
    figure, panels = panels_of(PAGE, 2.1 + 0.42 * len(configs), rows=2, columns=1)
    parts = (("category", plots.by_category, "Hazard category"), ("style", plots.by_style, "Attack style"))
    for axes, (column, rows, title) in zip(panels, parts, strict=True):
        cells = {(row["config"], row[column]): row["asr"] for row in rows}
        names = list(dict.fromkeys(row[column] for row in rows))
        values = [[number(cells.get((config, name))) for name in names] for config in configs]
        heatmap(axes, values, configs, [name.replace("_", " ") for name in names])
        axes.set(title=f"ASR by {title.lower()}", xlabel=title, ylabel="model")
        if max(map(len, names), default=0) > LONG:
            axes.tick_params(axis="x", rotation=30)
            for label in axes.get_xticklabels():
                label.set(ha="right", rotation_mode="anchor")
    colorbar(figure, panels)
    return figure
