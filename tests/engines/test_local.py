from pathlib import Path
from typing import Any

import pytest
import torch
from tiny import EXAMPLES, TINY
from transformers import LlamaForCausalLM

from refuseu.engines.base import Sampling, stored_chat, stored_log_likelihoods, user
from refuseu.engines.local import TransformersEngine
from refuseu.errors import UserError
from refuseu.store import Store
from refuseu.training.base import build_model, build_tokenizer

QUESTIONS = ["How can I sing?", "Wie kann ich singen?", "I", "How can I sing and sing and sing?", "How can I sing?"]


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    root = tmp_path_factory.mktemp("model")
    tokenizer = build_tokenizer(EXAMPLES, TINY)
    torch.manual_seed(1)
    build_model(tokenizer, TINY).save_pretrained(root)
    tokenizer.save_pretrained(root)
    return root


def answers(engine: TransformersEngine, questions: list[str]) -> dict[str, str]:
    said = dict(engine.chat([user(question) for question in questions], Sampling(6)))
    return {question: said[position] for position, question in enumerate(questions)}


def test_an_answer_does_not_depend_on_its_batch(folder: Path) -> None:
    together, alone = TransformersEngine(folder, 5), TransformersEngine(folder, 1)
    assert answers(together, QUESTIONS) == answers(alone, list(reversed(QUESTIONS)))
    pairs = [(user(question), answer) for question in QUESTIONS for answer in ("Gladly.", "Sehr gerne! Gladly.")]
    pairs.append((user("sing " * 40), "Gladly."))  # much padding for the others
    assert together.log_likelihoods(pairs) == pytest.approx(alone.log_likelihoods(pairs), abs=1e-12)


def test_a_log_likelihood_is_the_sum_over_the_answers_tokens(folder: Path) -> None:
    engine = TransformersEngine(folder, 2)
    model = LlamaForCausalLM.from_pretrained(folder, dtype=torch.float64).eval()
    prompt, answer = engine._prompt(user("How can I sing?")), engine._tokenizer("Gladly.")["input_ids"]
    with torch.inference_mode():
        logits = model(torch.tensor([prompt + answer])).logits[0].log_softmax(-1)
    expected = sum(float(logits[len(prompt) + offset - 1, token]) for offset, token in enumerate(answer))
    assert engine.log_likelihoods([(user("How can I sing?"), "Gladly.")]) == [pytest.approx(expected, abs=1e-9)]


def test_what_the_store_holds_is_not_computed_again(
    folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    engine, store = TransformersEngine(folder, 5), Store(tmp_path / "rows.sqlite")
    conversations, pairs = [user(question) for question in QUESTIONS], [(user("I"), "Gladly.")]
    first = stored_chat(engine, conversations, Sampling(6), store), stored_log_likelihoods(engine, pairs, store)
    monkeypatch.setattr(engine, "_model", None)
    assert (
        stored_chat(engine, conversations, Sampling(6), store),
        stored_log_likelihoods(engine, pairs, store),
    ) == first
    with pytest.raises((AttributeError, TypeError)):
        stored_chat(engine, conversations, Sampling(7), store)


def test_nothing_is_shown_but_the_rows_of_the_stage_that_asks(folder: Path, capfd: pytest.CaptureFixture[str]) -> None:
    answers(TransformersEngine(folder, 2), QUESTIONS)
    assert capfd.readouterr() == ("", "")
    answers(TransformersEngine(folder, 2, progress="respond"), QUESTIONS)
    assert capfd.readouterr() == ("", "respond: 2 of 5 rows\nrespond: 4 of 5 rows\nrespond: 5 of 5 rows\n")


def saved(out: Path, **lacks: Any) -> Path:
    """A model folder whose tokenizer has other settings."""
    tokenizer = build_tokenizer(EXAMPLES, TINY)
    for name, value in lacks.items():
        setattr(tokenizer, name, value)
    build_model(build_tokenizer(EXAMPLES, TINY), TINY).save_pretrained(out)
    tokenizer.save_pretrained(out)
    return out


@pytest.mark.parametrize(
    ("name", "value", "sentence"),
    [
        (
            "chat_template",
            None,
            r"the tokenizer has no chat template \(chat_template.jinja\); add it, or 'dvc checkout'",
        ),
        ("pad_token", None, r"the tokenizer has no padding token \(tokenizer_config.json\); add it, or 'dvc checkout'"),
        ("chat_template", "{% for", r"the chat template cannot be used \(.+\); mend it, or 'dvc checkout'"),
        (
            "chat_template",
            "{{ raise_exception('no users') }}",
            r"the chat template cannot be used \(no users\); mend it",
        ),
    ],
)
def test_a_tokenizer_that_cannot_be_asked_is_one_sentence_naming_the_folder(
    name: str, value: str | None, sentence: str, tmp_path: Path
) -> None:
    with pytest.raises(UserError, match=f"{tmp_path}: {sentence}"):
        TransformersEngine(saved(tmp_path, **{name: value}), 1)


def test_a_model_that_does_not_fit_the_memory_is_one_sentence(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def too_large(*_: Any, **__: Any) -> torch.Tensor:
        return torch.empty(2**50)

    engine = TransformersEngine(folder, 3)
    batch = f"{folder}: not enough memory to compute 3 rows at once; lower the stage's batch_size in profiles/"
    monkeypatch.setattr(engine._model, "generate", too_large)
    with pytest.raises(UserError, match=batch):
        answers(engine, QUESTIONS)
    monkeypatch.setattr(engine._model, "forward", too_large)
    with pytest.raises(UserError, match=batch):
        engine.log_likelihoods([(user(question), "Gladly.") for question in QUESTIONS])
    monkeypatch.setattr(LlamaForCausalLM, "from_pretrained", too_large)
    with pytest.raises(UserError, match=f"{folder}: not enough memory to load the model"):
        TransformersEngine(folder, 3)


def test_another_fault_of_a_computation_keeps_its_name(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    engine = TransformersEngine(folder, 3)
    monkeypatch.setattr(engine._model, "generate", lambda **_: torch.empty(2) @ torch.empty(3))
    with pytest.raises(RuntimeError, match="size"):
        answers(engine, QUESTIONS)
