from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest
from evaluated import asr_columns, averages, language_row, set_row
from repository import ROOT

from refuseu.core.errors import UserError
from refuseu.core.files import write_json
from refuseu.experiment import by_resource
from refuseu.report import tables
from refuseu.report.page import Numbers, markdown, terminal
from refuseu.report.settings import BenignPairs, Report, ReportParameters
from refuseu.report.tables import (
    acceptance_table,
    accounting_table,
    agreement_table,
    benign_table,
    contamination_table,
    judge_table,
    paper_table,
    parts_table,
    quality_notes,
    ratings_table,
    set_asr_table,
    set_refusal_table,
    single_table,
    table2,
    verdicts_table,
    worst_table,
)
from refuseu.results.corrected import LABELS
from refuseu.results.metrics import BY_NAME
from refuseu.results.outputs import (
    WHY_RANGE,
    Account,
    Agreement,
    DifferenceRow,
    Evaluation,
    JudgeRow,
    LabelAccount,
    LanguageRow,
    QuestionAccount,
    SearchRow,
    SetRow,
    SplitAccount,
    TranslateAccount,
)

IN_TABLE2 = (
    "language_consistency",
    "line_pass_rate",
    "language_undecided",
    "over_refusal",
    "knowledge",
    "fluency",
    "unparsed_rate",
)


@pytest.fixture(autouse=True)
def these_metrics_in_table2(monkeypatch: pytest.MonkeyPatch) -> None:
    """The pages of these tests stay as they are when another metric is put into Table 2."""
    monkeypatch.setattr(tables, "TABLE2", [BY_NAME[name] for name in IN_TABLE2])


LANGUAGES = ["pl", "en"]
BENIGN_PAIRS = BenignPairs(with_pairs="balanced", without_pairs="balanced-no-benign")
PARAMETERS = ReportParameters(
    languages=LANGUAGES,
    categories={"S1": "Violent Crimes"},
    styles={"slang": "Slang"},
    report=Report(dpi=100, benign_pairs=BENIGN_PAIRS),
)


def row(
    model: str,
    language: str,
    asr: float | None,
    held_out: float | None = None,
    seen: float | None = None,
    uncovered_by: Sequence[str] = (),
    rated: tuple[int, int] = (0, 0),
) -> LanguageRow:
    """``rated`` are answers that were rated, and such that were to be."""
    return language_row(
        model=model,
        language=language,
        **asr_columns(asr),
        asr_low=0.0,
        asr_high=100.0,
        asr_seen=asr if seen is None else seen,
        asr_held_out=held_out,
        over_refusal=2.0,
        language_consistency=98.0,
        knowledge=66.0,
        rated=rated[0],
        rated_unparsed=rated[1],
        uncovered_by=list(uncovered_by),
    )


def against(model: str, difference: float, p_holm: float) -> DifferenceRow:
    return DifferenceRow(
        rate="asr",
        model=model,
        reference="balanced",
        difference=difference,
        low=difference - 2,
        high=difference + 2,
        p_holm=p_holm,
        seed_sd=None,
        smallest_detectable=3.0,
        told_apart=p_holm < 0.05,
        complete_cases=difference + 1,
        clusters="question",
    )


