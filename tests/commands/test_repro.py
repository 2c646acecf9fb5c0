"""Commands in parallel, with fake ones; the real pipeline's Ctrl-C is in tests/test_make.py."""

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
from signals import TIMEOUT, hear_signals, running

from refuseu.commands import repro
from refuseu.core.errors import UserError
from refuseu.dpo.machine import TrainingMachine

STUBBORN = "trap '' INT TERM HUP; sleep 600 & echo $! > {pid}; wait; wait"
"""A command that no signal but the last ends, with a child that stands for a training."""


def supervised(folder: Path, *prefix: str) -> tuple[subprocess.Popen[str], list[int]]:
    """Two stubborn commands under ``repro.run``, in a process of their own, and their children's process ids."""
    files = [folder / name for name in ("one", "two")]
    commands = [["sh", "-c", STUBBORN.format(pid=file)] for file in files]
    program = f"from refuseu.commands.repro import run; run(*{commands}, grace=0.2, kept='and all of it begins anew')"
    command = [*prefix, sys.executable, "-c", program]
    process = subprocess.Popen(command, text=True, stderr=subprocess.PIPE, preexec_fn=hear_signals)
    while not all(file.is_file() and file.read_text().strip() for file in files):
        assert process.poll() is None
        time.sleep(0.05)
    return process, [int(file.read_text()) for file in files]


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM, signal.SIGHUP])
def test_a_signal_ends_all_commands_and_what_they_started(number: signal.Signals, tmp_path: Path) -> None:
    process, children = supervised(tmp_path)
    assert all(map(running, children))
    process.send_signal(number)
    said = process.communicate(timeout=TIMEOUT)[1]
    assert process.returncode == 128 + number
    assert not any(map(running, children))
    assert said == "Interrupted: nothing runs on, and all of it begins anew.\n"


def test_a_command_ends_with_a_repro_that_is_killed(tmp_path: Path) -> None:
    """As DVC does; it hands the end down to the stage (core/environment.py)."""
    program = "import sys; from refuseu.commands.repro import run; run([sys.executable, '-c', sys.argv[1]])"
    waits = f"import os, time; open({str(tmp_path / 'pid')!r}, 'w').write(str(os.getpid())); time.sleep(600)"
    process = subprocess.Popen([sys.executable, "-c", program, waits], preexec_fn=hear_signals)
    while not ((tmp_path / "pid").is_file() and (tmp_path / "pid").read_text()):
        assert process.poll() is None
        time.sleep(0.05)
    process.kill()
    process.wait(TIMEOUT)
    latest = time.monotonic() + TIMEOUT
    while running(int((tmp_path / "pid").read_text())):
        assert time.monotonic() < latest
        time.sleep(0.05)


def test_a_closed_terminal_is_ignored_under_nohup(tmp_path: Path) -> None:
    process, children = supervised(tmp_path, "nohup")
    process.send_signal(signal.SIGHUP)
    time.sleep(0.3)
    assert process.poll() is None and all(map(running, children))
    process.send_signal(signal.SIGTERM)
    process.communicate(timeout=TIMEOUT)
    assert not any(map(running, children))


def test_where_one_command_fails_the_other_comes_to_its_end(tmp_path: Path) -> None:
    late = tmp_path / "late"
    assert not repro.run(["sh", "-c", "exit 3"], ["sh", "-c", f"sleep 0.3; touch {late}"])
    assert late.is_file()
    assert repro.run(["true"], ["true"]) and repro.run(["true"]) and not repro.run(["false"])


def test_lines_of_parallel_commands_are_passed_on_whole_and_progress_is_lines(
    capfd: pytest.CaptureFixture[str],
) -> None:
    halves = "printf '%s is ' {0}; sleep 0.2; echo half of {0} $REFUSEU_PROGRESS >&2"
    assert repro.run(["sh", "-c", halves.format("one")], ["sh", "-c", halves.format("two")])
    assert sorted(capfd.readouterr().out.splitlines()) == ["one is half of one log", "two is half of two log"]


def test_a_command_that_is_alone_keeps_the_terminal(capfd: pytest.CaptureFixture[str]) -> None:
    assert repro.run(["sh", "-c", "echo ${REFUSEU_PROGRESS:-bar}; echo warned >&2"])
    assert capfd.readouterr() == ("bar\n", "warned\n")


def test_who_listens_to_a_command_hears_each_line_as_it_comes(capfd: pytest.CaptureFixture[str]) -> None:
    heard: list[str] = []
    assert repro.run(["sh", "-c", "echo ${REFUSEU_PROGRESS:-bar}; echo warned >&2"], heard=heard.append)
    assert heard == ["log\n", "warned\n"] and capfd.readouterr() == ("log\nwarned\n", "")


def test_every_command_has_its_lane() -> None:
    with pytest.raises(ValueError, match="shorter"):
        repro.run(["true"], ["true"], lanes=[{}])


