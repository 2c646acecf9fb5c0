import math
from pathlib import Path
from typing import Any

import pytest

from refuseu.figures.canvas import paper_style
from refuseu.figures.evaluation import asr_by_language, transfer_heatmap
from refuseu.figures.gallery import FIGURES, draw
from refuseu.figures.rows import PlotRows
from refuseu.order import by_resource
from refuseu.records import write_json

LANGUAGES = ["pl", "en", "lv", "de"]


def row(config: str, language: str, asr: float | None) -> dict[str, Any]:
    interval = {"asr_low": None, "asr_high": None} if asr is None else {"asr_low": 0.9 * asr, "asr_high": 1.1 * asr}
    return {"config": config, "language": language, "asr": asr, **interval, "language_consistency": 97.5}


def curve(*losses: float) -> list[dict[str, Any]]:
    return [
        {"step": step, "loss": loss, "reward_margin": step - 1.5, "reward_accuracy": 0.5}
        for step, loss in enumerate(losses, start=1)
    ]


PLOTS = PlotRows(
    rows=[
        *(row("base", lang, 60.0) for lang in LANGUAGES),
        *(row("_$odd$", lang, asr) for lang, asr in zip(LANGUAGES, (0.0, 10.0, None, 100.0), strict=True)),
        *(row("only-pl", lang, 30.0) for lang in LANGUAGES),
    ],
    by_category=[
        {"config": "base", "category": "S1", "asr": 50.0},
        {"config": "_$odd$", "category": "S1", "asr": None},
    ],
    by_style=[{"config": "base", "style": "role_play", "asr": 90.0}],
    transfer=[{"trained_on": "pl", "evaluated_in": lang, "asr": 30.0} for lang in LANGUAGES],
    search=[
        {"iteration": 1, "coverage": 0.5, "mean_fitness": 0.7, "qd_score": 9.0, "self_bleu": 0.3, "acceptance": 0.0},
        {"iteration": 2, "coverage": 1.0, "mean_fitness": 0.8, "qd_score": 19.0, "self_bleu": 0.2, "acceptance": 0.1},
    ],
    curves={"_$odd$": curve(1.0, 0.5), "only-pl": curve(1.0, 0.4)},
)


def test_every_figure_is_written_and_the_same_bytes_again(tmp_path: Path) -> None:
    assert draw(PLOTS, LANGUAGES, 40, tmp_path / "one") == list(FIGURES)
    draw(PLOTS, LANGUAGES, 40, tmp_path / "two")
    for name in FIGURES:
        first = (tmp_path / "one" / name).read_bytes()
        assert first.startswith(b"\x89PNG") and first == (tmp_path / "two" / name).read_bytes()


def test_what_the_user_set_in_matplotlib_has_no_say(tmp_path: Path) -> None:
    import matplotlib

    only_transfer = PlotRows([], [], [], PLOTS.transfer, [], {})
    draw(only_transfer, LANGUAGES, 40, tmp_path / "plain")
    with matplotlib.rc_context({"font.size": 30, "axes.facecolor": "red"}):
        draw(only_transfer, LANGUAGES, 40, tmp_path / "set")
        assert matplotlib.rcParams["font.size"] == 30
    assert (tmp_path / "plain/transfer.png").read_bytes() == (tmp_path / "set/transfer.png").read_bytes()


def test_a_figure_without_rows_is_left_out_and_an_old_one_removed(tmp_path: Path) -> None:
    (tmp_path / "transfer.png").write_text("old")
    plots = PlotRows(PLOTS.rows, PLOTS.by_category, PLOTS.by_style, [], PLOTS.search, PLOTS.curves)
    assert "transfer.png" not in draw(plots, LANGUAGES, 20, tmp_path)
    assert not (tmp_path / "transfer.png").exists()


def test_bars_stand_in_the_order_of_the_languages_with_names_as_they_are() -> None:
    from matplotlib.container import BarContainer

    with paper_style():
        figure = asr_by_language(PLOTS, by_resource(LANGUAGES))
    axes = figure.axes[0]
    assert [label.get_text() for label in axes.get_xticklabels()] == ["en", "de", "pl", "lv"]
    assert [text.get_text() for text in figure.legends[0].get_texts()] == ["base", "_$odd$"]
    bars = [container for container in axes.containers if isinstance(container, BarContainer)]
    heights = [bar.get_height() for bar in bars[1].patches]
    assert heights[:3] == [10.0, 100.0, 0.0]
    assert math.isnan(heights[3])  # and so is not drawn


def test_the_heatmap_shows_the_trained_languages_and_a_dash_for_no_value() -> None:
    plots = PlotRows([], [], [], [{"trained_on": "pl", "evaluated_in": "en", "asr": 12.3}], [], {})
    with paper_style():
        axes = transfer_heatmap(plots, ["en", "pl"]).axes[0]
    assert [label.get_text() for label in axes.get_yticklabels()] == ["pl"]
    assert [text.get_text() for text in axes.texts] == ["12", "–"]


@pytest.mark.parametrize("count", [1, 30])
def test_any_number_of_configs_and_one_group_of_languages(count: int, tmp_path: Path) -> None:
    plots = PlotRows([row(f"config{index}", "lv", 5.0) for index in range(count)], [], [], [], [], {})
    assert draw(plots, ["lv"], 20, tmp_path) == ["figure2.png", "figure3.png"]


def test_rows_are_read_from_the_files_of_the_stages_before(tmp_path: Path) -> None:
    for name in ("rows", "search", "plots/by-category", "plots/by-style", "plots/transfer", "curves/b", "curves/a"):
        write_json([{"name": name}], tmp_path / f"{name}.json")
    folders = {"plots": tmp_path / "plots", "curves": tmp_path / "curves"}
    plots = PlotRows.read(tmp_path / "rows.json", search=tmp_path / "search.json", **folders)
    assert plots.rows == [{"name": "rows"}]
    assert plots.by_style == [{"name": "plots/by-style"}]
    assert list(plots.curves) == ["a", "b"]
