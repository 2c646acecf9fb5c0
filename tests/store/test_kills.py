"""A run that asks a paid model is ended in every way, and started again: no answer is lost, at most those under way."""

import os
import random
import signal
import subprocess
import sys
import time
from collections import Counter
from pathlib import Path

import pytest
from engines.misbehaving import Reply, said, serving
from repository import ROOT
from signals import TIMEOUT, hear_signals

from refuseu.store.rows import Store

pytestmark = pytest.mark.slow

ROWS, AT_ONCE = 200, 4
QUESTIONS = [f"row {number}" for number in range(ROWS)]
STAGE = """
import sys
from pathlib import Path

import click

from refuseu.engines.openai import OpenaiEngine, OpenaiModel
from refuseu.llm.protocol import Sampling, completed, user
from refuseu.llm.stored import StoredEngine
from refuseu.store.rows import Store


@click.command()
@click.argument("url")
@click.argument("rows", type=int)
def main(url, rows):
    engine = OpenaiEngine(OpenaiModel(engine="openai", model="gpt", key=None), url, concurrency=4, retries=0)
    asked = [user(f"row {number}") for number in range(rows)]
    answers = completed(StoredEngine("gpt", lambda: engine, Store(Path("rows.sqlite"))), asked, Sampling(4))
    assert [answer.text for answer in answers] == [f"echo row {number}" for number in range(rows)]


main()
"""


def start(folder: Path, url: str) -> subprocess.Popen[str]:
    command = [sys.executable, "-P", "-m", "refuseu.core.ending", "asks.py", url, str(ROWS)]
    own = {"PYTHONPATH": str(ROOT / "src"), "NO_PROXY": "127.0.0.1"}
    return subprocess.Popen(
        command, cwd=folder, env=os.environ | own, stderr=subprocess.PIPE, text=True, preexec_fn=hear_signals
    )


def test_no_signal_loses_an_answer_that_had_come(tmp_path: Path) -> None:
    (tmp_path / "asks.py").write_text(STAGE)
    drawn = random.Random(0)
    numbers = [signal.SIGTERM, signal.SIGHUP, signal.SIGKILL, signal.SIGINT] * 2
    slow = {row: [Reply(said(f"echo {row}").body, before=lambda: time.sleep(0.02))] for row in QUESTIONS}
    with serving(slow) as server:
        for number in numbers:
            enough = sum(server.requests.values()) + drawn.randrange(1, 20)
            process = start(tmp_path, server.url)
            latest = time.monotonic() + TIMEOUT
            while sum(server.requests.values()) < enough and time.monotonic() < latest:
                assert process.poll() is None, process.communicate()[1]
                time.sleep(0.001)
            process.send_signal(number)
            said_last = process.communicate(timeout=TIMEOUT)[1]
            assert "Traceback" not in said_last
            assert process.returncode == (-signal.SIGKILL if number is signal.SIGKILL else 1)
            assert ("Aborted!" in said_last) is (number is not signal.SIGKILL)
        process = start(tmp_path, server.url)
        assert (process.communicate(timeout=TIMEOUT)[1], process.returncode) == ("", 0)
        twice = Counter(server.requests) - Counter(QUESTIONS)
    assert sum(twice.values()) <= AT_ONCE * len(numbers), "at most the requests that were under way"
    with_rows = Store(tmp_path / "rows.sqlite")
    assert len(list(with_rows.origins())) == ROWS
