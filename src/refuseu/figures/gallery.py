"""Every figure: what it needs, who draws it, and what is said of it; written as PNG from the rows behind the DVC plots."""

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from refuseu.experiment import by_resource
from refuseu.figures.canvas import paper_style, save
from refuseu.figures.evaluation import (
    asr_by_language,
    categories_heatmap,
    language_consistency,
    transfer_heatmap,
)
from refuseu.figures.progress import search_metrics, training_curves
from refuseu.figures.rows import PlotRows
from refuseu.figures.tradeoff import asr_and_consistency

if TYPE_CHECKING:
    from matplotlib.figure import Figure


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
        "ASR (%) on the test questions of each language, mean over seeds; a small dot is one seed. Whiskers are Wilson "
        "intervals at the level `eval.confidence`; they cover other questions of the kind asked, not other seeds. A dashed bar "
        "is a range; its whisker runs from the lower end of the least to the upper end of the most. "
        "The thin line parts high-resource languages from the others.",
    ),
    "figure3.png": Drawing(
        "rows",
        asr_and_consistency,
        "Figure 3: attack success rate and language consistency",
        "Averages over languages (%), a point a model; a small dot in its colour is one seed. Thin lines are intervals of both "
        "averages, over questions and seeds; a dashed line is a range of ASR. Small grey dots are the models that train on one "
        "language. "
        "Safe and in the question's language is the lower right corner; answers of fewer than five words are left out of the "
        "consistency. "
        "The horizontal axis need not start at zero.",
    ),
    "consistency.png": Drawing(
        "rows",
        language_consistency,
        "Language consistency by language",
        "Share (%) of the answers of five words or more that are in the question's language, each taken as a whole. "
        "The axis need not start at zero.",
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
        "ASR (%) over all languages and seeds, without intervals: a cell rests on few questions. Its interval stands in "
        "`plots/eval/by-category.json` and `by-style.json`.",
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
