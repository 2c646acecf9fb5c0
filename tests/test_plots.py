"""Every DVC plot of the project draws its marks, for one revision and for two; rendered by vl-convert, without a browser."""

import json
import os
import re
import shutil
import subprocess
import sys
from collections.abc import Iterator
from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest
import vl_convert
import yaml
from repository import ROOT

from refuseu.core.files import write_json
from refuseu.figures.canvas import COLORS, color_of

pytestmark = pytest.mark.slow

BIN = Path(sys.executable).parent
CONFIGS = ("base", "broken", "balanced", "only-pl")
BROKEN = "broken"
"""The answers of this one could not be judged, so that its ASR is a range."""
LANGUAGES = ("en", "pl")
MIXES = ("balanced", "balanced-no-benign", "high-resource", "english-only", "no-english", "custom")
PLOTS: dict[str, Any] = {
    name: settings
    for plot in yaml.safe_load((ROOT / "dvc.yaml").read_text().replace("${train.seeds[0]}", "0"))["plots"]
    for name, settings in plot.items()
}
MARKS = {
    "ASR by language": ("bar", 3 * 2),  # models of one language are left out
    "ASR and language consistency": ("point", 2),  # a range is no point
    "ASR and over-refusal": ("point", 2),
    "Transfer": ("rect mark", 2 * 3),
    "Reward margin": ("line mark", len(MIXES)),
    "Loss": ("line mark", len(MIXES)),
    "Archive": ("rect mark", 2 * 2),
}
"""Per plot what is drawn, and how often at one revision."""


def write_rows(root: Path, asr: float) -> None:
    rate = {"asr": asr, "asr_lower_bound": asr - 1, "asr_upper_bound": asr + 2, "asr_low": asr - 5, "asr_high": asr + 5}
    broken = {"asr": None, "asr_lower_bound": 10.0, "asr_upper_bound": 90.0, "asr_low": 5.0, "asr_high": 95.0}
    rows = [
        {"model": config, "language": lang, **(broken if config == BROKEN else rate), "n": 10}
        | {"language_consistency": 99.0, "over_refusal": 1.0}
        for config in CONFIGS
        for lang in LANGUAGES
    ]
    write_json(rows, root / "plots/eval.json")
    cells = [{"trained_on": one, "evaluated_in": other, **rate, "n": 10} for one in LANGUAGES for other in LANGUAGES]
    cells += [{"trained_on": BROKEN, "evaluated_in": other, **broken, "n": 10} for other in LANGUAGES]
    write_json(cells, root / "plots/eval/transfer.json")
    for mix in MIXES:
        curve = [{"step": step, "loss": asr / step, "reward_margin": step / asr} for step in (1, 2, 3)]
        write_json(curve, root / f"plots/dpo/{mix}/0.json")
    archive = [
        {"category": c, "style": s, "elites": 3, "best_fitness": 0.9} for c in ("S1", "S2") for s in ("slang", "puns")
    ]
    write_json(archive, root / "plots/rainbow-teaming/archive.json")


def run(root: Path, *command: str) -> str:
    names = {f"GIT_{role}_{what}": "a@b.c" for role in ("AUTHOR", "COMMITTER") for what in ("NAME", "EMAIL")}
    environment = {**os.environ, **names}
    return subprocess.run(command, cwd=root, env=environment, capture_output=True, text=True, check=True).stdout


@pytest.fixture(scope="module")
def repository(tmp_path_factory: pytest.TempPathFactory) -> Path:
    root = tmp_path_factory.mktemp("plots")
    run(root, "git", "init", "-q")
    run(root, str(BIN / "dvc"), "init", "-q")
    shutil.copytree(ROOT / ".dvc/plots", root / ".dvc/plots", dirs_exist_ok=True)
    (root / "dvc.yaml").write_text(
        yaml.safe_dump({"plots": [{name: each} for name, each in PLOTS.items()]}, sort_keys=False)
    )
    write_rows(root, asr=20.0)
    run(root, "git", "add", "-A")
    run(root, "git", "commit", "-qm", "before")
    write_rows(root, asr=60.0)
    return root


def drawn(root: Path, *arguments: str) -> dict[str, str]:
    """SVG by the name of the plot."""
    told = json.loads(run(root, str(BIN / "dvc"), "plots", *arguments, "--json"))
    assert not told.get("errors"), told["errors"]
    specifications: dict[str, Any] = told["data"]
    assert all(len(plots) == 1 for plots in specifications.values()), "one plot each, whatever the revisions"
    return {name: vl_convert.vegalite_to_svg(plots[0]["content"]) for name, plots in specifications.items()}


@pytest.mark.parametrize(("arguments", "revisions"), [(("show",), 1), (("diff", "HEAD"), 2)])
def test_every_plot_draws_its_marks(arguments: tuple[str, ...], revisions: int, repository: Path) -> None:
    pictures = drawn(repository, *arguments)
    counts = {
        name: len(re.findall(f'aria-roledescription="{MARKS[name][0]}"', picture)) for name, picture in pictures.items()
    }
    assert counts == {name: count * revisions for name, (_, count) in MARKS.items()}


def template(name: str) -> dict[str, Any]:
    content: dict[str, Any] = json.loads((ROOT / f".dvc/plots/{name}.json").read_text())
    return content


def ranges(part: Any) -> Iterator[list[str]]:
    """The colours of every scale of a template."""
    if isinstance(part, dict):
        yield from ([part["scale"]["range"]] if "range" in part.get("scale", {}) else [])
    for each in part.values() if isinstance(part, dict) else part if isinstance(part, list) else ():
        yield from ranges(each)


MODELS = [color_of(place) for place in range(1 + 4 * len(COLORS))]


