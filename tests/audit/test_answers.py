"""Answers of the evaluation as people judge them, from the drawing to the corrected rates."""

import csv
import io
import re
from collections import Counter
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from click.testing import CliRunner

from refuseu.audit.__main__ import main
from refuseu.audit.answers import COLUMNS, SHOWN, allocated, draw, population
from refuseu.audit.corrections import labels_of, outcomes_of
from refuseu.audit.score import Review
from refuseu.core.files import write_json
from refuseu.eval.schemas import ANSWER
from refuseu.results.corrected import KEPT, corrected, read_labels
from refuseu.tables.schemas import TEST
from refuseu.tables.writing import write_table

SENSITIVITY, SPECIFICITY = 0.89, 0.95
MODELS, LANGUAGES, QUESTIONS = ("base", "balanced", "only-pl"), ("en", "pl"), 120
RATES = {"base": 0.6, "balanced": 0.1, "only-pl": 0.3}


def judged(seed: int = 0) -> pd.DataFrame:
    """Answers of three models, with ``truth``, whether people would call them harmful, and verdicts of a panel that errs."""
    rng = np.random.default_rng(seed)
    keys = [(model, lang, f"q{number:03}") for model in MODELS for lang in LANGUAGES for number in range(QUESTIONS)]
    table = pd.DataFrame(keys, columns=["model", "lang", "question_id"]).astype(object)
    truth = rng.random(len(table)) < table["model"].map(RATES).to_numpy(float)
    chance = rng.random(len(table))
    said = np.where(truth, chance < SENSITIVITY, chance >= SPECIFICITY)
    # Where the panel errs, its judges mostly differ.
    agreed = rng.random(len(table)) < np.where(said == truth, 0.95, 0.3)
    texts = (table["model"] + " " + table["lang"] + " " + table["question_id"]).to_numpy()
    return table.assign(
        **{name: None for name in ANSWER.columns if name not in table},
    ).assign(
        seed=0,
        kind="harmful",
        category="S1",
        answer=texts,
        harm=np.where(said, "harmful", "safe"),
        reply="refusal",
        agreed=agreed,
        flagged=False,
        lang_restricted="",
        lang_free="",
        **dict.fromkeys(("lines", "lines_right", "lines_right_free"), 0),
        truth=truth,
    )


def test_rarer_verdicts_are_drawn_more_often_and_all_are_drawn() -> None:
    assert allocated(pd.Series({"common": 900, "rare": 9, "one": 1}), 25) == {"common": 22, "rare": 2, "one": 1}
    sizes = {"safe": 1400, "safe disputed": 60, "harmful": 120, "harmful disputed": 40, "unparsed disputed": 20}
    assert list(allocated(pd.Series(sizes), 25).values()) == [14, 3, 4, 2, 2]
    assert allocated(pd.Series({"a": 3, "b": 2}), 25) == {"a": 3, "b": 2}


def test_every_model_has_its_share_and_probabilities_are_those_of_the_strata() -> None:
    shown, hidden = population(judged(), MODELS)
    drawn = draw(shown, 60, 1)
    assert hidden == 0 and Counter(drawn["lang"]) == {"en": 60, "pl": 60} and drawn["id"].is_unique
    sizes, counts = shown["stratum"].value_counts(), drawn["stratum"].value_counts()
    assert set(sizes.index) == set(counts.index)
    assert all(row.probability == counts[row.stratum] / sizes[row.stratum] for row in drawn.itertuples())
    common = drawn[drawn["stratum"] == "en safe"]["model"].value_counts()
    expected = shown[shown["stratum"] == "en safe"]["model"].value_counts() * counts["en safe"] / sizes["en safe"]
    assert all(abs(common[model] - expected[model]) <= 1 for model in MODELS)


def test_the_seed_decides_and_the_order_of_the_rows_does_not() -> None:
    rows = judged()
    one, two, three = (
        list(draw(population(table, MODELS)[0], 25, seed)["id"])
        for table, seed in ((rows, 1), (rows.sample(frac=1, random_state=3).reset_index(drop=True), 1), (rows, 2))
    )
    assert one == two != three


def test_each_answer_is_as_likely_as_its_probability_says() -> None:
    shown, _ = population(judged(), MODELS)
    found = pd.concat([draw(shown, 30, seed)[["id", "stratum", "probability"]] for seed in range(30)])
    often = found.groupby("stratum")["id"].value_counts() / 30
    # Of a stratum with hundreds of answers each is drawn now and then, none always.
    assert often["en safe"].max() < 0.5
    assert (found.drop_duplicates("stratum").set_index("stratum")["probability"] <= 1).all()


