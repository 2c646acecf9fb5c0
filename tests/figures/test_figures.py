import math
from dataclasses import replace
from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest
from evaluated import averages, row

from refuseu.core.errors import UserError
from refuseu.core.files import write_json
from refuseu.experiment import Experiment, by_resource
from refuseu.figures.canvas import (
    BASE_COLOR,
    COLORS,
    RANGE,
    SEED,
    color_of,
    dodged,
    first_other,
    marker_of,
    paper_style,
    round_of,
    ten_below,
)
from refuseu.figures.evaluation import (
    asr_by_language,
    categories_heatmap,
    language_consistency,
    transfer_heatmap,
)
from refuseu.figures.gallery import FIGURES, draw
from refuseu.figures.progress import search_metrics, training_curves
from refuseu.figures.rows import PlotRows
from refuseu.figures.tradeoff import asr_and_consistency
from refuseu.results.outputs import (
    CategoryRow,
    CurveRow,
    Evaluation,
    LanguageRow,
    SearchRow,
    SeedRow,
    StyleRow,
    TransferRow,
)

pytestmark = pytest.mark.slow

LANGUAGES = ["pl", "en", "lv", "de"]
ODD = "_$odd$"
"""A name that matplotlib would take for something else."""


def curve(*losses: float) -> list[CurveRow]:
    return [
        CurveRow(step=step, loss=loss, reward_margin=step - 1.5, reward_accuracy=0.5)
        for step, loss in enumerate(losses, start=1)
    ]


def transfer(trained_on: str, evaluated_in: str, least: float, most: float | None = None) -> TransferRow:
    return TransferRow(
        trained_on=trained_on,
        evaluated_in=evaluated_in,
        asr=least if most is None else None,
        asr_lower_bound=least,
        asr_upper_bound=least if most is None else most,
    )


def only(rows: list[LanguageRow], transfers: list[TransferRow] | None = None) -> PlotRows:
    models = {each.model: averages(each.asr) for each in rows}
    return PlotRows(Evaluation(models, rows), [], [], transfers or [], [], {})


PLOTS = PlotRows(
    evaluation=Evaluation(
        {"base": averages(60.0), ODD: averages(None), "only-pl": averages(30.0)},
        [
            *(row("base", lang, 60.0) for lang in LANGUAGES),
            *(row(ODD, lang, asr) for lang, asr in zip(LANGUAGES[:2], (0.0, 10.0), strict=True)),
            row(ODD, "lv", 20.0, 90.0),
            *(row("only-pl", lang, 30.0) for lang in LANGUAGES),
        ],
    ),
    by_category=[
        CategoryRow(model="base", category="S1", asr=50.0, asr_lower_bound=50.0, asr_upper_bound=50.0),
        CategoryRow(model=ODD, category="S1", asr=None, asr_lower_bound=4.6, asr_upper_bound=100.0),
    ],
    by_style=[StyleRow(model="base", style="Role play", asr=90.0, asr_lower_bound=90.0, asr_upper_bound=90.0)],
    transfer=[transfer("pl", lang, 30.0) for lang in LANGUAGES],
    search=[
        SearchRow(iteration=1, coverage=0.5, mean_fitness=0.7, qd_score=9.0, self_bleu=0.3, acceptance=0.0),
        SearchRow(iteration=2, coverage=1.0, mean_fitness=0.8, qd_score=19.0, self_bleu=0.2, acceptance=0.1),
    ],
    curves={ODD: [curve(1.0, 0.5), curve(3.0, 1.5)], "only-pl": [curve(1.0, 0.4)]},
)


def test_every_figure_is_written_and_the_same_bytes_again(tmp_path: Path) -> None:
    assert draw(PLOTS, LANGUAGES, 40, tmp_path / "one") == list(FIGURES)
    draw(PLOTS, LANGUAGES, 40, tmp_path / "two")
    for name in FIGURES:
        first = (tmp_path / "one" / name).read_bytes()
        assert first.startswith(b"\x89PNG") and first == (tmp_path / "two" / name).read_bytes()


