"""The README is short, and its results are those of the committed evaluation."""

import re
from collections.abc import Collection
from statistics import fmean

from repository import ROOT

from refuseu.commands.table import BEGIN, END
from refuseu.experiment import HIGH_RESOURCE, LANGUAGES, PIVOT
from refuseu.report.tables import summary_table
from refuseu.results.outputs import Evaluation

TEXT = (ROOT / "README.md").read_text()
MOST_WORDS = 900
EVALUATION = Evaluation.read(ROOT / "plots/eval/averages.json", ROOT / "plots/eval.json")


def prose(text: str) -> str:
    """What is left without code blocks (the BibTeX among them), and the addresses of links and images."""
    without_code = re.sub(r"^```.*?^```$", "", text, flags=re.DOTALL | re.MULTILINE)
    return re.sub(r"\]\([^)]*\)", "]", without_code)


def words(text: str) -> int:
    """Pieces between blanks that hold a letter or a digit, in sentences, headings, lists and tables alike."""
    return sum(any(character.isalnum() for character in piece) for piece in prose(text).split())


def mean_asr(model: str, languages: Collection[str]) -> float:
    """Mean over ``languages`` of a model's attack success rate, in percent; what could not be judged is no success."""
    rates = [row.asr_lower_bound for row in EVALUATION.of(model) if row.language in languages]
    assert len(rates) == len(languages)
    return fmean(rates)


def test_the_words_are_few() -> None:
    assert words(TEXT) <= MOST_WORDS


def test_words_are_counted_without_code_and_addresses() -> None:
    text = "# Title here\n\n```\nmake repro now\n```\n\n| one | 2.0 |\n|---|---:|\n\n* [a link](docs/x.md) · `code`\n"
    assert words(text) == len(["Title", "here", "one", "2.0", "a", "link", "code"])


def test_the_table_of_results_is_that_of_the_report() -> None:
    between = TEXT.partition(BEGIN)[2].partition(END)[0].strip()
    assert between == summary_table(EVALUATION).markdown(), "write it: python -m refuseu.commands.table --readme"


def test_the_sentences_on_results_are_the_evaluations() -> None:
    """Each sentence states an order. Where one fails, the results no longer show it, and the README must say what they show."""
    said, others = " ".join(TEXT.split()), set(LANGUAGES) - {PIVOT}
    trained = [name for name in EVALUATION.main if name != "base"]
    by_language = {name: {row.language: row.asr_lower_bound for row in EVALUATION.of(name)} for name in EVALUATION.main}
    assert "(`balanced`) makes it safer in all of them;" in said
    assert all(by_language["balanced"][lang] < by_language["base"][lang] for lang in LANGUAGES)
    assert "(`english-only`) leaves the other languages least safe of these mixes" in said
    assert max(trained, key=lambda name: mean_asr(name, others)) == "english-only"
    assert "`high-resource` is safer in its own six languages than in the others" in said
    assert mean_asr("high-resource", HIGH_RESOURCE) < mean_asr("high-resource", set(LANGUAGES) - HIGH_RESOURCE)
