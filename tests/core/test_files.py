import errno
import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from disk import files_up_to

from refuseu.core.errors import UnwritableError, UserError
from refuseu.core.files import (
    atomic,
    atomic_folder,
    read_json,
    read_yaml,
    write_between,
    write_json,
    write_text,
    writing,
)


def read(tmp_path: Path, text: str | bytes, texts: bool = False) -> Any:
    path = tmp_path / "params.yaml"
    path.write_bytes(text if isinstance(text, bytes) else text.encode())
    return read_yaml(path, "bring it back", texts)


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("no", "no"),
        ("on", "on"),
        ("true", True),
        ("1e-3", 0.001),
        ("012", 12),
        (".5", 0.5),
        ("'012'", "012"),
        ("", None),
        ("ā: [č]", {"ā": ["č"]}),
    ],
)
def test_yaml_is_read_as_dvc_reads_it(text: str, value: object, tmp_path: Path) -> None:
    read_value = read(tmp_path, text)
    assert (read_value, type(read_value)) == (value, type(value))


def test_each_value_of_a_file_of_texts_is_read_as_it_stands_there(tmp_path: Path) -> None:
    text = "a: no\n1984: [1e-3, 012, 2020-01-01, true, ā]\nempty:\n"
    assert read(tmp_path, text, texts=True) == {
        "a": "no",
        "1984": ["1e-3", "012", "2020-01-01", "true", "ā"],
        "empty": "",
    }


@pytest.mark.parametrize("texts", [False, True])
@pytest.mark.parametrize(
    ("text", "fault"),
    [
        ("a: [1, 2", "line 1: "),
        ("a: 1\nb: 2\na: 3\n", 'line 3: found duplicate key "a"'),
        ("a: b: c", "line 1: mapping values are not allowed"),
        ("a: {b: c, b: d}\n", 'line 1: found duplicate key "b"'),
        (b"\xff\xfe", "'utf-8' codec"),
    ],
)
def test_what_is_no_yaml_is_one_sentence_that_names_the_file(
    text: str | bytes, fault: str, texts: bool, tmp_path: Path
) -> None:
    with pytest.raises(UserError) as error:
        read(tmp_path, text, texts)
    assert error.value.message.startswith(f"{tmp_path}/params.yaml: not valid YAML: {fault}")
    assert "\n" not in error.value.message


@pytest.mark.parametrize(
    ("text", "fault"),
    [
        ("a: 2020-99-99", "month must be in 1..12"),
        ("a: !!python/object:os.system b", "line 1: could not determine a constructor"),
    ],
)
def test_a_value_that_yaml_cannot_be_is_one_sentence(text: str, fault: str, tmp_path: Path) -> None:
    with pytest.raises(UserError, match=f"params.yaml: not valid YAML: {fault}"):
        read(tmp_path, text)


def test_a_file_that_is_missing_or_cannot_be_read_says_what_to_do(tmp_path: Path) -> None:
    with pytest.raises(UserError) as error:
        read_yaml(tmp_path / "params.yaml", "run from the repository's root")
    assert error.value.message == (
        f"{tmp_path}/params.yaml: cannot be read (No such file or directory); run from the repository's root"
    )
    with pytest.raises(UserError, match=r"cannot be read \(Is a directory\); bring it back"):
        read_yaml(tmp_path, "bring it back")


@pytest.mark.parametrize("content", [None, b"{", b"\xff\xfe{}"])
def test_missing_or_broken_json(content: bytes | None, tmp_path: Path) -> None:
    if content is not None:
        (tmp_path / "metrics.json").write_bytes(content)
    with pytest.raises(
        UserError,
        match=r"metrics\.json: cannot be read as JSON \(.+\); 'git restore .+metrics\.json' or 'dvc repro'",
    ):
        read_json(tmp_path / "metrics.json")


def test_a_broken_json_file_that_git_does_not_hold_has_its_own_way_out(tmp_path: Path) -> None:
    with pytest.raises(UserError, match=r"; 'dvc checkout' brings it back$"):
        read_json(tmp_path / "reference.json", "'dvc checkout' brings it back")