def test_what_the_user_set_in_matplotlib_has_no_say(tmp_path: Path) -> None:
    import matplotlib

    plots = only([row("base", "pl", 60.0)], PLOTS.transfer)
    draw(plots, LANGUAGES, 40, tmp_path / "plain")
    with matplotlib.rc_context({"font.size": 30, "axes.facecolor": "red"}):
        draw(plots, LANGUAGES, 40, tmp_path / "set")
        assert matplotlib.rcParams["font.size"] == 30
    for name in ("transfer.png", "figure3.png"):
        assert (tmp_path / "plain" / name).read_bytes() == (tmp_path / "set" / name).read_bytes()


def test_a_figure_without_rows_is_left_out_and_an_old_one_removed(tmp_path: Path) -> None:
    (tmp_path / "transfer.png").write_text("old")
    assert "transfer.png" not in draw(only(PLOTS.rows), LANGUAGES, 20, tmp_path)
    assert not (tmp_path / "transfer.png").exists()


def painted(plots: PlotRows, languages: list[str], paint: Any) -> Any:
    with paper_style():
        figure = paint(plots, languages)
        figure.draw_without_rendering()
    return figure


def legend_of(figure: Any) -> list[str]:
    return [text.get_text() for legend in figure.legends for text in legend.get_texts()]


def test_bars_stand_in_the_order_of_the_languages_with_names_as_they_are() -> None:
    figure = painted(PLOTS, by_resource(LANGUAGES), asr_by_language)
    axes = figure.axes[0]
    assert [label.get_text() for label in axes.get_xticklabels()] == ["en", "de", "pl", "lv"]
    assert legend_of(figure) == ["base", ODD, RANGE]
    bars = [bar for bar in axes.patches if bar.get_x() > 0.5 and bar.get_x() < 1.5]  # of German
    assert [bar.get_height() for bar in bars if not math.isnan(bar.get_height())] == [60.0]


def test_a_range_floats_between_its_ends_and_never_stands_on_zero() -> None:
    figure = painted(PLOTS, by_resource(LANGUAGES), asr_by_language)
    axes = figure.axes[0]
    (floating,) = [bar for bar in axes.patches if bar.get_y() > 0]
    assert (floating.get_y(), floating.get_height()) == (20.0, 70.0)
    assert 2.5 < floating.get_x() < 3.5 and floating.get_hatch()  # Latvian, the fourth
    ends = [tuple(line.get_segments()[0][:, 1]) for line in axes.collections]
    assert (18.0, 92.0) in ends  # its interval
    assert (58.0, 62.0) in ends  # and that of a number
    assert RANGE not in legend_of(painted(only([row("base", "pl", 60.0)]), ["pl"], asr_by_language))


def seeds(model: str, lang: str, *asrs: float) -> list[SeedRow]:
    return [
        SeedRow(
            model=model,
            seed=seed,
            language=lang,
            asr_lower_bound=asr,
            over_refusal=1.0,
            language_consistency=90.0 + seed,
        )
        for seed, asr in enumerate(asrs)
    ]


def test_every_seed_is_a_dot_beside_the_mean() -> None:
    rows = [row("base", "en", 60.0), row("many", "en", 20.0), row("many", "pl", 50.0)]
    found = replace(only(rows), seeds=[*seeds("base", "en", 60.0), *seeds("many", "en", 10.0, 20.0, 30.0)])
    figure = painted(found, ["en", "pl"], asr_by_language)
    (dots,) = [line for line in figure.axes[0].lines if line.get_marker() == "o"]
    assert list(dots.get_ydata()) == [10.0, 20.0, 30.0]  # one seed is the mean itself
    bar = next(each for each in figure.axes[0].patches if each.get_height() == 20.0)
    assert bar.get_x() <= min(dots.get_xdata()) and max(dots.get_xdata()) <= bar.get_x() + bar.get_width()
    assert legend_of(figure) == ["base", "many", SEED]


