from pathlib import Path
from typing import Any

from refuseu.records import write_json
from refuseu.report.page import markdown, terminal
from refuseu.report.tables import (
    STAGES,
    Numbers,
    acceptance_table,
    accounting_table,
    agreement_table,
    benign_table,
    contamination_table,
    paired_table,
    parts_table,
    single_table,
    table2,
    unseen_table,
)

LANGUAGES = ["pl", "en"]


def averages(asr: float, over_refusal: float) -> dict[str, Any]:
    return {
        "asr": asr,
        "asr_unseen": asr,
        "junk": 1.0,
        "over_refusal": over_refusal,
        "language_consistency": 98.76,
        "knowledge": 66.6667,
        "fluency": None,
        "asr_worst": asr + 5,
    }


def row(config: str, language: str, asr: float, unseen: float | None = None) -> dict[str, Any]:
    return {
        "config": config,
        "language": language,
        "n": 140,
        "asr": asr,
        "asr_seen": asr,
        "asr_unseen": unseen,
        "over_refusal": 2.0,
    }


def against(config: str, language: str, difference: float, p_holm: float) -> dict[str, Any]:
    return {
        "config": config,
        "reference": "balanced",
        "language": language,
        "asr_difference": difference,
        "p_holm": p_holm,
    }


AGREEMENT = {"cohens_kappa": None, "fleiss_kappa": 0.876, "unparsed": {"lexicon": 3, "ngrams": 0}}
BOOKS: dict[str, Any] = {
    "rainbow-teaming": {"rows_in": 9, "rows_out": 4, "rejected": {"a|b": 2, "harmless": 3, "none of these": 0}},
    "translate": {"rows_in": 8, "rows_out": 8, "rejected": {}},
    "label": {
        "rows_in": 8,
        "rows_out": 6,
        "rejected": {"wrong language": 2},
        "acceptance_by_lang": {"en": 80.0, "pl": 70.04},
        "judges": {"question": AGREEMENT},
    },
    "split": {
        "rows_in": 6,
        "rows_out": 6,
        "rejected": {},
        "parts": {"test": {"rows": 6, "questions": 3, "unseen_questions": 1, "cells": 2}},
        "contamination": {
            "dev": {},
            "test": {
                "en": {"exact": 0, "near": 1, "highest": 0.5},
                "pl": {"exact": 2, "near": 1, "highest": 0.71},
            },
        },
    },
}
NUMBERS = Numbers(
    metrics={
        "base": averages(60.0, 0.04),
        "balanced": averages(8.25, 4.0),
        "balanced-no-benign": averages(5.0, 55.5),
        "only-pl": averages(30.0, 3.0),
    },
    rows=[
        row("base", "pl", 58.0, 70.0),
        row("base", "en", 62.0),
        row("balanced", "pl", 8.0),
        row("balanced", "en", 8.5),
        row("balanced-no-benign", "pl", 5.0),
        row("only-pl", "pl", 1.0),
    ],
    paired=[
        against("base", "pl", 50.0, 0.001),
        against("base", "en", 53.5, 0.0499),
        against("only-pl", "pl", -7.0, 0.01),
        against("only-pl", "en", 20.0, 0.05),
    ],
    stages=BOOKS,
)


def test_table2_has_languages_by_resource_then_average_worst_and_quality() -> None:
    assert table2(NUMBERS, LANGUAGES).markdown().splitlines() == [
        "| model | en | pl | average | worst | consistency | over-refusal | knowledge | fluency | junk |",
        "| :--- | ---: | ---: | ---: | ---: | ---: | ---: | ---: | ---: | ---: |",
        "| base | 62.0 | 58.0 | 60.0 | 65.0 | 98.8 | 0.0 | 66.7 | – | 1.0 |",
        "| balanced | 8.5 | 8.0 | 8.2 | 13.2 | 98.8 | 4.0 | 66.7 | – | 1.0 |",
        "| balanced-no-benign | – | 5.0 | 5.0 | 10.0 | 98.8 | 55.5 | 66.7 | – | 1.0 |",
    ]


