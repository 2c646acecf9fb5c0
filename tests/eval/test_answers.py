import os
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any, ClassVar

import pandas as pd
import pytest

from refuseu.core.errors import UserError
from refuseu.core.files import Row
from refuseu.core.schema import read_table
from refuseu.engines.machine import Machine, OpenaiMachine, RayMachine, TransformersMachine
from refuseu.engines.protocol import Completion, Conversation, Engine, Sampling
from refuseu.engines.registry import Weights
from refuseu.engines.settings import Models, TransformersModel, VllmModel
from refuseu.eval import answers
from refuseu.eval.answers import EvaluationRun, ModelOutputs, Scoring, ask_models, grouped, score_all, score_answers
from refuseu.eval.interfaces import Rating
from refuseu.eval.models import EvaluatedModel, Served
from refuseu.eval.rated import Rated
from refuseu.eval.schemas import ANSWER, SET_ANSWER, VOTE
from refuseu.eval.sets import COLUMNS
from refuseu.judges.panel import Decision
from refuseu.judges.verdict import Exchange, Harm, Reply, Verdict
from refuseu.store.rows import Store
from refuseu.tables.writing import write_table
from refuseu.text.identification import Identified
from refuseu.weights.reference import ModelReference

MODELS = {"base": TransformersModel(engine="transformers", dtype="float64")}
MACHINE = Machine(
    workers=1,
    loaded=1,
    transformers=TransformersMachine(batch_size=2, device="cpu"),
    openai=OpenaiMachine(concurrency=1, retries=0, timeout=1.0),
)
NO_SETS = pd.DataFrame(columns=COLUMNS)
QUESTIONS = ["How can I sing?", "How can I dance?"]
FACT = {
    "test": "facts",
    "question_id": "capital-fr",
    "lang": "en",
    "correct": True,
    "margin": 0.5,
    "source": "phrasebook",
}


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


PARROT: Weights = (ModelReference(Path("models/parrot")), MODELS["base"])


class FakeOpener:
    """Knows parrots, and remembers that it was closed."""

    closed = 0

    def __init__(self, models: Models, machine: Machine, store: Store, progress: str | None) -> None:
        assert (models, machine, progress) == (MODELS, MACHINE, None)

    def sharing(self, models: Mapping[str, Weights]) -> dict[str, Engine]:
        assert set(models.values()) <= {PARROT}
        return {name: Parrot() for name in models}

    def named(self, name: str) -> Engine:
        assert name == "gpt"
        return Parrot()

    def close(self) -> None:
        FakeOpener.closed += 1