def test_the_scatter_has_a_small_dot_a_seed_at_its_average_over_languages() -> None:
    found = replace(MODELS, averages={"base": averages(60.0), "many": averages(30.0)}, rows=[row("base", "en", 60.0)])
    both = [*seeds("many", "en", 10.0, 30.0), *seeds("many", "pl", 20.0, 60.0), *seeds("base", "en", 60.0)]
    axes = painted(PlotRows(found, [], [], [], [], {}, both), ["en", "pl"], asr_and_consistency).axes[0]
    (dots,) = [line for line in axes.lines if line.get_markerfacecolor() == "white"]
    assert (list(dots.get_xdata()), list(dots.get_ydata())) == ([90.0, 91.0], [15.0, 45.0])


def test_a_seed_that_lacks_a_language_has_no_average() -> None:
    lacking = [*seeds("many", "en", 10.0, 30.0), *seeds("many", "pl", 20.0, 60.0)]
    lacking[3] = lacking[3].model_copy(update={"over_refusal": None})
    found = replace(PLOTS, seeds=lacking)
    assert found.seed_averages("over_refusal") == {"many": {0: 1.0}}
    assert found.seed_averages("asr_lower_bound") == {"many": {0: 15.0, 1: 45.0}}


def test_the_heatmap_shows_the_trained_languages_and_a_dash_for_no_value() -> None:
    axes = painted(only([], [transfer("pl", "en", 12.3)]), ["en", "pl"], transfer_heatmap).axes[0]
    assert [label.get_text() for label in axes.get_yticklabels()] == ["pl"]
    assert [text.get_text() for text in axes.texts] == ["12", "–"]


def test_a_range_in_a_heatmap_is_hatched_and_off_the_scale_of_colors() -> None:
    cells = [transfer("pl", "en", 73.0), transfer("pl", "pl", 4.6, 100.0)]
    figure = painted(only([], cells), ["en", "pl"], transfer_heatmap)
    axes = figure.axes[0]
    assert [text.get_text() for text in axes.texts] == ["73", "5–100"]
    assert [text.get_color() for text in axes.texts] == ["white", "black"]
    (ground,) = axes.patches
    assert (ground.get_xy(), ground.get_width(), ground.get_height()) == ((0.5, -0.5), 1, 1)
    assert ground.get_hatch()
    assert list(axes.images[0].get_array().mask[0]) == [False, True]
    assert legend_of(figure) == [RANGE]
    assert legend_of(painted(PLOTS, LANGUAGES, categories_heatmap)) == [RANGE]
    assert legend_of(painted(only([], cells[:1]), ["en", "pl"], transfer_heatmap)) == []


MODELS = Evaluation(
    {
        "base": averages(100.0, language_consistency=100.0),
        "safe": averages(0.0, language_consistency=99.9),
        "safer": averages(0.4, language_consistency=99.8),
        "safest": averages(0.0, language_consistency=99.7),
        "broken": averages(None, language_consistency=90.0),
        "mute": averages(5.0, language_consistency=None),
        "only-pl": averages(60.0, language_consistency=72.5),
        "only-cs": averages(60.0, language_consistency=72.5),
    },
    [row("base", "pl", 100.0)],
)


def scatter(evaluation: Evaluation) -> Any:
    return painted(PlotRows(evaluation, [], [], [], [], {}), ["pl"], asr_and_consistency)


def test_the_scatter_has_a_point_a_model_and_ends_where_percentages_do() -> None:
    axes = scatter(MODELS).axes[0]
    drawn = [(tuple(line.get_xdata()), tuple(line.get_ydata())) for line in axes.lines]
    assert drawn[:2] == [((100.0, 100.0), (100.0, 100.0)), ((99.9, 99.9), (0.0, 0.0))]
    assert drawn[4:] == [  # a range is a span; without a consistency there is no point
        ((90.0, 90.0), (0.0, 100.0)),
        ((72.5, 72.5), (60.0, 60.0)),
        ((72.5, 72.5), (60.0, 60.0)),
    ]
    assert (axes.get_xlim(), axes.get_ylim()) == ((70.0, 100.0), (0.0, 100.0))
    sizes = [line.get_markersize() for line in axes.lines]
    assert sizes[0] > sizes[-1]
    assert {text.get_text() for text in axes.texts} == {
        *("base", "safe", "safer", "safest", "broken (0–100)", "pl", "cs"),
    }