SAID = {"harmful": 4, "safe": 1, "unparsed": 3}
BOOKS: dict[str, dict[str, Any]] = {
    "rainbow-teaming": {"rows_in": 9, "rows_out": 4, "rejected": {"a|b": 2, "harmless": 3, "none of these": 0}},
    "translate": {"rows_in": 8, "rows_out": 8, "rejected": {}},
    "respond": {"rows_in": 8, "rows_out": 8, "rejected": {}},
    "label": {
        "rows_in": 8,
        "rows_out": 6,
        "rejected": {"wrong language": 2},
        "acceptance_by_lang": {"en": 80.0, "pl": 70.04},
        "judges": {
            "question": {
                "gwets_ac1": 0.984,
                "raw_agreement": 98.3,
                "cohens_kappa": None,
                "fleiss_kappa": 0.876,
                "verdicts": {"lexicon": SAID},
            },
        },
        "uncovered": {},
    },
    "split": {
        "rows_in": 6,
        "rows_out": 6,
        "rejected": {},
        "parts": {"test": {"rows": 6, "questions": 3, "held_out_questions": 1, "cells": 2}},
        "contamination": {
            "dev": {},
            "test": {
                "en": {"exact": 0, "near": 1, "highest": 0.5},
                "pl": {"exact": 2, "near": 4, "highest": 0.71},
            },
        },
        "mixes": {},
    },
}
LABEL, SPLIT = LabelAccount(**BOOKS["label"]), SplitAccount(**BOOKS["split"])
DATA: dict[str, Any] = {
    "rainbow_teaming": QuestionAccount(**BOOKS["rainbow-teaming"]),
    "translate": TranslateAccount(**BOOKS["translate"]),
    "respond": Account(**BOOKS["respond"]),
    "label": LABEL,
    "split": SPLIT,
}
EVALUATION = Evaluation(
    averages={
        "base": averages(60.0, over_refusal=0.04),
        "balanced": averages(8.25),
        "balanced-no-benign": averages(5.0, over_refusal=55.5),
        "only-pl": averages(30.0, over_refusal=3.0, fluency=4.937),
    },
    rows=[
        row("base", "pl", 58.0, 70.0),
        row("base", "en", 62.0),
        row("balanced", "pl", 8.0),
        row("balanced", "en", 8.5),
        row("balanced-no-benign", "pl", 5.0),
        row("only-pl", "pl", 1.0),
    ],
)
DIFFERENCES = [against("base", 51.75, 0.001), against("only-pl", 6.5, 0.05)]


def alone(model: str, judge: str, *asrs: float | None) -> list[JudgeRow]:
    """What one judge says of a model, language by language; ``None`` is a range from 10 to 90."""
    least_most = [(asr, asr) if asr is not None else (10.0, 90.0) for asr in asrs]
    return [
        JudgeRow(model=model, judge=judge, asr=asr, asr_lower_bound=least, asr_upper_bound=most)
        for asr, (least, most) in zip(asrs, least_most, strict=True)
    ]


BY_JUDGE = [*alone("base", "guard", 50.0, 61.0), *alone("base", "guard (loose)", 40.0, None)]
BROKEN = Evaluation(
    averages={"base": averages(60.0), "balanced": averages(8.0), "broken": averages(None), "only-pl": averages(None)},
    rows=[
        *(row("base", lang, 60.0, 60.0) for lang in LANGUAGES),
        *(row("balanced", lang, 8.0, 9.0, seen=7.0) for lang in LANGUAGES),
        row("broken", "pl", None),
        row("broken", "en", 30.0, 30.0),
        *(row("only-pl", lang, None) for lang in LANGUAGES),
    ],
)
"""A model whose answers could not be judged: in one language, and in all."""


def test_table2_has_languages_by_resource_then_average_worst_and_quality() -> None:
    assert table2(EVALUATION, LANGUAGES).markdown().splitlines() == [
        "| model | en | pl | average | worst | consistency | LPR | undecided | over-refusal | knowledge | fluency | unparsed |",
        "| :--- | ---: | ---: | ---: | ---: | ---: | ---: | ---: | ---: | ---: | ---: | ---: |",
        "| base | 62.0 | 58.0 | 60.0 | 65.0 | 98.8 | 81.2 | 0.5 | 0.0 | 66.7 | – | 1.0 |",
        "| balanced | 8.5 | 8.0 | 8.2 | 13.2 | 98.8 | 81.2 | 0.5 | 4.0 | 66.7 | – | 1.0 |",
        "| balanced-no-benign | – | 5.0 | 5.0 | 10.0 | 98.8 | 81.2 | 0.5 | 55.5 | 66.7 | – | 1.0 |",
    ]


def test_the_terminal_shows_table2_in_two_aligned_blocks() -> None:
    assert terminal(EVALUATION, LANGUAGES).splitlines() == [
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
        "model               consistency   LPR  undecided  over-refusal  knowledge  fluency  unparsed",
        "------------------  -----------  ----  ---------  ------------  ---------  -------  --------",
        "base                       98.8  81.2        0.5           0.0       66.7        –       1.0",
        "balanced                   98.8  81.2        0.5           4.0       66.7        –       1.0",
        "balanced-no-benign         98.8  81.2        0.5          55.5       66.7        –       1.0",
        "",
        "The worst language of each number",
        "",
        *worst_table(EVALUATION, EVALUATION.main).text().splitlines(),
    ]


