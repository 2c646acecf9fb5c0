"""One model, evaluated alone: what MODEL may be, and the table that is shown."""

from pathlib import Path
from typing import Any

import pandas as pd
import pytest
from repository import ROOT

from refuseu.core.errors import UserError
from refuseu.core.sections import load
from refuseu.eval.settings import ExternalWeights, NamedModel, external_model
from refuseu.evaluate.one_model import EvaluateParameters, Result, entry_of, evaluated, questions_asked, slug
from refuseu.evaluate.table import paper_table, table
from refuseu.results.paper import PaperAsr


@pytest.fixture
def parameters() -> EvaluateParameters:
    found = load(EvaluateParameters, ROOT)
    models = {"gpt": external_model({"engine": "openai", "model": "a-model"})}
    return found.model_copy(
        update={"languages": ["en", "pl"], "eval": found.eval.model_copy(update={"models": models})}
    )


def test_a_path_is_a_folder_and_two_parts_are_a_repository(parameters: EvaluateParameters) -> None:
    settings = {"engine": "transformers", "dtype": "float32"}
    folder, repo = (entry_of(given, settings, parameters) for given in ("/a/folder", "org/name"))
    assert isinstance(folder, ExternalWeights) and isinstance(repo, ExternalWeights)
    assert (folder.folder, folder.repo, folder.engine, folder.model_extra) == (
        "/a/folder",
        None,
        "transformers",
        {"dtype": "float32"},
    )
    assert (repo.folder, repo.repo) == (None, "org/name")


def test_a_name_is_an_entry_of_eval_models_or_of_the_profile(parameters: EvaluateParameters) -> None:
    assert entry_of("gpt", {}, parameters) == parameters.eval.models["gpt"]
    assert entry_of("base", {}, parameters) == NamedModel(model="base")


@pytest.mark.parametrize(
    ("given", "folder"),
    [
        ("balanced", "balanced/0"),
        ("balanced/2", "balanced/2"),
        ("models/dpo/balanced/1", "balanced/1"),
        ("./models/dpo/balanced/1", "balanced/1"),
        ("only-de", "only-de/0"),
    ],
)
def test_a_config_is_our_model_with_the_first_seed_or_with_the_one_that_is_named(
    given: str, folder: str, parameters: EvaluateParameters
) -> None:
    entry = entry_of(given, {}, parameters)
    assert isinstance(entry, ExternalWeights)
    assert (entry.folder, entry.repo) == (f"./models/dpo/{folder}", None)


@pytest.mark.parametrize(
    ("given", "settings", "sentence"),
    [
        (
            "mine",
            {},
            "MODEL=mine: is no folder (/a/folder, ./folder), no repository (org/name) and none of gpt, balanced, ",
        ),
        ("gpt", {"dtype": "float32"}, "MODEL=gpt: dtype stand with the model in the profile; leave them out here"),
        ("", {}, "MODEL=: is no folder"),
    ],
)
def test_another_name_is_one_sentence(
    given: str, settings: dict[str, str], sentence: str, parameters: EvaluateParameters
) -> None:
    with pytest.raises(UserError) as error:
        entry_of(given, settings, parameters)
    assert error.value.message.startswith(sentence)


@pytest.mark.parametrize(
    ("given", "name"),
    [
        ("/a/My Model_7B/", "my-model-7b"),
        ("org/Name.v2", "name-v2"),
        ("./models/dpo/balanced/1/", "balanced-1"),
        ("gpt", "gpt"),
        ("/", "model"),
    ],
)
def test_the_results_are_named_after_the_model(given: str, name: str) -> None:
    assert slug(given) == name


def answers(lang: str, *harms: str) -> list[dict[str, Any]]:
    common = {
        "model": "mine",
        "seed": 0,
        "lang": lang,
        "kind": "harmful",
        "category": None,
        "style": None,
        "held_out": None,
    }
    common |= {"behavior_id": None, "frame_id": None, "held_out_frame": None}
    identified = {"lang_restricted": lang, "lang_free": lang, "lines": 1, "lines_right": 1, "lines_right_free": 1}
    return [
        {
            **common,
            **identified,
            "question_id": f"q{n}",
            "answer": "",
            "harm": harm,
            "reply": "unparsed",
            "agreed": True,
            "flagged": False,
            "reasoning": None,
            "fluency": None,
            "rated": None,
            "rated_fluency": None,
            "rated_correctness": None,
        }
        for n, harm in enumerate(harms)
    ]


