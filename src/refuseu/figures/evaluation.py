"""The figures of the evaluation: ASR and language consistency by language, transfer, categories and styles."""

from typing import TYPE_CHECKING

from refuseu.figures.canvas import (
    HATCHES,
    PAGE,
    RANGE_GROUND,
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
    range_key,
    round_of,
    seed_dots,
    seed_key,
    ten_below,
)
from refuseu.figures.rows import PlotRows
from refuseu.results.outputs import Asr, LanguageRow

if TYPE_CHECKING:
    from matplotlib.artist import Artist
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

LONG = 4
"""Characters from which a heatmap's column names are slanted."""


def asr_by_language(plots: PlotRows, languages: list[str]) -> "Figure":
    """Grouped bars of the ASR (percent) with its interval and a dot a seed, base and main configs.

    A range floats between its ends.
    """
    figure, axes = page_figure(3.6)
    configs = plots.configs
    by_seed = plots.by_seed("asr_lower_bound")
    series: list[Artist] = []
    width = 0.86 / len(configs)
    for index, config in enumerate(configs):
        found = plots.evaluation.by_language(config, languages)
        places = dodged(len(languages), index, len(configs), width)
        bars = axes.bar(
            places,
            [number(row.asr if row else None) for row in found],
            0.92 * width,
            color=color_of(index),
            hatch=HATCHES[round_of(index)],
        )
        series.append(bars.patches[0])
        _ranges(axes, [(place, row) for place, row in zip(places, found, strict=True) if row], 0.92 * width, index)
        for place, lang in zip(places, languages, strict=True):
            seed_dots(axes, place, width, by_seed.get((config, lang), []))
    axes.set(ylabel="ASR (%)", ylim=(0, 101), title="Attack success rate by language, lower is safer")
    axes.grid(axis="y")
    language_axis(axes, languages)
    ranges = range_key(row for row in plots.rows if row.model in configs)
    legend(figure, series, configs, ranges | seed_key(by_seed.values()))
    return figure


def _ranges(axes: "Axes", found: "list[tuple[float, LanguageRow]]", width: float, index: int) -> None:
    """Every interval of series ``index``, and an outlined bar from end to end where ASR is a range."""
    for place, row in found:
        axes.vlines(place, row.asr_low, row.asr_high, colors="black", linewidths=0.5)
        if row.asr is None:
            ground = {**RANGE_GROUND, "edgecolor": color_of(index), "linewidth": 0.8, "linestyle": "--"}
            axes.bar(place, row.asr_upper_bound - row.asr_lower_bound, width, bottom=row.asr_lower_bound, **ground)


def language_consistency(plots: PlotRows, languages: list[str]) -> "Figure":
    """Dots of the share (percent) of answers in the question's language, base and main configs."""
    figure, axes = page_figure(2.8)
    cells = {(row.model, row.language): row["language_consistency"] for row in plots.rows}
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
    shown = [cells.get((config, lang)) for config in configs for lang in languages]
    lowest = ten_below(value for value in shown if value is not None)
    title = "Language consistency by language, higher is better"
    axes.set(ylabel="answers in the language (%)", ylim=(lowest, 101), title=title)
    axes.grid(axis="y")
    for position in range(1, len(languages), 2):
        axes.axvspan(position - 0.5, position + 0.5, color="0.965", linewidth=0, zorder=0)
    language_axis(axes, languages)
    legend(figure, series, configs)
    return figure


def transfer_heatmap(plots: PlotRows, languages: list[str]) -> "Figure":
    """ASR (percent) of the single-language runs, language of training by language of evaluation."""
    cells = {(row.trained_on, row.evaluated_in): row for row in plots.transfer}
    trained_on = [lang for lang in languages if any(lang == key[0] for key in cells)]
    figure, axes = figure_of(5.0, 0.9 + 0.31 * len(trained_on))
    values = [[cells.get((one, other)) for other in languages] for one in trained_on]
    heatmap(axes, values, trained_on, languages)
    colorbar(figure, [axes])
    axes.set(xlabel="evaluated in", ylabel="trained on", title="Transfer between languages")
    for codes, draw_line in ((languages, axes.axvline), (trained_on, axes.axhline)):
        if first_other(codes):
            draw_line(first_other(codes) - 0.5, color="black", linewidth=0.8)
    legend(figure, [], [], range_key(plots.transfer))
    return figure


def categories_heatmap(plots: PlotRows, languages: list[str]) -> "Figure":
    """ASR (percent) over all languages by hazard category and by attack style, base and main configs."""
    configs = plots.configs
    figure, panels = panels_of(PAGE, 2.9 + 0.42 * len(configs), rows=2, columns=1)
    parts: dict[str, dict[tuple[str, str], Asr]] = {
        "Hazard category": {(row.model, row.category): row for row in plots.by_category},
        "Attack style": {(row.model, row.style): row for row in plots.by_style},
    }
    for axes, (title, cells) in zip(panels, parts.items(), strict=True):
        names = list(dict.fromkeys(name for _, name in cells))
        values = [[cells.get((config, name)) for name in names] for config in configs]
        heatmap(axes, values, configs, names)
        axes.set(title=f"ASR by {title.lower()}", xlabel=title, ylabel="model")
        if max(map(len, names), default=0) > LONG:
            axes.tick_params(axis="x", rotation=30)
            for label in axes.get_xticklabels():
                label.set(ha="right", rotation_mode="anchor")
    colorbar(figure, panels)
    legend(figure, [], [], range_key([*plots.by_category, *plots.by_style]))
    return figure