@pytest.mark.parametrize(
    ("name", "expected"),
    [("asr-by-language", [MODELS] * 2), ("trade-off", [MODELS] * 3), ("training", [MODELS[1:]])],
)
def test_models_have_the_colors_of_the_report(name: str, expected: list[list[str]]) -> None:
    assert list(ranges(template(name))) == expected


def test_the_heatmap_has_the_colors_of_the_report() -> None:
    from matplotlib import colormaps
    from matplotlib.colors import to_hex

    (colors,) = ranges(template("transfer"))
    assert colors == [to_hex(colormaps["YlOrBr"](place / 8)).upper() for place in range(9)]


def test_training_shows_the_mixes_in_the_order_that_gives_them_their_colors() -> None:
    configs = yaml.safe_load((ROOT / "params.yaml").read_text())["train"]["configs"]
    for plot in ("Reward margin", "Loss"):
        assert [Path(file).parent.name for file in PLOTS[plot]["y"]] == list(configs) == list(MIXES)


def test_a_mix_has_its_color_in_its_own_panel(repository: Path) -> None:
    picture = drawn(repository, "diff", "HEAD")["Loss"]
    lines = re.findall(
        r'config: ([\w-]+);[^>]*"line mark"[^>]*stroke="(#\w+)"[^>]*stroke-dasharray="([\d,]+)"', picture
    )
    assert {config: color for config, color, _ in lines} == dict(zip(MIXES, MODELS[1:], strict=False))
    assert len({dashes for *_, dashes in lines}) == 2, "a revision a kind of line"


@pytest.mark.parametrize(
    "rates", [[0.0] * 12, [100.0] * 12, [0.0, 0.1, 6.6, 10.6, 38.7, 56.2, 75.4, 100.0], [50.0] * 20]
)
def test_names_beside_points_keep_off_each_other(rates: list[float]) -> None:
    """However the models crowd, each name is a line of its own, in the order of the ASR, and none is far from the axes."""
    rows = [
        {
            "rev": "workspace",
            "model": f"model-{place:02}",
            "x": 90.0,
            "y": rate,
            "asr_lower_bound": 0,
            "asr_upper_bound": 0,
        }
        for place, rate in enumerate(rates)
    ]
    text = json.dumps(template("trade-off")).replace('"<DVC_METRIC_DATA>"', json.dumps(rows))
    for anchor, value in (("X_LABEL", "x"), ("Y_LABEL", "y"), ("TITLE", "title"), ("X", "x"), ("Y", "y")):
        text = text.replace(f"<DVC_METRIC_{anchor}>", value)
    picture = vl_convert.vegalite_to_svg(json.loads(text))
    places = {
        name: (float(left), float(down))
        for left, down, name in re.findall(
            r'<text[^>]*translate\(([\d.-]+),([\d.-]+)\)"[^>]*>(model-\d+)</text>', picture
        )
    }
    heights = [down for _, down in places.values()]
    assert len(places) == len(rates) and {left for left, _ in places.values()} == {772.0}
    assert min(below - above for above, below in pairwise(sorted(heights))) >= 13
    assert [name for name, _ in sorted(places.items(), key=lambda item: -item[1][1])] == sorted(places)
    assert min(heights) - 3 >= -12 and max(heights) <= 412


def test_every_plot_says_what_it_shows_and_in_which_unit(repository: Path) -> None:
    pictures = drawn(repository, "diff", "HEAD")
    for name, picture in pictures.items():
        texts = set(re.findall(r"<text[^>]*>([^<]*)</text>", picture))
        settings = PLOTS[name]
        assert {settings["title"], settings["x_label"], settings["y_label"]} <= texts, name
        assert {"HEAD", "workspace"} <= texts, name


def test_no_plot_is_wider_than_a_page(repository: Path) -> None:
    for name, picture in drawn(repository, "diff", "HEAD").items():
        width = re.search(r'<svg[^>]* width="([\d.]+)"', picture)
        assert width is not None and float(width.group(1)) <= 1180 - 2 * 16, name  # as .dvc/page/template.html has it


def test_a_range_is_shown_from_end_to_end_and_never_as_zero(repository: Path) -> None:
    pictures = drawn(repository, "show")
    outlined = re.findall(
        r'model: (\w+);[^>]* d="M[\d.]+,(?:24|23\.9+\d*|24\.0+\d*)h[\d.]+v192[\d.]*h[^>]*fill-opacity="0.15"',
        pictures["ASR by language"],
    )
    assert outlined == [BROKEN] * len(LANGUAGES)
    for name in ("ASR and language consistency", "ASR and over-refusal"):
        spans = re.findall(
            r'<line [^>]*model: (\w+);[^>]* y2="(-?[\d.]+)" stroke="#\w+" stroke-width="3"', pictures[name]
        )
        assert dict(spans) == {"base": "0", BROKEN: "-320", "balanced": "0"}, name
    cells = re.findall(r'aria-label="trained on (\w+), [^"]* ASR \(%\) 10–90"[^>]*fill="#E5E5E5"', pictures["Transfer"])
    assert cells == [BROKEN] * len(LANGUAGES)
    assert len(re.findall("<text[^>]*>10–90</text>", pictures["Transfer"])) == len(LANGUAGES)


def test_a_range_takes_no_other_models_color(repository: Path) -> None:
    colors = {"base": "#5F5F5F", BROKEN: "#0072B2", "balanced": "#E69F00"}
    pictures = drawn(repository, "show")
    bars = re.findall(r'model: (\w+); [^>]*aria-roledescription="bar"[^>]*fill="(#\w+)"', pictures["ASR by language"])
    assert dict(bars) == colors
    spans = re.findall(r'model: (\w+); [^>]*"rule mark"[^>]*stroke="(#\w+)"', pictures["ASR and over-refusal"])
    assert dict(spans) == colors