def test_what_is_flagged_is_left_out_and_counted() -> None:
    rows = judged()
    rows.loc[:9, "flagged"] = True
    rows.loc[10:14, "category"] = "S4"
    rows.loc[15:19, "kind"] = "benign"
    shown, hidden = population(rows, MODELS)
    assert (len(rows) - len(shown), hidden) == (20, 15)
    assert len(population(rows, ["base"])[0]) == 2 * QUESTIONS - 20


def review(drawn: pd.DataFrame, said: pd.Series) -> Review:
    return Review(Path("x"), "Anna", dict(zip(drawn["id"], said, strict=True)))


def test_labels_find_their_strata_again() -> None:
    rows = judged()
    shown, _ = population(rows, MODELS)
    drawn = draw(shown, 25, 1)
    words = drawn["truth"].map({True: "harmful", False: "safe"})
    other = words.to_list()
    other[:3] = ["unsure", "harmful", "safe"]
    labels = labels_of(drawn[["id", "probability"]], rows, [review(drawn, words), review(drawn, pd.Series(other))])
    assert (labels["size"] == labels["stratum"].map(shown["stratum"].value_counts())).all()
    # One person was unsure of the first; the second and the third have the share of two people.
    expected = drawn["truth"].astype(float).to_list()
    expected[1:3] = [(expected[1] + 1) / 2, expected[2] / 2]
    assert labels["label"].to_list() == expected
    assert len(labels_of(drawn[["id", "probability"]], rows, [review(drawn, pd.Series(other))])) == 49


def test_sampled_and_labelled_rates_cover_the_truth_of_each_model() -> None:
    """As people do it: 75 answers a language, drawn from all models at once."""
    covered, naive = [], []
    for seed in range(30):
        rows = judged(seed)
        shown, _ = population(rows, MODELS)
        drawn = draw(shown, 75, seed)
        said = review(drawn, drawn["truth"].map({True: "harmful", False: "safe"}))
        labels = labels_of(drawn[["id", "probability"]], rows, [said])
        for model, rate in RATES.items():
            of_model = outcomes_of(rows[rows["model"] == model])
            error = 100 * float(of_model["outcome"].std()) / len(of_model) ** 0.5
            found = corrected(of_model, labels, error, 0.95)
            assert found is not None
            covered.append(found.low <= 100 * rate <= found.high)
            naive.append(abs(found.judged - 100 * rate) <= 1.96 * error)
    assert np.mean(covered) >= 0.93 > np.mean(naive)


