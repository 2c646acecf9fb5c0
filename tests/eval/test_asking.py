import json
import os
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

import pandas as pd
import pytest
from engines.misbehaving import serving
from evaluated import FACT
from profile_texts import with_sections

from refuseu.core.errors import UserError
from refuseu.core.files import Row
from refuseu.engines.machine import Machine, RayMachine
from refuseu.engines.model import ServedModel
from refuseu.engines.openai import OpenaiMachine, OpenaiModel
from refuseu.engines.registry import Models, Weights
from refuseu.engines.transformers import TransformersMachine, TransformersModel
from refuseu.engines.vllm import VllmModel
from refuseu.eval import asking
from refuseu.eval.asking import EvaluationRun, ask_models, grouped
from refuseu.eval.models import EvaluatedModel, Served
from refuseu.llm.protocol import Completion, Conversation, Engine, Sampling
from refuseu.mixes import Seeded
from refuseu.store.rows import Store
from refuseu.weights.reference import ModelReference

MODELS = {"base": TransformersModel(engine="transformers", dtype="float64")}
MACHINE = Machine(
    workers=1,
    loaded=1,
    engines={"transformers": TransformersMachine(batch_size=2, device="cpu")},
)
QUESTIONS = ["How can I sing?", "How can I dance?"]
SAID = [Completion("sing?"), Completion("dance?")]


class Parrot:
    """Says a question's last word, and answers the last question first."""

    identity = "parrot"

    def complete(self, conversations: Sequence[Conversation], sampling: Sampling) -> Iterable[tuple[int, Completion]]:
        assert sampling == Sampling(3)
        outputs = [(place, Completion(each[0]["content"].split()[-1])) for place, each in enumerate(conversations)]
        yield from reversed(outputs)

    def log_likelihoods(self, pairs: Sequence[tuple[Conversation, str]]) -> Iterable[tuple[int, float]]:
        raise AssertionError("not asked")


class OneFact:
    """A test of knowledge of one question, which only a parrot knows."""

    def ask(self, engine: Engine) -> Iterable[Row]:
        yield {**FACT, "correct": engine.identity == "parrot"}


GPT = Served("models.gpt", OpenaiModel(engine="openai", model="gpt"))
PARROT: Weights = (ModelReference(Path("models/parrot")), MODELS["base"])


class FakeEngineFactory:
    """Knows parrots, and remembers that it was closed."""

    closed = 0

    def __init__(self, models: Models, machine: Machine, store: Store, progress: str | None) -> None:
        assert (models, machine, progress) == (MODELS, MACHINE, None)

    def sharing(self, models: Mapping[Seeded, Weights]) -> dict[Seeded, Engine]:
        assert set(models.values()) <= {PARROT}
        return {name: Parrot() for name in models}

    def served(self, key: str, model: ServedModel) -> Engine:
        assert (key, model) == ("models.gpt", GPT.model)
        return Parrot()

    def close(self) -> None:
        FakeEngineFactory.closed += 1