def test_the_trainings_that_are_due_are_divided(monkeypatch: pytest.MonkeyPatch) -> None:
    stale = [["base"], ["dpo@a-0", "dpo@a-1", "dpo@b-0", "dpo-single@de", "eval"]]
    ran: list[list[list[str]]] = []

    def run(*commands: list[str], lanes: list[dict[str, str]]) -> bool:
        assert not any(lanes)
        ran.append([command[command.index("repro") + 1 :] for command in commands])
        return len(ran) < 3

    monkeypatch.setattr(repro, "stale_stages", lambda: stale.pop(0))
    monkeypatch.setattr(repro, "run", run)
    with pytest.raises(UserError, match="a stage failed, as said above; what was finished is kept"):
        repro.reproduce()
    assert ran == [
        [["split"]],
        [["--single-item", "dpo@a-0", "dpo@b-0"], ["--single-item", "dpo@a-1", "dpo-single@de"]],
        [[]],
    ]


@pytest.mark.parametrize("trainings", [[], ["dpo@a-0"], ["dpo-single@de"]])
def test_a_single_training_runs_in_the_pipeline_itself(trainings: list[str], monkeypatch: pytest.MonkeyPatch) -> None:
    ran: list[str] = []
    monkeypatch.setattr(repro, "stale_stages", lambda: [*trainings, "eval"])
    monkeypatch.setattr(repro, "run", lambda command, lanes: ran.append(command[-1]) or True)
    repro.reproduce()
    assert ran == ["split", "repro"]


GPUS = [str(number) for number in range(8)]


def trains(**training: object) -> TrainingMachine:
    others = {"batch_size": 4, "accelerate": "none", "gradient_checkpointing": True, "checkpoint_every": 50}
    return TrainingMachine.model_validate({"device": "cuda", "processes": 1, **others, **training})


@pytest.mark.parametrize(
    ("processes", "names", "lanes"),
    [
        (1, GPUS, GPUS),
        (2, GPUS[:5], ["0,1", "2,3"]),
        (8, GPUS, [",".join(GPUS)]),
        (1, ["GPU-4f", "GPU-a1"], ["GPU-4f", "GPU-a1"]),
    ],
)
def test_each_lane_has_gpus_of_its_own(
    processes: int, names: list[str], lanes: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(repro.host, "gpu_names", lambda: names)
    assert [lane["CUDA_VISIBLE_DEVICES"] for lane in repro.lanes_of(trains(processes=processes))] == lanes


@pytest.mark.parametrize("names", [[], GPUS[:3]])
def test_where_there_are_too_few_gpus_the_stage_says_so(names: list[str], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(repro.host, "gpu_names", lambda: names)
    assert repro.lanes_of(trains(processes=4)) == [{}]


@pytest.mark.parametrize("device", ["cpu", "cuda"])
def test_trainings_on_several_nodes_go_one_at_a_time(device: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(repro.host, "gpu_names", lambda: GPUS)
    assert repro.lanes_of(trains(device=device, nodes=2)) == [{}]


def test_trainings_on_cpus_go_two_at_a_time_and_gpus_are_not_asked_for(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(repro.host, "gpu_names", lambda: pytest.fail("asked for GPUs"))
    assert repro.lanes_of(trains(device="cpu")) == [{}, {}]


@pytest.mark.parametrize("trainings", [["dpo@a-0"], ["dpo@a-0", "dpo@a-1", "dpo@b-0"]])
def test_trainings_on_gpus_see_those_of_their_lane_alone(
    trainings: list[str], monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    """A command that stands for DVC writes down its trainings and its GPUs."""
    log = tmp_path / "log"
    stub = ["sh", "-c", f'shift 2; echo "${{CUDA_VISIBLE_DEVICES-all}} $*" >> {log}', "dvc"]
    monkeypatch.setattr(repro, "DVC", stub)
    monkeypatch.setattr(repro, "stale_stages", lambda: [*trainings, "eval"])
    monkeypatch.setattr(repro, "load_training_machine", trains)
    monkeypatch.setattr(repro.host, "gpu_names", lambda: ["4", "5"])
    monkeypatch.delenv("CUDA_VISIBLE_DEVICES", raising=False)
    repro.reproduce()
    first, *lanes, last = log.read_text().splitlines()
    assert (first, last) == ("all split", "all ")
    wanted = ["4 --single-item dpo@a-0 dpo@b-0", "5 --single-item dpo@a-1"]
    assert sorted(lanes) == (wanted if len(trainings) > 1 else ["4 --single-item dpo@a-0"])


def test_nothing_runs_where_nothing_is_stale(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(repro, "stale_stages", list)
    repro.reproduce()
    assert capsys.readouterr().out == "Data and pipelines are up to date.\n"


def test_what_dvc_says_is_passed_on(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setitem(os.environ, "GIT_CEILING_DIRECTORIES", str(tmp_path.parent))
    with pytest.raises(UserError, match="dvc status: you are not inside of a DVC repository"):
        repro.stale_stages()
