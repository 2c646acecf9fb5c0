"""A published set goes through the real scripts, from its questions to the training mixes, and no model is used."""

import importlib.util
import json
from pathlib import Path
from typing import Any

import pandas as pd
import pytest
from click.testing import CliRunner
from parameter_files import Content, write
from published_set import Row, published_row, write_set
from repository import ROOT

from refuseu.experiment import PLAIN, Kind
from refuseu.phrasebook.phrasebook import Behavior, Reading, load_phrasebooks

CATEGORIES = {"S1": "Violent Crimes", "S2": "Non-Violent Crimes", "S12": "Sexual Content"}
STYLES = {"slang": "Slang"}
TEST = ("s1-t", "s2-t")
TEXTS = {name: str(ROOT / "data" / name) for name in ("phrasebook", "prompts", "refusals", "seeds")}


def of_published(params: Content, profile: Content) -> None:
    params.update(languages=["en", "de"], categories=CATEGORIES, styles=STYLES)
    params["published"]["source"] = "mine"
    params["train"].update(benign_share=0.0, languages=["en"], configs={"balanced": {"languages": "all"}, "custom": {}})
    profile["rainbow-teaming"].update(mutator={"kind": "published"}, twin={"kind": "none"})
    profile["translate"].update(translator={"kind": "published"})
    profile["respond"].update(refuser={"kind": "published"}, rejected="published")
    profile["label"] = {"judges": {"phrases": {"kind": "phrases", "questions": {"kind": "lexicon"}}}}
    profile["split"].update(assignment="published", dev_per_category=1)


def the_set() -> dict[str, list[Row]]:
    """Behaviors of the phrasebook in two languages: four of each of two categories, and rows that are left out."""
    books = load_phrasebooks(ROOT / "data/phrasebook", ["en", "de"], CATEGORIES, STYLES)

    def question(category: str, behavior_id: str, lang: str) -> str:
        return books[lang].compose(Reading(PLAIN, 0, Behavior(category, behavior_id, Kind.HARMFUL)))

    def rows(row_id: str, category: str, behavior_id: str, name: str = "") -> list[Row]:
        return [
            published_row(
                row_id,
                lang,
                question(category, behavior_id, lang),
                books[lang].refusals[0],
                books[lang].compliances.harmful[0],
                name or CATEGORIES[category],
            )
            for lang in ("en", "de")
        ]

    behaviors = {category: list(books["en"].behaviors[category]) for category in CATEGORIES}
    train = [
        row
        for n in range(3)
        for category in ("S1", "S2")
        for row in rows(f"{category}-{n}", category, behaviors[category][n])
    ]
    test = [
        row
        for row_id, category in zip(TEST, ("S1", "S2"), strict=True)
        for row in rows(row_id, category, behaviors[category][3])
    ]
    left_out = [
        *rows("restricted", "S12", behaviors["S12"][0]),
        *rows("other", "S1", behaviors["S1"][4], "Gardening"),
        *rows("again", "S1", behaviors["S1"][0]),
        rows("incomplete", "S2", behaviors["S2"][4])[0],
    ]
    return {"train": [*train, *left_out], "test": test}


def stage(name: str, **options: str) -> None:
    spec = importlib.util.spec_from_file_location(name.replace("-", "_"), ROOT / "stages" / f"{name}.py")
    assert spec and spec.loader
    script = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(script)
    arguments = [part for key, value in options.items() for part in (f"--{key}", value)]
    CliRunner().invoke(script.main, arguments, catch_exceptions=False, standalone_mode=False)


def account(name: str) -> dict[str, Any]:
    found: dict[str, Any] = json.loads(Path(f"metrics/{name}.json").read_text())
    return found


def texts(*names: str) -> dict[str, str]:
    return {name: TEXTS[name] for name in names}


@pytest.fixture
def ran(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> dict[str, list[Row]]:
    """The five stages have run in an empty folder, where there is no base."""
    write(tmp_path, of_published)
    (tmp_path / "machines").symlink_to(ROOT / "machines")
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("REFUSEU_STORE", str(tmp_path / "rows.sqlite"))
    splits = the_set()
    write_set(tmp_path / "data/published/mine", splits["train"], splits["test"])
    rt = "rainbow-teaming"
    ours = {"published": "data/published", "target": "models/base"}
    stage(rt, **texts(*TEXTS), **ours, out=f"data/{rt}", metrics=f"metrics/{rt}.json", plots=f"plots/{rt}")
    del ours["target"]
    for name, before, read in (
        ("translate", f"data/{rt}/questions", texts("phrasebook", "prompts") | ours | {"base": "models/base"}),
        ("respond", "data/translate/questions", texts("phrasebook", "prompts") | ours | {"base": "models/base"}),
        ("label", "data/respond/pairs", texts("phrasebook", "prompts", "refusals") | {"base": "models/base"}),
        ("split", "data/label/pairs", ours),
    ):
        table = {before.split("/")[-1]: f"{before}.parquet"}
        stage(name, **table, **read, out=f"data/{name}", metrics=f"metrics/{name}.json")
    return splits


def test_a_published_set_becomes_training_mixes_without_a_model(ran: dict[str, list[Row]]) -> None:
    found = account("rainbow-teaming")
    assert (found["rows_in"], found["rows_out"], found["published"]) == (12, 8, "mine")
    assert found["rejected"] == {
        "equal to another question": 1,
        "not in every language": 1,
        "of a category that no model is shown": 1,
        "of a category that params.yaml does not name": 1,
    }
    questions = pd.read_parquet("data/rainbow-teaming/questions.parquet")
    assert questions[["behavior_id", "fitness", "iteration"]].isna().all(axis=None)
    assert set(questions["style"]) == {"unknown"}
    assert json.loads(Path("plots/rainbow-teaming/search.json").read_text()) == []
    cells = json.loads(Path("plots/rainbow-teaming/archive.json").read_text())
    assert [(cell["category"], cell["style"], cell["elites"], cell["best_fitness"]) for cell in cells] == [
        ("S1", "unknown", 4, None),
        ("S2", "unknown", 4, None),
    ]

    for name in ("translate", "respond", "label"):
        assert (account(name)["rows_out"], account(name)["rejected"]) == (16, {}), name
    assert account("translate")["chrf"] == pytest.approx({"en": 100, "de": 100})
    published = {(row["row_id"], row["lang"]): row for split in ran.values() for row in split}
    pairs = pd.read_parquet("data/label/pairs.parquet")
    for pair in pairs.itertuples():
        row = published[pair.question_id, pair.lang]
        assert [pair.text, pair.chosen] == [turn["content"] for turn in row["chosen"]]
        assert [pair.text, pair.rejected] == [turn["content"] for turn in row["rejected"]]

    parts = {name: set(pd.read_parquet(f"data/split/{name}.parquet")["group_id"]) for name in ("train", "dev", "test")}
    assert parts["test"] == set(TEST)
    assert {group_id[:2] for group_id in parts["dev"]} == {"S1", "S2"} and len(parts["dev"]) == 2
    assert parts["train"] | parts["dev"] == {f"{category}-{n}" for category in ("S1", "S2") for n in range(3)}
    assert set(account("split")["contamination"]) == {"dev", "test"}
    assert len(pd.read_parquet("data/split/dpo/balanced.parquet")) == 2 * len(parts["train"])