def test_json_keeps_the_order_and_rounds(tmp_path: Path) -> None:
    write_json({"z": 1 / 3, "a": [1, -0.00001, None], "ž": "ā"}, tmp_path / "new" / "metrics.json")
    text = (tmp_path / "new" / "metrics.json").read_text(encoding="utf-8")
    assert text == '{\n  "z": 0.3333,\n  "a": [\n    1,\n    0.0,\n    null\n  ],\n  "ž": "ā"\n}\n'
    assert read_json(tmp_path / "new" / "metrics.json") == {"z": 0.3333, "a": [1, 0.0, None], "ž": "ā"}


@pytest.mark.parametrize("number", [float("nan"), float("inf"), -np.float64("inf")])
@pytest.mark.parametrize(
    "around",
    [lambda number: [{"loss": number}], lambda number: {"tokens": {"de": (1.0, number)}}],
)
def test_no_json_file_holds_a_number_that_is_not_finite(
    around: Callable[[float], object], number: float, tmp_path: Path
) -> None:
    (tmp_path / "metrics.json").write_text("old", encoding="utf-8")
    with pytest.raises(ValueError, match="not JSON compliant"):
        write_json(around(number), tmp_path / "metrics.json")
    assert (tmp_path / "metrics.json").read_text(encoding="utf-8") == "old"
    assert [path.name for path in tmp_path.iterdir()] == ["metrics.json"]


def test_floats_are_rounded_in_every_container_and_the_rest_is_left(tmp_path: Path) -> None:
    content = {"a": (1.23456, True, 123456789), "b": {"c": np.float64(0.00004), "d": "1.23456"}}
    write_json(content, tmp_path / "metrics.json")
    assert read_json(tmp_path / "metrics.json") == {
        "a": [1.2346, True, 123456789],
        "b": {"c": 0.0, "d": "1.23456"},
    }
    write_json(1.26, tmp_path / "metrics.json", digits=1)
    assert (tmp_path / "metrics.json").read_text(encoding="utf-8") == "1.3\n"


