from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from refuseu.core.errors import UserError
from refuseu.core.files import atomic, read_json, write_json


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