@pytest.fixture
def asking(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> EvaluationRun:
    monkeypatch.setattr(answers, "EngineFactory", FakeOpener)
    monkeypatch.setattr(FakeOpener, "closed", 0)
    monkeypatch.setenv("REFUSEU_STORE", str(tmp_path / "rows.sqlite"))
    return EvaluationRun(QUESTIONS, OneFact(), Sampling(3), MODELS, MACHINE)


def test_an_answer_a_question_and_a_row_a_fact(asking: EvaluationRun) -> None:
    said, other = asking({"parrot": PARROT, "other": PARROT})
    assert (said.model, said.identity, said.answers) == ("parrot", "parrot", ["sing?", "dance?"])
    assert said.knowledge is not None
    assert said.knowledge.to_dict("records") == [{"model": "parrot", **FACT}]
    assert (other.model, other.answers, FakeOpener.closed) == ("other", said.answers, 1)


def test_a_served_model_sits_no_test_of_knowledge(asking: EvaluationRun) -> None:
    (said,) = asking({"mine": Served("gpt")})
    assert (said.model, said.answers, said.knowledge) == ("mine", ["sing?", "dance?"], None)


BASE = ModelReference(Path("models/base"))
LOCAL = MODELS["base"]
CONTESTANTS: dict[str, EvaluatedModel] = {
    "base": (BASE, LOCAL),
    "whole": (ModelReference(Path("models/whole")), LOCAL),
    "adapter": (ModelReference(Path("models/adapter"), base=BASE), LOCAL),
    "finer": (BASE, TransformersModel(engine="transformers", dtype="float32")),
    "mine": Served("gpt"),
}


def test_a_base_is_asked_with_its_adapters_and_all_others_apart() -> None:
    groups = grouped(CONTESTANTS, MACHINE)
    assert list(map(list, groups)) == [["base", "adapter"], ["whole"], ["finer"], ["mine"]]
    assert groups[0] == {name: CONTESTANTS[name] for name in ("base", "adapter")}


def on_a_gpu() -> Machine:
    return MACHINE.model_copy(update={"transformers": TransformersMachine(batch_size=2, device="cuda")})


def on_a_cluster() -> Machine:
    ray = RayMachine(workers=2, batch_size=1, cpus_per_worker=1, gpus_per_worker=0)
    return MACHINE.model_copy(update={"ray": ray})


@pytest.mark.parametrize("machine", [on_a_gpu(), on_a_cluster()])
def test_one_process_asks_all_where_gpus_or_other_machines_compute(machine: Machine) -> None:
    assert list(map(list, grouped(CONTESTANTS, machine))) == [["base", "adapter", "whole", "finer", "mine"]]


def test_one_process_asks_all_where_vllm_computes() -> None:
    by_vllm = VllmModel(engine="vllm", dtype="bfloat16")
    groups = grouped({**CONTESTANTS, "fast": (BASE, by_vllm)}, MACHINE)
    assert list(map(list, groups)) == [["base", "adapter", "whole", "finer", "mine", "fast"]]


LONG = "Nein, das sage ich nicht.\nNo, I will not say that."
SHORT = "Nein."
REFUSED = Verdict(Harm.SAFE, Reply.REFUSAL)
DECIDED = Decision(REFUSED, agreed=False, votes={"one": Verdict(Harm.HARMFUL, Reply.NOT_REPORTED), "two": REFUSED})


class FakePanel:
    batches: ClassVar[list[int]] = []

    def decide(self, exchanges: Sequence[Exchange]) -> list[Decision]:
        self.batches.append(len(exchanges))
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
    FakePanel.batches.clear()
    stand_ins: Any = (FakePanel(), FakeIdentifier(), FakeFluency(), Rated(FakeRater(), 50))
    return Scoring(*stand_ins)


def asked(held_out: bool | None = True) -> pd.DataFrame:
    question = {"question_id": "q1", "lang": "en", "kind": "harmful", "category": "S1", "style": "slang"}
    return pd.DataFrame([{**question, "text": "How?", "held_out": held_out}])


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
            "held_out": True,
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
    scored = score_answers("base", asked(held_out=None), [SHORT], [DECIDED], scoring)
    write_table(scored, tmp_path / "answers.parquet", ANSWER)
    assert read_table(tmp_path / "answers.parquet", ANSWER)["held_out"].isna().tolist() == [True]


def test_all_models_are_scored_in_their_order_and_in_one_batch(scoring: Scoring) -> None:
    said = [ModelOutputs(name, name, [SHORT], pd.DataFrame([FACT]).assign(model=name)) for name in ("base", "balanced")]
    scored = score_all(asked(), NO_SETS, said, scoring)
    assert (FakePanel.batches, len(scored.sets)) == ([2], 0)
    for table in (scored.answers, scored.knowledge):
        assert table["model"].tolist() == ["base", "balanced"]
    assert list(scored.answers.columns) == list(ANSWER.columns)
    assert list(scored.votes.columns) == list(VOTE.columns)
    common = {"question_id": "q1", "lang": "en"}
    assert scored.votes.to_dict("records") == [
        {"model": model, **common, "judge": judge, "harm": harm, "reply": reply}
        for model in ("base", "balanced")
        for judge, harm, reply in (("one", "harmful", "not_reported"), ("two", "safe", "refusal"))
    ]


def test_answers_to_sets_are_judged_along_and_are_a_table_of_their_own(scoring: Scoring) -> None:
    of_set = {"set": "theirs", "question_id": "7", "lang": "en", "kind": "benign", "category": None, "text": "How?"}
    said = [ModelOutputs(name, name, [SHORT, LONG], None) for name in ("base", "mine")]
    said[0] = replace(said[0], knowledge=pd.DataFrame([FACT]).assign(model="base"))
    scored = score_all(asked(), pd.DataFrame([of_set]), said, scoring)
    assert FakePanel.batches == [4]
    assert scored.answers[["model", "question_id", "answer"]].to_numpy().tolist() == [
        ["base", "q1", SHORT],
        ["mine", "q1", SHORT],
    ]
    assert scored.sets[["set", "model", "question_id", "answer"]].to_numpy().tolist() == [
        ["theirs", "base", "7", LONG],
        ["theirs", "mine", "7", LONG],
    ]
    assert list(scored.sets.columns) == list(SET_ANSWER.columns)
    assert scored.knowledge["model"].tolist() == ["base"]
    assert set(scored.votes["question_id"]) == {"q1"}


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
    asking = EvaluationRun(QUESTIONS, knowledge, Sampling(3), MODELS, MACHINE)
    with pytest.raises(
        UserError,
        match=r"eval: one of the 1 processes .* ended from outside .* lower workers or transformers.batch_size",
    ):
        ask_models({"base": (BASE, LOCAL)}, asking)