def test_a_place_that_cannot_be_written_is_named(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(UserError, match=r"file/rows\.json: cannot be written \(.+\)"):
        write_json({}, tmp_path / "file" / "rows.json")


def test_atomic_leaves_the_old_file_when_the_work_fails(tmp_path: Path) -> None:
    path = tmp_path / "file"
    path.write_text("old", encoding="utf-8")
    with pytest.raises(RuntimeError), atomic(path) as temporary:
        temporary.write_text("half", encoding="utf-8")
        raise RuntimeError
    assert [(each.name, each.read_text(encoding="utf-8")) for each in tmp_path.iterdir()] == [("file", "old")]


def test_a_full_disk_is_said_and_the_old_file_stays(tmp_path: Path) -> None:
    write_text("old", tmp_path / "report.md")
    (tmp_path / ".report.md.tmp").symlink_to("/dev/full")
    with pytest.raises(UnwritableError) as error:
        write_text("new" * 10000, tmp_path / "report.md")
    assert error.value.message == (
        f"{tmp_path}/report.md: cannot be written (No space left on device); make room there ('df -h' and 'df -i' show how much "
        "it has)"
    )
    assert [(path.name, path.read_text()) for path in tmp_path.iterdir()] == [("report.md", "old")]


def test_a_limit_on_files_is_said_with_its_own_way_out(tmp_path: Path) -> None:
    with files_up_to(1000), pytest.raises(UnwritableError, match=r"File too large\); .*ulimit -f unlimited"):
        write_json(["x" * 2000], tmp_path / "new/rows.json")
    assert list((tmp_path / "new").iterdir()) == []


@pytest.mark.parametrize("below", ["report.md", "deep/er/report.md"])
def test_a_file_where_a_folder_is_wanted_is_named(below: str, tmp_path: Path) -> None:
    (tmp_path / "metrics").write_text("mine")
    with pytest.raises(UnwritableError, match=f"cannot be written .*; move away {tmp_path}/metrics$"):
        write_text("new", tmp_path / "metrics" / below)
    with (
        pytest.raises(UnwritableError, match=f"cannot be written .*; move away {tmp_path}/metrics$"),
        atomic_folder(tmp_path / "metrics" / below),
    ):
        pass
    assert (tmp_path / "metrics").read_text() == "mine"


def test_a_folder_where_a_file_is_wanted_is_named(tmp_path: Path) -> None:
    (tmp_path / "report.md").mkdir()
    with pytest.raises(UnwritableError, match=f"Is a directory\\); move away {tmp_path}/report.md$"):
        write_text("new", tmp_path / "report.md")


@pytest.mark.parametrize("number", [errno.EACCES, errno.EPERM, errno.EROFS])
def test_a_place_that_is_not_this_users_has_its_own_way_out(number: int, tmp_path: Path) -> None:
    with (
        pytest.raises(UnwritableError, match=f"{os.strerror(number)}.*; let it be written by this user"),
        writing(tmp_path),
    ):
        raise OSError(number, os.strerror(number))


def test_all_files_of_a_folder_come_or_none(tmp_path: Path) -> None:
    for text in ("old", "new"):
        with atomic_folder(tmp_path / "models/one") as folder:
            (folder / f"{text}.json").write_text(text)
            (folder / "config.json").write_text(text)
    with pytest.raises(RuntimeError), atomic_folder(tmp_path / "models/one") as folder:
        (folder / "config.json").write_text("half")
        raise RuntimeError
    found = {path.name: path.read_text() for path in (tmp_path / "models/one").iterdir()}
    assert found == {"old.json": "old", "new.json": "new", "config.json": "new"}
    assert [path.name for path in (tmp_path / "models").iterdir()] == ["one"]


def test_what_a_killed_process_left_of_a_folder_is_no_part_of_the_next(tmp_path: Path) -> None:
    (tmp_path / ".one.tmp").mkdir()
    (tmp_path / ".one.tmp/half.json").touch()
    with atomic_folder(tmp_path / "one") as folder:
        (folder / "config.json").touch()
    assert [path.name for path in tmp_path.rglob("*")] == ["one", "config.json"]


def test_an_error_that_is_no_matter_of_the_disk_stays_what_it_is(tmp_path: Path) -> None:
    for error in (RuntimeError("shape"), KeyError("a"), UserError("seed: missing")):
        with pytest.raises(type(error)) as raised, writing(tmp_path):
            raise error
        assert raised.value is error
    with pytest.raises(RuntimeError, match="shape"), writing(tmp_path):
        try:
            raise OSError(errno.ENOENT, "no such file")
        except OSError:
            raise RuntimeError("shape") from None


def test_what_people_wrote_around_the_marks_of_a_page_stays(tmp_path: Path) -> None:
    page = tmp_path / "page.md"
    page.write_text("before\n<!-- a -->\nold\n<!-- b -->\nafter\n")
    write_between("new", page, "<!-- a -->", "<!-- b -->")
    assert page.read_text() == "before\n<!-- a -->\n\nnew\n\n<!-- b -->\nafter\n"
    with pytest.raises(UserError, match="lacks the lines"):
        write_between("new", page, "<!-- a -->", "<!-- c -->")


def test_a_password_in_a_file_of_settings_is_refused_and_not_shown(tmp_path: Path) -> None:
    path = tmp_path / "machine.yaml"
    path.write_text("openai:\n  base_urls: {a: null, b: 'http://me:secret@host/v1'}\nlist: [1, {x: 'a: b@c'}]\n")
    with pytest.raises(UserError) as raised:
        read_yaml(path, "write it")
    assert raised.value.message.startswith(f"{path}: openai.base_urls.b holds a user, a password or a key, which would")
    assert "secret" not in raised.value.message
    path.write_text("- x\n- s3://me:secret@bucket\n")
    with pytest.raises(UserError, match=r": 2 holds a user"):
        read_yaml(path, "write it")
    assert read_yaml(path, "write it", texts=True) == ["x", "s3://me:secret@bucket"]
