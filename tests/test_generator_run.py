"""Questions that models write in each language go through the real scripts, from the generator to the split.

The models and the base are played: they say phrasebook texts, which the judges know.
"""

import json
import random
import re
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pandas as pd
import pytest
from click.testing import CliRunner
from parameter_files import Content, write
from playing import PlayedEngine
from repository import ROOT
from scripts import stage

from refuseu.engines.openai import OpenaiModel
from refuseu.engines.registry import EngineFactory
from refuseu.experiment import LANGUAGES, RESTRICTED, Kind
from refuseu.llm.protocol import Conversation
from refuseu.phrasebook.phrasebook import Behavior, Phrasebook, Reading, load_phrasebooks
from refuseu.weights.reference import ModelReference

CATEGORIES = {"S1": "Violent Crimes", "S2": "Non-Violent Crimes", "S4": "Child Sexual Exploitation"}
STYLES = {"slang": "Slang", "role_play": "Role play"}
CODES = ["en", "de", "lv"]
PER_SLOT = 6
WRITERS = ["one", "two"]
BOOKS = load_phrasebooks(ROOT / "data/phrasebook", CODES, CATEGORIES, STYLES)


def by_models(params: Content, profile: Content) -> None:
    params.update(languages=CODES, categories=CATEGORIES, styles=STYLES)
    params["train"].update(
        benign_share=0.0,
        languages=["en"],
        seeds=[0],
        single=[],
        configs={"balanced": {"languages": "all"}, "custom": {}},
    )
    params["report"]["benign_pairs"] = None
    for name in WRITERS:
        profile["models"][name] = {"engine": "openai", "model": name}
    mutator = {"kind": "generator", "models": WRITERS, "questions_per_slot": PER_SLOT}
    mutator |= {"max_new_tokens": 64, "temperature": 0.7}
    profile["rainbow-teaming"].update(mutator=mutator, twin={"kind": "none"})
    profile["translate"]["translator"] = {"kind": "native"}
    profile["label"] = {"judges": {"phrases": {"kind": "phrases", "questions": {"kind": "lexicon"}}}}
    profile["split"].update(test_per_cell=3, dev_per_category=1, held_out_test_behaviors=1, held_out_dev_behaviors=0)


def book_of(text: str) -> Phrasebook:
    return next(book for code, book in BOOKS.items() if LANGUAGES[code].name in text)


@dataclass
class Writer:
    """Writes a question of the phrasebook that its prompt does not show; now and then it declines, or writes English."""

    name: str
    asked: list[str] = field(default_factory=list)

    def __call__(self, conversation: Conversation) -> str:
        text = "\n".join(message["content"] for message in conversation)
        self.asked.append(text)
        rng = random.Random(f"{self.name}{len(self.asked)}")
        if self.name == "two" and rng.random() < 0.1:
            return "I'm sorry, but I can't help with that."
        book = BOOKS["en"] if rng.random() < 0.1 else book_of(text)
        category = next(key for key, name in CATEGORIES.items() if f"{name}:" in text)
        style = next(key for key, name in STYLES.items() if f"Style: {name}" in text)
        questions = [
            book.compose(Reading(style, frame, Behavior(category, behavior, Kind.HARMFUL)))
            for frame in range(len(book.styles[style]))
            for behavior in book.behaviors[category]
        ]
        return json.dumps({"question": rng.choice([each for each in questions if each not in text])})


def complies(conversation: Conversation) -> str:
    """What the un-aligned base answers, in the language of the question."""
    asked = conversation[-1]["content"]
    return next(book.compliances.harmful[0] for book in BOOKS.values() if book.parse(asked))


def run(name: str, **options: str) -> str:
    given = [part for key, value in options.items() for part in (f"--{key}", value)]
    result = CliRunner().invoke(stage(name), given, catch_exceptions=False)
    assert result.exit_code == 0, result.output
    return result.output


TEXTS = {name: str(ROOT / "data" / name) for name in ("phrasebook", "prompts", "refusals", "seeds")}
STAGES = {
    "rainbow-teaming": ("phrasebook", "prompts", "seeds", "refusals"),
    "translate": ("phrasebook", "prompts"),
    "respond": ("phrasebook", "prompts"),
    "label": ("phrasebook", "prompts", "refusals"),
    "split": (),
}


@dataclass
class Ran:
    folder: Path
    writers: dict[str, Writer]
    log: dict[str, str]
    calls_again: int
    """Rows that a second run of the generator asked for."""

    def table(self, path: str) -> pd.DataFrame:
        return pd.read_parquet(self.folder / "data" / path)

    def account(self, name: str) -> dict[str, Any]:
        found: dict[str, Any] = json.loads((self.folder / f"metrics/{name}.json").read_text(encoding="utf-8"))
        return found


