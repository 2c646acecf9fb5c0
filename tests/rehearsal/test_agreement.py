"""Two engines that are asked the same: what differs is counted, and an engine that cannot be asked is a line."""

from collections.abc import Iterable, Sequence
from pathlib import Path

import pytest
from repository import ROOT

from refuseu.core.errors import UserError
from refuseu.engines.machine import Machine, load_machine
from refuseu.engines.model import LocalModel
from refuseu.llm.journal import Call
from refuseu.llm.protocol import Completion, Failed, Finish, Prompt, Sampling, user
from refuseu.parameters import load_all
from refuseu.plan.host import Gpu
from refuseu.rehearsal import agreement
from refuseu.rehearsal.agreement import PROMPTS, Said, Twice, compared
from refuseu.rehearsal.reading import Asked
from refuseu.weights.reference import ModelReference


def words(text: str) -> list[int]:
    return [len(word) for word in text.split()]


def test_equal_answers_first_tokens_and_options_are_counted() -> None:
    one = Said(["a bb ccc", "a bb", "a"], [-1.0, -2.0, Failed("x")])
    other = Said(["a bb ccc", "a ccc", "bb"], [-1.0, -2.25, -3.0])
    assert compared(one, other, words) == ["3", "2.0", "33", "1.3", "2.5e-01"]


def test_of_one_engine_alone_nothing_is_compared() -> None:
    assert compared(Said(["a bb"], [-1.0]), Said([], []), words) == ["1", "2.0", "–", "–", "–"]


class Played:
    """An engine that says the first words of its name, and notes how it was asked."""

    def __init__(self, name: str) -> None:
        self.name, self.asked, self.closed = name, list[tuple[int, Sampling]](), False

    def complete(self, prompts: Sequence[Prompt], sampling: Sampling) -> Iterable[tuple[int, Completion]]:
        self.asked.append((len(prompts), sampling))
        for place in reversed(range(len(prompts))):
            yield (
                place,
                Completion(f"{place} {self.name}") if place else Completion("", Finish.FAILED, reason="too long"),
            )

    def log_likelihoods(self, pairs: Sequence[tuple[Prompt, str]]) -> Iterable[tuple[int, float]]:
        return enumerate([-float(len(self.name))] * len(pairs))

    def close(self) -> None:
        self.closed = True


P = load_all(ROOT, "paper-8b")


def twice(name: str) -> Twice:
    drawn = {"max_new_tokens": 512, "temperature": 0.7, "schema": "{}", "first_tokens": ["unsafe"], "prefix": "x"}
    scored = Call("eval", name, 0.0, rows=[(user("q"), "A", "")])
    written = Call("eval", name, 0.0, sampling=drawn, rows=[(user(f"q{n}"), "t", "stop") for n in range(9)])
    model = P.models[name]
    assert isinstance(model, LocalModel)
    return Twice([name], model, ModelReference(Path("nowhere")), "real", [Asked("eval", name, [scored, written])])


def test_each_role_is_asked_again_greedily_and_a_fault_is_a_line(monkeypatch: pytest.MonkeyPatch) -> None:
    engines = {name: Played(name) for name in agreement.ENGINES}

    def load(each: Twice, engine: str, machine: Machine) -> Played:
        if (each.names, engine) == (["polyguard"], "vllm"):
            raise UserError("vLLM cannot load it")
        return engines[engine]

    monkeypatch.setattr(agreement, "_load", load)
    models = [twice("base"), twice("polyguard")]
    text = agreement.agreement(models, ("vllm", "transformers"), load_machine(ROOT), lambda _, text: words(text))
    lines = text.splitlines()
    assert lines[2].split() == ["base", "real", "bfloat16", "4", "2.0", "25", "1.2", "8.0e+00"]
    assert lines[3].split() == ["polyguard", "real", "bfloat16", "4", "2.0", "–", "–", "–"]
    assert lines[4:] == ["- polyguard, vllm: vLLM cannot load it"]
    count, sampling = engines["vllm"].asked[0]
    assert (count, sampling.temperature, sampling.schema, sampling.first_tokens) == (PROMPTS, 0.0, None, ())
    assert sampling.prefix == "x" and sampling.max_new_tokens == agreement.TOKENS and engines["vllm"].closed


def test_a_model_that_one_gpu_does_not_hold_is_not_loaded_by_transformers(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")
    monkeypatch.setattr(agreement.host, "gpus", lambda: [Gpu(80.0, 0.0, "580.65.06")])
    monkeypatch.setattr(agreement, "model_settings", lambda entry: pytest.fail(f"{entry} was loaded"))
    with pytest.raises(UserError, match="takes 143 GB, and transformers would hold it on one GPU of 80 GB"):
        agreement.said(twice("lorablated"), "transformers", load_machine(ROOT))