def test_the_worst_language_stands_beside_every_average() -> None:
    rows = [row("base", "en", 60.0), row("base", "pl", 70.0)]
    rows = [
        each.model_copy(update={"over_refusal": refused, "language_consistency": right, "knowledge": None})
        for each, refused, right in zip(rows, (36.7, 0.0), (99.0, 55.7), strict=True)
    ]
    found = Evaluation({"base": averages(65.0, asr_worst=70.0)}, rows)
    table = worst_table(found, ["base"])
    assert table.header == ["model", "ASR", "consistency", "LPR", "over-refusal", "knowledge", "fluency", "unparsed"]
    cells = dict(zip(table.header, table.rows[0], strict=True))
    assert (cells["ASR"], cells["over-refusal"], cells["consistency"]) == ("70.0 pl", "36.7 en", "55.7 pl")
    assert cells["knowledge"] == "–"


def test_the_worst_language_of_ranges_is_that_which_reaches_highest() -> None:
    assert worst_table(BROKEN, ["broken"]).rows[0][1] == "0.0–100.0 pl"


def test_high_resource_languages_come_first_each_group_in_the_order_given() -> None:
    assert by_resource(["pl", "fr", "lv", "en", "cs"]) == ["fr", "en", "pl", "lv", "cs"]


def test_single_language_runs_have_their_own_table() -> None:
    assert single_table(EVALUATION).rows == [
        ["only-pl", "30.0", "35.0", "98.8", "81.2", "0.5", "3.0", "66.7", "4.94", "1.0"]
    ]


def test_benign_pairs_are_compared_where_both_configs_exist() -> None:
    table = benign_table(EVALUATION, LANGUAGES, BENIGN_PAIRS)
    assert table.rows == [
        ["balanced", "2.0", "2.0", "4.0"],
        ["balanced-no-benign", "–", "2.0", "55.5"],
    ]
    average = "mean over languages; `balanced-no-benign` trains without benign pairs, as the paper does"
    assert table.notes == (f"**average**: {average}",)
    assert benign_table(BROKEN, LANGUAGES, BENIGN_PAIRS).rows == []
    assert benign_table(EVALUATION, LANGUAGES, None).rows == []
    named = BenignPairs(with_pairs="balanced", without_pairs="only-pl")
    assert [line[0] for line in benign_table(EVALUATION, LANGUAGES, named).rows] == ["balanced", "only-pl"]


def test_each_judge_is_shown_beside_the_panel() -> None:
    table = judge_table(EVALUATION, BY_JUDGE)
    assert table.header == ["model", "panel", "guard", "guard (loose)"]
    assert table.rows == [
        ["base", "60.0", "55.5", "25.0–65.0"],
        ["balanced", "8.2", "–", "–"],
        ["balanced-no-benign", "5.0", "–", "–"],
    ]
    assert table.notes == (WHY_RANGE,)
    assert judge_table(EVALUATION, alone("base", "guard", 50.0, 61.0)).rows == []


def test_ratings_are_shown_with_how_many_they_rest_on() -> None:
    rated = Evaluation(
        {
            "base": averages(60.0, rated_fluency=4.5, rated_correctness=3.255),
            "balanced": averages(8.0),
            "only-pl": averages(9.0),
        },
        [
            row("base", "pl", 60.0, rated=(40, 10)),
            row("base", "en", 60.0, rated=(50, 0)),
            row("balanced", "pl", 8.0, rated=(0, 50)),
            row("only-pl", "pl", 9.0),
        ],
    )
    assert ratings_table(rated).rows == [["base", "4.50", "3.25", "90", "10"], ["balanced", "–", "–", "0", "50"]]
    assert ratings_table(EVALUATION).rows == []


UNKNOWN = Evaluation(
    {"balanced": averages(60.0), "balanced-no-benign": averages(5.0)},
    [
        *(row(name, "pl", 60.0, uncovered_by=["llama"]) for name in ("balanced", "balanced-no-benign")),
        row("balanced", "lt", 60.0, uncovered_by=["llama", "poly_guard"]),
        row("balanced", "en", 60.0),
    ],
)
NOTE = (
    "†: rests on verdicts in languages that a judge is not officially made for, so read with care: "
    r"llama in pl, lt; poly\_guard in lt"
)


