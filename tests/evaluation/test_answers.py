import os
from collections.abc import Iterable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import pandas as pd
import pytest
from tiny import ONE_CORE

from refuseu.engines.protocol import Completion, Conversation, Engine, Sampling
from refuseu.engines.reference import ModelReference
from refuseu.errors import UserError
from refuseu.evaluation import answers
from refuseu.evaluation.answers import Asking, Said, Scoring, ask_models, model_folders, score_all, score_answers
from refuseu.evaluation.parts import Rating
from refuseu.evaluation.rated import Rated
from refuseu.files.reading import Row
from refuseu.identification import Identified
from refuseu.judges.panel import Decision
from refuseu.judges.verdict import Exchange, Harm, Reply, Verdict
from refuseu.parameters.machine import Machine, OpenaiMachine, TransformersMachine
from refuseu.parameters.models import Models, TransformersModel
from refuseu.records.answer import ANSWER
from refuseu.records.schema import read_table
from refuseu.records.vote import VOTE
from refuseu.records.writing import write_table

MODELS: Models = {"base": TransformersModel(engine="transformers", dtype="float64")}
MACHINE = Machine(
    workers=1,
    loaded=1,
    transformers=TransformersMachine(batch_size=2, device="cpu"),
    openai=OpenaiMachine(concurrency=1, retries=0, timeout=1.0),
    training=ONE_CORE,
)
QUESTIONS = ["How can I sing?", "How can I dance?"]
FACT = {
    "test": "facts",
    "question_id": "capital-fr",
    "lang": "en",
    "correct": True,
    "margin": 0.5,
    "source": "phrasebook",
}


def model_in(folder: Path, *files: str) -> Path:
    folder.mkdir(parents=True)
    for name in files or ("model.safetensors", "config.json", "tokenizer.json"):
        (folder / name).touch()
    return folder


def test_the_base_comes_first_then_the_configs_as_params_yaml_orders_them(tmp_path: Path) -> None:
    base, models = model_in(tmp_path / "base"), tmp_path / "dpo"
    for name in ("balanced", "only-pl"):
        model_in(models / name)
    (models / ".DS_Store").touch()
    folders = model_folders(base, models, {"only-pl": None, "balanced": None})
    assert list(folders.items()) == [
        ("base", ModelReference(base)),
        ("only-pl", ModelReference(models / "only-pl")),
        ("balanced", ModelReference(models / "balanced")),
    ]


def test_an_adapter_is_one_on_the_base(tmp_path: Path) -> None:
    base = model_in(tmp_path / "base")
    adapter = model_in(tmp_path / "dpo/balanced", "adapter_model.safetensors", "adapter_config.json")
    found = model_folders(base, tmp_path / "dpo", ["balanced"])
    assert found["balanced"] == ModelReference(adapter, base=ModelReference(base))


def test_a_config_whose_model_is_missing_is_one_sentence(tmp_path: Path) -> None:
    base = model_in(tmp_path / "base")
    model_in(tmp_path / "dpo/balanced")
    with pytest.raises(UserError, match=r"only-pl: holds no .*; 'dvc repro' or 'dvc pull' brings the model"):
        model_folders(base, tmp_path / "dpo", ["balanced", "only-pl"])
    with pytest.raises(UserError, match=r"nowhere: no such folder; 'dvc repro dpo' trains the models"):
        model_folders(base, tmp_path / "nowhere", ["balanced"])


def test_a_model_of_a_config_that_is_gone_stops_the_evaluation(tmp_path: Path) -> None:
    for name in ("balanced", "balanced-old"):
        model_in(tmp_path / name)
    with pytest.raises(
        UserError, match=r"balanced-old: no config of train.configs.*rm -r .*/balanced-old metrics/dpo/"
    ):
        model_folders(Path("models/base"), tmp_path, {"balanced": None})


class Parrot:
    """Says a question's last word, and answers the last question first."""

    identity = "parrot"

    def complete(self, conversations: Sequence[Conversation], sampling: Sampling) -> Iterable[tuple[int, Completion]]:
        assert sampling == Sampling(3)
        said = [(place, Completion(each[0]["content"].split()[-1])) for place, each in enumerate(conversations)]
        yield from reversed(said)

    def log_likelihoods(self, pairs: Sequence[tuple[Conversation, str]]) -> Iterable[tuple[int, float]]:
        raise AssertionError("not asked")


class OneFact:
    """A test of knowledge of one question, which only a parrot knows."""

    def ask(self, engine: Engine) -> Iterable[Row]:
        yield {**FACT, "correct": engine.identity == "parrot"}