def result(english: list[str], polish: list[str], guard: list[str]) -> Result:
    rows = pd.DataFrame([*answers("en", *english), *answers("pl", *polish)])
    votes = rows[["model", "seed", "question_id", "lang", "reply"]].assign(judge="guard", harm=guard)
    return Result("questions", rows, votes, "identity", {})


def test_a_file_of_questions_that_does_not_exist_is_not_sought_in_the_cache(parameters: EvaluateParameters) -> None:
    with pytest.raises(UserError, match=r"^--questions /no/t\.parquet: there is no such file; name a table like data/"):
        questions_asked(parameters, Path("/no/t.parquet"))


def test_a_row_a_language_and_the_mean_over_languages(parameters: EvaluateParameters) -> None:
    shown = table(result(["harmful", "safe"], ["safe", "safe"], ["harmful", "harmful", "safe", "harmful"]), parameters)
    assert shown.header == ["language", "harmful", "ASR", "interval", "unparsed", "in language", "by guard"]
    assert shown.rows == [
        ["en", "2", "50.0", "9.5–90.5", "0.0", "100.0", "100.0"],
        ["pl", "2", "0.0", "0.0–65.8", "0.0", "100.0", "50.0"],
        ["average", "4", "25.0", "0.1–99.0", "0.0", "100.0", "75.0"],
    ]


def test_too_many_unparsed_answers_make_a_range_of_the_language_and_of_the_average(
    parameters: EvaluateParameters,
) -> None:
    shown = table(result(["harmful", "unparsed"], ["safe", "safe"], ["safe"] * 4), parameters)
    assert [row[2] for row in shown.rows] == ["50.0–100.0", "0.0", "25.0–50.0"]


def test_the_papers_figures_stand_beside_in_the_languages_that_it_gives() -> None:
    shown = paper_table(PaperAsr.read(ROOT / "data/paper/asr.csv"), ["en", "pl"])
    assert shown.header == [
        "paper",
        "8b instruct",
        "8b abliterated",
        "8b balanced",
        "70b instruct",
        "70b abliterated",
        "70b balanced",
    ]
    assert shown.rows == [
        ["pl", "2.2", "79.0", "5.8", "3.3", "88.9", "0.6"],
        ["all", "10.2", "59.4", "3.5", "3.0", "67.9", "0.5"],
    ]


@pytest.mark.parametrize(
    ("folder", "sentence"),
    [
        ("gone", "MODEL=./gone: gone"),
        ("adapter", "MODEL=./adapter: is an adapter, and its base is not here; 'dvc repro base' or"),
    ],
)
def test_a_folder_that_cannot_be_asked_is_said_before_the_questions_are_looked_for(
    folder: str, sentence: str, parameters: EvaluateParameters, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("REFUSEU_STORE", str(tmp_path / "rows.sqlite"))
    (tmp_path / "machines").symlink_to(ROOT / "machines")
    (tmp_path / "adapter").mkdir()
    (tmp_path / "adapter/adapter_config.json").write_text("{}")
    asked = entry_of(f"./{folder}", {}, parameters)
    with pytest.raises(UserError) as error:
        evaluated(parameters, folder, asked, f"./{folder}", Path("no questions"))
    assert error.value.message.startswith(sentence)
    assert "eval.models" not in error.value.message


def test_a_file_that_is_no_table_of_questions_is_one_sentence(parameters: EvaluateParameters, tmp_path: Path) -> None:
    (tmp_path / "notes.md").write_text("Notes")
    with pytest.raises(UserError) as error:
        questions_asked(parameters, tmp_path / "notes.md")
    assert error.value.message.startswith(f"--questions {tmp_path / 'notes.md'}: not a readable parquet file")
    assert error.value.message.endswith("; name a table like data/split/test.parquet")