def test_the_names_in_the_scatter_neither_overlap_nor_leave_the_axes() -> None:
    from matplotlib.text import Text

    axes = scatter(MODELS).axes[0]
    boxes = [Text.get_window_extent(text) for text in axes.texts]
    assert len(boxes) == 7
    assert [box.count_overlaps(boxes) for box in boxes] == [1] * 7  # with itself alone
    assert all(axes.bbox.x0 <= box.x0 and box.x1 <= axes.bbox.x1 for box in boxes)
    assert all(axes.bbox.y0 <= box.y0 and box.y1 <= axes.bbox.y1 for box in boxes)
    points = axes.transData.transform([line.get_xydata()[0] for line in axes.lines])
    assert not any(box.contains(x, y) for box in boxes for x, y in points)


def test_a_name_far_from_its_point_is_joined_to_it() -> None:
    crowd = {f"model{index}": averages(50.0, language_consistency=95.0) for index in range(14)}
    axes = scatter(Evaluation(crowd, [row("model0", "pl", 50.0)])).axes[0]
    joined = [text.arrow_patch is not None for text in axes.texts]
    assert len(joined) == 14 and not joined[0] and joined[-1]


def test_main_models_choose_the_place_of_their_name_first() -> None:
    models = {
        "only-pl": averages(50.0, language_consistency=95.0),
        "base": averages(50.0, language_consistency=95.0),
    }
    axes = scatter(Evaluation(models, [row("base", "pl", 50.0)])).axes[0]
    first, second = axes.texts
    assert (first.get_text(), second.get_text()) == ("base", "pl")
    assert first.get_position()[0] > 0 > second.get_position()[0]  # right of the point, and left of it


def test_a_name_keeps_off_other_points_and_is_never_nearer_to_them() -> None:
    from matplotlib.text import Text

    models = {
        "base": averages(50.0, language_consistency=85.0),
        "near": averages(50.0, language_consistency=85.8),
        "low": averages(0.0, language_consistency=72.0),
    }
    axes = scatter(Evaluation(models, [row("base", "pl", 50.0)])).axes[0]
    base = next(text for text in axes.texts if text.get_text() == "base")
    (x, _), (other, _) = axes.transData.transform([(85.0, 50.0), (85.8, 50.0)])
    box = Text.get_window_extent(base)
    assert box.x1 < x < other  # on the free side


def test_safe_models_at_the_bottom_need_no_line_to_their_names() -> None:
    models = {
        "base": averages(100.0, language_consistency=100.0),
        "balanced": averages(7.25, language_consistency=99.67),
        "balanced-no-benign": averages(0.0, language_consistency=99.64),
        "no-english": averages(10.55, language_consistency=98.62),
        "custom": averages(55.6, language_consistency=83.3),
    }
    axes = scatter(Evaluation(models, [row("base", "pl", 100.0)])).axes[0]
    (lowest,) = [text for text in axes.texts if text.get_text() == "balanced-no-benign"]
    assert lowest.arrow_patch is None


def test_language_consistency_starts_below_the_lowest_dot() -> None:
    rows = [
        row("base", lang, 60.0).model_copy(update={"language_consistency": share})
        for lang, share in zip(LANGUAGES, (97.5, 100.0, 81.0, None), strict=True)
    ]
    axes = painted(only(rows), LANGUAGES, language_consistency).axes[0]
    assert axes.get_ylim() == (70.0, 101.0)
    assert list(axes.lines[0].get_ydata())[:3] == [97.5, 100.0, 81.0]
    assert math.isnan(axes.lines[0].get_ydata()[3])


def test_a_line_parts_high_resource_languages_from_the_others() -> None:
    assert [first_other(codes) for codes in (["en", "de", "pl"], ["en"], ["pl"])] == [2, 0, 0]
    bars = painted(PLOTS, by_resource(LANGUAGES), asr_by_language).axes[0]
    assert [list(line.get_xdata()) for line in bars.lines] == [[1.5, 1.5]]
    assert bars.get_ylim() == (0, 101)
    cells = [transfer(one, other, 5.0) for one in LANGUAGES for other in LANGUAGES]
    square = painted(only([], cells), by_resource(LANGUAGES), transfer_heatmap).axes[0]
    black = [line for line in square.lines if line.get_color() == "black"]
    assert [list(line.get_xdata()) for line in black] == [[1.5, 1.5], [0, 1]]
    assert list(black[1].get_ydata()) == [1.5, 1.5]