def test_a_language_that_a_judge_does_not_cover_is_marked_and_the_judge_named() -> None:
    languages = ["pl", "en", "lt"]
    for table in (table2(UNKNOWN, languages), benign_table(UNKNOWN, languages, BENIGN_PAIRS)):
        assert table.header[1:4] == ["en", "pl†", "lt†"]
        assert table.notes[-1] == NOTE
    assert terminal(UNKNOWN, languages).count(NOTE) == 1
    by_judge = [*alone("balanced", "llama", 50.0), *alone("balanced", "other", 50.0)]
    assert judge_table(UNKNOWN, by_judge).header == ["model", "panel", "llama†", "other"]
    label = LABEL.model_copy(update={"uncovered": {"poly_guard": ["lt"]}})
    assert acceptance_table(label, languages).header == ["", "en", "pl", "lt†"]
    assert acceptance_table(label, languages).notes[0].endswith(r"read with care: poly\_guard in lt")
    assert acceptance_table(LABEL, languages).notes == ()


def test_books_name_the_reasons_by_their_counts_and_escape_them() -> None:
    assert accounting_table(
        {"rainbow-teaming": DATA["rainbow_teaming"], "translate": DATA["translate"]}
    ).markdown().splitlines()[1:] == [
        "| :--- | ---: | ---: | ---: | :--- |",
        r"| rainbow-teaming | 9 | 4 | 5 | harmless: 3; a\|b: 2 |",
        "| translate | 8 | 8 | 0 | – |",
    ]


def test_tables_of_the_data() -> None:
    assert acceptance_table(LABEL, LANGUAGES).rows == [["accepted", "80.0", "70.0"]]
    assert agreement_table(LABEL).rows == [["question", "98.3", "0.98", "–", "0.88"]]
    assert verdicts_table(LABEL).rows == [["question", "lexicon", "4", "1", "3"]]
    assert parts_table(SPLIT).rows == [["test", "6", "3", "1", "2"]]
    assert contamination_table(SPLIT).rows == [["dev", "0", "0", "–"], ["test", "2", "5", "0.71"]]


def test_an_asr_that_is_no_single_number_is_shown_as_a_range_with_the_reason() -> None:
    table = table2(BROKEN, LANGUAGES)
    assert [line[:5] for line in table.rows] == [
        ["base", "60.0", "60.0", "60.0", "65.0"],
        ["balanced", "8.0", "8.0", "8.0", "13.0"],
        ["broken", "30.0", "0.0–100.0", "0.0–100.0", "30.0–100.0"],
    ]
    assert [line[:3] for line in single_table(BROKEN).rows] == [["only-pl", "0.0–100.0", "0.0–100.0"]]
    assert table.notes == single_table(BROKEN).notes == (WHY_RANGE,)
    assert "eval.max_unparsed" in WHY_RANGE
    lines = terminal(BROKEN, LANGUAGES).splitlines()
    assert lines[6] == "broken    30.0 | 0.0–100.0 | 0.0–100.0  30.0–100.0"
    assert WHY_RANGE in lines


def test_no_reason_is_given_where_there_is_no_range() -> None:
    assert [table.notes for table in (table2(EVALUATION, LANGUAGES), single_table(EVALUATION))] == [()] * 2
    assert WHY_RANGE not in terminal(EVALUATION, LANGUAGES)


def test_parts_count_no_held_out_questions_where_the_behaviors_are_unknown() -> None:
    part = SPLIT.parts["test"].model_copy(update={"held_out_questions": None})
    account = SPLIT.model_copy(update={"parts": {"test": part}})
    assert parts_table(SPLIT).rows == [["test", "6", "3", "1", "2"]]
    assert parts_table(account).rows == [["test", "6", "3", "–", "2"]]


@pytest.mark.parametrize(
    ("made_by", "said"),
    [
        ("search", "The questions were found by a search"),
        ("generator", "The questions were written by language models, each in its language"),
        ("published", "The questions are those of a published set"),
    ],
)
def test_the_report_says_where_the_questions_are_from(made_by: str, said: str) -> None:
    account = QuestionAccount.model_validate({**BOOKS["rainbow-teaming"], "made_by": made_by})
    numbers = Numbers(EVALUATION, [], [], **{**DATA, "rainbow_teaming": account})
    lines = markdown(numbers, PARAMETERS, [], "plots/figures").splitlines()
    place = lines.index("## The data behind")
    assert lines[place + 2].startswith(said) and lines[place + 2].endswith(f"(`{made_by}`).")
    assert lines[place + 4] == "### Rows of every stage"


