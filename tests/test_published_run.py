"""A set in the published schema goes through the real scripts, from its questions to the report.

It is as the published one: row ids occur twice with different categories, the questions of a slot are no translations of each
other, the pairs come with a dev part, and the test questions have neither answers nor a category.
"""

import importlib.util
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pandas as pd
import pytest
from click.testing import CliRunner
from parameter_files import Content, write
from published_set import Row, asked, pairs_of, published_row, write_set
from repository import ROOT

from refuseu.commands.evaluate import main as evaluate
from refuseu.experiment import PLAIN, Kind
from refuseu.phrasebook.phrasebook import Behavior, Phrasebook, Reading, load_phrasebooks
from refuseu.split.published import EQUAL, NEAR

CATEGORIES = {"S1": "Violent Crimes", "S2": "Non-Violent Crimes", "S12": "Sexual Content"}
STYLES = {"slang": "Slang"}
LANGUAGES = ("en", "de", "pl")
TEXTS = ("phrasebook", "prompts", "refusals", "seeds", "sets", "fluency")
SLOTS = [(1, "S1"), (2, "S2"), (1, "S2"), (3, "S1"), (2, "S1"), (3, "S2"), (4, "S1"), (5, "S12"), (6, "Gardening")]
"""``row_id`` and category of the slots of train; three row ids occur twice."""


def of_published(params: Content, profile: Content) -> None:
    params.update(languages=list(LANGUAGES), categories=CATEGORIES, styles=STYLES)
    params["published"]["source"] = "mine"
    configs = {"balanced": {"languages": "all"}, "custom": {}}
    params["train"].update(benign_share=0.0, languages=["en"], configs=configs, seeds=[0], single=[])
    params["report"]["benign_pairs"] = None
    profile["base"].update(steps=20)
    profile["rainbow-teaming"].update(mutator={"kind": "published"}, twin={"kind": "none"})
    profile["translate"].update(translator={"kind": "published"})
    profile["respond"].update(refuser={"kind": "published"}, rejected={"kind": "published"})
    profile["label"] = {"judges": {"phrases": {"kind": "phrases", "questions": {"kind": "lexicon"}}}}
    profile["split"].update(assignment="published")
    profile["eval"].update(max_new_tokens=8)


def the_set() -> dict[tuple[str, str], list[Row]]:
    """Questions of the phrasebook, in each language another one, and rows that are left out."""
    books = load_phrasebooks(ROOT / "data/phrasebook", LANGUAGES, CATEGORIES, STYLES)

    def question(place: int, category: str, lang: str, style: str = PLAIN) -> str:
        known = category if category in CATEGORIES else "S1"
        behaviors = list(books[lang].behaviors[known])
        behavior = behaviors[(place + LANGUAGES.index(lang)) % len(behaviors)]
        return books[lang].compose(Reading(style, 0, Behavior(known, behavior, Kind.HARMFUL)))

    def pair(row_id: int, lang: str, text: str, category: str) -> Row:
        book: Phrasebook = books[lang]
        return published_row(row_id, lang, text, book.refusals[0], book.compliances.harmful[0], category)

    train = [
        pair(row_id, lang, question(place, category, lang), CATEGORIES.get(category, category))
        for lang in LANGUAGES
        for place, (row_id, category) in enumerate(SLOTS)
    ]
    train[len(SLOTS) + 6] = pair(4, "de", question(0, "S1", "de"), CATEGORIES["S1"])  # as the first slot asks in German
    dev = [pair(1, lang, question(0, "S2", lang, "slang"), CATEGORIES["S2"]) for lang in LANGUAGES]
    test = [
        asked(row_id, lang, question(n, "S1", lang, "slang"))
        for n, row_id in enumerate((1, 1, 2))
        for lang in LANGUAGES
    ]
    english = [row["chosen"][0]["content"] for row in train if row["lang"] == "en"]
    test[0]["prompt"] = english[0].upper()  # stands in train, too
    test[3]["prompt"] = f"{english[1]} Please."  # is like one of train
    return {**pairs_of(train, dev), ("evaluation", "eval"): test}


def stage(name: str, *arguments: str) -> None:
    spec = importlib.util.spec_from_file_location(name.replace("-", "_"), ROOT / "stages" / f"{name}.py")
    assert spec and spec.loader
    script = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(script)
    CliRunner().invoke(script.main, arguments, catch_exceptions=False, standalone_mode=False)


def account(name: str) -> dict[str, Any]:
    found: dict[str, Any] = json.loads(Path(f"metrics/{name}.json").read_text())
    return found