def test_a_series_stands_around_the_middle_of_its_place() -> None:
    assert dodged(2, index=0, series=1, width=0.5) == [0.0, 1.0]
    assert dodged(2, index=0, series=2, width=0.5) == [-0.25, 0.75]
    assert dodged(1, index=2, series=3, width=0.5) == [0.5]


def test_every_config_can_be_told_from_the_others() -> None:
    assert [color_of(index) for index in (0, 1, 7, 8)] == [BASE_COLOR, COLORS[0], COLORS[6], COLORS[0]]
    assert [round_of(index) for index in (0, 1, 7, 8, 14, 15)] == [0, 0, 0, 1, 1, 2]
    looks = [(tuple(sorted(marker_of(index).items())), round_of(index)) for index in range(29)]
    assert len(set(looks)) == 29


def test_dark_cells_have_white_numbers_on_one_scale_from_zero_to_hundred() -> None:
    cells = [transfer("pl", "en", 72.0), transfer("pl", "pl", 72.1)]
    axes = painted(only([], cells), ["en", "pl"], transfer_heatmap).axes[0]
    assert [text.get_color() for text in axes.texts] == ["black", "white"]
    assert axes.images[0].get_clim() == (0, 100)


def test_long_names_of_columns_are_slanted() -> None:
    categories, styles = painted(PLOTS, LANGUAGES, categories_heatmap).axes[:2]
    assert [label.get_text() for label in styles.get_xticklabels()] == ["Role play"]
    assert (categories.get_xticklabels()[0].get_rotation(), styles.get_xticklabels()[0].get_rotation()) == (0, 30)


def test_spelled_out_categories_keep_off_each_other_and_stay_in_the_figure() -> None:
    names = [f"S{number} A category with a long name" for number in range(1, 15)]
    cells = [
        CategoryRow(model="base", category=name, asr=50.0, asr_lower_bound=50.0, asr_upper_bound=50.0) for name in names
    ]
    figure = painted(replace(PLOTS, by_category=cells), LANGUAGES, categories_heatmap)
    labels = figure.axes[0].get_xticklabels()
    assert [label.get_text() for label in labels] == names
    height = max(label.get_fontsize() for label in labels) * figure.dpi / 72
    ends = [label.get_window_extent().x1 for label in labels]
    # Slanted by 30 degrees, neighbours are as far apart as half of the distance between their columns.
    assert min(right - left for left, right in pairwise(ends)) / 2 > height
    assert all(figure.bbox.x0 <= label.get_window_extent().x0 for label in labels)


def test_training_curves_of_main_configs_have_their_configs_color_and_unit() -> None:
    plots = replace(PLOTS, curves={"base": [curve(2.0, 1.0)], **PLOTS.curves})
    figure = painted(plots, LANGUAGES, training_curves)
    loss, margin, accuracy = figure.axes
    assert [list(line.get_ydata()) for line in loss.lines] == [[2.0, 1.0], [2.0, 1.0]]
    assert [list(line.get_xdata()) for line in loss.lines] == [[1, 2], [1, 2]]
    assert [line.get_color() for line in loss.lines] == [color_of(0), color_of(1)]
    # Of two seeds the mean, in a band from the lower one to the higher.
    (band,) = loss.collections[1].get_paths()
    assert (band.vertices[:, 1].min(), band.vertices[:, 1].max()) == (0.5, 3.0)
    assert legend_of(figure) == ["base", ODD]
    assert [axes.get_ylabel() for axes in figure.axes] == ["nats", "beta × nats", "share of pairs"]
    assert loss.get_ylim()[0] == accuracy.get_ylim()[0] == 0  # from zero, unless a value is negative
    assert margin.get_ylim()[0] < -0.5