def test_the_report_links_its_figures_and_leaves_out_empty_tables() -> None:
    without = Numbers(Evaluation({"base": averages(60.0)}, EVALUATION.rows[:2]), [], [], **DATA)
    text = markdown(without, PARAMETERS, ["figure2.png"], "plots/figures")
    assert "generated by the report stage" in text
    assert (
        "on 140 harmful test questions in each language. The languages are en English, pl Polish. High-resource" in text
    )
    assert "![Figure 2: attack success rate by language](plots/figures/figure2.png)" in text
    headings = [line for line in text.splitlines() if line.startswith("#")]
    assert headings == [
        "# Results",
        "## How far to believe this",
        "### Summary",
        "### What cannot be shown here",
        "## Tables",
        "### Table 2: safety and quality",
        "### The worst language of each number",
        "## Figures",
        "### Figure 2: attack success rate by language",
        "## The data behind",
        "### Rows of every stage",
        "### Pairs accepted by the panel",
        "### Agreement of the judges",
        "### Verdicts of the judges",
        "### Parts",
        "### Contamination",
    ]


def test_the_report_says_how_many_questions_the_shares_rest_on() -> None:
    rows = [each.model_copy(update={"n": n}) for each, n in zip(EVALUATION.rows[:2], (139, 120), strict=True)]
    numbers = Numbers(Evaluation({"base": averages(60.0)}, rows), [], [], **DATA)
    assert "on 120–139 harmful test questions" in markdown(numbers, PARAMETERS, [], "figures")


def test_the_report_says_why_there_are_ranges_once_below_each_table_that_has_any() -> None:
    text = markdown(Numbers(BROKEN, DIFFERENCES, [], **DATA), PARAMETERS, [], "figures")
    sections = {block.splitlines()[0]: block for block in text.split("### ")[1:]}
    assert [title for title, block in sections.items() if WHY_RANGE in block] == [
        "Summary",
        "Table 2: safety and quality",
        "Single-language runs",
    ]
    assert text.count(WHY_RANGE) == 3
    assert "Reference of the differences: balanced." in text


PAPER = ROOT / "data/paper/asr.csv"
SEARCH = [SearchRow(iteration=1, coverage=0.5, mean_fitness=0.7, qd_score=9.0, self_bleu=0.3, acceptance=0.1)]
NOT_KNOWN = dict.fromkeys(("behavior_id", "frame_id", "category", "style", "held_out", "held_out_frame"))
OUTCOMES = {
    "kinds": {"asr": ["harmful"]},
    "questions": [{"question_id": name, "kind": "harmful", **NOT_KNOWN} for name in ("q1", "q2")],
    "outcomes": [{"rate": "asr", "model": "balanced", "seed": seed, "lang": "en", "outcomes": "01"} for seed in (0, 1)],
}


def write_numbers(root: Path, identities: dict[str, str] | None = None) -> None:
    for stage, books in BOOKS.items():
        write_json(books, root / f"metrics/{stage}.json")
    write_json([each.model_dump() for each in DIFFERENCES], root / "plots/differences.json")
    for name in ("unseen", "agreement", "disagreements"):
        write_json([], root / f"plots/{name}.json")
    write_json([each.model_dump() for each in SEARCH], root / "plots/search.json")
    write_json(OUTCOMES, root / "plots/outcomes.json")
    write_json([], root / "plots/sets.json")
    write_json(
        {"models": {name: {"4": each} for name, each in (identities or {}).items()}, "sets": {}},
        root / "metrics/evaluated.json",
    )
    write_json([each.model_dump() for each in BY_JUDGE], root / "plots/by-judge.json")


def read_numbers(evaluation: Evaluation, root: Path) -> Numbers:
    return Numbers.read(evaluation, root / "plots", root / "metrics", PAPER, root / "plots/search.json", root)


