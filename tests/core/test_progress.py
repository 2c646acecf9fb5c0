import fcntl
import os
import struct
import sys
import termios
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from io import StringIO

import pytest

from refuseu.core.progress import Progress, track

TENTHS = [f"base: {steps} of 2000 steps" for steps in (200, 400, 600, 800, 1000, 1200, 1400, 1600, 1800, 2000)]


@contextmanager
def log(monkeypatch: pytest.MonkeyPatch) -> Iterator[StringIO]:
    """Stderr is a file."""
    with monkeypatch.context() as patch:
        patch.delenv("REFUSEU_PROGRESS", raising=False)
        patch.setattr(sys, "stderr", StringIO())
        yield sys.stderr


def screen(monkeypatch: pytest.MonkeyPatch, draw: Callable[[], None], columns: int = 100, progress: str = "") -> str:
    """What ``draw`` writes where stderr is a real terminal."""
    ours, theirs = os.openpty()
    fcntl.ioctl(theirs, termios.TIOCSWINSZ, struct.pack("HHHH", columns and 24, columns, 0, 0))
    with monkeypatch.context() as patch, os.fdopen(theirs, "w", encoding="utf-8") as stream:
        patch.setenv("REFUSEU_PROGRESS", progress)
        patch.setattr(sys, "stderr", stream)
        draw()
    drawn = b""
    with os.fdopen(ours, "rb", buffering=0) as end, suppress(OSError):  # Linux ends a closed terminal by an error
        while part := end.read(4096):
            drawn += part
    return drawn.decode().replace("\r\n", "\n")


def take(stage: str, total: int, unit: str) -> None:
    for _ in track(range(total), total, stage, unit):
        pass


def test_a_log_gets_a_plain_line_a_tenth_of_the_work(monkeypatch: pytest.MonkeyPatch) -> None:
    with log(monkeypatch) as written:
        take("base", 2000, "step")
    assert written.getvalue().splitlines() == TENTHS


def test_little_work_gets_a_line_each_and_a_big_stride_one_line(monkeypatch: pytest.MonkeyPatch) -> None:
    with log(monkeypatch) as written:
        take("label", 3, "item")
        with Progress("respond", 300, "row") as progress:
            for count in (29, 1, 226, 44):
                progress.advance(count)
    assert written.getvalue() == (
        "label: 1 of 3 items\nlabel: 2 of 3 items\nlabel: 3 of 3 items\n"
        "respond: 30 of 300 rows\nrespond: 256 of 300 rows\nrespond: 300 of 300 rows\n"
    )


def test_a_line_is_written_whole(monkeypatch: pytest.MonkeyPatch) -> None:
    writes: list[str] = []
    with log(monkeypatch) as written:
        monkeypatch.setattr(written, "write", lambda text: writes.append(text + ""))  # as text does, it takes no bytes
        take("eval", 2, "model")
    assert [*filter(None, writes)] == ["eval: 1 of 2 models\n", "eval: 2 of 2 models\n"]


def test_an_item_is_counted_when_it_is_done(monkeypatch: pytest.MonkeyPatch) -> None:
    with log(monkeypatch) as written:
        seen = [(item, written.getvalue()) for item in track(["a", "b"], 2, "eval", "model")]
    assert seen == [("a", ""), ("b", "eval: 1 of 2 models\n")]


def test_no_work_is_no_line(monkeypatch: pytest.MonkeyPatch) -> None:
    with log(monkeypatch) as written:
        take("respond", 0, "row")
    assert written.getvalue() == ""


def test_a_terminal_gets_one_line_that_is_left_at_its_end(monkeypatch: pytest.MonkeyPatch) -> None:
    drawn = screen(monkeypatch, lambda: take("translate", 500, "question"))
    assert drawn.count("\n") == 1
    assert drawn.endswith("\n")
    last = drawn.rpartition("\r")[2]
    assert last.startswith("translate: 100%|")
    assert " 500/500 [" in last


def test_a_line_fits_a_narrow_terminal(monkeypatch: pytest.MonkeyPatch) -> None:
    drawn = screen(monkeypatch, lambda: take("translate", 500, "question"), columns=30)
    assert max(map(len, drawn.strip().split("\r"))) < 30


def test_what_breaks_off_leaves_its_state_and_a_fresh_line_for_the_error(monkeypatch: pytest.MonkeyPatch) -> None:
    def break_off() -> None:
        with pytest.raises(ValueError, match="broken"), Progress("base", 10, "step") as progress:
            progress.advance(3)
            raise ValueError("broken")

    drawn = screen(monkeypatch, break_off)
    assert " 3/10 [" in drawn.rpartition("\r")[2]
    assert drawn.endswith("\n")


def test_lanes_write_plain_lines_into_their_common_terminal(monkeypatch: pytest.MonkeyPatch) -> None:
    def two_lanes() -> None:
        one, two = Progress("dpo@a", 2, "step"), Progress("dpo@b", 2, "step")
        for progress in (one, two, one, two):
            progress.advance()

    assert screen(monkeypatch, two_lanes, progress="log") == (
        "dpo@a: 1 of 2 steps\ndpo@b: 1 of 2 steps\ndpo@a: 2 of 2 steps\ndpo@b: 2 of 2 steps\n"
    )


def test_a_terminal_without_a_size_is_written_to_like_a_log(monkeypatch: pytest.MonkeyPatch) -> None:
    assert screen(monkeypatch, lambda: take("base", 2000, "step"), columns=0).splitlines() == TENTHS