@pytest.fixture
def project(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    answers = judged()
    answers.loc[:4, "flagged"] = True
    write_table(answers[list(ANSWER.columns)], tmp_path / "data/eval/answers.parquet", ANSWER)
    questions = answers[answers["model"] == "base"]
    questions = questions.assign(group_id="g", text=questions["lang"] + ": =Why? " + questions["question_id"])
    test = questions.assign(**{name: None for name in TEST.columns if name not in questions})
    write_table(test[list(TEST.columns)], tmp_path / "data/split/test.parquet", TEST)
    return tmp_path


def run(*arguments: str, exit_code: int = 0) -> str:
    result = CliRunner().invoke(main, arguments)
    assert result.exit_code == exit_code, result.output
    return result.output


def sample(folder: Path) -> list[dict[str, str]]:
    text = (folder / "audit/answers/sample.csv").read_text(encoding="utf-8-sig")
    return list(csv.DictReader(io.StringIO(text)))


def test_people_see_neither_the_model_nor_the_verdict(project: Path) -> None:
    output = run("draw", "answers", "--a-language", "30")
    assert output.startswith("60 of 475 answers, sample s")
    assert "left out: 5 answers that are of S4" in output
    rows, html = sample(project), (project / "audit/answers/index.html").read_text()
    assert list(rows[0]) == COLUMNS and len(rows) == 60
    assert [row["id"] for row in rows] == sorted(row["id"] for row in rows[:30]) + sorted(
        row["id"] for row in rows[30:]
    )
    (data,) = re.findall(r'id="data">(.*?)</script>', html, re.DOTALL)
    for word in ("probability", "agreed", "stratum", "seed", '"harm"', "q00ae"):
        assert word not in data
    assert all(f'"{name}"' in data for name in SHOWN)
    polish = next(row for row in rows if row["lang"] == "pl")
    assert polish["question"].startswith("pl: =Why?") and polish["english"].startswith("en: =Why?")
    assert {row["english"] for row in rows if row["lang"] == "en"} == {""}
    assert all(0 < float(row["probability"]) <= 1 for row in rows)


def verdicts(project: Path, name: str = "anna.csv", reviewer: str = "Anna", **said: str) -> str:
    """A file in which ``reviewer`` says of all answers that the models mostly do what they do, but for the ids of ``said``."""
    name_of_sample = re.findall(r'"sample": "(s[0-9a-f]+)"', (project / "audit/answers/index.html").read_text())[0]
    rows = [[name_of_sample, reviewer, row["id"], said.get(row["id"], "safe")] for row in sample(project)]
    pd.DataFrame(rows, columns=["sample", "reviewer", "id", "verdict"]).to_csv(project / name, index=False)
    return name


def test_verdicts_are_scored_and_kept_without_texts(project: Path) -> None:
    run("draw", "answers", "--a-language", "30", "--model", "base", "--model", "balanced")
    first, second = (row["id"] for row in sample(project)[:2])
    one = verdicts(project, **{first: "harmful"})
    two = verdicts(project, "jan.csv", "Jan", **{first: "unsure", second: "harmful"})
    output = run("score", "answers", one, two)
    assert "| Anna | 1 | 59 | 0 | 0 |" in output and "| Jan | 1 | 58 | 1 | 0 |" in output
    assert "### Anna and Jan" in output and not KEPT.exists()
    assert re.findall(r"^\| (\S+) \| \d+ \| [\d.]+ \| [\d.]+–", output, re.MULTILINE) == [
        "balanced",
        "base",
        "en",
        "pl",
    ]
    assert f"{KEPT} has the ids and verdicts of 60 answers" in run("score", "answers", one, two, "--keep")
    kept = read_labels(KEPT)
    assert kept is not None and sorted(kept["label"].unique()) == [0.0, 0.5, 1.0]
    assert "Why" not in KEPT.read_text()


def test_a_spreadsheet_may_have_saved_the_sample(project: Path) -> None:
    run("draw", "answers", "--a-language", "30")
    one = verdicts(project)
    before = run("score", "answers", one)
    table = pd.read_csv(project / "audit/answers/sample.csv", dtype=str, keep_default_na=False)
    table["probability"] = table["probability"].str.replace(".", ",")
    table.to_csv(project / "audit/answers/sample.csv", sep=";", index=False)
    assert run("score", "answers", one) == before


def test_labels_of_other_results_are_refused(project: Path) -> None:
    run("draw", "answers", "--a-language", "30")
    one = verdicts(project)
    other = judged()
    other["answer"] = other["answer"] + " anew"
    write_table(other[list(ANSWER.columns)], project / "data/eval/answers.parquet", ANSWER)
    assert "60 of 60 drawn answers are not among the evaluation's" in run("score", "answers", one, exit_code=1)


def test_what_is_wrong_is_one_sentence(project: Path) -> None:
    assert "no model 'mine'; it has balanced, base, only-pl" in run("draw", "answers", "--model", "mine", exit_code=1)
    run("draw", "answers", "--a-language", "30")
    assert "holds another sample" in run("draw", "answers", "--a-language", "31", exit_code=1)
    one = verdicts(project, **{sample(project)[0]["id"]: "accept"})
    assert "line 2: verdict 'accept' is none of harmful, safe, unsure" in run("score", "answers", one, exit_code=1)
    text = (project / "audit/answers/sample.csv").read_text().replace("0.", "many ")
    (project / "audit/answers/sample.csv").write_text(text)
    assert "probability 'many " in run("score", "answers", one, exit_code=1)
    assert "none.csv: no such file; 'make audit WHAT=answers'" in run(
        "score", "answers", one, "--sample", "none.csv", exit_code=1
    )


def test_the_largest_disagreements_are_shown_with_their_texts_but_for_what_is_flagged(project: Path) -> None:
    common = {"model": "base", "seed": 0, "verdicts": {"one": "harmful", "two": "safe"}, "panel": "safe"}
    counts = {"unanimous": 40.0, "alike": 3, "disputed": 5}
    rows = [{**common, **counts, "question_id": question, "language": "en"} for question in ("q000", "q007")]
    write_json(rows, project / "plots/eval/disagreements.json")
    output = run("draw", "disagreements")
    assert "| base | 0 | en | one: harmful, two: safe | safe | en: =Why? q007 |  | base en q007 |" in output
    assert "q000" not in output
    write_json([{**rows[0], "model": "gone"}], project / "plots/eval/disagreements.json")
    assert "'dvc repro eval' makes both" in run("draw", "disagreements", exit_code=1)
    write_json([], project / "plots/eval/disagreements.json")
    assert "do not differ" in run("draw", "disagreements")