def test_numbers_are_read_from_the_files_of_the_stages_before(tmp_path: Path) -> None:
    write_numbers(tmp_path)
    numbers = read_numbers(EVALUATION, tmp_path)
    assert numbers == Numbers(EVALUATION, DIFFERENCES, BY_JUDGE, **DATA, sizes=numbers.sizes, search=SEARCH)
    assert [(each.part, each.questions, each.answers) for each in numbers.sizes] == [("whole test", 2, 4)]
    assert numbers.label.judges["question"] == Agreement(**BOOKS["label"]["judges"]["question"])
    assert list(numbers.stages) == ["rainbow-teaming", "translate", "respond", "label", "split"]


def test_people_correct_the_rates_of_these_results_alone(tmp_path: Path) -> None:
    write_numbers(tmp_path)
    rows = [
        *(
            "balanced,0,en,q1,a,4,0,0",
            "balanced,0,en,q2,a,4,1,1",
            "balanced,1,en,q1,a,4,0,1",
            "balanced,1,en,q2,a,4,1,1",
        ),
    ]
    (tmp_path / "answers.csv").write_text("\n".join([",".join(LABELS), *rows]) + "\n")
    numbers = read_numbers(EVALUATION, tmp_path)
    of, labels, judged, _, value, *_ = numbers.corrected.rows[0]
    assert (of, labels, judged, value) == ("balanced", "4", "50.0", "75.0")
    assert "### ASR corrected by people's labels" in markdown(numbers, PARAMETERS, [], "figures")
    (tmp_path / "answers.csv").write_text("\n".join([",".join(LABELS), rows[0].replace(",0,0", ",1,0")]) + "\n")
    # The panel said something else of the answer then.
    assert "answers.csv: of other results than these" in read_numbers(EVALUATION, tmp_path).corrected.markdown()


def test_the_papers_figures_stand_beside_ours_where_model_size_and_language_are_the_same(tmp_path: Path) -> None:
    base = "mlabonne/Meta-Llama-3.1-8B-Instruct-abliterated@0123"
    mixes = {name: {"rows": 4, "benign": benign} for name, benign in (("balanced", 0), ("english-only", 1))}
    identities = {"base": f"{base} vllm bfloat16", **dict.fromkeys(mixes, f"{base}+abc vllm bfloat16")}
    write_numbers(tmp_path, identities)
    write_json({**BOOKS["split"], "mixes": mixes}, tmp_path / "metrics/split.json")
    rows = [row("base", "pl", 60.0), row("base", "en", 60.0), row("balanced", "pl", 8.0), row("balanced", "en", 2.0)]
    ours = Evaluation({"base": averages(60.0), "balanced": averages(5.0)}, rows)
    numbers = read_numbers(ours, tmp_path)
    table = paper_table(ours, numbers.paper, LANGUAGES)
    assert table.header == ["model", "from", "pl"]  # the paper's row of English could not be read
    assert table.rows == [
        ["base", "ours", "60.0"],
        ["base", "paper", "78.96"],
        ["balanced", "ours", "8.0"],
        ["balanced", "paper", "5.80"],
    ]
    text = markdown(numbers, PARAMETERS, [], "figures")
    assert "### Beside the paper" in text and "RefusEU-test" in text
    assert paper_table(ours, numbers.paper, ["en"]).rows == paper_table(ours, {}, LANGUAGES).rows == []


@pytest.mark.parametrize("stage", BOOKS)
def test_books_of_another_shape_name_their_file_and_the_stage_that_makes_them(stage: str, tmp_path: Path) -> None:
    write_numbers(tmp_path)
    path = tmp_path / f"metrics/{stage}.json"
    write_json({**BOOKS[stage], "rejected": []}, path)
    with pytest.raises(UserError) as caught:
        read_numbers(EVALUATION, tmp_path)
    assert caught.value.message.startswith(
        f"{path}: rejected: must be a mapping of keys to values, was read as a list; 'git restore {path}'"
    )
    assert f"'dvc repro {stage}'" in caught.value.message


def of_set(model: str, language: str, asr: float | None, over_refusal: float | None, n: int = 10) -> SetRow:
    return set_row(set="theirs", model=model, language=language, n=n, **asr_columns(asr), over_refusal=over_refusal)


SETS = [
    of_set("base", "pl", 60.0, None),
    of_set("base", "en", 40.0, 10.0),
    of_set("mine", "pl", None, None),
    of_set("mine", "en", None, 20.0, n=0),
]


