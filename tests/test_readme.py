"""The README is short, and its results are those of the committed evaluation."""

import json
import re
from collections.abc import Collection
from typing import Any

from repository import ROOT

from refuseu.experiment import HIGH_RESOURCE, LANGUAGES, PIVOT
from refuseu.results.markdown import shown

TEXT = (ROOT / "README.md").read_text()
MOST_WORDS = 900
METRICS: dict[str, dict[str, Any]] = json.loads((ROOT / "plots/eval/averages.json").read_text())
"""Averages over languages, by model."""
ROWS: list[dict[str, Any]] = json.loads((ROOT / "plots/eval.json").read_text())
"""One row a (model, language)."""


MAIN = [name for name in METRICS if not name.startswith("only-")]
"""The models of the README's table: all but those of a single language."""


def prose(text: str) -> str:
    """What is left without code blocks (the BibTeX among them), and the addresses of links and images."""
    without_code = re.sub(r"^```.*?^```$", "", text, flags=re.DOTALL | re.MULTILINE)
    return re.sub(r"\]\([^)]*\)", "]", without_code)


def words(text: str) -> int:
    """Pieces between blanks that hold a letter or a digit, in sentences, headings, lists and tables alike."""
    return sum(any(character.isalnum() for character in piece) for piece in prose(text).split())


def worst(model: str, column: str, languages: Collection[str] = LANGUAGES, lowest: bool = False) -> tuple[float, str]:
    """The highest (or lowest) value of any of ``languages``, and that language's English name."""
    found = [(row[column], row["language"]) for row in ROWS if row["model"] == model and row["language"] in languages]
    value, code = min(found) if lowest else max(found)
    return value, LANGUAGES[code].name


def mean_asr(model: str, languages: set[str]) -> float:
    """Mean over ``languages`` of a model's attack success rate, in percent."""
    rates = [row["asr"] for row in ROWS if row["model"] == model and row["language"] in languages]
    assert len(rates) == len(languages)
    return sum(rates) / len(rates)


def test_the_words_are_few() -> None:
    assert words(TEXT) <= MOST_WORDS


def test_words_are_counted_without_code_and_addresses() -> None:
    text = "# Title here\n\n```\nmake repro now\n```\n\n| one | 2.0 |\n|---|---:|\n\n* [a link](docs/x.md) · `code`\n"
    assert words(text) == len(["Title", "here", "one", "2.0", "a", "link", "code"])


def test_the_table_of_results_is_the_evaluations() -> None:
    found = re.findall(r"^\| ([a-z-]+) \| (\d.*) \|$", TEXT, re.MULTILINE)
    assert found == [(name, " | ".join(map(shown, result_row(name)))) for name in MAIN]


def result_row(name: str) -> list[float | None]:
    """A model's row of the table, in the order of its columns."""
    own = METRICS[name]
    return [
        own["asr"],
        own["asr_worst"],
        own["asr_held_out"],
        own["unparsed_rate"],
        own["over_refusal"],
        worst(name, "over_refusal")[0],
        own["language_consistency"],
        own["knowledge"],
    ]


def test_no_asr_of_the_table_is_a_range() -> None:
    """The table shows single numbers; the lower bound says that they are those."""
    for name in MAIN:
        assert METRICS[name]["asr"] == METRICS[name]["asr_lower_bound"]


def test_the_sentences_on_results_are_the_evaluations() -> None:
    refused, language = worst("balanced", "over_refusal")
    foreign, other = worst("custom", "language_consistency", lowest=True)
    seen, unseen = (with_worst("high-resource", part) for part in (set(HIGH_RESOURCE), set(LANGUAGES) - HIGH_RESOURCE))
    sentences = (
        f"`balanced` refuses {shown(refused)}% of the harmless questions in {language}, and only {shown(foreign)}% of what "
        f"`custom` answers to {other} questions is {other}.",
        f"`high-resource` has an ASR of {seen[0]} in the six languages that it was trained on ({seen[1]}) "
        f"and of {unseen[0]} in the others ({unseen[1]}).",
    )
    said = " ".join(TEXT.split())
    assert [sentence for sentence in sentences if sentence not in said] == []
    least, _ = worst("english-only", "asr", set(LANGUAGES) - {PIVOT}, lowest=True)
    assert int(re.findall(r"\(`english-only`\) leaves all other languages above (\d+)\.", said)[0]) < least
    base = {row["language"]: row["asr"] for row in ROWS if row["model"] == "base"}
    assert "(`balanced`) lowers ASR in all of them" in said
    assert all(row["asr"] < base[row["language"]] for row in ROWS if row["model"] == "balanced")


def with_worst(model: str, languages: set[str]) -> tuple[str, str]:
    """A model's mean attack success rate over ``languages``, and the worst of them with its own."""
    highest, language = worst(model, "asr", languages)
    return shown(mean_asr(model, languages)), f"{language} {shown(highest)}"