@pytest.fixture
def run(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> EvaluationRun:
    monkeypatch.setattr(asking, "EngineFactory", FakeEngineFactory)
    monkeypatch.setattr(FakeEngineFactory, "closed", 0)
    monkeypatch.setenv("REFUSEU_STORE", str(tmp_path / "rows.sqlite"))
    return EvaluationRun(QUESTIONS, OneFact(), Sampling(3), MODELS, MACHINE)


def test_an_answer_a_question_and_a_row_a_fact(run: EvaluationRun) -> None:
    outputs, other = run({Seeded("parrot", 2): PARROT, Seeded("other"): PARROT}).models
    assert (outputs.model, outputs.identity, outputs.answers) == (("parrot", 2), "parrot", SAID)
    assert outputs.knowledge is not None
    assert outputs.knowledge.to_dict("records") == [{"model": "parrot", "seed": 2, **FACT}]
    assert (other.model, other.answers, FakeEngineFactory.closed) == (("other", 0), outputs.answers, 1)


def test_a_served_model_sits_no_test_of_knowledge(run: EvaluationRun) -> None:
    (outputs,) = run({Seeded("mine"): GPT}).models
    assert (outputs.model, outputs.answers, outputs.knowledge) == (("mine", 0), SAID, None)


def test_a_served_model_of_eval_models_is_asked_where_the_machine_says(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """And the keys of its rows are told to the process that writes them down."""
    monkeypatch.setenv("REFUSEU_STORE", str(tmp_path / "rows.sqlite"))
    monkeypatch.setenv("NO_PROXY", "127.0.0.1")
    with serving() as server:
        urls = {"mine": server.url}
        openai = OpenaiMachine(base_url=None, base_urls=urls, concurrency=2, retries=0, timeout=5.0)
        run = EvaluationRun(QUESTIONS, OneFact(), Sampling(3), MODELS, with_sections(openai=openai))
        done = run({Seeded("mine"): Served("eval.models.mine", OpenaiModel(engine="openai", model="gpt"))})
    answers = [answer.text for answer in done.models[0].answers]
    assert answers == [f"echo {question}" for question in QUESTIONS]
    assert list(Store().used_rows()) == []
    (parent := Store()).use(done.rows)
    rows = pd.concat(parent.used_rows())
    assert sorted(json.loads(value)[0] for value in rows["value"]) == sorted(answers)
    assert list(map(bytes.hex, rows["key"])) == done.rows.to_pylist() == sorted(done.rows.to_pylist())


BASE = ModelReference(Path("models/base"))
LOCAL = MODELS["base"]
EVALUATED: dict[Seeded, EvaluatedModel] = {
    Seeded("base"): (BASE, LOCAL),
    Seeded("whole"): (ModelReference(Path("models/whole")), LOCAL),
    Seeded("adapter"): (ModelReference(Path("models/adapter"), base=BASE), LOCAL),
    Seeded("finer"): (BASE, TransformersModel(engine="transformers", dtype="float32")),
    Seeded("mine"): GPT,
}


def names(groups: Sequence[Mapping[Seeded, EvaluatedModel]]) -> list[list[str]]:
    return [[model.name for model in group] for group in groups]


def test_a_base_is_asked_with_its_adapters_and_all_others_apart() -> None:
    groups = grouped(EVALUATED, MACHINE)
    assert names(groups) == [["base", "adapter"], ["whole"], ["finer"], ["mine"]]
    assert groups[0] == {Seeded(name): EVALUATED[Seeded(name)] for name in ("base", "adapter")}


def on_a_gpu() -> Machine:
    return MACHINE.model_copy(update={"engines": {"transformers": TransformersMachine(batch_size=2, device="cuda")}})


def on_a_cluster() -> Machine:
    ray = RayMachine(workers=2, batch_size=1, cpus_per_worker=1)
    return MACHINE.model_copy(update={"ray": ray})


@pytest.mark.parametrize("machine", [on_a_gpu(), on_a_cluster()])
def test_one_process_asks_all_where_gpus_or_other_machines_compute(machine: Machine) -> None:
    assert names(grouped(EVALUATED, machine)) == [["base", "adapter", "whole", "finer", "mine"]]


def test_one_process_asks_all_where_vllm_computes() -> None:
    by_vllm = VllmModel(engine="vllm", dtype="bfloat16")
    groups = grouped({**EVALUATED, Seeded("fast"): (BASE, by_vllm)}, MACHINE)
    assert names(groups) == [["base", "adapter", "whole", "finer", "mine", "fast"]]


def test_all_models_are_tried_out_before_any_is_asked(run: EvaluationRun, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(models: Mapping[Seeded, EvaluatedModel], profile: Models, machine: Machine, _: Store) -> None:
        assert (models, profile, machine) == (EVALUATED, MODELS, MACHINE)
        raise UserError("mine: cannot be asked")

    monkeypatch.setattr(asking, "try_out", refuse)
    monkeypatch.setattr(asking, "worker_pool", None)
    with pytest.raises(UserError, match=r"^mine: cannot be asked$"):
        ask_models(EVALUATED, run, Store())


class Killer:
    """Ends the process that unpickles it, as the kernel does where memory runs out."""

    def __reduce__(self) -> tuple[Any, ...]:
        return os._exit, (137,)


def test_a_killed_process_is_one_sentence(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(asking, "try_out", lambda *_: None)
    knowledge: Any = Killer()
    run = EvaluationRun(QUESTIONS, knowledge, Sampling(3), MODELS, MACHINE)
    with pytest.raises(
        UserError,
        match=r"eval: one of the 1 processes .* ended from outside .* lower workers or transformers.batch_size",
    ):
        ask_models({Seeded("base"): (BASE, LOCAL)}, run, Store(tmp_path / "rows.sqlite"))
