"""vLLM's own server, asked by the OpenAI client, says what transformers says."""

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
from reference import LENGTH

from refuseu.engines.protocol import Conversation

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


def test_the_served_model_answers_alike(address: str, conversations: list[Conversation], answers: list[str]) -> None:
    from openai import OpenAI

    client = OpenAI(base_url=address, api_key="none")
    for conversation, answer in zip(conversations, answers, strict=True):
        reply = client.chat.completions.create(
            model="smollm2",
            messages=conversation,  # type: ignore[arg-type]
            max_tokens=24,
            temperature=0.0,
        )
        assert (reply.choices[0].message.content or "").strip() == answer
