"""SIGTERM and SIGHUP end a stage, and a command, as Ctrl-C does."""

import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
from repository import ROOT
from signals import TIMEOUT, hear_signals, running

WAITS = """
import subprocess
import sys
from pathlib import Path

import click


@click.command()
def main():
    child = subprocess.Popen([sys.executable, "-c", "import time; time.sleep(600)"], start_new_session=True)
    Path("child").write_text(str(child.pid))
    try:
        child.wait()
    finally:
        Path("kept").write_text("what was finished")


"""
STAGE = f"{WAITS}main()\n"
COMMAND = f"{WAITS}from refuseu.core.terminal import tolerate_encodings\ntolerate_encodings()\nmain()\n"
AS_STAGE = ("-P", "-m", "refuseu.core.ending")
"""How ``stages/run`` starts a stage."""


def started(
    folder: Path, script: str, *options: str, prefix: tuple[str, ...] = ()
) -> tuple[subprocess.Popen[str], int]:
    """The process of a script that waits for its child, and the child's number."""
    (folder / "waits.py").write_text(script)
    process = subprocess.Popen(
        [*prefix, sys.executable, *options, "waits.py"],
        cwd=folder,
        env={"PYTHONPATH": str(ROOT / "src")},
        stderr=subprocess.PIPE,
        text=True,
        preexec_fn=hear_signals,
    )
    latest = time.monotonic() + TIMEOUT
    while not (folder / "child").exists() or not (folder / "child").read_text():
        assert process.poll() is None and time.monotonic() < latest
        time.sleep(0.02)
    time.sleep(0.2)  # until the child can hear a signal
    return process, int((folder / "child").read_text())


@pytest.mark.parametrize(("script", "options"), [(STAGE, AS_STAGE), (COMMAND, ())], ids=["stage", "command"])
@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGHUP], ids=lambda each: each.name)
def test_it_ends_as_by_ctrl_c(number: signal.Signals, script: str, options: tuple[str, ...], tmp_path: Path) -> None:
    process, child = started(tmp_path, script, *options)
    process.send_signal(number)
    assert process.communicate(timeout=TIMEOUT)[1].splitlines()[-1] == "Aborted!"
    assert (process.returncode, (tmp_path / "kept").read_text()) == (1, "what was finished")
    latest = time.monotonic() + TIMEOUT
    while running(child) and time.monotonic() < latest:
        time.sleep(0.02)
    assert not running(child)


def test_a_closed_terminal_is_ignored_under_nohup(tmp_path: Path) -> None:
    process, child = started(tmp_path, STAGE, *AS_STAGE, prefix=("nohup",))
    process.send_signal(signal.SIGHUP)
    time.sleep(0.3)
    assert process.poll() is None and running(child)
    process.send_signal(signal.SIGTERM)
    process.communicate(timeout=TIMEOUT)