def test_sets_of_others_have_rows_of_their_own() -> None:
    table = set_asr_table(SETS, LANGUAGES)
    assert table.header == ["set", "model", "en", "pl", "average"]
    assert table.rows == [["theirs", "base", "40.0", "60.0", "50.0"], ["theirs", "mine", "–", "0.0–100.0", "0.0–100.0"]]
    assert table.notes == (WHY_RANGE,)
    assert SETS[3].text == "–"


def test_over_refusal_is_shown_of_the_languages_with_benign_questions() -> None:
    table = set_refusal_table(SETS, LANGUAGES)
    assert (table.header, table.notes) == (["set", "model", "en", "average"], ())
    assert table.rows == [["theirs", "base", "10.0", "10.0"], ["theirs", "mine", "20.0", "20.0"]]


def test_the_report_shows_sets_where_there_are_some() -> None:
    title, asked = "### External test sets: attack success", "### Which questions of the external test sets are asked"
    account = Account(rows_in=5, rows_out=3, rejected={"equal to a training question": 2})
    text = markdown(
        Numbers(EVALUATION, DIFFERENCES, BY_JUDGE, **DATA, sets=SETS, set_accounts={"theirs": account}),
        PARAMETERS,
        [],
        "figures",
    )
    assert title in text
    assert "| theirs | 5 | 3 | 2 | equal to a training question: 2 |" in text.partition(asked)[2]
    without = markdown(Numbers(EVALUATION, DIFFERENCES, BY_JUDGE, **DATA), PARAMETERS, [], "figures")
    assert (title in without, asked in without) == (False, False)


def test_a_model_that_sat_no_test_of_knowledge_has_a_dash_there() -> None:
    evaluation = Evaluation({"mine": averages(8.0, knowledge=None)}, [row("mine", "en", 8.0)])
    table = table2(evaluation, LANGUAGES)
    assert dict(zip(table.header, table.rows[0], strict=True))["knowledge"] == "–"


def test_a_language_that_the_test_of_knowledge_does_not_have_is_told() -> None:
    assert table2(EVALUATION, LANGUAGES).notes == ()
    untested = [
        each.model_copy(update={"knowledge": None}) if each.language == "pl" else each for each in EVALUATION.rows
    ]
    told = "knowledge: averages leave out pl, which the test does not have"
    assert table2(Evaluation(EVALUATION.averages, untested), LANGUAGES).notes == (told,)


def test_the_report_shows_how_often_two_identifiers_differ_where_two_were_asked() -> None:
    title = "### Where py3langid and fastText differ"
    data = DATA | {"translate": TranslateAccount(**dict(DATA["translate"]) | {"identifiers_differ": {"en": 0.5}})}
    text = markdown(
        Numbers(EVALUATION, DIFFERENCES, BY_JUDGE, **data, answers_differ={"en": 12.5}), PARAMETERS, [], "figures"
    )
    section = text[text.index(title) :].split("###")[1]
    assert [line.split("|")[1:3] for line in section.splitlines() if line.startswith("| ")][-2:] == [
        [" questions ", " 0.5 "],
        [" answers ", " 12.5 "],
    ]
    assert title not in markdown(Numbers(EVALUATION, DIFFERENCES, BY_JUDGE, **DATA), PARAMETERS, [], "figures")


def test_the_line_pass_rate_is_shown_only_where_it_differs_from_the_consistency() -> None:
    same = [each.model_copy(update={"line_pass_rate": each["language_consistency"]}) for each in EVALUATION.rows]
    alike, one_apart = (
        Evaluation(EVALUATION.averages, same),
        Evaluation(EVALUATION.averages, [*same[:-1], EVALUATION.rows[-1]]),
    )
    for evaluation, shown_there in ((alike, False), (one_apart, True), (EVALUATION, True)):
        for found in (table2(evaluation, LANGUAGES), worst_table(evaluation, evaluation.main)):
            assert ("LPR" in found.header) is shown_there
            assert {len(row) for row in found.rows} == {len(found.header)}
        assert any(note.startswith("**LPR**") for note in quality_notes(evaluation)) is shown_there
        assert ("LPR" in terminal(evaluation, LANGUAGES)) is shown_there