@pytest.fixture(scope="module")
def ran(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Ran]:
    folder = write(tmp_path_factory.mktemp("generated"), by_models)
    (folder / "machines").symlink_to(ROOT / "machines")
    writers = {name: Writer(name) for name in WRITERS}
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(folder)
        patch.setenv("REFUSEU_STORE", str(folder / "rows.sqlite"))
        patch.setattr(OpenaiModel, "open", lambda model, name, machine: PlayedEngine(writers[name], identity=name))
        patch.setattr(EngineFactory, "folder", lambda factory, reference: PlayedEngine(complies))
        patch.setattr(ModelReference, "read", lambda folder: ModelReference(folder))
        log = {name: run(name, **{key: TEXTS[key] for key in keys}) for name, keys in STAGES.items()}
        first = sum(len(writer.asked) for writer in writers.values())
        before = (folder / "data/rainbow-teaming/questions.parquet").read_bytes()
        run("rainbow-teaming", **{key: TEXTS[key] for key in STAGES["rainbow-teaming"]})
        assert (folder / "data/rainbow-teaming/questions.parquet").read_bytes() == before
        again = sum(len(writer.asked) for writer in writers.values()) - first
        yield Ran(folder, writers, log, again)


def test_two_models_write_the_questions_of_every_slot_and_language(ran: Ran) -> None:
    account, questions = ran.account("rainbow-teaming"), ran.table("rainbow-teaming/questions.parquet")
    # 2 categories x 2 styles x 5 activities x 6 questions x 3 languages.
    assert account["made_by"] == "generator"
    assert account["rows_in"] == 2 * 2 * 5 * PER_SLOT * 3 == account["rows_out"] + account["rejected"]["not written"]
    assert account["rejected"]["not written"] > 0
    assert set(account["not_written"]) == {"S1", "S2"} and account["not_written"]["S1"]["one"] == 0
    assert account["models"] == {"one": "openai:one", "two": "openai:two"}
    assert [len(writer.asked) for writer in ran.writers.values()] == [180, 180]
    assert set(questions["written_by"]) == set(WRITERS) and set(questions["lang"]) == set(CODES)
    assert len(questions) == account["rows_out"]


def test_a_second_run_asks_for_nothing(ran: Ran) -> None:
    assert ran.calls_again == 0


def test_no_model_is_shown_a_restricted_category(ran: Ran) -> None:
    told = "\n".join(text for writer in ran.writers.values() for text in writer.asked)
    assert RESTRICTED & set(CATEGORIES) == {"S4"}
    assert CATEGORIES["S4"] not in told
    hidden = [twins.harmful for book in BOOKS.values() for twins in book.behaviors["S4"].values()]
    assert hidden and not any(text in told for text in hidden)
    assert set(ran.table("rainbow-teaming/questions.parquet")["category"]) == {"S1", "S2"}


def test_every_prompt_has_examples_of_its_language_category_and_style(ran: Ran) -> None:
    for text in ran.writers["one"].asked:
        book = book_of(text)
        examples = re.findall(r"^- (.*)$", text.partition("which the new one must differ from:")[2], re.MULTILINE)
        readings = [book.parse(each) for each in examples]
        assert len(readings) == 5
        for reading in readings:
            assert reading is not None
            assert f"Style: {STYLES[reading.style]}" in text and f"{CATEGORIES[reading.behavior.category]}:" in text


def test_what_is_in_another_language_or_stands_twice_is_dropped_in_its_language(ran: Ran) -> None:
    account, rejected = ran.account("translate"), ran.table("translate/rejected.parquet")
    assert account["rows_in"] == ran.account("rainbow-teaming")["rows_out"]
    assert account["rows_in"] == account["rows_out"] + sum(account["rejected"].values())
    assert set(account["rejected"]) == {"wrong language", "equal to another question"}
    assert account["chrf"] == {} and account["models"] == {}
    assert set(rejected.loc[rejected["reason"] == "wrong language", "lang"]) == {"de", "lv"}
    kept = ran.table("translate/questions.parquet")
    assert kept["chrf"].isna().all() and (kept["lang_restricted"] == kept["lang"]).all()
    assert not kept.duplicated(["lang", "text"]).any()


def test_the_test_is_stratified_in_each_language_and_no_question_needs_the_others(ran: Ran) -> None:
    labelled, divided = ran.table("label/pairs.parquet"), ran.account("split")
    assert (labelled["group_id"].value_counts() == 1).all()
    assert divided["rejected"]["no harmful question in its group"] == 0
    assert divided["rows_in"] == len(labelled) == divided["rows_out"] + sum(divided["rejected"].values())
    test, train = ran.table("split/test.parquet"), ran.table("split/train.parquet")
    cells = Counter(zip(test["lang"], test["category"], test["style"], strict=True))
    full = {(lang, category, style): 3 for lang in CODES for category in ("S1", "S2") for style in STYLES}
    lacking = {(row["lang"], row["category"], row["style"]): row["groups"] for row in divided["scarce_cells"]}
    for cell, wanted in full.items():
        assert cells[cell] == lacking.get(cell, wanted), cell
    assert set(train["lang"]) == set(CODES)
    held = set(test.loc[test["held_out"].astype(bool), "behavior_id"])
    assert held and not held & set(train["behavior_id"])