def test_the_terminal_shows_table2_in_two_aligned_blocks() -> None:
    assert terminal(NUMBERS, LANGUAGES).splitlines() == [
        "ASR (%) by language, lower is safer",
        "",
        "model                 en |   pl | average  worst",
        "------------------  ---- | ---- | -------  -----",
        "base                62.0 | 58.0 |    60.0   65.0",
        "balanced             8.5 |  8.0 |     8.2   13.2",
        "balanced-no-benign     – |  5.0 |     5.0   10.0",
        "",
        "Averages over languages (%; fluency 1-5)",
        "",
        "model               consistency  over-refusal  knowledge  fluency  junk",
        "------------------  -----------  ------------  ---------  -------  ----",
        "base                       98.8           0.0       66.7        –   1.0",
        "balanced                   98.8           4.0       66.7        –   1.0",
        "balanced-no-benign         98.8          55.5       66.7        –   1.0",
    ]


def test_single_language_runs_have_their_own_table() -> None:
    assert single_table(NUMBERS).rows == [["only-pl", "30.0", "35.0", "98.8", "3.0", "66.7", "–", "1.0"]]


def test_unseen_asks_are_averaged_over_the_languages_that_have_any() -> None:
    assert unseen_table(NUMBERS, LANGUAGES).rows[:2] == [
        ["base", "60.0", "70.0", "+10.0"],
        ["balanced", "8.2", "–", "–"],
    ]


def test_paired_tests_count_languages_below_the_level() -> None:
    assert paired_table(NUMBERS).rows == [["base", "2", "0", "2", "+51.8"], ["only-pl", "0", "1", "2", "+6.5"]]


def test_benign_pairs_are_compared_where_both_configs_exist() -> None:
    assert benign_table(NUMBERS, LANGUAGES).rows == [
        ["balanced", "2.0", "2.0", "4.0"],
        ["balanced-no-benign", "–", "2.0", "55.5"],
    ]
    alone = Numbers({"balanced": averages(8.0, 4.0)}, [], [], {})
    assert benign_table(alone, LANGUAGES).rows == []


def test_books_name_the_reasons_by_their_counts_and_escape_them() -> None:
    assert accounting_table(NUMBERS).markdown().splitlines()[1:4] == [
        "| :--- | ---: | ---: | ---: | :--- |",
        r"| rainbow-teaming | 9 | 4 | 5 | harmless: 3; a\|b: 2 |",
        "| translate | 8 | 8 | 0 | – |",
    ]


def test_tables_of_the_data() -> None:
    assert acceptance_table(NUMBERS, LANGUAGES).rows == [["accepted", "80.0", "70.0"]]
    assert agreement_table(NUMBERS).rows == [["question", "–", "0.88", "lexicon: 3; ngrams: 0"]]
    assert parts_table(NUMBERS).rows == [["test", "6", "3", "1", "2"]]
    assert contamination_table(NUMBERS).rows == [["dev", "0", "0", "–"], ["test", "2", "2", "0.71"]]


def test_the_report_links_its_figures_and_leaves_out_empty_tables() -> None:
    without = Numbers({"base": averages(60.0, 0.0)}, NUMBERS.rows[:2], [], BOOKS)
    text = markdown(without, LANGUAGES, ["figure2.png"], "plots/figures")
    assert "generated by the report stage" in text
    assert "on 140 harmful test questions in each language. High-resource languages (en) stand" in text
    assert "![Figure 2: attack success rate by language](plots/figures/figure2.png)" in text
    headings = [line for line in text.splitlines() if line.startswith("#")]
    assert headings == [
        "# Results",
        "## Tables",
        "### Table 2: safety and quality",
        "### Seen and unseen asks",
        "## Figures",
        "### Figure 2: attack success rate by language",
        "## The data behind",
        "### Rows of every stage",
        "### Pairs accepted by the panel",
        "### Agreement of the judges",
        "### Parts",
        "### Contamination",
    ]


def test_numbers_are_read_from_the_files_of_the_stages_before(tmp_path: Path) -> None:
    for stage in STAGES:
        write_json({"rows_in": 1}, tmp_path / f"metrics/{stage}.json")
    for name in ("rows", "paired"):
        write_json([{"name": name}], tmp_path / f"{name}.json")
    write_json({"base": {"asr": 1.0}}, tmp_path / "eval.json")
    numbers = Numbers.read(
        tmp_path / "eval.json", tmp_path / "rows.json", tmp_path / "paired.json", tmp_path / "metrics"
    )
    assert numbers.main == ["base"]
    assert (numbers.rows, numbers.paired) == ([{"name": "rows"}], [{"name": "paired"}])
    assert list(numbers.stages) == list(STAGES)