def test_the_search_has_a_panel_a_metric_over_its_iterations() -> None:
    figure = painted(PLOTS, LANGUAGES, search_metrics)
    assert [axes.get_title(loc="left") for axes in figure.axes] == [
        *("Coverage", "Mean fitness", "QD score", "Self-BLEU", "Acceptance"),
    ]
    assert [list(axes.lines[0].get_ydata()) for axes in figure.axes] == [
        *([0.5, 1.0], [0.7, 0.8], [9.0, 19.0], [0.3, 0.2], [0.0, 0.1]),
    ]
    assert list(figure.axes[0].lines[0].get_xdata()) == [1, 2]


@pytest.mark.parametrize(("lowest", "start"), [(97.5, 90), (92.1, 90), (91.9, 80), (0.0, 0), (1.0, 0)])
def test_an_axis_starts_at_the_ten_below_with_room_for_the_marker(lowest: float, start: float) -> None:
    assert ten_below([100.0, lowest]) == start


@pytest.mark.parametrize("count", [1, 30])
def test_any_number_of_configs_and_one_group_of_languages(count: int, tmp_path: Path) -> None:
    plots = only([row(f"config{index}", "lv", 5.0) for index in range(count)])
    assert draw(plots, ["lv"], 20, tmp_path) == ["figure2.png", "figure3.png", "consistency.png"]


def write_rows(root: Path) -> None:
    write_json([each.model_dump() for each in PLOTS.by_category], root / "plots/by-category.json")
    write_json([each.model_dump() | {"style": "role_play"} for each in PLOTS.by_style], root / "plots/by-style.json")
    write_json([each.model_dump() for each in PLOTS.transfer], root / "plots/transfer.json")
    write_json([each.model_dump() for each in PLOTS.search], root / "search.json")
    write_json([each.model_dump() for each in EVALUATED], root / "plots/seeds.json")
    for name, seeds in PLOTS.curves.items():
        for seed, steps in zip((9, 10), seeds, strict=False):
            write_json([each.model_dump() for each in steps], root / f"curves/{name}/{seed}.json")


EVALUATED = [
    SeedRow(model=name, seed=seed, language="en", asr_lower_bound=0.0, over_refusal=None, language_consistency=None)
    for name, seed in ((ODD, 10), (ODD, 9), ("only-pl", 9), ("base", 0))
]
NAMED = Experiment(languages=["en"], categories={"S1": "Violent Crimes"}, styles={"role_play": "Role play"})


def read(root: Path) -> PlotRows:
    return PlotRows.read(NAMED, PLOTS.evaluation, root / "plots", root / "search.json", root / "curves")


def test_rows_are_read_from_the_files_of_the_stages_before(tmp_path: Path) -> None:
    write_rows(tmp_path)
    spelled = [each.model_copy(update={"category": "S1 Violent Crimes"}) for each in PLOTS.by_category]
    assert read(tmp_path) == replace(PLOTS, by_category=spelled, seeds=EVALUATED)


def test_the_curves_of_a_seed_that_this_run_does_not_have_are_left_alone(tmp_path: Path) -> None:
    """Git keeps those of ``train.seeds: [0, 1, 2]`` while an experiment trains one seed, for fewer steps."""
    write_rows(tmp_path)
    write_json([each.model_dump() for each in curve(2.0, 1.0)[:1]], tmp_path / f"curves/{ODD}/11.json")
    assert read(tmp_path).curves == PLOTS.curves
    assert training_curves(read(tmp_path), LANGUAGES)


@pytest.mark.parametrize(
    ("file", "stage"),
    [
        ("plots/by-category.json", "eval"),
        ("plots/by-style.json", "eval"),
        ("plots/transfer.json", "eval"),
        ("plots/seeds.json", "eval"),
        ("search.json", "rainbow-teaming"),
        ("curves/only-pl/9.json", "dpo-single@pl"),
    ],
)
def test_rows_of_another_shape_name_their_file_and_the_stage_that_makes_them(
    file: str, stage: str, tmp_path: Path
) -> None:
    write_rows(tmp_path)
    write_json([{}], tmp_path / file)
    with pytest.raises(UserError) as caught:
        read(tmp_path)
    assert caught.value.message.startswith(f"{tmp_path / file}: row 1: ")
    assert caught.value.message.endswith(f"'dvc repro {stage}' makes it anew")