@pytest.fixture(scope="module")
def ran(tmp_path_factory: pytest.TempPathFactory) -> Iterator[dict[tuple[str, str], list[Row]]]:
    """All stages have run in an empty folder."""
    folder = write(tmp_path_factory.mktemp("published"), of_published)
    (folder / "machines").symlink_to(ROOT / "machines")
    (folder / "data").mkdir()
    for name in (*TEXTS, "base", "paper"):
        (folder / "data" / name).symlink_to(ROOT / "data" / name)
    splits = the_set()
    write_set(folder / "data/published/mine", splits)
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(folder)
        patch.setenv("REFUSEU_STORE", str(folder / "rows.sqlite"))
        for name in ("base", "rainbow-teaming", "translate", "respond", "label", "split"):
            stage(name)
        for config in ("balanced", "custom"):
            stage("dpo", config, "0")
        for name in ("eval", "report", "release"):
            stage(name)
        yield splits


@pytest.mark.slow
def test_a_published_set_goes_to_the_report(ran: dict[tuple[str, str], list[Row]]) -> None:
    found = account("rainbow-teaming")
    assert (found["rows_in"], found["rows_out"], found["published"]) == (10, 8, "mine")
    assert found["rejected"] == {
        "of a category that no model is shown": 1,
        "of a category that params.yaml does not name": 1,
    }
    questions = pd.read_parquet("data/rainbow-teaming/questions.parquet")
    assert questions[["behavior_id", "style", "fitness", "iteration"]].isna().all(axis=None)
    assert set(questions["question_id"]) >= {"train-1", "train-1-2", "train-2-2", "dev-1"}
    cells = json.loads(Path("plots/rainbow-teaming/archive.json").read_text())
    assert [(cell["category"], cell["style"], cell["elites"]) for cell in cells] == [
        ("S1 Violent Crimes", None, 4),
        ("S2 Non-Violent Crimes", None, 4),
    ]

    translated = account("translate")
    assert (translated["rows_in"], translated["rejected"]) == (24, {"equal to another question": 1})
    assert translated["chrf"] == {}
    for name in ("respond", "label"):
        assert (account(name)["rows_out"], account(name)["rejected"]) == (23, {}), name
    published = {
        (row["chosen"][0]["content"], row["lang"]): row for rows in ran.values() for row in rows if "id" in row
    }
    pairs = pd.read_parquet("data/label/pairs.parquet")
    for pair in pairs.itertuples():
        row = published[pair.text, pair.lang]
        assert [pair.chosen, pair.rejected] == [row[column][1]["content"] for column in ("chosen", "rejected")]


@pytest.mark.slow
def test_what_stands_in_two_parts_is_counted_and_the_test_stays(ran: dict[tuple[str, str], list[Row]]) -> None:
    divided = account("split")
    assert divided["rejected"] == {EQUAL: 1, NEAR: 1, "pair not accepted": 0}
    assert {name: part["rows"] for name, part in divided["parts"].items()} == {"train": 18, "dev": 3, "test": 9}
    assert {lang["exact"] + lang["near"] for part in divided["contamination"].values() for lang in part.values()} == {0}
    assert len(pd.read_parquet("data/split/dpo/balanced.parquet")) == 18
    test = pd.read_parquet("data/split/test.parquet")
    assert {*zip(test["text"], test["lang"], strict=True)} == {
        (row["prompt"], row["lang"]) for row in ran["evaluation", "eval"]
    }


@pytest.mark.slow
def test_no_number_pretends_to_know_a_category_or_style(ran: dict[tuple[str, str], list[Row]]) -> None:
    answers = pd.read_parquet("data/eval/answers.parquet")
    assert len(answers) == 3 * 9 and answers[["category", "style"]].isna().all(axis=None)
    for name in ("by-category", "by-style"):
        assert json.loads(Path(f"plots/eval/{name}.json").read_text()) == []
    assert Path("plots/figures/figure2.png").is_file() and not Path("plots/figures/categories.png").exists()
    found = json.loads(Path("plots/eval/differences.json").read_text())
    assert {(row["model"], row["reference"]) for row in found} == {("base", "balanced"), ("custom", "balanced")}
    assert {row["clusters"] for row in found} == {"question"}
    assert json.loads(Path("plots/eval/unseen.json").read_text()) == []


@pytest.mark.slow
def test_one_model_is_evaluated_alone_on_the_published_test(
    ran: dict[tuple[str, str], list[Row]], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("REFUSEU_PROGRESS", "log")
    result = CliRunner().invoke(evaluate, ["./models/dpo/balanced/0", "--name", "alone"], catch_exceptions=False)
    assert result.exit_code == 0, result.output
    # The row store holds what the stage asked, under the same keys, so that nothing is asked again.
    assert "rows" not in result.output.partition("alone, asked")[0]
    alone = pd.read_parquet("evaluations/alone/answers.parquet").assign(model="balanced")
    staged = pd.read_parquet("data/eval/answers.parquet").query("model == 'balanced'").reset_index(drop=True)
    pd.testing.assert_frame_equal(alone, staged)
    found = json.loads(Path("evaluations/alone/result.json").read_text())
    assert (found["questions"], [row["language"] for row in found["table"]]) == (
        "mine, evaluation",
        [*LANGUAGES, "average"],
    )
    assert "70b abliterated" in result.output
