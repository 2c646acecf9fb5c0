from pathlib import Path

import pytest
import torch
from tiny import EXAMPLES, TINY
from transformers import LlamaForCausalLM

from refuseu.engines.base import Sampling, stored_chat, stored_log_likelihoods, user
from refuseu.engines.local import TransformersEngine
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
