"""vLLM's own server, asked by the engine for served models, says what transformers says."""

import json
import socket
import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Iterator
from pathlib import Path
from typing import cast

import pytest
from reference import LENGTH, SCHEMA, Reference

from refuseu.engines.openai import OpenaiEngine, OpenaiModel
from refuseu.llm.protocol import Completion, Conversation, Finish, Sampling, completed, user

PATIENCE = 600
"""Seconds that the server has to start."""


@pytest.fixture(scope="module")
def address(folder: Path) -> Iterator[str]:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    options = {
        "--model": str(folder),
        "--served-model-name": "smollm2",
        "--host": "127.0.0.1",
        "--port": str(port),
        "--dtype": "float32",
        "--max-model-len": str(LENGTH),
        "--generation-config": "vllm",
        "--structured-outputs-config": '{"backend": "xgrammar", "disable_any_whitespace": true}',
    }
    words = [word for option in options.items() for word in option]
    server = subprocess.Popen([sys.executable, "-m", "vllm.entrypoints.openai.api_server", "--enforce-eager", *words])
    try:
        assert healthy(f"http://127.0.0.1:{port}/health", server)
        yield f"http://127.0.0.1:{port}/v1"
    finally:
        server.terminate()
        server.wait()


def healthy(url: str, server: "subprocess.Popen[bytes]") -> bool:
    end = time.monotonic() + PATIENCE
    while time.monotonic() < end and server.poll() is None:
        try:
            with urllib.request.urlopen(url) as answer:
                return cast(int, answer.status) == 200
        except urllib.error.URLError:
            time.sleep(1)
    return False


@pytest.fixture(scope="module")
def served(address: str) -> OpenaiEngine:
    return OpenaiEngine(OpenaiModel(engine="openai", model="smollm2"), address)


def test_the_served_model_answers_alike(
    served: OpenaiEngine, conversations: list[Conversation], answers: list[str]
) -> None:
    assert [completion.text for completion in completed(served, conversations, Sampling(24))] == answers


def test_what_does_not_fit_is_that_rows_outcome(
    served: OpenaiEngine, conversations: list[Conversation], answers: list[str]
) -> None:
    long = user("bread " * LENGTH)
    done = completed(served, [long, conversations[0]], Sampling(24))
    assert done == [Completion("", Finish.TOO_LONG), Completion(answers[0])]


def test_a_raw_prompt_is_asked_as_it_stands(
    served: OpenaiEngine, reference: Reference, conversations: list[Conversation], answers: list[str]
) -> None:
    raw = ["The capital of Poland is", reference.written(conversations[0])]
    done = dict(served.complete([*raw, conversations[0]], Sampling(24, first_tokens=("The", "A"))))
    assert [done[position].text for position in range(3)] == [reference.answer(raw[0], 24), answers[0], answers[0]]
    assert done[1].probabilities == pytest.approx(done[2].probabilities, abs=1e-3)


def test_probabilities_of_first_tokens(
    served: OpenaiEngine, reference: Reference, conversations: list[Conversation]
) -> None:
    words = ("A", "B", "I")  # letters: of a longer word that it does not tell, the server may tell a shorter beginning
    for conversation, completion in zip(
        conversations, completed(served, conversations, Sampling(1, first_tokens=words)), strict=True
    ):
        assert completion.probabilities is not None
        for word, told in zip(words, completion.probabilities, strict=True):
            expected = reference.first(conversation, word)
            # The server tells the 20 likeliest alone, so none beyond them is likelier than one in 20.
            assert told == pytest.approx(expected, rel=1e-3) or (told == 0 and expected < 1 / 20)


def test_answers_follow_a_schema(served: OpenaiEngine, conversations: list[Conversation]) -> None:
    for completion in completed(served, conversations, Sampling(60, schema=json.dumps(SCHEMA))):
        answer = json.loads(completion.text)
        assert answer.keys() == {"score", "why"} and 1 <= answer["score"] <= 5


def test_a_seed_draws_the_same_again(served: OpenaiEngine, conversations: list[Conversation]) -> None:
    first, second, other = (
        completed(served, conversations[:2], Sampling(16, temperature=1.0, seed=seed)) for seed in (3, 3, 4)
    )
    assert first == second != other