def test_an_answer_a_question_and_a_row_a_fact(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    class FakeOpener:
        def __init__(self, models: Models, machine: Machine, store: Any) -> None:
            assert (models, machine) == (MODELS, MACHINE)

        def folder(self, reference: ModelReference) -> Parrot:
            assert reference == ModelReference(Path("models/parrot"))
            return Parrot()

    monkeypatch.setattr(answers, "Opener", FakeOpener)
    monkeypatch.setenv("REFUSEU_STORE", str(tmp_path / "rows.sqlite"))
    asking = Asking(QUESTIONS, OneFact(), Sampling(3), MODELS, MACHINE)
    said = asking("parrot", ModelReference(Path("models/parrot")))
    assert (said.model, said.answers) == ("parrot", ["sing?", "dance?"])
    assert said.knowledge.to_dict("records") == [{"model": "parrot", **FACT}]


LONG = "Nein, das sage ich nicht.\nNo, I will not say that."
SHORT = "Nein."
REFUSED = Verdict(Harm.SAFE, Reply.REFUSAL)
DECIDED = Decision(REFUSED, agreed=False, votes={"one": Verdict(Harm.HARMFUL, Reply.UNTOLD), "two": REFUSED})


class FakePanel:
    def decide(self, exchanges: Sequence[Exchange]) -> list[Decision]:
        assert {(each.lang, each.question) for each in exchanges} == {("en", "How?")}
        assert {each.answer for each in exchanges} <= {LONG, SHORT}
        return [DECIDED] * len(exchanges)


class FakeIdentifier:
    """Tells one language for a whole answer and its first line, another for its second."""

    def identify(self, text: str) -> Identified:
        return Identified(restricted="en", free="en") if text.startswith("No,") else Identified("de", "nl")


class FakeFluency:
    def scores(self, exchanges: Sequence[Exchange]) -> list[float]:
        return [
            {("de", "How?", LONG): 4.5, ("en", "How?", SHORT): 1.5}[each.lang, each.question, each.answer or ""]
            for each in exchanges
        ]


class FakeRater:
    def ratings(self, exchanges: Sequence[Exchange]) -> list[Rating | None]:
        return [
            {("de", "How?", LONG): Rating(4, 3), ("en", "How?", SHORT): None}[
                each.lang, each.question, each.answer or ""
            ]
            for each in exchanges
        ]


@pytest.fixture
def scoring() -> Scoring:
    stand_ins: Any = (FakePanel(), FakeIdentifier(), FakeFluency(), Rated(FakeRater(), 50))
    return Scoring(*stand_ins)


def asked(unseen: bool | None = True) -> pd.DataFrame:
    question = {"question_id": "q1", "lang": "en", "kind": "harmful", "category": "S1", "style": "slang"}
    return pd.DataFrame([{**question, "text": "How?", "unseen": unseen}])


def test_an_answer_is_scored_in_the_language_it_is_in(scoring: Scoring) -> None:
    scored = score_answers("base", asked(), [LONG], [DECIDED], scoring)
    assert scored.to_dict("records") == [
        {
            "model": "base",
            "question_id": "q1",
            "lang": "en",
            "kind": "harmful",
            "category": "S1",
            "style": "slang",
            "unseen": True,
            "answer": LONG,
            "harm": "safe",
            "reply": "refusal",
            "agreed": False,
            "lang_restricted": "de",
            "lang_free": "nl",
            "lines": 2,
            "lines_right": 1,
            "lines_right_free": 1,
            "fluency": 4.5,
            "rated": True,
            "rated_fluency": 4.0,
            "rated_correctness": 3.0,
        }
    ]


def test_an_answer_too_short_to_tell_is_scored_in_the_language_of_its_question(scoring: Scoring) -> None:
    scored = score_answers("base", asked(), [SHORT], [DECIDED], scoring)
    columns = ["lang_restricted", "lang_free", "lines", "lines_right", "lines_right_free", "fluency"]
    assert scored[columns].to_numpy().tolist() == [["", "", 0, 0, 0, 1.5]]


def test_whether_an_ask_is_unseen_may_be_unknown(scoring: Scoring, tmp_path: Path) -> None:
    scored = score_answers("base", asked(unseen=None), [SHORT], [DECIDED], scoring)
    write_table(scored, tmp_path / "answers.parquet", ANSWER)
    assert read_table(tmp_path / "answers.parquet", ANSWER)["unseen"].isna().tolist() == [True]


def test_all_models_are_scored_in_their_order(scoring: Scoring) -> None:
    said = [Said(name, [SHORT], pd.DataFrame([FACT]).assign(model=name)) for name in ("base", "balanced")]
    scored = score_all(asked(), iter(said), scoring)
    for table in (scored.answers, scored.knowledge):
        assert table["model"].tolist() == ["base", "balanced"]
    assert list(scored.answers.columns) == list(ANSWER.columns)
    assert list(scored.votes.columns) == list(VOTE.columns)
    common = {"question_id": "q1", "lang": "en"}
    assert scored.votes.to_dict("records") == [
        {"model": model, **common, "judge": judge, "harm": harm, "reply": reply}
        for model in ("base", "balanced")
        for judge, harm, reply in (("one", "harmful", "untold"), ("two", "safe", "refusal"))
    ]


def test_without_scorers_there_are_no_marks_and_the_table_may_be_written(scoring: Scoring, tmp_path: Path) -> None:
    nobody = replace(scoring, fluency=None, rating=None)
    write_table(score_answers("base", asked(), [SHORT], [DECIDED], nobody), tmp_path / "answers.parquet", ANSWER)
    marks = read_table(tmp_path / "answers.parquet", ANSWER)[["fluency", "rated", "rated_fluency", "rated_correctness"]]
    assert marks.isna().all(axis=None)


class Killer:
    """Ends the process that unpickles it, as the kernel does where memory runs out."""

    def __reduce__(self) -> tuple[Any, ...]:
        return os._exit, (137,)


def test_a_killed_process_is_one_sentence() -> None:
    knowledge: Any = Killer()
    asking = Asking(QUESTIONS, knowledge, Sampling(3), MODELS, MACHINE)
    with pytest.raises(
        UserError,
        match=r"eval: one of the 1 processes .* ended from outside .* lower workers or transformers.batch_size",
    ):
        list(ask_models({"base": ModelReference(Path("models/base"))}, asking))
